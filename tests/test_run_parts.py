import numpy as np
import pandas as pd
import pytest

from dfd.report.run_parts import fold_rows, parts
from dfd.scoring.metrics import evaluate

REAL, A, B = "original", "Deepfakes", "FaceSwap"


@pytest.fixture
def videos():
    """Six real videos in two sets; four fakes of one method in the first set, two of another in the second."""
    rows = [
        (f"r{n}", 0, said, "one" if n < 4 else "two", "", "c23")
        for n, said in enumerate((0.1, 0.2, 0.3, 0.6, 0.9, 0.4))
    ]
    rows += [(f"f{n}", 1, said, "one", A, "c40") for n, said in enumerate((0.4, 0.7, 0.8, 0.9))]
    rows += [(f"g{n}", 1, said, "two", B, "c40") for n, said in enumerate((0.3, 0.95))]
    table = pd.DataFrame(rows, columns=["filename", "label", "probability", "set", "method", "compression"])
    table["side"] = [40.0, 80, 80, 80, 80, 80] + [300.0] * 5 + [np.nan]
    return table.assign(group=table["filename"], source=table["filename"], status="ok", fold=[0, 1] * 6)


def test_a_method_is_scored_against_the_real_videos_of_its_set(videos):
    rows = next(rows for title, rows in parts(videos) if "method" in title)
    assert [(row["method"], row["videos"], row["fakes"]) for row in rows] == [(A, 8, 4), (B, 4, 2)]
    expected = evaluate([0] * 4 + [1] * 4, [0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
    assert rows[0]["balanced log loss"] == pytest.approx(expected["balanced_log_loss"])
    assert (rows[0]["fakes missed"], rows[0]["false alarms"]) == ("25 %", "25 %")
    assert (rows[1]["fakes missed"], rows[1]["false alarms"]) == ("50 %", "50 %")


def test_sets_sizes_and_compression_are_parts_and_status_only_if_it_varies(videos):
    found = {next(iter(rows[0])): [next(iter(row.values())) for row in rows] for _, rows in parts(videos)}
    assert found == {
        "set": ["one", "two"],
        "method": [A, B],
        "compression": ["c23", "c40"],
        "size": ["under 64 pixels", "64 to 128 pixels", "256 pixels and more"],
    }
    videos.loc[0, "status"] = "no_face"
    assert [row["status"] for row in dict(parts(videos))["By how the video ended"]] == ["no_face", "ok"]


def test_a_part_of_one_class_has_no_balanced_loss(videos):
    rows = dict(parts(videos))["By compression"]
    assert (rows[0]["balanced log loss"], rows[0]["AUC"], rows[0]["fakes missed"]) == (None, None, "–")


def test_folds_count_groups_and_people(videos):
    folds = [rows for _, rows in videos.groupby("fold")]
    rows = fold_rows(folds, {"r0": ("Ada",), "r2": ("Ada", "Bob"), "r1": ("Cy",)})
    assert [(row["fold"], row["groups"], row["people"]) for row in rows] == [(0, 6, 2), (1, 6, 1)]
    assert "people" not in fold_rows(folds, {})[0]
