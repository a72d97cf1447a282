import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from dfd.errors import ConfigError, StoreError
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.models.checkpoint import read_checkpoint
from dfd.scoring.metrics import balanced_log_loss
from dfd.scoring.submission import read_submission
from dfd.training import patience
from dfd.training.clock import Runtime
from dfd.training.crossval import Fold, crossval, train_fold
from dfd.training.datasets import Datasets, labelled, prediction_faces, read_mix, short_names
from dfd.training.fit import CHECKPOINT, train
from dfd.training.groups import Grouping, settled, split
from dfd.training.zero_shot import compare_with_start

pytestmark = pytest.mark.slow


@pytest.fixture
def both(small_store, other_store):
    return Datasets([small_store, other_store], mix=[1, 0.5])


@pytest.fixture(scope="module")
def made(small_store, other_store, small_recipe, tmp_path_factory):
    """Cross-validate over two datasets."""
    out = tmp_path_factory.mktemp("run") / "cv"
    return crossval(Datasets([small_store, other_store], mix=[1, 0.5]), small_recipe, 2, out)


class TestDatasets:
    def test_a_record_knows_its_dataset(self, both, small_store):
        assert {r.video: r.dataset for r in both.records() if r.video[-9:] == "real0.mp4"} == {
            "real0.mp4": "store", "b/real0.mp4": "other",
        }  # fmt: skip
        assert both.mix == {"store": 1, "other": 0.5}
        assert len(both.records()) == 9 + 6
        assert {record.dataset for record in Datasets.of(small_store).records()} == {""}

    def test_a_name_in_two_datasets_is_refused_naming_both(self, small_store, tmp_path):
        again = FaceStore.open(shutil.copytree(small_store.folder, tmp_path / "again"))
        with pytest.raises(ConfigError, match=r"'broken\.mp4' is in .*/store and in .*/again, and folds go by names"):
            Datasets([small_store, again]).records()

    def test_a_repeated_folder_and_a_wrong_number_of_shares_are_refused(self, small_store, other_store, tmp_path):
        folder = small_store.folder
        with pytest.raises(ConfigError, match="is named twice: name each dataset once"):
            Datasets.open([folder, folder / ".." / folder.name])
        for mix, count in (("1", 1), ("1,1,1", 3)):
            with pytest.raises(ConfigError, match=f"--mix gives {count} numbers? for 2 datasets: give"):
                Datasets.open([folder, other_store.folder], mix)
        with pytest.raises(StoreError, match="is no dataset"):
            Datasets.open([folder, tmp_path])

    @pytest.mark.parametrize("text", ["1,half", "0,1", "-1", "1,", "nan,1", "inf", "1 2"])
    def test_mix_shares_must_be_positive(self, text):
        with pytest.raises(ConfigError, match="give each dataset a number above 0 and up to 100, as in 1,0.5"):
            read_mix(text)

    def test_short_names_are_unique(self, tmp_path):
        assert short_names([tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "b" / "y"]) == ["a/x", "b/x", "b/y"]

    def test_datasets_without_labels_are_refused_naming_all_folders(self, small_store, tmp_path):
        stores = [FaceStore.create(tmp_path / name, small_store.config) for name in "ab"]
        with pytest.raises(ConfigError, match=r"/a, .*/b has no video with a label"):
            labelled(Datasets(stores))


class TestPredictionFaces:
    def of(self, *configs, cut=()):
        stores = [FaceStore(Path(str(number)), config) for number, config in enumerate(configs)]
        return prediction_faces([*stores, *(FaceStore(Path("cut"), config, cut=True) for config in cut)])

    def test_equal_settings_are_kept(self):
        config = FacesConfig(detect_side=320, margin=1.2, size=64)
        assert self.of(config) == self.of(config, config) == config

    def test_the_widest_margin_and_largest_size_are_taken_when_only_these_differ(self, both, small_store):
        assert both.config == small_store.config.replace(size=96, margin=1.6)

    def test_defaults_with_the_widest_margin_are_taken_when_more_differs(self):
        assert self.of(FacesConfig(detect_side=320, margin=2.0), FacesConfig(segment=3)) == FacesConfig(margin=2.0)

    def test_pre_cut_pictures_do_not_affect_detection_settings(self):
        cut = FacesConfig(margin=1.0, size=224)
        assert self.of(cut=[cut]) == FacesConfig()
        assert self.of(cut=[cut.replace(margin=2.5)]) == FacesConfig(margin=2.5)
        assert self.of(FacesConfig(size=64), cut=[cut]) == FacesConfig(size=64)


class TestCrossValidation:
    def test_each_dataset_has_its_own_score_besides_the_pooled_one(self, made):
        score = json.loads((made.out / "score.json").read_text())["score"]
        assert score["videos"] == 15
        assert {name: (s["videos"], s["fakes"]) for name, s in score["sets"].items()} == {
            "store": (9, 5), "other": (6, 3),
        }  # fmt: skip
        rows = read_submission(made.out / "oof.csv")
        of_b = {name: p for name, p in rows.items() if name.startswith("b/")}
        labels = [int("fake" in name) for name in of_b]
        assert score["sets"]["other"]["balanced_log_loss"] == pytest.approx(
            balanced_log_loss(labels, list(of_b.values())), abs=1e-12
        )
        assert pd.read_csv(made.out / "folds.csv")["set"].value_counts().to_dict() == {"store": 9, "other": 6}

    def test_the_shares_are_recorded_and_changing_them_is_a_new_run(self, made, both, small_recipe):
        config = json.loads((made.out / "config.json").read_text())
        assert config["mix"] == {"store": 1.0, "other": 0.5}
        assert read_checkpoint(made.out / "fold-0" / CHECKPOINT)[0].faces == both.config
        with pytest.raises(ConfigError, match=r"mix\.other: 0\.5, now 1"):
            crossval(Datasets(list(both.stores.values())), small_recipe, 2, made.out)

    def test_its_folds_are_reused_only_by_a_dataset_with_the_same_videos(self, made, both, small_store):
        assert "set" in settled(made.out, labelled(both))
        with pytest.raises(ConfigError, match="is of other videos: 'b/fake0.mp4' is not in the dataset"):
            settled(made.out, labelled(small_store))


