from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd

from dfd.report import curves
from dfd.report.curves import LiveCurve, draw_curve
from dfd.training.curve import add_row


def inked(path):
    """Share of coloured pixels: lines, as opposed to white, black and grey."""
    image = cv2.imread(str(path)).astype(int)
    return float((np.ptp(image, axis=2) > 60).mean())


def test_a_plot_has_one_line_per_fold(tmp_path):
    rows = [{"epoch": e, "step": 4 * e + 4, "loss": 0.7 - 0.1 * e, "accuracy": 0.5 + 0.1 * e} for e in range(3)]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    one = inked(draw_curve(tmp_path))
    assert one > 0.001
    pd.DataFrame(rows).assign(held_loss=0.65, held_auc=[0.5, 0.7, 0.8]).to_csv(tmp_path / "metrics.csv", index=False)
    assert inked(draw_curve(tmp_path)) > 1.2 * one
    shifted = [pd.DataFrame(rows).assign(loss=lambda t, n=n: t["loss"] - 0.1 * n, fold=n) for n in range(4)]
    pd.concat(shifted).to_csv(tmp_path / "metrics.csv", index=False)
    assert inked(draw_curve(tmp_path)) > 1.5 * one


def test_an_unfinished_cross_validation_plots_its_folds_so_far(tmp_path, monkeypatch):
    """Rows of folds 2 and 10, which start one after the other."""
    clock = [0.0]
    monkeypatch.setattr(curves, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    row = {"epoch": 0, "step": 4, "loss": 0.7, "accuracy": 0.5}
    live, drawn = LiveCurve(tmp_path), tmp_path / "curve.png"
    live.look()
    assert not list(tmp_path.iterdir())
    for fold in (10, 2):
        (tmp_path / f"fold-{fold}").mkdir()
        add_row(tmp_path / f"fold-{fold}" / "metrics.csv", row)
        live.look()
        assert drawn.is_file()
        assert fold in pd.read_csv(tmp_path / "metrics.csv")["fold"].tolist()
    assert pd.read_csv(tmp_path / "metrics.csv")["fold"].tolist() == [2, 10]
    drawn.unlink()
    live.look()
    assert not drawn.exists()  # no new rows


def test_plotting_stays_within_its_share_of_the_time(tmp_path, monkeypatch):
    """If a plot takes a second, the next follows twenty seconds later, and the last at the end."""
    clock, pictures = [0.0], []

    def draw(run):
        clock[0] += 1
        pictures.append(clock[0])

    monkeypatch.setattr(curves, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(curves, "draw_curve", draw)
    live = LiveCurve(tmp_path)
    for step in range(30):
        add_row(tmp_path / "metrics.csv", {"epoch": step, "step": step, "loss": 0.7, "accuracy": 0.5})
        live.look()
        clock[0] += 1
    live.look(last=True)
    assert pictures == [1, 22, 33]
