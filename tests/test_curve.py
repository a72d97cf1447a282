import pandas as pd

from dfd.training.curve import add_row


def rows(path):
    return [tuple(row) for row in pd.read_csv(path).itertuples(index=False)]


def test_rows_are_appended_and_repeated_epochs_replaced(tmp_path):
    path = tmp_path / "metrics.csv"
    for step, loss in ((4, 0.7), (6, 0.65), (8, 0.6), (12, 0.5)):  # a row within the second epoch
        add_row(path, {"epoch": (step - 1) // 4, "step": step, "loss": loss})
    assert rows(path) == [(0, 4, 0.7), (1, 6, 0.65), (1, 8, 0.6), (2, 12, 0.5)]
    add_row(path, {"epoch": 1, "step": 8, "loss": 0.4})  # the run resumed within the second epoch
    assert rows(path) == [(0, 4, 0.7), (1, 6, 0.65), (1, 8, 0.4)]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]
