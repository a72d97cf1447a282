import pandas as pd

from dfd.training.curve import add_row


def rows(path):
    return [tuple(row) for row in pd.read_csv(path).itertuples(index=False)]


def test_rows_are_added_and_those_of_epochs_done_again_replaced(tmp_path):
    path = tmp_path / "metrics.csv"
    for epoch, loss in ((0, 0.7), (1, 0.6), (2, 0.5)):
        add_row(path, {"epoch": epoch, "loss": loss})
    assert rows(path) == [(0, 0.7), (1, 0.6), (2, 0.5)]
    add_row(path, {"epoch": 1, "loss": 0.4})  # the run went on after the first epoch
    assert rows(path) == [(0, 0.7), (1, 0.4)]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]
