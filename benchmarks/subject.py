"""The videos used by benchmarks, and how cost is measured: in wall and CPU seconds."""

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import skimage.data

from dfd.videos.decode import probe
from dfd.videos.encode import write_video

REAL = Path(__file__).parents[2] / "shared" / "data" / "minibench"
"""Real 1080p clips, on a machine that has them."""


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds; CPU time covers every core and child processes."""

    wall: float
    cpu: float


def best_of(function: Callable[[], Any], times: int) -> Cost:
    """The cheapest of `times` calls: the one least disturbed on a shared machine."""
    costs = []
    for _ in range(times):
        wall, cpu = time.perf_counter(), _cpu()
        function()
        costs.append(Cost(time.perf_counter() - wall, _cpu() - cpu))
    return min(costs, key=lambda cost: cost.cpu)


def ffmpeg(video: Path, *arguments: str, output: Sequence[str] = ("-f", "null", "-")) -> bytes:
    """Run ffmpeg; return its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments, "-i", str(video), *output]
    return subprocess.run(command, check=True, capture_output=True).stdout


def find_videos(folder: Path, count: int = 4) -> list[Path]:
    """Real 1080p clips of about ten seconds if available, else one made here. Prints which."""
    infos = {path: probe(path) for path in sorted(REAL.glob("*.mp4"))}
    found = [p for p, i in infos.items() if (i.width, i.height) == (1920, 1080) and 290 <= i.frames <= 310][:count]
    if found:
        print(f"Measured on {', '.join(path.name for path in found)}: real clips, 1920x1080, 300 frames.")
        return found
    path = folder / "made.mp4"
    rng = np.random.default_rng(0)
    face = cv2.resize(skimage.data.astronaut(), (1080, 1080))
    grain = rng.normal(0, 4, (1080, 1920, 3))
    pictures = (_picture(face, grain, 2 * i) for i in range(300))
    write_video(path, pictures, 30, crf=26, keyframe_every=250)
    print("Measured on a made clip (there is no real one here): a photograph that moves, 1920x1080, 300 frames.")
    return [path]


def _picture(face: np.ndarray, grain: np.ndarray, left: int) -> np.ndarray:
    canvas = np.full((1080, 1920, 3), 110.0)
    canvas[:, left : left + 1080] = face
    return np.clip(canvas + np.roll(grain, left * 7, axis=1), 0, 255).astype(np.uint8)


def mean_cost(videos: Sequence[Path], times: int, function: Callable[[Path], Any]) -> Cost:
    """Mean cost of `function` per video, taking the cheapest of `times` calls for each video."""
    costs = [best_of(partial(function, video), times) for video in videos]
    return Cost(*(float(np.mean([getattr(cost, part) for cost in costs])) for part in ("wall", "cpu")))


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
