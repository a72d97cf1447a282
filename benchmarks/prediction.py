"""Complete predictions: wall seconds, CPU seconds and memory of the main process and its workers together.

`python -m benchmarks.prediction [COUNT]` predicts COUNT (500) short clips and prints memory along the way, which must
not grow.
"""

import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import skimage.data

from benchmarks.faces import CLIP, row
from benchmarks.subject import Cost
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.info import read_info
from dfd.inference.predict import Prediction
from dfd.inference.run import Settings, run
from dfd.memory import keep_freed_memory
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header, build_model, write_checkpoint
from dfd.report import terminal as show
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.workers import Limits

WORKERS = 2


def measure(videos: Sequence[Path], folder: Path) -> tuple[Cost, float]:
    """Cost per video of a run over twelve copies of each, start-up included, and the peak gigabytes of all processes.

    The network gets 4 clips of 16 frames. Call it in a new process: one that has done other work holds more memory.
    """
    copies = [Video(video, f"{copy}-{video.name}") for copy in range(12) for video in videos]
    before, start = _cpu(), time.perf_counter()
    with memory() as most:
        predict(copies, folder, "frame", FacesConfig())
    wall, cpu = time.perf_counter() - start, _cpu() - before
    return Cost(wall / len(copies), cpu / len(copies)), sum(most()) / 1e9


def rows(cost: Cost, gigabytes: float, floor: float) -> list[dict[str, object]]:
    """Rows for the result of measure(). floor: CPU seconds per video."""
    about = [
        f"{3600 / cost.wall:,.0f} videos an hour here",
        f"4,000 videos on 4 cores in {4000 * cost.cpu / 4 / 3600:.1f} hours",
        f"at most {gigabytes:.2f} GB in {WORKERS} workers and the main process",
    ]
    whole = row("prediction: all of it, with a network", cost, Cost(floor, floor))
    return [whole, *({**row("", cost), "what": f"  {line}", "wall s": "", "CPU s": ""} for line in about)]


def predict(
    videos: Sequence[Video],
    folder: Path,
    network: str,
    faces: FacesConfig,
    progress: Callable[[int, int, str], None] | None = None,
) -> Prediction:
    """Predict with an untrained network."""
    model = ModelConfig(name=network)
    header = Header(model=model, clip=CLIP, faces=faces, prior=0.5)
    write_checkpoint(folder / "m.ckpt", header, build_model(model, CLIP).state_dict())
    write_bundle(folder / "bundle", [folder / "m.ckpt"])
    bundle = folder / "bundle"
    load = partial(load_bundle, bundle)
    settings = Settings(limits=Limits(WORKERS), progress=progress)
    return run(videos, read_info(bundle), load, folder / "s.csv", settings)


@contextmanager
def memory(every: float = 0.2) -> Iterator[Callable[[], tuple[int, int]]]:
    """Watch memory; yields a function that returns the peak bytes of this process and its children."""
    most, over = (0, 0), threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(every):
            most = max(most, resident(), key=sum)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: most
    finally:
        over.set()
        thread.join()


def resident() -> tuple[int, int]:
    """Resident bytes of this process, and of all its children; shared memory is split among its users."""
    here, children = psutil.Process(), 0
    for child in here.children():
        with suppress(psutil.Error):  # the process has ended meanwhile
            children += child.memory_full_info().pss
    return here.memory_full_info().pss, children


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def many(count: int) -> None:
    """Predict `count` short clips and print the memory ten times along the way."""
    rows: list[dict[str, object]] = []

    def tell(done: int, total: int, _: str) -> None:
        if done == 1 or done * 10 // total > (done - 1) * 10 // total:
            here, workers = (f"{size / 1e6:.0f}" for size in resident())
            rows.append({"videos": done, "main process MB": here, f"{WORKERS} workers MB": workers})

    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as folder:
        clips = [_clip(Path(folder) / f"{number}.mp4", number) for number in range(3)]
        videos = [Video(clips[number % 3], f"{number}.mp4") for number in range(count)]
        made = predict(videos, Path(folder), "journal_conv3d", FacesConfig(size=64, detect_side=320), tell)
    show.table(rows)
    print(f"{count} videos in {made.seconds:.0f} s: {made.report()['statuses']}")


def _clip(path: Path, number: int) -> Path:
    """Write a clip of a face, one without a face, or a truncated file."""
    picture = (skimage.data.astronaut if number != 1 else skimage.data.coffee)()[:240, 80:400]
    write_video(path, np.stack([cv2.resize(picture, (320, 240))] * 12), 15)
    if number == 2:
        path.write_bytes(path.read_bytes()[:-300])
    return path


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    many(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
