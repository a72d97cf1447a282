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
from dfd.inference.info import read_info, shipped
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


def measure(videos: Sequence[Path], folder: Path) -> tuple[Cost, Cost, float]:
    """Costs of the shipped detector: per further video, and of its start; and all processes' peak gigabytes.

    Three and twelve copies of each video are predicted. Call it in a new process: one that has done other work holds
    more memory.
    """
    sizes, costs = (3 * len(videos), 12 * len(videos)), []
    with memory(every=2) as most:  # looking costs CPU seconds, too
        for size in sizes:
            copies = [Video(videos[number % len(videos)], f"{number}.mp4") for number in range(size)]
            before, start = _cpu(), time.perf_counter()
            predict(copies, shipped(), folder / f"{size}.csv")
            costs.append((time.perf_counter() - start, _cpu() - before))
    few, many = costs
    further = Cost(*((b - a) / (sizes[1] - sizes[0]) for a, b in zip(few, many, strict=True)))
    start_up = Cost(*(a - sizes[0] * each for a, each in zip(few, (further.wall, further.cpu), strict=True)))
    return further, start_up, sum(most()) / 1e9


def rows(further: Cost, start_up: Cost, gigabytes: float, floor: float) -> list[dict[str, object]]:
    """Rows for the result of measure(). floor: CPU seconds per video."""
    about = [
        f"{3600 / further.wall:,.0f} videos an hour here",
        f"4,000 videos on 4 cores in {(start_up.cpu + 4000 * further.cpu) / 4 / 3600:.1f} hours",
        f"at most {gigabytes:.2f} GB in {WORKERS} workers and the main process",
    ]
    whole = [
        row("prediction: all of it, by the detector that ships", further, Cost(floor, floor)),
        row("prediction: once, to start", start_up, Cost(floor, floor)),
    ]
    return [*whole, *({**row("", further), "what": f"  {line}", "wall s": "", "CPU s": ""} for line in about)]


def predict(
    videos: Sequence[Video], bundle: Path, out: Path, progress: Callable[[int, int, str], None] | None = None
) -> Prediction:
    settings = Settings(limits=Limits(WORKERS), progress=progress)
    return run(videos, read_info(bundle), partial(load_bundle, bundle), out, settings)


def untrained(folder: Path) -> Path:
    """Write a bundle of one small network with random weights, and small faces, into `folder`."""
    model = ModelConfig(name="journal_conv3d")
    header = Header(model=model, clip=CLIP, faces=FacesConfig(size=64, detect_side=320), prior=0.5)
    write_checkpoint(folder / "m.ckpt", header, build_model(model, CLIP).state_dict())
    write_bundle(folder / "bundle", [folder / "m.ckpt"])
    return folder / "bundle"


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
        made = predict(videos, untrained(Path(folder)), Path(folder) / "s.csv", tell)
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
