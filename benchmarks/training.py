"""Training pictures a second: by `dfd train`, and by a bare loop of the same network, batch and size.

    python -m benchmarks.training [--size 128]

The bare loop has its batch in memory and does only forward, backward and the optimizer's step: an upper bound for any
kit. Both run in turn, three times each, on pictures made here; the best of each counts.
"""

import argparse
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch
from torch.nn import functional as F

from dfd.errors import OutOfTimeError
from dfd.faces.build import build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.memory import keep_freed_memory
from dfd.report import terminal as show
from dfd.training.clock import Runtime
from dfd.training.datasets import labelled
from dfd.training.fit import train
from dfd.training.loop import seeded_model
from dfd.training.recipes import Recipe, recipe
from dfd.types import Video

WARM, STEPS = 10, 40
SIDE = 224
ROUNDS = 3


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    keep_freed_memory()  # as the command line does
    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as name:
        show.table(measure(Path(name), arguments.size))


def measure(folder: Path, size: int = 128) -> list[dict[str, Any]]:
    """Pictures a second of both as rows of a table. The weights are random, which costs the same. size: in pixels."""
    base = recipe("dfdc")
    settings = base.replace(clip=base.clip.replace(size=size), train=base.train.replace(epochs=1))
    store = _pictures(folder, settings.train.batch // 2 * (WARM + STEPS))
    rates = [(bare(settings), kit(settings, store, folder / f"run{turn}")) for turn in range(ROUNDS)]
    floor, ours = (max(rate) for rate in zip(*rates, strict=True))
    return [
        {"what": "a bare loop, its batch in memory", "pictures a second": floor, "to the bare loop": 1.0},
        {"what": "dfd train --recipe dfdc", "pictures a second": ours, "to the bare loop": ours / floor},
    ]


def bare(settings: Recipe) -> float:
    """Pictures per second of the bare loop."""
    model = seeded_model(settings).train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=settings.train.lr)
    batch, size = settings.train.batch, settings.clip.size
    images = torch.randint(0, 256, (batch, 3, 1, size, size), dtype=torch.uint8)
    labels = torch.arange(batch).remainder(2).float()
    for step in range(WARM + STEPS):
        if step == WARM:
            begun = time.perf_counter()
        loss = F.binary_cross_entropy_with_logits(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return STEPS * batch / (time.perf_counter() - begun)


def kit(settings: Recipe, store: FaceStore, out: Path, until: float | None = None) -> float:
    """Pictures per second of a run, after the first WARM steps, or the first half if it has fewer.

    until: value of time.monotonic() at which it stops; None lets it end.
    """
    times: list[float] = []
    with suppress(OutOfTimeError):
        train(labelled(store), store, settings, out, Runtime(lambda *_: times.append(time.perf_counter()), until))
    if len(times) < 2:
        raise OutOfTimeError("the time was up before the second step")
    warm = min(WARM, (len(times) - 1) // 2)
    return (len(times) - 1 - warm) * settings.train.batch / (times[-1] - times[warm])


def _pictures(folder: Path, pairs: int) -> FaceStore:
    """A dataset of `pairs` real pictures and as many fakes, all of one face, no two equal."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    face = cv2.resize(skimage.data.astronaut()[20:220, 120:320], (SIDE, SIDE))
    videos = []
    for number in range(pairs):
        for letter in "rf":
            path = folder / f"{letter}{number}.jpg"
            grain = rng.normal(0, 12, (SIDE, SIDE, 3))
            cv2.imwrite(str(path), np.clip(face[..., ::-1] + grain, 0, 255).astype(np.uint8))
            videos.append(Video(path, path.name, 1 if letter == "f" else 0, f"r{number}.jpg"))
    config = FacesConfig(margin=1.0, size=SIDE)
    return build_store(videos, FaceStore.create(folder / "faces", config, cut=True))


if __name__ == "__main__":
    main()
