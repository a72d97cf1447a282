"""Measure what only a GPU can show, in one run of limited time: a quarter of an hour on a borrowed card.

    python -m benchmarks.gpu FACES --out FOLDER [--minutes 15] [--weights lite0.pt] [--large lite2.pt]
        [--mesh mesh.tflite] [--against CHECKPOINT]

FACES: a dataset of dfd faces with real and fake pictures, or a folder of face crops with an index.csv, of which one is
built first. 25,000 crops of 144 pixels as WebP are 64 MB. Each part runs even if another fails; its row then has the
error.

    tests        those marked gpu
    dfdc, blend  pictures a second of a training with the recipe, and the card's load
    16 bits      logits of the detector that ships, in 16 bits against 32: the largest difference
    dfdc-gpu     trained in the time that is left on as many pictures as fit, and judged on a fold kept aside

Prints one table, and writes it to FOLDER/gpu.json after each part. FOLDER/dfdc-gpu/checkpoints/last.ckpt is the model.
With --against, a checkpoint is judged on the same fold, and "better" says whether the new one's balanced log loss is
lower. With --device cpu everything runs in tiny settings, to try the script. It was never run on a GPU.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.training import kit
from dfd.clips.dataset import scored_clips
from dfd.cores import available_cores
from dfd.errors import OutOfTimeError
from dfd.faces.build import build_store
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore, is_store
from dfd.faces.tracklets import FacesConfig
from dfd.files import write_json
from dfd.inference.bundle import load_bundle, load_member
from dfd.inference.forward import AT_ONCE, AtOnce, answers
from dfd.inference.info import shipped
from dfd.inference.judge import narrowed
from dfd.memory import keep_freed_memory
from dfd.models.checkpoint import Header
from dfd.report import terminal as show
from dfd.scoring.seen import seen_before
from dfd.training.clock import Runtime
from dfd.training.datasets import labelled
from dfd.training.fit import CHECKPOINT, train
from dfd.training.groups import split
from dfd.training.held import HeldVideos
from dfd.training.recipes import Recipe, recipe
from dfd.videos.manifest import read_videos

ROOT = Path(__file__).parents[1]
SIDE = 144
"""Side in pixels of the crops of a folder of pictures, which are cut as tight as the face."""
FOLDS = 10
COMPARED = 200
"""Maximum number of pictures whose logits are compared."""
LONG = 100
"""Slices of an epoch that is longer than it may run, by whose steps the speed is measured."""
TINY = 32
"""Without a GPU: side in pixels of the network's input."""
TINY_SLICES, TINY_COMPARED = 4, 4
"""Without a GPU: the same as LONG and COMPARED."""


@dataclass(frozen=True)
class Bench:
    """What the parts share. weights, large: ImageNet weights of the recipes' backbones; None for random ones."""

    store: FaceStore
    out: Path
    device: str
    until: float
    weights: Path | None
    large: Path | None
    mesh: Path | None
    against: Path | None

    def settings(self, name: str) -> Recipe:
        """A recipe for these pictures and this machine."""
        base = recipe(name)
        videos = [video for video in labelled(self.store) if video.tracklets]
        stored = min(tracklet.margin for video in videos for tracklet in video.tracklets)
        fitted = base.replace(
            model=base.model.replace(weights=self.large if name == "dfdc-gpu" else self.weights),
            clip=base.clip.replace(margin=min(base.clip.margin, stored)),
            train=base.train.replace(loaders=max(1, available_cores() - 2)),
            blend=base.blend.replace(mesh=self.mesh),
        )
        if not self.tiny:
            return fitted
        return fitted.replace(
            clip=fitted.clip.replace(size=TINY), train=fitted.train.replace(batch=8, loaders=0, epochs=2)
        )

    @property
    def tiny(self) -> bool:
        """Whether the settings are tiny, to try the script without a GPU."""
        return self.device == "cpu"

    def speed(self, name: str, out: str) -> float:
        """Pictures a second of a training with the recipe, for a tenth of the time that is left."""
        base = self.settings(name)
        long = base.replace(train=base.train.replace(epochs=1, slices=TINY_SLICES if self.tiny else LONG))
        return kit(long, self.store, self.out / out, self.by(0.1))

    def by(self, share: float) -> float:
        """The value of time.monotonic() at which a share of the time that is left is over."""
        now = time.monotonic()
        return now + share * max(0.0, self.until - now)


