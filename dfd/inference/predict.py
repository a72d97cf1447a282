"""From face tracks to submission.csv: the one function behind cross-validation, the command line and the kernels.

The file is whole and valid before the first video is scored, with PRIOR in every row, and is replaced atomically as
scores come. So whatever stops the run, what is there can be submitted.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfd.errors import StoreError
from dfd.faces.build import Progress, store_videos
from dfd.faces.store import FaceStore, VideoRecord
from dfd.inference.bundle import Bundle
from dfd.scoring.submission import write_submission
from dfd.types import Video, VideoScore

PRIOR = 0.5
"""What a video gets that could not be scored: in a test of half fakes the best guess without evidence."""
WRITE_EVERY = 2.0
"""Seconds between two replacements of submission.csv."""


@dataclass(frozen=True)
class Prediction:
    """Every row's score, in the order of the rows, and how long it took in seconds."""

    scores: tuple[VideoScore, ...]
    seconds: float

    def report(self) -> dict[str, Any]:
        """Counts by status, and each row that fell back to PRIOR with its reason; ready for JSON."""
        fell_back = [s for s in self.scores if s.status != "ok"]
        return {
            "videos": len(self.scores),
            "statuses": dict(Counter(score.status for score in self.scores)),
            "seconds": round(self.seconds, 3),
            "seconds_a_video": round(self.seconds / max(1, len(self.scores)), 3),
            "fell_back": [{"filename": s.name, "status": s.status, "reason": s.reason} for s in fell_back],
        }


def predict(
    names: Sequence[str],
    records: Iterable[VideoRecord],
    bundle: Bundle,
    out: Path,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Prediction:
    """Score the videos whose `records` come, and keep `out` a valid submission with a row for each of `names`.

    A row without a record keeps PRIOR, with status "missing".
    """
    start = written = clock()
    scores: dict[str, VideoScore] = {name: VideoScore(name, PRIOR, "missing", reason="no such file") for name in names}
    write_submission(out, {name: score.probability for name, score in scores.items()})
    for done, record in enumerate(records, 1):
        if record.video in scores:
            scores[record.video] = score_video(record, bundle)
        if clock() - written >= WRITE_EVERY:
            write_submission(out, {name: score.probability for name, score in scores.items()})
            written = clock()
        if progress:
            progress(done, len(names), record.video)
    write_submission(out, {name: score.probability for name, score in scores.items()})
    return Prediction(tuple(scores.values()), clock() - start)


def score_video(record: VideoRecord, bundle: Bundle) -> VideoScore:
    """One video's score from its stored tracks. PRIOR when it has none, or one cannot be read."""
    start = time.perf_counter()
    if not record.tracks:
        return VideoScore(record.video, PRIOR, record.status, record.seconds, record.reason)
    main = record.main_tracks()
    try:
        logits = tuple(bundle.logits(track) for track in main)
    except StoreError as error:
        return VideoScore(record.video, PRIOR, "error", record.seconds, str(error))
    sure = tuple(track.confidence for track in main)
    probability = bundle.info.rule.probability(logits, sure)
    seconds = record.seconds + time.perf_counter() - start
    return VideoScore(record.video, probability, "ok", seconds, tracks=logits, confidences=sure)


def faces_of(
    videos: Sequence[Video], store: FaceStore, workers: int = 0, timeout: float = 120.0, until: float | None = None
) -> Iterator[VideoRecord]:
    """Each video's record: at once where the store has it, as workers finish otherwise. See store_videos."""
    known = {video.name: store.record(video) for video in videos}
    yield from (record for record in known.values() if record is not None)
    todo = [video for video in videos if known[video.name] is None]
    yield from store_videos(store, todo, workers, timeout, until)
