"""Cost of one clip of 15 frames: read from the dataset, or from the whole video as the journal does."""

from pathlib import Path

import numpy as np

from benchmarks.subject import Cost, best_of, ffmpeg
from dfd.clips.dataset import load_clips
from dfd.clips.sampling import ClipConfig, random_clips
from dfd.faces.store import FaceStore
from dfd.videos.decode import probe

LOADS = 40


def measure(video: Path, folder: Path) -> list[dict[str, object]]:
    """Rows for both ways. folder: the dataset made by faces.measure. The journal's way is that of scikit-video: all
    frames go through a pipe into one array (1.9 GB), then 15 are picked."""
    info = probe(video)
    config = ClipConfig(length=15, size=224)
    face = max((t for r in FaceStore.open(folder).records() for t in r.tracklets), key=lambda t: t.frames)
    rng = np.random.default_rng(0)

    def stored() -> None:
        for _ in range(LOADS):
            load_clips(face, random_clips(face.frames, face.fps, config, 1, rng), config)

    def journal() -> None:
        raw = ffmpeg(video, output=("-f", "rawvideo", "-pix_fmt", "rgb24", "-"))
        whole = np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 3)
        start = int(rng.integers(0, len(whole) - 15))
        np.ascontiguousarray(whole[start : start + 15])

    stored()
    ours = best_of(stored, 3)
    ours = Cost(ours.wall / LOADS, ours.cpu / LOADS)
    theirs = best_of(journal, 2)
    return [
        {
            "what": "15-frame clip, the journal's way",
            "wall s": theirs.wall,
            "CPU s": theirs.cpu,
            "CPU to the floor": "",
        },
        {
            "what": f"15-frame clip, from the store: {theirs.wall / ours.wall:.0f} times faster",
            "wall s": ours.wall,
            "CPU s": ours.cpu,
            "CPU to the floor": "",
        },
    ]
