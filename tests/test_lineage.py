"""Lineage: what a model has seen, from starting weights to bundle, and its consequences for scoring."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dfd.clips.augment import NOTHING
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError
from dfd.inference.info import read_seen
from dfd.inference.pack import pack_runs
from dfd.models import ModelConfig
from dfd.models.checkpoint import read_checkpoint, write_checkpoint
from dfd.training.clock import Runtime
from dfd.training.config import TrainConfig
from dfd.training.crossval import Fold, crossval, train_fold
from dfd.training.datasets import labelled
from dfd.training.fit import CHECKPOINT, train
from dfd.training.groups import Grouping
from dfd.training.lineage import check_unseen, count_seen, lineage
from dfd.training.recipes import Recipe

pytestmark = pytest.mark.slow

SMALL = Recipe(
    model=ModelConfig(name="frame", backbone="test_efficientnet", dropout=0, drop_path=0),
    clip=ClipConfig(length=1, size=32, clips=1),
    train=TrainConfig(epochs=1, slices=1, per_load=1, batch=4),
    augment=NOTHING,
)


def begun_from(weights):
    return SMALL.replace(model=SMALL.model.replace(weights=weights))


def trained_on(store, out, *numbers, recipe=SMALL):
    """Train on the real and fake videos with these numbers."""
    names = {f"{kind}{number}.mp4" for kind in ("real", "fake") for number in numbers}
    return train([r for r in store.records() if r.video in names], store, recipe, out)


@pytest.fixture(scope="module")
def first(small_store, tmp_path_factory):
    """The checkpoint of a run on videos 0 and 1."""
    return trained_on(small_store, tmp_path_factory.mktemp("first") / "a", 0, 1)


def test_a_bundle_lists_videos_seen_by_its_ancestors(small_store, first, tmp_path):
    trained_on(small_store, tmp_path / "b", 2, 3, recipe=begun_from(first))
    pack_runs([tmp_path / "b"], tmp_path / "bundle")
    assert read_seen(tmp_path / "bundle") == tuple(f"{kind}{n}.mp4" for kind in ("fake", "real") for n in range(4))


def test_a_fakes_original_counts_as_seen(small_store, tmp_path):
    records = [r for r in small_store.records() if r.video in ("fake0.mp4", "real1.mp4")]
    header, _ = read_checkpoint(train(records, small_store, SMALL, tmp_path / "run"))
    assert header.videos == ("fake0.mp4", "real0.mp4", "real1.mp4")


def test_a_person_from_another_training_video_counts_as_seen(small_store, tmp_path):
    records = {r.video: r for r in small_store.records()}
    ada = [replace(records["real0.mp4"], people=("Ada",)), records["fake0.mp4"]]
    weights = train(ada, small_store, SMALL, tmp_path / "run")
    frame = pd.DataFrame({"filename": ["x", "y"], "source": ["x", "y"], "group": ["x", "y"]})
    people = {"x": ("Bob",), "y": ("Bob", "Ada")}
    check_unseen(frame, weights)
    with pytest.raises(ConfigError, match=r"trained on 1 of the 2 videos to score.*: 'y'"):
        check_unseen(frame, weights, people=people)
    assert count_seen(frame, weights, weights, people) == 1


def test_weights_that_saw_the_scored_videos_are_refused_naming_them(small_store, first, tmp_path):
    message = r"trained on 4 of the 9 videos to score.*: 'fake0\.mp4', 'fake1\.mp4', 'real0\.mp4' and 1 more"
    with pytest.raises(ConfigError, match=message):
        crossval(small_store, begun_from(first), 2, tmp_path / "cv")
    assert not (tmp_path / "cv").exists()


def test_a_score_of_seen_videos_says_so(small_store, first, tmp_path):
    made = crossval(small_store, begun_from(first), 2, tmp_path / "cv", Runtime(allow_seen=True))
    assert made.score["seen_by_weights"] == 4
    assert json.loads((tmp_path / "cv" / "score.json").read_text())["score"]["seen_by_weights"] == 4


def test_a_fold_unseen_by_the_weights_is_accepted(small_store, tmp_path):
    """A fold's model may be trained further without the same fold."""
    train_fold(small_store, SMALL, Fold(0, 2), tmp_path / "a")
    recipe, out = begun_from(tmp_path / "a" / CHECKPOINT), tmp_path / "b"
    score = train_fold(small_store, recipe, Fold(0, 2), out)
    assert score["seen_by_weights"] == 0
    assert json.loads((out / "score.json").read_text()) == score
    with pytest.raises(ConfigError, match="videos to score"):
        train_fold(small_store, recipe, Fold(1, 2), tmp_path / "c")
    seen = set(read_checkpoint(tmp_path / "a" / CHECKPOINT)[0].videos)
    held = {record.video for record in labelled(small_store)} - set(pd.read_csv(out / "oof.csv")["filename"])
    score = train_fold(small_store, recipe, Fold(1, 2), tmp_path / "c", Runtime(allow_seen=True))
    assert score["seen_by_weights"] == len(held & seen) > 0


def test_a_fold_is_scored_with_the_groups_of_its_split(small_store, tmp_path):
    """Four real videos with one fake each and a broken one: nine videos in five groups."""
    crossval(small_store, SMALL, 2, tmp_path / "cv")
    frame = pd.read_csv(tmp_path / "cv" / "folds.csv")
    frame["fold"] = 1 - frame["fold"]
    frame.to_csv(tmp_path / "cv" / "folds.csv", index=False)
    score = train_fold(small_store, SMALL, Fold(0, 2), tmp_path / "run", grouping=Grouping(folds_of=tmp_path / "cv"))
    held = frame[frame["fold"] == 0]
    assert set(pd.read_csv(tmp_path / "run" / "oof.csv")["filename"]) == set(held["filename"])
    assert score["groups"] == held["group"].nunique() < len(held)


def test_lineage_is_read_from_the_models_themselves(small_store, first, tmp_path):
    """Replacing the weights file does not clear a finished run's lineage."""
    weights = Path(shutil.copy(first, tmp_path / "w.ckpt"))
    crossval(small_store, begun_from(weights), 2, tmp_path / "cv", Runtime(allow_seen=True))
    header, tensors = read_checkpoint(first)
    write_checkpoint(weights, header.replace(videos=()), tensors)
    assert crossval(small_store, begun_from(weights), 2, tmp_path / "cv").score["seen_by_weights"] == 4


def test_without_starting_weights_nothing_was_seen(tmp_path):
    frame = pd.DataFrame({"filename": ["a"], "source": ["a"], "group": ["a"]})
    check_unseen(frame, None)
    assert count_seen(frame, None, tmp_path / "any.ckpt") == 0
    assert lineage(None, ["b", "a"], ["a"]) == ("a", "b")
