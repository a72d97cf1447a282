"""Face tracks of a whole video, against the floor: ffmpeg decoding it and throwing the pictures away."""

import shutil
from pathlib import Path

import cv2
import torch

from benchmarks.subject import best_of, ffmpeg
from dfd.faces.extract import Extraction, FacesConfig, extract_tracks
from dfd.faces.store import FaceStore
from dfd.types import Video
from dfd.videos.decode import stream_frames


def measure(video: Path, folder: Path) -> list[dict[str, object]]:
    """Rows for: the floor, decoding to RGB, tracks found, tracks found and stored (what `dfd faces` does)."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = FacesConfig()
    subject = Video(video, video.name)

    def store() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        told = Extraction()
        FaceStore.create(folder, config).write(subject, extract_tracks(subject, config, told), told)

    store()  # once unmeasured: networks are loaded, caches filled
    floor = best_of(lambda: ffmpeg(video, "-threads", "2"), 3)
    costs = {
        "ffmpeg -threads 2 -f null (the floor)": floor,
        "every frame decoded to RGB": best_of(lambda: [None for _ in stream_frames(video, 48)], 3),
        "face tracks found": best_of(lambda: list(extract_tracks(subject, config)), 3),
        "face tracks found and stored": best_of(store, 3),
    }
    return [
        {"what": name, "wall s": cost.wall, "CPU s": cost.cpu, "CPU to the floor": f"{cost.cpu / floor.cpu:.2f}"}
        for name, cost in costs.items()
    ]