def test_sources_and_people_group_videos_across_datasets(both):
    records = labelled(both)
    tied = [replace(r, source=r.source.removeprefix("b/")) if r.label == 1 else r for r in records]
    one = [replace(r, people=("Ada",)) if r.video in ("real1.mp4", "b/real2.mp4") else r for r in tied]
    for seed in range(4):
        frame = split(one, 2, seed, Grouping())
        fold = dict(zip(frame["filename"], frame["fold"], strict=True))
        assert fold["real0.mp4"] == fold["fake0.mp4"] == fold["b/fake0.mp4"]
        assert fold["real1.mp4"] == fold["b/real2.mp4"]
        assert dict(zip(frame["filename"], frame["set"], strict=True))["b/fake0.mp4"] == "other"


def test_a_margin_too_wide_for_one_dataset_is_refused_naming_it(both, small_recipe, tmp_path):
    wide = small_recipe.replace(clip=small_recipe.clip.replace(margin=1.5))
    with pytest.raises(ConfigError, match=r"clip.margin is 1.5, wider than the stored crops' 1.4 in other"):
        train(labelled(both), both, wide, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_equals_an_uninterrupted_one(both, small_recipe, tmp_path):
    recipe = small_recipe.replace(train=small_recipe.train.replace(epochs=3, self_blend=0.3))

    def run(out, progress=None):
        return train(labelled(both), both, recipe, tmp_path / out, runtime=Runtime(progress))

    def stop(done, total, _):
        if done == total // 2:
            raise KeyboardInterrupt

    whole = read_checkpoint(run("whole"))[1]
    with pytest.raises(KeyboardInterrupt):
        run("stopped", stop)
    resumed = read_checkpoint(run("stopped"))[1]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class TestRealVideosAlone:
    @pytest.fixture
    def recipe(self, small_recipe):
        return small_recipe.replace(train=small_recipe.train.replace(self_blend=1, epochs=1))

    @pytest.fixture
    def reals(self, real_store, recipe):
        return Datasets.open([real_store.folder], blend=recipe.blend)

    def test_a_fold_is_scored_on_its_real_videos_and_their_self_blends(self, reals, recipe, tmp_path):
        score = train_fold(reals, recipe, Fold(0, 2), tmp_path / "run")
        rows = read_submission(tmp_path / "run" / "oof.csv")
        held = [name for name in rows if not name.startswith("blend of ")]
        assert len(held) == 2
        assert set(rows) == {*held, *(f"blend of {name}" for name in held)}
        assert (score["videos"], score["fakes"], score["groups"]) == (4, 2, 2)
        saved = json.loads((tmp_path / "run" / "score.json").read_text())
        assert saved["note"].startswith("the fakes are self-blended: made of the real videos that are scored")
        curve = pd.read_csv(tmp_path / "run" / "metrics.csv")  # the evaluation fakes are the same
        assert curve["held_loss"].iloc[-1] == pytest.approx(score["balanced_log_loss"], abs=1e-4)
        assert math.isfinite(curve["held_auc"].iloc[-1])

    def test_self_blends_are_neither_trained_on_nor_in_the_lineage(self, reals, recipe, tmp_path):
        train_fold(reals, recipe, Fold(0, 2), tmp_path / "run")
        held = set(read_submission(tmp_path / "run" / "oof.csv"))
        seen = {f"c/real{n}.mp4" for n in range(4)} - held
        assert set(read_checkpoint(tmp_path / "run" / CHECKPOINT)[0].videos) == seen
        assert set(json.loads((tmp_path / "run" / "config.json").read_text())["videos"]) == seen

    def test_early_stopping_uses_self_blends(self, reals, recipe, tmp_path, monkeypatch):
        monkeypatch.setattr(patience, "INNER", 2)
        patient = recipe.replace(train=recipe.train.replace(patience=1))
        train(labelled(reals), reals, patient, tmp_path / "run")
        assert pd.read_csv(tmp_path / "run" / "metrics.csv")["inner_loss"].notna().all()

    def test_every_fold_and_its_starting_weights_are_scored_on_self_blends(self, reals, recipe, tmp_path):
        made = crossval(reals, recipe, 2, tmp_path / "cv")
        assert (made.score["videos"], made.score["fakes"]) == (8, 4)
        assert "self-blended" in made.score["note"]
        weights = tmp_path / "cv" / "fold-0" / CHECKPOINT
        found = compare_with_start(reals, weights, tmp_path / "cv")
        assert (found["videos"], found["missing"], "self-blended" in found["note"]) == (8, 0, True)

    def test_self_blends_are_made_only_without_other_fakes(self, small_store, real_store, recipe):
        both = Datasets([small_store, real_store], blend=recipe.blend)
        names = [record.video for record in both.records()]
        assert not any(name.startswith("blend of ") for name in names)
        assert len(Datasets.open([real_store.folder]).records()) == 4
