"""The time budget of a prediction: how much of each video can be scored in the time left."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

MARGIN = 0.95
"""Share of the time left that the chosen speed may be expected to take."""
UP = 0.75
"""The same for a switch to a more thorough speed: less, so that a prediction does not switch back and forth."""
RECENT = 20
"""Number of videos in the running mean of the seconds per video."""
GUESS = 4
"""Number of videos for which the estimate of a speed's cost is used before it counts as measured."""
RESERVE = 2.0
"""Seconds reserved for the time after the last video: a hundredth of a long budget, a tenth of a short one."""


@dataclass(frozen=True)
class Speed:
    """How much of a video is scored. cost: estimated seconds per video, relative to full speed.

    segments, members: share of the bundle's, at least one of each. mirror: score each clip and its mirror image.
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
"""From the most thorough to the fastest. On 59 clips, by four networks trained on DFDC's faces, the balanced log loss
was 0.77 and the AUC 0.69 at full speed, 0.75 and 0.69 at half, 0.92 and 0.61 at the fastest (`python -m
benchmarks.speeds`). The speeds were chosen by those scores, and the networks may have seen DFDC's actors in
training."""
MIRRORED, FULL = 0, 1
"""The speeds with which a prediction may start. The faster ones count as hasty."""


@dataclass(frozen=True)
class Change:
    """A change of speed when `done` videos were done and `left` seconds remained."""

    speed: str
    done: int
    left: float


class Pace(Protocol):
    """The part of Budget that scoring uses."""

    def left(self) -> float:
        """Seconds until the deadline, negative after it."""

    def speed(self, name: str) -> Speed:
        """The speed at which to score a video."""

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        """Record how many seconds each video took."""


class Budget:
    """Measures the seconds per video as videos finish, and picks the speed that fits the time left.

    videos: number to do. seconds: time for all of them, starting now. workers: number that detect faces in parallel.
    tell: called with each change. best: index of the most thorough speed, with which it starts.
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
        self._expected: list[float] = []  # seconds per video at each speed; empty before the first video
        self._measured: Counter[int] = Counter()

    def left(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.until - self._clock()

    def begin(self, name: str) -> int:
        """Index of the speed at which to detect faces in the video `name`, whose turn it is."""
        self._begun.add(name)
        self._chosen[name] = self._now
        return self._now

    def speed(self, name: str) -> Speed:
        """The speed at which to score the video. It may be faster by now than the one it began with."""
        self._chosen[name] = max(self._chosen.get(name, self._best), self._now)
        return SPEEDS[self._chosen[name]]

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        """Record videos that were scored together, at one speed.

        faces: seconds of face detection, by video name. scoring: seconds that scoring all of them took. These give the
        first estimate; later ones use the wall clock, because nothing finishes while the workers start.
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
        """Update the mean of `speed`. Once it is well known, a change is due to the machine and rescales all speeds."""
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
