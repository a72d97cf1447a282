import dataclasses
import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.faces.build import build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.scoring.folds import write_folds
from dfd.training import fit, groups
from dfd.training.crossval import Fold, crossval, train_all, train_fold
from dfd.training.datasets import labelled
from dfd.training.groups import Grouping, people, settled, split
from dfd.types import Video
from dfd.videos.decode import read_frames
from dfd.videos.workers import Limits
from tests.test_descriptor import write_dlib
from tests.test_embed import write_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "faces.pt")


@pytest.fixture
def twins(small_store, small_dataset, tmp_path):
    """The small dataset plus real0 under a second name: one person, even with random weights."""
    store = FaceStore.open(shutil.copytree(small_store.folder, tmp_path / "faces"))
    store.write(Video(small_dataset / "real0.mp4", "twin.mp4", 0))
    return store


def in_parts(store, parts):
    """The records renamed into parts of DFDC. parts: digit in the name to part."""
    records = []
    for record in labelled(store):
        if record.tracklets:
            place = f"dfdc_train_part_{parts[record.video[4]]}/"
            records.append(dataclasses.replace(record, video=place + record.video, source=place + record.source))
    return records


def folds_of(frame):
    return dict(zip(frame["filename"], frame["fold"], strict=True))


def named(store, people):
    """The records with people assigned by name."""
    return [dataclasses.replace(record, people=tuple(people.get(record.video, ()))) for record in labelled(store)]


def test_named_people_stay_in_one_part_unless_allowed_to_cross(small_store):
    """Donors count too: real3's person is in a fake of real0; real1 and real2 show the same person."""
    records = named(small_store, {"fake0.mp4": ["3"], "real3.mp4": ["3"], "real1.mp4": ["x"], "real2.mp4": ["x"]})
    for seed in range(5):
        fold = folds_of(split(records, 2, seed))
        assert fold["real0.mp4"] == fold["fake0.mp4"] == fold["real3.mp4"] == fold["fake3.mp4"]
        assert fold["real1.mp4"] == fold["real2.mp4"] == fold["fake2.mp4"]
    seeds = [folds_of(split(records, 2, seed, Grouping(groups="source"))) for seed in range(5)]
    assert any(fold["real1.mp4"] != fold["real2.mp4"] for fold in seeds)


def test_one_group_suggests_letting_people_cross(small_store):
    with pytest.raises(ConfigError, match=r"1 real group only.*--groups source people may cross"):
        split(named(small_store, {f"real{i}.mp4": ["one"] for i in range(4)}), 2, 0)


def test_parts_stay_whole(small_store):
    records = in_parts(small_store, {"0": 0, "1": 0, "2": 1, "3": 1})
    frame = split(records, 2, 0, Grouping(groups="part"))
    assert frame["group"].nunique() == 2
    parts = frame["filename"].str.split("/").str[0]
    assert (frame.groupby(parts)["fold"].nunique() == 1).all()
    assert split(records, 2, 0)["group"].nunique() == 4
    with pytest.raises(ConfigError, match="2 real groups only: at most 2 folds"):
        split(records, 3, 0, Grouping(groups="part"))


def test_grouping_by_missing_parts_is_refused(small_store):
    with pytest.raises(ConfigError, match="in no part of DFDC"):
        split(labelled(small_store), 2, 0, Grouping(groups="part"))


def test_a_person_stays_in_one_part_with_all_fakes(twins, weights):
    records = labelled(twins)
    by_source = split(records, 2, 0)
    assert by_source["group"].nunique() == 6
    grouping = Grouping(groups="identity", identity_weights=weights, identity_distance=1e-7)
    frame = split(records, 2, 0, grouping)
    group = dict(zip(frame["filename"], frame["group"], strict=True))
    assert group["twin.mp4"] == group["real0.mp4"] == group["fake0.mp4"]
    assert frame["group"].nunique() == 5


def test_one_person_throughout_cannot_be_split(twins, weights):
    """All real faces here come from the same photograph, so only a distance near 0 separates them."""
    grouping = Grouping(groups="identity", identity_weights=weights, identity_distance=1.0)
    with pytest.raises(ConfigError, match="1 real group only"):
        split(labelled(twins), 2, 0, grouping)


