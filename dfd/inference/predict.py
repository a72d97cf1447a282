"""From face tracks to submission.csv: the one function behind cross-validation, the command line and the kernels.

The file is whole and valid before the first video is scored, with PRIOR in every row, and is replaced atomically as
scores come. So whatever stops the run, what is there can be submitted.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfd.errors import CheckpointError, StoreError
from dfd.faces.build import Job, Progress, store_videos
from dfd.faces.store import FaceStore, VideoRecord
from dfd.inference.budget import FULL, TIERS, Budget, Change, Tier
from dfd.inference.bundle import Bundle
from dfd.inference.journal import Journal
from dfd.scoring.board import Exposure, exposure
from dfd.scoring.submission import write_submission
from dfd.types import Video, VideoScore
from dfd.videos.workers import MEMORY

PRIOR = 0.5
"""What a video gets that could not be scored: in a test of half fakes the best guess without evidence."""
WRITE_EVERY = 2.0
"""Seconds between two replacements of submission.csv."""
SLOWEST = 5
"""Videos that a report names for the time they took."""


@dataclass(frozen=True)
class Prediction:
    """Every row's score, in the order of the rows, and how long it took in seconds.

    resumed: rows out of a journal. tiers: videos by the tier at which they were scored; changes: from one to another.
    bundle: sha256 of its bundle.json. exposure: what it has seen of the competition's public test.
    """

    scores: tuple[VideoScore, ...]
    seconds: float
    resumed: int = 0
    tiers: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    bundle: str = ""
    exposure: Exposure = field(default_factory=Exposure)

    def report(self) -> dict[str, Any]:
        """Counts by status and by tier, and each row that fell back to PRIOR with its reason; ready for JSON.

        caveats: rows that were scored, though not in the ordinary way.
        """
        fell_back = [s for s in self.scores if s.status != "ok"]
        seen = {"videos": list(self.exposure.videos), "parts": list(self.exposure.parts)}
        slowest = sorted(self.scores, key=lambda score: -score.seconds)[:SLOWEST]
        return {
            "bundle": {"sha256": self.bundle, "public_test_seen": seen},
            "videos": len(self.scores),
            "statuses": dict(Counter(score.status for score in self.scores)),
            "seconds": round(self.seconds, 3),
            "seconds_a_video": round(self.seconds / max(1, len(self.scores)), 3),
            "slowest": [{"filename": s.name, "seconds": round(s.seconds, 3)} for s in slowest],
            "resumed": self.resumed,
            "tiers": dict(self.tiers),
            "tier_changes": [vars(change) for change in self.changes],
            "fell_back": [{"filename": s.name, "status": s.status, "reason": s.reason} for s in fell_back],
            "caveats": [{"filename": s.name, "reason": s.reason} for s in self.scores if s.status == "ok" and s.reason],
        }


def predict(
    names: Sequence[str],
    records: Iterable[VideoRecord],
    bundle: Bundle,
    out: Path,
    progress: Progress | None = None,
    budget: Budget | None = None,
    journal: Journal | None = None,
) -> Prediction:
    """Score the videos whose `records` come, and keep `out` a valid submission with a row for each of `names`.

    A row without a record keeps PRIOR, with status "missing". budget: picks the tier; a record that comes when its time
    is up is "out_of_budget". journal: has the rows that an earlier run finished, and is told of the others.
    """
    start = time.monotonic()
    kept = journal.scores if journal else {}
    scores = {name: kept.get(name) or VideoScore(name, PRIOR, "missing", reason="no such file") for name in names}
    writer = _Writer(out, scores)
    for done, record in enumerate(records, len(kept) + 1):
        if record.video in scores:
            scores[record.video] = _score_in_time(record, bundle, budget)
            if journal:
                journal.add(scores[record.video])
        writer.now_and_then()
        if progress:
            progress(done, len(names), record.video)
    writer.write()
    used = budget.used if budget else Counter()
    changes = tuple(budget.changes) if budget else ()
    return Prediction(
        tuple(scores.values()),
        time.monotonic() - start,
        len(kept),
        used,
        changes,
        bundle.info.sha256(),
        exposure(bundle.info.videos),
    )


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


def _score_in_time(record: VideoRecord, bundle: Bundle, budget: Budget | None) -> VideoScore:
    if budget is None:
        return score_video(record, bundle)
    if record.tracks and budget.left() <= 0:
        return VideoScore(record.video, PRIOR, "out_of_budget", record.seconds, "the time was up before it was scored")
    score = score_video(record, bundle, budget.tier(record.video))
    if score.status != "out_of_budget":
        budget.finish(record.video, record.seconds, score.seconds - record.seconds)
    return score


def score_video(record: VideoRecord, bundle: Bundle, tier: Tier = TIERS[FULL]) -> VideoScore:
    """One video's score from its stored tracks. PRIOR when it has none, one cannot be read, or every member fails."""
    start = time.perf_counter()
    if not record.tracks:
        return VideoScore(record.video, PRIOR, record.status, record.seconds, record.reason)
    main = record.main_tracks()
    try:
        logits = bundle.video_logits(main, tier.clips, tier.members, tier.mirror)
    except (StoreError, CheckpointError) as error:
        return VideoScore(record.video, PRIOR, "error", record.seconds, str(error))
    sure = tuple(track.confidence for track in main)
    probability = bundle.info.rule.probability(logits.tracks, sure)
    haste = [f"in haste: {tier.name}"] if tier not in TIERS[: FULL + 1] else []
    reason = "; ".join([*([record.reason] if record.reason else []), *haste, *logits.left_out])
    seconds = record.seconds + time.perf_counter() - start
    return VideoScore(record.video, probability, "ok", seconds, reason, logits.tracks, sure)


def write_report(path: Path, made: Prediction) -> None:
    """Write made.report() as JSON; atomic. The folder is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(made.report(), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def faces_of(
    videos: Sequence[Video],
    store: FaceStore,
    workers: int = 0,
    timeout: float = 120.0,
    until: float | None = None,
    memory: float = MEMORY,
    choose: Callable[[Video], Job] | None = None,
) -> Iterator[VideoRecord]:
    """Each video's record: at once where the store has it, as workers finish otherwise. See store_videos."""
    known = {video.name: store.record(video) for video in videos}
    yield from (record for record in known.values() if record is not None)
    todo = [video for video in videos if known[video.name] is None]
    yield from store_videos(store, todo, workers, timeout, until, memory, choose)
