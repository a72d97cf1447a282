"""From finished runs to a bundle: which checkpoints, and the calibration that their out-of-fold predictions earned."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfd.errors import CheckpointError
from dfd.inference.bundle import BundleInfo, write_bundle
from dfd.scoring.decide import Rule


def pack_runs(runs: Sequence[Path], out: Path) -> BundleInfo:
    """Bundle the models of `runs` (of a cross-validation every fold's) into `out`.

    The rule from logits to a probability is that of a cross-validation where there is one run and it is one: several
    runs together have no out-of-fold predictions. Raises CheckpointError for a folder without a checkpoint.
    """
    checkpoints = [path for run in runs for path in _checkpoints(run)]
    judged = _judgement(runs[0]) if len(runs) == 1 else None
    if judged is None:
        return write_bundle(out, checkpoints)
    rule = Rule.read(judged["decision"]["rule"], str(runs[0] / "score.json"))
    return write_bundle(out, checkpoints, rule, judged["decision"]["reason"], judged["score"])


def _checkpoints(run: Path) -> list[Path]:
    if not run.is_dir():
        raise CheckpointError(f"{run} does not exist: name a run folder of dfd train or dfd crossval")
    found = sorted(run.glob("fold-*/checkpoints/last.ckpt")) or sorted(run.glob("checkpoints/last.ckpt"))
    if not found:
        raise CheckpointError(f"{run} has no checkpoints/last.ckpt: name a run folder of dfd train or dfd crossval")
    for path in found:
        if not (path.parent.parent / "done").exists():
            raise CheckpointError(
                f"{path.parent.parent} is a run that was stopped: give its command again to finish it"
            )
    return found


def _judgement(run: Path) -> dict[str, Any] | None:
    path = run / "score.json"
    if not path.is_file():
        return None
    try:
        judged: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): run the cross-validation again") from None
    return judged