def test_people_are_found_in_real_videos_and_require_weights(twins, weights):
    links = people(labelled(twins), Grouping(identity_weights=weights, identity_distance=1e-7))
    assert {a for a, _ in links} == {"real0.mp4", "real1.mp4", "real2.mp4", "real3.mp4", "twin.mp4"}
    assert dict(links)["twin.mp4"] == "real0.mp4"
    with pytest.raises(ConfigError, match="take --identity-weights: `dfd weights identity --out weights/identity.pt`"):
        people(labelled(twins), Grouping(groups="identity"))


def test_the_default_distance_depends_on_the_network(twins, weights, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(groups, "person_links", lambda embeddings, names, distance: asked.append(distance) or [])
    for path, own in ((weights, 1.0), (write_dlib(tmp_path / "dlib.pt"), 0.5)):
        for given, taken in ((None, own), (0.3, 0.3)):
            people(labelled(twins), Grouping(identity_weights=path, identity_distance=given))
            assert asked.pop() == taken


@pytest.fixture
def stopped(small_store, small_recipe, tmp_path):
    """A run that has written its settings and folds, but nothing else."""
    run = tmp_path / "cv"
    crossval(small_store, small_recipe, 2, run)
    return run


class TestFoldsOfARun:
    def test_another_seed_keeps_the_folds(self, small_store, small_recipe, stopped, tmp_path):
        other = small_recipe.replace(train=small_recipe.train.replace(seed=1))
        wanted = folds_of(pd.read_csv(stopped / "folds.csv"))
        assert folds_of(split(labelled(small_store), 2, 1)) != wanted
        made = crossval(small_store, other, 2, tmp_path / "other", grouping=Grouping(folds_of=stopped))
        assert folds_of(made.folds) == wanted
        again = crossval(small_store, other, 2, tmp_path / "other")  # resumes with its folds
        assert folds_of(again.folds) == wanted

    def test_a_group_in_two_folds_stops_the_run(self, small_store, small_recipe, stopped, tmp_path):
        text = (stopped / "folds.csv").read_text()
        frame = pd.read_csv(stopped / "folds.csv")
        frame.loc[frame["filename"] == "fake0.mp4", "fold"] = 1 - folds_of(frame)["real0.mp4"]
        frame.to_csv(stopped / "folds.csv", index=False)
        for out, grouping in ((stopped, None), (tmp_path / "new", Grouping(folds_of=stopped))):
            with pytest.raises(ConfigError, match=r"folds\.csv: group 'fake0\.mp4' is in folds 0, 1"):
                crossval(small_store, small_recipe, 2, out, grouping=grouping)
        assert not (tmp_path / "new").exists()
        (stopped / "folds.csv").write_text(text)
        crossval(small_store, small_recipe, 2, stopped)

    def test_a_corrected_source_that_crosses_folds_is_found(self, small_store, stopped):
        frame = pd.read_csv(stopped / "folds.csv")
        side = folds_of(frame)
        a, b = next((a, b) for a in side for b in side if side[a] != side[b] and a.startswith("fake"))
        records = [dataclasses.replace(r, source=b) if r.video == a else r for r in labelled(small_store)]
        with pytest.raises(ConfigError, match="is in folds 0, 1: it must be in one"):
            settled(stopped, records)

    def test_other_videos_and_another_number_of_folds_are_refused(self, small_store, stopped):
        records = labelled(small_store)
        with pytest.raises(ConfigError, match=r"of other videos: 'broken\.mp4' is not in the dataset"):
            settled(stopped, records[1:])
        with pytest.raises(ConfigError, match="folds is 3, but .* has 2"):
            split(records, 3, 0, Grouping(folds_of=stopped))
        write_folds(stopped / "folds.csv", pd.read_csv(stopped / "folds.csv").iloc[1:])
        with pytest.raises(ConfigError, match=r"'broken\.mp4' is only in the dataset"):
            split(records, 2, 0, Grouping(folds_of=stopped))


def test_faces_are_embedded_once_per_run_and_set_of_videos(twins, small_recipe, weights, tmp_path, monkeypatch):
    counts = []
    found = groups.people
    monkeypatch.setattr(groups, "people", lambda records, *more: counts.append(len(records)) or found(records, *more))
    by_face = Grouping(groups="identity", identity_weights=weights, identity_distance=1e-7)
    run, records = tmp_path / "run", labelled(twins)
    scores = [train_fold(twins, small_recipe, Fold(0, 2), run, grouping=by_face) for _ in range(2)]
    assert scores[0] == scores[1]
    assert counts == [len(records)]
    frame = split(records, 2, 0, by_face, run=run)
    assert frame.equals(split(records, 2, 0, by_face))
    assert len(counts) == 2
    for other in (by_face.replace(identity_distance=1e-6), by_face):
        split(records, 2, 0, other, run=run)  # another distance, then the first one again
    split(records[:-1], 2, 0, by_face, run=run)
    assert len(counts) == 5


def test_people_are_not_written_to_a_folder_that_is_not_a_run(twins, small_recipe, weights, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    grouping = Grouping(groups="identity", identity_weights=weights)
    for train in (train_fold, lambda *given, **more: train_all(*given[:2], tmp_path, **more)):
        with pytest.raises(ConfigError, match="is not empty and not a run"):
            train(twins, small_recipe, Fold(0, 2), tmp_path, grouping=grouping)
    assert [path.name for path in tmp_path.iterdir() if path.name != "faces"] == ["mine.txt"]


def test_early_stopping_keeps_people_by_face_together(twins, small_recipe, weights, tmp_path, monkeypatch):
    """real0 and its twin are one person: both are held out or both are trained on."""
    asked = []
    monkeypatch.setattr(fit, "judges", lambda rows, config: asked.append({name: of for name, _, of in rows}) or set())
    patient = small_recipe.replace(train=small_recipe.train.replace(patience=1, epochs=1))
    grouping = Grouping(groups="identity", identity_weights=weights, identity_distance=1e-7)
    for place, given in enumerate((grouping, None)):
        train_all(twins, patient, tmp_path / f"all-{place}", grouping=given)
        assert (asked[-1]["twin.mp4"] == asked[-1]["real0.mp4"]) == (given is grouping)
    frame = split(labelled(twins), 2, 0, grouping)
    away = 1 - folds_of(frame)["twin.mp4"]
    train_fold(twins, patient, Fold(away, 2), tmp_path / "fold", grouping=grouping)
    assert asked[-1]["twin.mp4"] == asked[-1]["real0.mp4"]


def test_a_dataset_in_several_layouts_has_sets(small_store):
    names = {"real0.mp4": "Celeb-real/id0_0000.mp4", "real1.mp4": "dfdc_train_part_0/a.mp4"}
    records = [
        dataclasses.replace(r, video=names.get(r.video, r.video), source=names.get(r.source, r.source))
        for r in labelled(small_store)
    ]
    sets = dict(split(records, 2, 0)[["filename", "set"]].to_numpy().tolist())
    assert (sets["Celeb-real/id0_0000.mp4"], sets["dfdc_train_part_0/a.mp4"]) == ("Celeb-DF", "DFDC")
    assert sets["real2.mp4"] == "others"
    assert "set" not in split(labelled(small_store), 2, 0)


def test_the_grouping_is_recorded_and_changing_it_is_a_new_run(twins, small_recipe, weights, tmp_path):
    grouping = Grouping(groups="identity", identity_weights=weights, identity_distance=1e-7)
    made = crossval(twins, small_recipe, 2, tmp_path / "cv", grouping=grouping)
    config = json.loads((tmp_path / "cv" / "config.json").read_text())
    assert (config["groups"], config["identity_distance"]) == ("identity", 1e-7)
    assert made.score["groups"] == 5
    with pytest.raises(ConfigError, match="groups: 'identity', now None"):
        crossval(twins, small_recipe, 2, tmp_path / "cv")


def test_pictures_of_one_person_by_face_stay_in_one_part(small_dataset, tmp_path):
    """Three pictures show one face; the others and the fakes show none."""
    (face,) = read_frames(small_dataset / "real0.mp4", [0]).images
    videos = []
    for n in range(4):
        for kind in "rf":
            image = face if kind == "r" and n < 3 else np.full_like(face, 40 * n + 40)
            cv2.imwrite(str(tmp_path / f"{kind}{n}.jpg"), image[:, :, ::-1])
            videos.append(Video(tmp_path / f"{kind}{n}.jpg", f"{kind}{n}.jpg", int(kind == "f"), f"r{n}.jpg"))
    store = FaceStore.create(tmp_path / "faces", FacesConfig(size=64, detect_side=320))
    build_store(videos, store, Limits(workers=1))
    grouping = Grouping(groups="identity", identity_weights=write_dlib(tmp_path / "dlib.pt"))
    frame = split(labelled(store), 2, 0, grouping)
    fold = folds_of(frame)
    assert fold["r0.jpg"] == fold["r1.jpg"] == fold["r2.jpg"] == fold["f2.jpg"] != fold["r3.jpg"]
    assert frame["group"].nunique() == 2