class CardLoad:
    """Context that samples a card's load and memory with nvidia-smi, where there is one."""

    QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--loop-ms=500")

    def __init__(self, device: str) -> None:
        self.asked = device != "cpu"
        self.found: dict[str, float] = {}

    def __enter__(self) -> "CardLoad":
        if self.asked:
            self.watching = subprocess.Popen(self.QUERY, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.asked:
            self.watching.terminate()
            self.found = read_load(self.watching.communicate()[0])


def read_load(text: str) -> dict[str, float]:
    """Mean load in percent and largest memory in GB, from the lines "load, MiB" of nvidia-smi; empty without a line.

    >>> read_load("90, 1024\\n100, 2048\\n")
    {'load in percent': 95.0, 'memory in GB': 2.1}
    """
    rows = [[float(number) for number in line.split(",")] for line in text.splitlines() if line.count(",") == 1]
    if not rows:
        return {}
    loads, memory = zip(*rows, strict=True)
    return {"load in percent": round(sum(loads) / len(loads), 1), "memory in GB": round(max(memory) * 2**20 / 1e9, 1)}


def main(given: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    for name in ("weights", "large", "mesh", "against"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args(given)
    begun = time.monotonic()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Lightning takes a card wherever it sees one
    elif not torch.cuda.is_available():
        parser.exit(1, "torch sees no GPU here: --device cpu tries the script in tiny settings\n")
    keep_freed_memory()  # as the command line does
    options.out.mkdir(parents=True, exist_ok=True)
    store = FaceStore.open(options.faces) if is_store(options.faces) else _built(options.faces, options.out)
    bench = Bench(
        store,
        options.out,
        options.device,
        begun + 60 * options.minutes,
        options.weights,
        options.large,
        options.mesh,
        options.against,
    )
    show.table(run(bench))


def run(bench: Bench) -> list[dict[str, Any]]:
    """Run all parts and write gpu.json. Returns the rows of the table."""
    card = torch.cuda.get_device_name() if bench.device == "cuda" else "none: tiny settings on the CPU"
    found: dict[str, Any] = {"card": card, "pictures": len(bench.store.records())}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "tests": lambda: tests(bench),
        "dfdc": lambda: rate("dfdc", bench),
        "blend": lambda: rate("blend", bench),
        "16 bits": lambda: halves(bench),
        "dfdc-gpu": lambda: trained(bench),
    }
    rows = [{"part": "card", "found": card, "seconds": 0}]
    for name, part in parts.items():
        begun = time.monotonic()
        try:
            found[name] = part()
        except Exception as error:  # noqa: BLE001  # the other parts must run
            lines = str(error).strip().splitlines()
            found[name] = {"failed": f"{type(error).__name__}: {lines[0] if lines else ''}"}
        seconds = round(time.monotonic() - begun)
        found[name]["seconds"] = seconds
        write_json(bench.out / "gpu.json", found)
        facts = ", ".join(f"{key} {value}" for key, value in found[name].items() if key != "seconds")
        rows.append({"part": name, "found": facts, "seconds": seconds})
    return rows


def _built(pictures: Path, out: Path) -> FaceStore:
    """The dataset of a folder of face crops, as tight as the face."""
    with show.bar("faces") as tell:
        config = FacesConfig(margin=1.0, size=SIDE)
        return build_store(read_videos(pictures), FaceStore.create(out / "faces", config, cut=True), progress=tell)


def tests(bench: Bench) -> dict[str, Any]:
    """The last line of pytest on the tests marked gpu, which are in one module."""
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-q"]  # pyproject.toml's options hide the last line
    command = [sys.executable, "-m", "pytest", *options, "-m", "gpu", "tests/test_gpu.py"]
    limit = bench.by(0.3) - time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    return {"pytest": (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1], "status": done.returncode}


def rate(name: str, bench: Bench) -> dict[str, Any]:
    """Pictures a second of a training with the recipe, for a tenth of the time, and the card's load."""
    with CardLoad(bench.device) as load:
        found = bench.speed(name, f"rate-{name}")
    return {"pictures a second": round(found, 1), **load.found}


def halves(bench: Bench) -> dict[str, Any]:
    """Largest difference between the shipped detector's logits in 16 and in 32 bits, of each of its networks."""
    bundle, several = load_bundle(shipped(), bench.device), AT_ONCE[bench.device]
    videos = [video for video in bench.store.records() if video.tracklets]
    videos = videos[: TINY_COMPARED if bench.tiny else COMPARED]
    until, found = bench.by(0.2), dict[str, Any]()
    for place, (model, header) in enumerate(narrowed(bundle.members, videos)):
        differences: list[float] = []
        for start in range(0, len(videos), several.videos):
            clips = [scored_clips(video, header.clip)[1] for video in videos[start : start + several.videos]]
            half, whole = (_logits(model, clips, replace(several, half=bits)) for bits in (True, False))
            differences += [abs(a - b) for a, b in zip(half, whole, strict=True)]
            if time.monotonic() > until:
                break
        found[f"network {place}"] = f"{max(differences):.4f} of {len(differences)} clips"
    return found


def _logits(model: torch.nn.Module, clips: Sequence[torch.Tensor], at_once: AtOnce) -> list[float]:
    logits: list[float] = []
    for answer in answers(model, clips, at_once=at_once):
        if isinstance(answer, Exception):
            raise answer
        logits += answer
    return logits


def trained(bench: Bench) -> dict[str, Any]:
    """Train dfdc-gpu without one fold, on as many pictures as fit, and judge it on that fold."""
    base, speed = bench.settings("dfdc-gpu"), bench.speed("dfdc-gpu", "rate-gpu")
    videos = labelled(bench.store)
    frame = split(videos, FOLDS, base.train.seed)
    aside = set(frame.loc[frame["fold"] == 0, "filename"])
    seen, held = ([v for v in videos if (v.video in aside) == inside] for inside in (False, True))
    seen, epochs = fitting(seen, speed * 0.7 * (bench.until - time.monotonic()), base.train.epochs)
    settings = base.replace(train=base.train.replace(epochs=epochs))
    out = bench.out / "dfdc-gpu"
    found: dict[str, Any] = {"pictures a second": round(speed, 1), "pictures": len(seen), "epochs": epochs}
    with CardLoad(bench.device) as load:
        try:
            train(seen, bench.store, settings, out, Runtime(until=bench.by(0.9)))
        except OutOfTimeError as error:
            found["stopped early"] = str(error)
    found |= load.found
    found |= _judged(load_member(out / CHECKPOINT, torch.device(bench.device)), held, "")
    if bench.against:
        model, header = load_member(bench.against, torch.device(bench.device))
        other = _judged((model, header), held, " of the other")
        names = [v.video for v in held]
        again = seen_before(names, [v.source or v.video for v in held], names, set(header.videos))
        found |= {**other, "seen by the other": len(set(again))}
        found["better"] = found["held_loss"] < other["held_loss of the other"]
    return found


def fitting(videos: Sequence[VideoRecord], budget: float, most: int) -> tuple[list[VideoRecord], int]:
    """The pictures and the number of epochs, at most `most`, in which a training sees at most `budget` pictures.

    Fewer sources if one epoch is too long. An epoch shows as many real as fake pictures: twice the larger class.
    """
    larger = 2 * max(sum(video.label == label for video in videos) for label in (0, 1))
    if budget >= larger:
        return list(videos), min(most, int(budget // larger))
    sources = sorted({video.source or video.video for video in videos})
    kept = set(sources[: max(FOLDS, int(len(sources) * budget / larger))])
    return [video for video in videos if (video.source or video.video) in kept], 1


def _judged(member: tuple[torch.nn.Module, Header], held: Sequence[VideoRecord], whose: str) -> dict[str, float]:
    """Balanced log loss and AUC of a network on the fold kept aside."""
    ((model, header),) = narrowed([member], held)
    return {f"{name}{whose}": round(value, 4) for name, value in HeldVideos(tuple(held), header).measure(model).items()}


if __name__ == "__main__":
    main()
