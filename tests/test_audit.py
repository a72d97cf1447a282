import json
import shutil

import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.faces.store import FaceStore
from dfd.training.audit import audit
from dfd.training.crossval import labelled
from dfd.training.groups import split


@pytest.fixture
def store(small_store):
    return small_store


def test_every_check_says_what_it_covered(store):
    found = audit(store, split(labelled(store), 2, 0), threshold=1.0)
    assert [row["covered"] for row in found.checks] == [9, 5, 5, 8, 4, 9]
    assert [row["against"] for row in found.checks] == [0, 0, 0, 0, 0, 0]
    assert found.duplicates == found.unchanged == []


def test_a_copy_under_another_name_in_another_fold_is_found(store, tmp_path):
    copy = tmp_path / "faces"
    shutil.copytree(store.folder, copy)
    record = json.loads((copy / "tracks" / "real0.mp4" / "video.json").read_text())
    shutil.copytree(copy / "tracks" / "real0.mp4", copy / "tracks" / "twin.mp4")
    (copy / "tracks" / "twin.mp4" / "video.json").write_text(
        json.dumps(record | {"video": "twin.mp4", "source": "twin.mp4"})
    )
    opened = FaceStore.open(copy)
    folds = split(labelled(opened), 2, 0)
    folds.loc[folds["group"] == "twin.mp4", "fold"] = 1 - folds.set_index("filename").loc["real0.mp4", "fold"]
    found = audit(opened, folds, threshold=0.999)
    assert {"real0.mp4", "twin.mp4"} in [{row["a"], row["b"]} for row in found.duplicates]


def test_a_group_on_both_sides_is_refused(store):
    folds = split(labelled(store), 2, 0)
    folds.loc[folds["filename"] == "fake0.mp4", "fold"] = 1 - folds.set_index("filename").loc["real0.mp4", "fold"]
    with pytest.raises(ConfigError, match="in folds 0, 1"):
        audit(store, pd.DataFrame(folds), threshold=1.0)


def test_a_fake_that_is_its_source_is_listed(store, tmp_path):
    copy = tmp_path / "faces"
    shutil.copytree(store.folder, copy)
    for name in ("0.mp4", "0.npz"):
        shutil.copy(copy / "tracks" / "real1.mp4" / name, copy / "tracks" / "fake1.mp4" / name)
    opened = FaceStore.open(copy)
    found = audit(opened, split(labelled(opened), 2, 0), threshold=1.0)
    assert [row["fake"] for row in found.unchanged] == ["fake1.mp4"]
