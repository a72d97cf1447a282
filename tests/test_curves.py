import cv2
import numpy as np
import pandas as pd

from dfd.report.curves import draw_curve


def inked(path):
    """Share of the picture's pixels that are coloured: lines, neither white, black nor grey."""
    image = cv2.imread(str(path)).astype(int)
    return float((np.ptp(image, axis=2) > 60).mean())


def test_a_curve_has_a_line_a_fold(tmp_path):
    rows = [{"epoch": e, "step": 4 * e + 4, "loss": 0.7 - 0.1 * e, "accuracy": 0.5 + 0.1 * e} for e in range(3)]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    one = inked(draw_curve(tmp_path))
    assert one > 0.001
    pd.DataFrame(rows).assign(held_loss=0.65, held_auc=[0.5, 0.7, 0.8]).to_csv(tmp_path / "metrics.csv", index=False)
    assert inked(draw_curve(tmp_path)) > 1.2 * one
    shifted = [pd.DataFrame(rows).assign(loss=lambda t, n=n: t["loss"] - 0.1 * n, fold=n) for n in range(4)]
    pd.concat(shifted).to_csv(tmp_path / "metrics.csv", index=False)
    assert inked(draw_curve(tmp_path)) > 1.5 * one
