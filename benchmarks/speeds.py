"""Accuracy of each prediction speed: balanced log loss and AUC on labelled clips, and CPU seconds per video.

`python -m benchmarks.speeds VIDEOS FACES BUNDLE`: a folder of labelled videos, their dataset, and a trained bundle that
has not seen them. Scores are computed from the dataset; seconds by reading and scoring some videos again.
"""

import sys
import time
from pathlib import Path

import numpy as np

from dfd.clips.sampling import ScoredClips
from dfd.cores import use_one_core
from dfd.faces.recorder import in_memory
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.inference.budget import FULL, SPEEDS, Speed
from dfd.inference.bundle import Bundle, load_bundle
from dfd.inference.predict import score_videos
from dfd.report import terminal as show
from dfd.scoring.metrics import evaluate
from dfd.types import Video
from dfd.videos.manifest import read_videos

TIMED = 8
CANDIDATES = (
    *SPEEDS,
    Speed("half the segments", 0, segments=0.5),
    Speed("half the members", 0, members=0.5),
    Speed("one segment", 0, segments=0.0),
    Speed("one member", 0, members=0.0),
)


def measure(videos: Path, faces: Path, bundle: Bundle) -> list[dict[str, object]]:
    """A row for each speed."""
    use_one_core()
    records = [record for record in FaceStore.open(faces).records() if record.label is not None and record.tracklets]
    labels = [int(record.label or 0) for record in records]
    timed = sorted(read_videos(videos), key=lambda video: video.name)[:: max(1, len(records) // TIMED)]
    rows: list[dict[str, object]] = []
    full = np.array([])
    for speed in (SPEEDS[FULL], *(one for one in CANDIDATES if one != SPEEDS[FULL])):
        probabilities = np.array([score_videos([record], bundle, speed)[0].probability for record in records])
        full = full if len(full) else probabilities
        found = evaluate(labels, probabilities, [record.source for record in records])
        rows.append(
            {
                "speed": speed.name,
                "balanced log loss": found["balanced_log_loss"],
                "AUC": found["auc"],
                "mean |change|": float(np.abs(probabilities - full).mean()),
                "CPU s a video": float(np.mean([_seconds(video, bundle, speed) for video in timed])),
            }
        )
    return rows


def _seconds(video: Video, bundle: Bundle, speed: Speed) -> float:
    wanted = ScoredClips(tuple(dict.fromkeys(h.clip for _, h in bundle.used(speed.members))), speed.segments)
    start = time.process_time()
    record: VideoRecord = in_memory(video, bundle.info.faces, wanted)
    score_videos([record], bundle, speed)
    return time.process_time() - start


if __name__ == "__main__":
    show.table(measure(Path(sys.argv[1]), Path(sys.argv[2]), load_bundle(Path(sys.argv[3]))))
