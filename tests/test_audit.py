import shutil

import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.training.audit import audit
from dfd.training.datasets import labelled
from dfd.training.groups import Grouping, split
from dfd.types import Video
from dfd.videos.encode import write_video
from tests.conftest import moving_face


@pytest.fixture
def store(small_store):
    return small_store


@pytest.mark.slow
def test_every_check_states_its_coverage(store):
    found = audit(store, split(labelled(store), 2, 0), threshold=1.0)
    assert [row["covered"] for row in found.checks] == [9, 5, 5, 8, 4, 9]
    assert [row["against"] for row in found.checks] == [0, 0, 0, 0, 0, 0]
    assert found.duplicates == found.unchanged == []


@pytest.fixture
def copied(small_store, tmp_path):
    return FaceStore.open(shutil.copytree(small_store.folder, tmp_path / "faces"))


def test_a_renamed_copy_in_another_fold_is_found(copied, small_dataset):
    copied.write(Video(small_dataset / "real0.mp4", "twin.mp4", 0))
    folds = split(labelled(copied), 2, 0)
    folds.loc[folds["group"] == "twin.mp4", "fold"] = 1 - folds.set_index("filename").loc["real0.mp4", "fold"]
    found = audit(copied, folds, threshold=0.999)
    assert {"real0.mp4", "twin.mp4"} in [{row["a"], row["b"]} for row in found.duplicates]


def apart_in(folds):
    fold = folds.set_index("filename")["fold"]
    return fold["real0.mp4"] != fold["real1.mp4"]


def test_people_are_counted_and_a_person_in_two_folds_is_found(copied, small_dataset):
    for name in ("real0.mp4", "real1.mp4"):
        copied.correct([Video(small_dataset / name, name, 0, people=("Ada", name))])
    crossing = next(seed for seed in range(20) if apart_in(split(labelled(copied), 2, seed, Grouping(groups="source"))))
    together, apart = (
        split(labelled(copied), 2, seed, Grouping(groups=groups))
        for seed, groups in ((0, "people"), (crossing, "source"))
    )
    row = audit(copied, together, threshold=1.0).checks[3]
    assert row == {
        "check": "a person named by the data is in one fold",
        "covered": 3,
        "against": 0,
    }  # Ada and the two names
    found = audit(copied, apart, threshold=1.0)
    assert (found.checks[3]["against"], {found.people[0]["a"], found.people[0]["b"]}) == (1, {"real0.mp4", "real1.mp4"})


def test_a_group_on_both_sides_is_refused(store):
    folds = split(labelled(store), 2, 0)
    folds.loc[folds["filename"] == "fake0.mp4", "fold"] = 1 - folds.set_index("filename").loc["real0.mp4", "fold"]
    with pytest.raises(ConfigError, match="in folds 0, 1"):
        audit(store, pd.DataFrame(folds), threshold=1.0)


def test_a_fake_identical_to_its_source_is_listed(copied, small_dataset):
    copied.write(Video(small_dataset / "real1.mp4", "fake1.mp4", 1, "real1.mp4"))
    found = audit(copied, split(labelled(copied), 2, 0), threshold=1.0)
    assert [row["fake"] for row in found.unchanged] == ["fake1.mp4"]


def test_a_fake_is_compared_with_its_source_segment_by_segment(tmp_path):
    """A fake changed in its last segment only is not identical, nor is one whose source has no face to compare."""
    real = moving_face(18, shift=0.5)
    late, nobody = real.copy(), real.copy()
    late[12:, ::2] = late[12:, ::2] // 5 * 3
    nobody[:6] = 0
    store = FaceStore.create(tmp_path / "faces", FacesConfig(size=64, detect_side=320, segment=0.4))
    pictures = {"real.mp4": real, "late.mp4": late, "same.mp4": real, "gone.mp4": nobody, "lone.mp4": real[:6]}
    for name, images in pictures.items():
        write_video(tmp_path / name, images, 15, crf=20)
        source = {"late.mp4": "real.mp4", "same.mp4": "real.mp4", "lone.mp4": "gone.mp4"}.get(name, name)
        store.write(Video(tmp_path / name, name, 0 if source == name else 1, source))
    records = {record.video: record for record in store.records()}
    assert [records[name].faced for name in ("real.mp4", "gone.mp4", "lone.mp4")] == [[0, 1, 2], [1, 2], [0]]
    found = audit(store, split(list(records.values()), 2, 0), threshold=1.0)
    assert [row["fake"] for row in found.unchanged] == ["same.mp4"]
    assert [row["covered"] for row in found.checks if "differs from its source's" in row["check"]] == [2]
