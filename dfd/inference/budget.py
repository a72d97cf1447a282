"""The clock of a prediction: how thoroughly the videos that are left can be looked at in the time that is left."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MARGIN = 0.95
"""Share of the time left that the tier chosen may be expected to take."""
UP = 0.75
"""The same for a more thorough tier than the present one, so that they do not alternate."""
RECENT = 20
"""Videos that the running mean of seconds goes back to."""
GUESS = 4
"""Videos for which the guess at a tier's cost stands until it is measured."""
RESERVE = 2.0
"""Seconds kept for what comes after the last video. Of long times a hundredth is kept, of short ones a tenth."""


@dataclass(frozen=True)
class Tier:
    """How thoroughly a video is looked at.

    cost: guess at its seconds a video, the ordinary tier's being 1. spacing: time between two looks for faces, in those
    of the bundle: at 2 a clip of a second has three, at 4 two. clips, members: share of the bundle's that is scored, at
    least one of each; of the clips the first, since to reach a later one the video is decoded up to there. mirror: each
    clip is scored as it is and mirrored.
    """

    name: str
    cost: float
    spacing: float = 1.0
    clips: float = 1.0
    members: float = 1.0
    mirror: bool = False


TIERS = (
    Tier("full, and mirrored", 1.3, spacing=2.0, mirror=True),
    Tier("full", 1.0, spacing=2.0),
    Tier("half the members", 0.85, spacing=2.0, members=0.5),
    Tier("half the members, two looks for faces a clip", 0.8, spacing=4.0, members=0.5),
    Tier("half the members, half the clips", 0.45, spacing=4.0, clips=0.5, members=0.5),
    Tier("one member, one clip", 0.25, spacing=4.0, clips=0.0, members=0.0),
)
"""From the most thorough down: first less of what the score loses least by."""
MIRRORED, FULL = 0, 1
"""The tiers that a prediction may begin with; all after them are haste."""


@dataclass(frozen=True)
class Change:
    """From one tier to another when `done` videos were done and there were `left` seconds."""

    tier: str
    done: int
    left: float


class Budget:
    """Measures seconds a video as videos are finished, and picks the tier that fits what is left.

    videos: how many there are to do. seconds: how long all may take, from now on. workers: that look for faces at a
    time. tell: told of each change. best: number of the most thorough tier, with which it begins.
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
        self._expected: list[float] = []  # seconds a video in each tier; empty before the first video
        self._measured: Counter[int] = Counter()

    def left(self) -> float:
        """Seconds until the time is up, negative after that."""
        return self.until - self._clock()

    def begin(self, name: str) -> int:
        """Number of the tier at which to look for faces in the video `name`, whose turn it is."""
        self._begun.add(name)
        self._chosen[name] = self._now
        return self._now

    def tier(self, name: str) -> Tier:
        """The tier at which to score it: by now it may be a lesser one than it began with."""
        self._chosen[name] = max(self._chosen.get(name, self._best), self._now)
        return TIERS[self._chosen[name]]

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        """Videos are done that were scored together, in one tier.

        faces: seconds that looking for each one's faces took, by its name. scoring: seconds that scoring all took. They
        give the first estimate, and from then on the clock does: while workers start nothing is finished.
        """
        now, count = self._clock(), len(faces)
        tier = max(self._chosen.pop(name, self._best) for name in faces)
        passed, self._last = now - self._last, now
        self._done += count
        self.used[TIERS[tier].name] += count
        if self._expected:
            for _ in faces:
                self._measure(tier, passed / count)
        else:
            looking = sum(seconds for name, seconds in faces.items() if name in self._begun)
            first = (scoring + looking / self._workers) / count
            self._expected = [first * other.cost / TIERS[tier].cost for other in TIERS]
        self._choose()

    def _measure(self, tier: int, passed: float) -> None:
        """Move the mean of `tier`; once it is well known its change is the machine's, and the other tiers' too."""
        self._measured[tier] += 1
        count = self._measured[tier]
        old = self._expected[tier]
        new = old + (passed - old) / min(count + GUESS, RECENT)
        drift = new / old if count > RECENT and old > 0 else 1.0
        self._expected = [seconds * drift for seconds in self._expected]
        self._expected[tier] = new

    def _choose(self) -> None:
        remaining = self._videos - self._done
        left = self.left()
        if remaining <= 0 or left <= 0:
            return
        fits = [
            number >= self._best and seconds * remaining <= left * (UP if number < self._now else MARGIN)
            for number, seconds in enumerate(self._expected)
        ]
        chosen = fits.index(True) if any(fits) else len(TIERS) - 1
        if chosen != self._now:
            self._now = chosen
            self.changes.append(Change(TIERS[chosen].name, self._done, round(left, 3)))
            if self._tell:
                self._tell(f"{remaining} videos left and {left:.0f} s for them: from here on {TIERS[chosen].name}.")
