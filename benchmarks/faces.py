"""What looking for faces costs a video, against the floor: ffmpeg decoding it and throwing the pictures away.

For a prediction: 4 clips of 16 frames, of which nothing else is looked at. For training: all pictures.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from benchmarks.subject import Cost, ffmpeg, mean_cost
from dfd.clips.dataset import scored_clips
from dfd.clips.sampling import ClipConfig, ScoredFrames
from dfd.faces.extract import Extraction, FacesConfig, extract_tracks
from dfd.faces.store import FaceStore
from dfd.inference.budget import FULL, TIERS
from dfd.types import Plan, Video
from dfd.videos.decode import stream_pictures

CLIP = ClipConfig()


def measure(videos: Sequence[Path], folder: Path) -> tuple[list[dict[str, object]], float]:
    """Rows, and the floor in CPU seconds. `folder` keeps the store of whole tracks."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    plan, config = ScoredFrames((CLIP,)), FacesConfig()
    spaced = config.replace(detect_every=config.detect_every * TIERS[FULL].spacing)
    planned = folder.with_name("planned")

    def found(video: Path) -> None:
        list(extract_tracks(Video(video, video.name), spaced, plan=plan))

    def scored(video: Path) -> None:
        _store(video, planned, spaced, plan)
        for record in FaceStore.open(planned).records():
            [scored_clips(track, CLIP) for track in record.main_tracks()]

    found(videos[0])  # once unmeasured: networks are loaded, caches filled
    floor = mean_cost(videos, 2, lambda video: ffmpeg(video, "-threads", "2"))
    costs = {
        "ffmpeg -threads 2 -f null (the floor)": floor,
        "prediction: the frames of its clips decoded": mean_cost(
            videos, 2, lambda video: [None for _ in stream_pictures(video, 48, plan)]
        ),
        "prediction: and their faces found and cut out": mean_cost(videos, 2, found),
        "prediction: and stored, and read as clips": mean_cost(videos, 2, scored),
        "training: face tracks of every frame found": mean_cost(
            videos, 1, lambda video: list(extract_tracks(Video(video, video.name), config))
        ),
        "training: and stored": mean_cost(videos, 1, lambda video: _store(video, folder, config, None)),
    }
    return [row(name, cost, floor) for name, cost in costs.items()], floor.cpu


def row(what: str, cost: Cost, floor: Cost | None = None) -> dict[str, object]:
    """A line of the table, of seconds a video."""
    ratio = f"{cost.cpu / floor.cpu:.2f}" if floor else ""
    return {"what": what, "wall s": cost.wall, "CPU s": cost.cpu, "CPU to the floor": ratio}


def _store(video: Path, folder: Path, config: FacesConfig, plan: Plan | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    told = Extraction()
    tracks = extract_tracks(Video(video, video.name), config, told, plan)
    FaceStore.create(folder, config).write(Video(video, video.name), tracks, told)
