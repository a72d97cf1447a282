"""Progress as lines of text, for a log file or a pipe in which a progress bar is unreadable."""

import time
from collections.abc import Callable

EVERY = 30.0
"""Seconds between two lines."""


class Lines:
    """Writes a line at most every `every` seconds. Called with (number done, total, name of the last one done).

    what: name of the stage. write: takes a line. clock: gives seconds. A new total, or a lower number, restarts the
    rate.
    """

    def __init__(
        self,
        what: str,
        write: Callable[[str], None],
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.write, self.every, self.clock = what, write, every, clock
        self.said = clock()
        self.total = self.done = -1

    def __call__(self, done: int, total: int, last: str) -> None:
        """Write a line if enough time has passed."""
        now = self.clock()
        if total != self.total or done < self.done:
            self.total, self.first, self.begun = total, done, now
        self.done = done
        if now - self.said < self.every:
            return
        self.said = now
        more = [last] if last else []
        if done > self.first and now > self.begun:
            rate = (done - self.first) / (now - self.begun)
            more += [_rate(rate), f"{_span((total - done) / rate)} left"]
        share = f" ({done / total:.0%})" if total else ""
        self.write(f"{self.what}: {', '.join([f'{done} of {total}{share}', *more])}")


def _rate(rate: float) -> str:
    """Format a rate per second or minute.

    >>> _rate(12.345), _rate(0.0421)
    ('12.3/s', '2.5/min')
    """
    return f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"


def _span(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds.

    >>> _span(7.6), _span(754), _span(36_125)
    ('0:00:08', '0:12:34', '10:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
