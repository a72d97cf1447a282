"""At which quality a detector's scores stop separating fakes from real videos: the table in dfd/inference/quality.py.

    python -m benchmarks.quality FACES      a labelled dataset of dfd faces; minutes

The stored crops are degraded, not the videos. At most four segments a video are scored.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dfd.clips.distort import UNCHANGED, Distortion
from dfd.errors import DfdError
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.inference.bundle import Bundle, load_bundle
from dfd.inference.info import shipped
from dfd.scoring.metrics import evaluate

SIDES, GAINS, RATES = (96, 64, 48, 40, 32), (0.25, 0.18, 0.12, 0.06), (35, 42, 48)
SEGMENTS = 4


def darkened(gain: float) -> Distortion:
    """Multiply every pixel by `gain`, then encode as a camera's video would be."""
    curves = np.repeat(np.round(np.arange(256) * gain).astype(np.uint8)[:, None], 3, axis=1)
    return Distortion("", replace(UNCHANGED, curves=curves, crf=23))


def steps(records: list[VideoRecord]) -> Iterator[tuple[str, Distortion | None]]:
    """The degradations, by name. Crops have one size, so a face's side is given as a share of it."""
    yield "as it is", None
    whole = records[0].tracklets[0].size / records[0].tracklets[0].margin
    for side in SIDES:
        yield f"face of {side} pixels", Distortion("", replace(UNCHANGED, reduction=min(1.0, side / whole)))
    for gain in GAINS:
        yield f"{gain:g} of the light", darkened(gain)
    for crf in RATES:
        yield f"H.264, CRF {crf}", Distortion("", replace(UNCHANGED, crf=crf))


def thinned(record: VideoRecord) -> VideoRecord:
    """The video reduced to SEGMENTS of its segments that show a face."""
    kept = record.faced[:: max(1, len(record.faced) // SEGMENTS)][:SEGMENTS]
    return replace(record, tracklets=tuple(t for t in record.tracklets if t.segment in kept))


def probabilities(records: list[VideoRecord], bundle: Bundle) -> list[float]:
    """Probability of each video. Raises the error of an unreadable video."""
    found = []
    for record in records:
        (logits,) = bundle.logits([record])
        if isinstance(logits, DfdError):
            raise logits
        found.append(bundle.info.rule.probability(logits.faces))
    return found


def main(folder: Path, say: Callable[[str], None] = print) -> None:
    """Print AUC with its interval, and balanced log loss, for each step."""
    records = [thinned(r) for r in FaceStore.open(folder).records() if r.tracklets and r.label is not None]
    labels, groups = [int(r.label or 0) for r in records], [r.source or r.video for r in records]
    bundle = load_bundle(shipped())
    with bundle.ready():
        for name, change in steps(records):
            found = evaluate(labels, probabilities(records, replace(bundle, distortion=change)), groups)
            low, high = found["auc_interval"]
            loss = found["balanced_log_loss"]
            say(f"{name:20} AUC {found['auc']:.3f} ({low:.3f} to {high:.3f})  balanced log loss {loss:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
