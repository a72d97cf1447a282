"""Cost of face detection per video, compared with a floor: ffmpeg decodes the video and drops the frames.

For a prediction: one clip of 16 frames in each of 4 segments. For training: all frames of all segments.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.subject import Cost, ffmpeg, mean_cost
from dfd.clips.dataset import scored_clips
from dfd.clips.sampling import ClipConfig, ScoredClips
from dfd.faces.recorder import in_memory
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig, video_tracklets
from dfd.types import Video
from dfd.videos.decode import stream_pictures
from dfd.videos.segments import cut_segments, looks

CLIP = ClipConfig()
CONFIG = FacesConfig()
WANTED = ScoredClips((CLIP,))


def measure(videos: Sequence[Path], folder: Path) -> tuple[list[dict[str, object]], float]:
    """Rows, and the floor in CPU seconds. `folder` keeps the last video's dataset."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    def found(video: Path) -> None:
        list(video_tracklets(Video(video, video.name), CONFIG, WANTED))

    def scored(video: Path) -> None:
        scored_clips(in_memory(Video(video, video.name), CONFIG, WANTED), CLIP)

    found(videos[0])  # a warm-up run loads networks and fills caches
    floor = mean_cost(videos, 2, lambda video: ffmpeg(video, "-threads", "2"))
    costs = {
        "ffmpeg -threads 2 -f null (the floor)": floor,
        "prediction: the frames of its clips and looks decoded": mean_cost(
            videos, 2, lambda video: [None for _ in stream_pictures(video, _plan)]
        ),
        "prediction: and their faces found and cut out": mean_cost(videos, 2, found),
        "prediction: and encoded, and read as clips": mean_cost(videos, 2, scored),
        "training: tracklets of every segment found": mean_cost(
            videos, 2, lambda video: list(video_tracklets(Video(video, video.name), CONFIG))
        ),
        "training: and stored": mean_cost(videos, 2, lambda video: _store(video, folder)),
    }
    return [row(name, cost, floor) for name, cost in costs.items()], floor.cpu


def row(what: str, cost: Cost, floor: Cost | None = None) -> dict[str, object]:
    """A table row: seconds per video."""
    ratio = f"{cost.cpu / floor.cpu:.2f}" if floor else ""
    return {"what": what, "wall s": cost.wall, "CPU s": cost.cpu, "CPU to the floor": ratio}


def _plan(frames: int, fps: float) -> list[np.ndarray]:
    """The frames that a prediction reads."""
    segments = cut_segments(frames, fps, CONFIG.segment)
    chosen = [segments[number] for number in WANTED.first(len(segments))]
    return [np.union1d(looks(s, fps, CONFIG.detect_every), WANTED.frames(s.start, s.stop, fps)) for s in chosen]


def _store(video: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    FaceStore.create(folder, CONFIG).write(Video(video, video.name))
