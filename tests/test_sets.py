import pandas as pd
import pytest

from dfd.scoring.metrics import evaluate
from dfd.scoring.sets import SETS, known, parts, score_folds
from dfd.scoring.submission import write_submission

NAMES = ["a1", "a2", "a3", "a4", "b1", "b2"]
LABELS = [0, 1, 0, 1, 0, 1]
PROBABILITIES = [0.1, 0.4, 0.2, 0.3, 0.6, 0.9]
FRAME = pd.DataFrame(
    {"filename": NAMES, "label": LABELS, "source": NAMES, "group": ["g", "g", "h", "h", "b1", "b2"], "fold": 0}
)


@pytest.fixture
def path(tmp_path):
    write_submission(tmp_path / "oof.csv", dict(zip(NAMES, PROBABILITIES, strict=True)))
    return tmp_path / "oof.csv"


def test_each_dataset_is_scored_alone_and_all_pooled(path):
    """Within each dataset fakes rank above real videos (AUC 1); pooled, b's real video ranks above a's fakes."""
    score = score_folds(path, FRAME.assign(set=["a"] * 4 + ["b"] * 2))
    assert score["auc"] == pytest.approx(7 / 9)
    assert {name: alone["auc"] for name, alone in score[SETS].items()} == {"a": 1.0, "b": 1.0}
    assert score[SETS]["a"] == evaluate(LABELS[:4], PROBABILITIES[:4], ["g", "g", "h", "h"])
    assert score[SETS]["a"]["videos"] == 4
    assert score[SETS]["b"]["balanced_log_loss_interval"] is not None


def test_one_dataset_has_one_score(path):
    assert SETS not in score_folds(path, FRAME)
    assert SETS not in score_folds(path, FRAME.assign(set="a"))
    assert score_folds(path, FRAME)["videos"] == 6


def test_labels_and_groups_are_matched_by_name():
    labels, groups = known(FRAME)
    assert labels == dict(zip(NAMES, LABELS, strict=True))
    assert (groups["a2"], groups["b2"]) == ("g", "b2")


def test_fits_leave_out_a_set_if_there_are_several_else_a_fold():
    folds = FRAME.assign(fold=[0, 0, 1, 1, 2, 2])
    assert parts(folds) == [0, 0, 1, 1, 2, 2]
    assert parts(folds.assign(set="a")) == [0, 0, 1, 1, 2, 2]
    assert parts(folds.assign(set=["a", "a", "b", "a", "c", "b"])) == [0, 0, 1, 0, 2, 1]
