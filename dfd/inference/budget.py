"""The clock of a prediction: how much of each video can be scored in the time that is left."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

MARGIN = 0.95
"""Share of the time left that the speed chosen may be expected to take."""
UP = 0.75
"""The same for a more thorough speed than the present one, so that they do not alternate."""
RECENT = 20
"""Videos that the running mean of seconds goes back to."""
GUESS = 4
"""Videos for which the guess at a speed's cost stands until it is measured."""
RESERVE = 2.0
"""Seconds kept for what comes after the last video. Of long times a hundredth is kept, of short ones a tenth."""


@dataclass(frozen=True)
class Speed:
    """How much of a video is scored. cost: guess at its seconds a video, full speed's being 1.

    segments, members: share of the bundle's, at least one of each. mirror: each clip as it is and mirrored.
    """

    name: str
    cost: float
    segments: float = 1.0
    members: float = 1.0
    mirror: bool = False


SPEEDS = (
    Speed("full, and mirrored", 1.15, mirror=True),
    Speed("full", 1.0),
    Speed("half the segments, half the members", 0.5, segments=0.5, members=0.5),
    Speed("one segment, one member", 0.4, segments=0.0, members=0.0),
)
"""From the most thorough down. On 59 clips, by four networks of DFDC's faces, the balanced log loss was 0.77 and the
AUC 0.69 at full speed, 0.75 and 0.69 at half, 0.92 and 0.61 at the last (`python -m benchmarks.speeds`); these
speeds were chosen by those scores, and DFDC's actors may be among the networks' faces."""
MIRRORED, FULL = 0, 1
"""The speeds that a prediction may begin with; both after them are haste."""


@dataclass(frozen=True)
class Change:
    """From one speed to another when `done` videos were done and there were `left` seconds."""

    speed: str
    done: int
    left: float


class Pace(Protocol):
    """What scoring asks of a clock; Budget has more."""

    def left(self) -> float:
        """Seconds until the time is up, negative after that."""

    def speed(self, name: str) -> Speed:
        """The speed at which to score a video."""

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        """Take note of the seconds that videos took."""


class Budget:
    """Measures seconds a video as videos are finished, and picks the speed that fits what is left.

    videos: how many there are to do. seconds: how long all may take, from now on. workers: that look for faces at a
    time. tell: called with each change. best: number of the most thorough speed, with which it begins.
    """

    def __init__(
        self,
        videos: int,
        seconds: float,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] | None = None,
        best: int = FULL,
    ) -> None:
        self._clock, self._tell = clock, tell
        self._last = clock()
        self.until = self._last + seconds - max(0.01 * seconds, min(RESERVE, 0.1 * seconds))
        self.changes: list[Change] = []
        self.used: Counter[str] = Counter()
        self._videos, self._workers, self._done, self._best, self._now = videos, workers, 0, best, best
        self._begun: set[str] = set()
        self._chosen: dict[str, int] = {}
        self._expected: list[float] = []  # seconds a video at each speed; empty before the first video
        self._measured: Counter[int] = Counter()

    def left(self) -> float:
        """Seconds until the time is up, negative after that."""
        return self.until - self._clock()

    def begin(self, name: str) -> int:
        """Number of the speed at which to look for faces in the video `name`, whose turn it is."""
        self._begun.add(name)
        self._chosen[name] = self._now
        return self._now

    def speed(self, name: str) -> Speed:
        """The speed at which to score it: by now it may be a lesser one than it began with."""
        self._chosen[name] = max(self._chosen.get(name, self._best), self._now)
        return SPEEDS[self._chosen[name]]

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        """Videos are done that were scored together, at one speed.

        faces: seconds that looking for each one's faces took, by its name. scoring: seconds that scoring all took. They
        give the first estimate, and from then on the clock does: while workers start nothing is finished.
        """
        now, count = self._clock(), len(faces)
        speed = max(self._chosen.pop(name, self._best) for name in faces)
        passed, self._last = now - self._last, now
        self._done += count
        self.used[SPEEDS[speed].name] += count
        if self._expected:
            for _ in faces:
                self._measure(speed, passed / count)
        else:
            looking = sum(seconds for name, seconds in faces.items() if name in self._begun)
            first = (scoring + looking / self._workers) / count
            self._expected = [first * other.cost / SPEEDS[speed].cost for other in SPEEDS]
        self._choose()

    def _measure(self, speed: int, passed: float) -> None:
        """Move the mean of `speed`; once it is well known its change is the machine's, and the other speeds' too."""
        self._measured[speed] += 1
        count = self._measured[speed]
        old = self._expected[speed]
        new = old + (passed - old) / min(count + GUESS, RECENT)
        drift = new / old if count > RECENT and old > 0 else 1.0
        self._expected = [seconds * drift for seconds in self._expected]
        self._expected[speed] = new

    def _choose(self) -> None:
        remaining = self._videos - self._done
        left = self.left()
        if remaining <= 0 or left <= 0:
            return
        fits = [
            number >= self._best and seconds * remaining <= left * (UP if number < self._now else MARGIN)
            for number, seconds in enumerate(self._expected)
        ]
        chosen = fits.index(True) if any(fits) else len(SPEEDS) - 1
        if chosen != self._now:
            self._now = chosen
            self.changes.append(Change(SPEEDS[chosen].name, self._done, round(left, 3)))
            if self._tell:
                self._tell(f"{remaining} videos left and {left:.0f} s for them: from here on {SPEEDS[chosen].name}.")
