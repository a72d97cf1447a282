"""Commands about bundles and predictions."""

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.errors import ManifestError
from dfd.faces.store import FaceStore
from dfd.inference.bundle import load_bundle
from dfd.inference.pack import pack_runs
from dfd.inference.predict import faces_of
from dfd.inference.predict import predict as predict_videos
from dfd.report import terminal as show
from dfd.videos.manifest import read_sample, read_videos


def bundle(runs: Annotated[list[Path], Parameter(negative=())], /, *, out: Path) -> None:
    """Pack the models of RUNS, calibration and preprocessing into OUT, ready for a kernel.

    Args:
        runs: Run folders of dfd crossval or dfd train.
        out: Folder of the bundle.
    """
    info = pack_runs(runs, out)
    show.say(f"{len(info.members)} models in {out}. {info.rule_reason}.")
    show.say(f"Next: dfd predict VIDEOS --bundle {out} --out submission.csv")


def predict(
    videos: Path,
    /,
    *,
    bundle: Path,
    out: Path,
    sample: Path | None = None,
    faces: Path | None = None,
    report: Path | None = None,
    hours: float = 8.5,
    workers: int = 0,
    timeout: float = 120.0,
    device: str = "cpu",
) -> None:
    """Score VIDEOS with a bundle into OUT, a whole and valid submission from the first second.

    Args:
        videos: A folder of videos or one video.
        bundle: Folder that dfd bundle made.
        out: submission.csv to write.
        sample: sample_submission.csv: a row for each of its rows. Without it, one for each video.
        faces: Face-track dataset to use and continue; without it, a temporary one.
        report: JSON file to write: counts by status, seconds, rows that fell back.
        hours: Time after which the rest gets 0.5.
        workers: Processes that look for faces; 0 for one a core.
        timeout: Seconds that a video may take.
        device: cpu or cuda.
    """
    until = time.monotonic() + hours * 3600
    if sample is not None and not videos.is_dir():
        raise ManifestError(f"{videos} is not a folder: name the folder that holds the videos of {sample}")
    rows = read_sample(sample, videos) if sample is not None else read_videos(videos)
    loaded = load_bundle(bundle, device)
    with ExitStack() as stack:
        folder = faces or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfd-faces-")))
        store = FaceStore.create(folder, loaded.info.faces)
        tell = stack.enter_context(show.bar("predict"))
        names = [video.name for video in rows]
        made = predict_videos(names, faces_of(rows, store, workers, timeout, until), loaded, out, tell)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(made.report(), indent=1) + "\n", encoding="utf-8")
    show.prediction(made, out)
    check = f"dfd validate {out} --sample {sample}; " if sample else ""
    show.say(f"Next: {check}dfd score {out} --labels LABELS")
