"""From tracklets to submission.csv. Cross-validation, the command line and the kernels all use this module.

The file is complete and valid before the first video is scored, with PRIOR in every row. It is replaced atomically as
scores arrive. So it can be submitted whenever and however the run stops.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfd.errors import DfdError
from dfd.faces.build import Progress
from dfd.faces.recorder import CROWDED
from dfd.faces.records import VideoRecord
from dfd.files import write_json
from dfd.inference.budget import FULL, SPEEDS, Budget, Change, Pace, Speed
from dfd.inference.journal import HASTE, Journal
from dfd.inference.quality import Quality, face_side, file_quality
from dfd.scoring.board import Exposure, exposure
from dfd.scoring.submission import write_submission
from dfd.types import VideoScore
from dfd.versions import drifted

if TYPE_CHECKING:  # imports torch: workers start before that
    from dfd.inference.bundle import Bundle, Logits

PRIOR = 0.5
"""Probability of a video that could not be scored: chance level on a balanced test set."""
WRITE_EVERY = 2.0
"""Seconds between two replacements of submission.csv."""
SLOWEST = 5
"""Number of slowest videos that a report lists."""


@dataclass(frozen=True)
class Prediction:
    """Every row's score, in the order of the rows, and the total seconds.

    resumed: number of rows taken from a journal. speeds: number of videos by speed; changes: the changes of speed.
    bundle: sha256 of its bundle.json. drifted: libraries whose version differs from the bundle's. exposure: what the
    bundle has seen of the competition's public test set.
    """

    scores: tuple[VideoScore, ...]
    seconds: float
    resumed: int = 0
    speeds: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    bundle: str = ""
    drifted: tuple[str, ...] = ()
    exposure: Exposure = field(default_factory=Exposure)

    def report(self) -> dict[str, Any]:
        """Counts by status and by speed, and each row that fell back to PRIOR with its reason, ready for JSON.

        caveats: rows scored in an unusual way, or that are not reliable enough for a verdict.
        """
        fell_back = [s for s in self.scores if s.status != "ok"]
        seen = {"videos": list(self.exposure.videos), "parts": list(self.exposure.parts)}
        slowest = sorted(self.scores, key=lambda score: -score.seconds)[:SLOWEST]
        return {
            "bundle": {"sha256": self.bundle, "drifted": list(self.drifted), "public_test_seen": seen},
            "videos": len(self.scores),
            "statuses": dict(Counter(score.status for score in self.scores)),
            "seconds": round(self.seconds, 3),
            "seconds_a_video": round(self.seconds / max(1, len(self.scores)), 3),
            "slowest": [{"filename": s.name, "seconds": round(s.seconds, 3)} for s in slowest],
            "resumed": self.resumed,
            "speeds": dict(self.speeds),
            "speed_changes": [vars(change) for change in self.changes],
            "fell_back": [{"filename": s.name, "status": s.status, "reason": s.reason} for s in fell_back],
            "caveats": [
                {"filename": s.name, "reason": "; ".join(filter(None, [*s.doubts, s.reason]))}
                for s in self.scores
                if s.status == "ok" and (s.doubts or s.reason)
            ],
        }


def predict(
    names: Sequence[str],
    records: Iterable[Sequence[VideoRecord]],
    bundle: Bundle,
    out: Path,
    progress: Progress | None = None,
    budget: Budget | None = None,
) -> Prediction:
    """Score `records` as they arrive, and keep `out` a valid submission with one row for each of `names`.

    records: yields batches; a network gets the clips of several videos together. budget: picks the speed. Records that
    arrive after its deadline are "out_of_budget". The other arguments are those of gather.
    """
    return gather(names, scored(names, records, bundle, budget), bundle, out, progress, budget)


def gather(
    names: Sequence[str],
    scores: Iterable[Sequence[VideoScore]],
    bundle: Bundle,
    out: Path,
    progress: Progress | None = None,
    budget: Budget | None = None,
    journal: Journal | None = None,
) -> Prediction:
    """Keep `out` a valid submission with one row for each of `names`, while `scores` arrive in batches.

    A row without a score keeps PRIOR, with status "missing". bundle, budget: those behind the scores. journal:
    has the rows finished by an earlier run, and records the new ones.
    """
    start = time.monotonic()
    kept = journal.scores if journal else {}
    rows = {name: kept.get(name) or VideoScore(name, PRIOR, "missing", reason="no such file") for name in names}
    writer = _Writer(out, rows)
    done = len(kept)
    for some in scores:
        for score in some:
            rows[score.name] = score
            if journal:
                journal.add(score)
        writer.now_and_then()
        done += len(some)
        if progress and some:
            progress(done, len(names), some[-1].name)
    writer.write()
    used = budget.used if budget else Counter()
    changes = tuple(budget.changes) if budget else ()
    return Prediction(
        tuple(rows.values()),
        time.monotonic() - start,
        len(kept),
        used,
        changes,
        bundle.info.sha256(),
        tuple(drifted(bundle.info.versions)),
        exposure(bundle.seen),
    )


def scored(
    names: Collection[str], records: Iterable[Sequence[VideoRecord]], bundle: Bundle, pace: Pace | None = None
) -> Iterator[list[VideoScore]]:
    """Score the `records` that are in `names`, as they arrive. pace: picks the speeds; full speed if None."""
    wanted = frozenset(names)
    for some in _parts(records, bundle.at_once.videos):
        yield list(_score_in_time([record for record in some if record.video in wanted], bundle, pace))


def _parts(records: Iterable[Sequence[VideoRecord]], most: int) -> Iterator[Sequence[VideoRecord]]:
    """Split batches into parts of at most `most`.

    >>> [list(part) for part in _parts(["abc", "d"], 2)]
    [['a', 'b'], ['c'], ['d']]
    """
    for batch in records:
        yield from (batch[start : start + most] for start in range(0, len(batch), most))


class _Writer:
    """Keeps submission.csv up to date."""

    def __init__(self, out: Path, scores: Mapping[str, VideoScore]) -> None:
        self._out, self._scores = out, scores
        self.write()

    def write(self) -> None:
        write_submission(self._out, {name: score.probability for name, score in self._scores.items()})
        self._written = time.monotonic()

    def now_and_then(self) -> None:
        if time.monotonic() - self._written >= WRITE_EVERY:
            self.write()


def _score_in_time(records: Sequence[VideoRecord], bundle: Bundle, pace: Pace | None) -> Iterator[VideoScore]:
    if pace is None:
        yield from score_videos(records, bundle)
    elif pace.left() <= 0:
        yield from map(_too_late, records)
    else:
        speeds = {record.video: pace.speed(record.video) for record in records}
        for speed in dict.fromkeys(speeds.values()):
            some = [record for record in records if speeds[record.video] == speed]
            scores = score_videos(some, bundle, speed)
            faces = {record.video: record.seconds for record in some}
            pace.finish(faces, sum(score.seconds for score in scores) - sum(faces.values()))
            yield from scores


def _too_late(record: VideoRecord) -> VideoScore:
    if not record.tracklets:
        return fell_back(record)
    return VideoScore(record.video, PRIOR, "out_of_budget", record.seconds, "the time was up before it was scored")


def fell_back(record: VideoRecord) -> VideoScore:
    """The score of a video that shows no face or could not be read: PRIOR."""
    return VideoScore(record.video, PRIOR, record.status, record.seconds, record.reason)


def score_videos(records: Sequence[VideoRecord], bundle: Bundle, speed: Speed = SPEEDS[FULL]) -> list[VideoScore]:
    """Score several videos together from their tracklets. A video without any, or that fails, gets PRIOR.

    seconds: the total, divided evenly among them.
    """
    start = time.perf_counter()
    faced = [record for record in records if record.tracklets]
    logits = bundle.logits(faced, speed.segments, speed.members, speed.mirror)
    each = (time.perf_counter() - start) / max(1, len(faced))
    found = {r.video: as_score(r, made, bundle, speed, each) for r, made in zip(faced, logits, strict=True)}
    return [found.get(record.video) or fell_back(record) for record in records]


def as_score(
    record: VideoRecord, found: Logits | DfdError, bundle: Bundle, speed: Speed = SPEEDS[FULL], seconds: float = 0.0
) -> VideoScore:
    """Turn logits from `bundle` into the score of a video with faces. seconds: time that scoring took."""
    seconds += record.seconds
    if isinstance(found, DfdError):
        return VideoScore(record.video, PRIOR, "error", seconds, str(found))
    haste = [f"{HASTE}: {speed.name}"] if hasty(speed) else []
    reason = "; ".join([*([record.reason] if record.reason else []), *haste, *found.left_out])
    probability = bundle.info.rule.probability(found.faces)
    return VideoScore(record.video, probability, "ok", seconds, reason, found.faces, _doubts(record, found, bundle))


def _doubts(record: VideoRecord, found: Logits, bundle: Bundle) -> tuple[str, ...]:
    """Reasons, from its faces and its name, why a video's score supports no verdict."""
    places = {face[:2] for face in found.faces}
    side = face_side([t for t in record.tracklets if (t.segment, t.face) in places])
    doubts = Quality(face=side, brightness=found.brightness).limits()
    if crowd := re.search(CROWDED.format(r"\d+"), record.reason):
        doubts.append(f"it shows {crowd[0]} at a time, and only the largest were looked at")
    if record.video in bundle.known:
        doubts.append("seen in training: the networks were trained on a video of this name")
    return tuple(doubts)


def with_file_doubts(score: VideoScore, path: Path) -> VideoScore:
    """Add the file's reasons for doubt to a score. Unchanged without a score, or if the file cannot be read."""
    if score.status != "ok":
        return score
    try:
        return replace(score, doubts=(*score.doubts, *file_quality(path).limits()))
    except (DfdError, OSError):
        return score


def hasty(speed: Speed) -> bool:
    """Whether this speed scores less of a video than full speed."""
    return speed not in SPEEDS[: FULL + 1]


def write_report(path: Path, made: Prediction) -> None:
    """Write made.report() as JSON."""
    write_json(path, made.report())
