import json
import re
import time
from dataclasses import replace

import cv2
import pandas as pd
import pytest
import torch

from dfd.clips.augment import NOTHING
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError, OutOfTimeError
from dfd.faces.tracklets import FacesConfig
from dfd.files import partial_path
from dfd.models import ModelConfig
from dfd.models.checkpoint import build_model, load_model, read_checkpoint
from dfd.training.clock import Runtime
from dfd.training.config import TrainConfig
from dfd.training.fit import CHECKPOINT, check_free, train
from dfd.training.loop import seeded_model
from dfd.training.recipes import Recipe
from dfd.types import Video
from tests.conftest import moving_face, store_of

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(small_store):
    return small_store.records()


def weights(path):
    return read_checkpoint(path)[1]


def test_a_run_folder_has_its_settings_curve_and_checkpoint(videos, small_store, small_recipe, tmp_path):
    progress = []
    path = train(
        videos, small_store, small_recipe, tmp_path / "run", Runtime(lambda *args: progress.append(args), what="here")
    )
    assert path == tmp_path / "run" / CHECKPOINT
    assert (tmp_path / "run" / "config.json").is_file()
    curve = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert curve["epoch"].tolist() == [0, 1]
    assert curve["loss"].between(0.01, 5).all()
    assert progress[-1][0] == progress[-1][1]
    assert re.fullmatch(r"here, epoch 2, loss \d\.\d{3}, \d+ clips/s", progress[-1][2])
    model, header = load_model(path)
    assert header.clip == small_recipe.clip
    assert header.faces == small_store.config
    assert header.prior == 0.5
    assert set(header.videos) == {v.video for v in videos if v.tracklets}  # the broken one is left out
    assert not model.training


def test_equal_settings_train_equal_weights(videos, small_store, small_recipe, tmp_path):
    a, b = (weights(train(videos, small_store, small_recipe, tmp_path / name)) for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = small_recipe.replace(train=small_recipe.train.replace(seed=1))
    c = weights(train(videos, small_store, other, tmp_path / "c"))
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_the_mesh_is_part_of_a_runs_settings(videos, small_store, small_recipe, mesh, tmp_path):
    learn = small_recipe.train.replace(self_blend=1.0, epochs=1)
    reals = [video for video in videos if video.label == 0]
    ovals, hulls = (small_recipe.replace(train=learn, blend={"mesh": path}) for path in (None, mesh))
    train(reals, small_store, hulls, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]["blend"]["mesh"] == str(mesh)
    with pytest.raises(ConfigError, match=r"recipe.blend.mesh: '.*mesh.tflite', now None"):
        train(reals, small_store, ovals, tmp_path / "run")


def test_meshes_are_kept_until_the_run_has_ended(mesh, small_recipe, tmp_path):
    """A stopped run resumes with its meshes, and ends with the weights of one that computed each."""
    cv2.imwrite(str(tmp_path / "face.png"), moving_face(1)[0])
    store = store_of([Video(tmp_path / "face.png", "face.png", 0)], tmp_path / "faces", FacesConfig(detect_side=320))
    recipe = small_recipe.replace(
        clip=small_recipe.clip.replace(length=1),
        train=small_recipe.train.replace(self_blend=1.0, slices=4),
        blend={"mesh": mesh},
    )
    with pytest.raises(OutOfTimeError):
        train(store.records(), store, recipe, tmp_path / "run", Runtime(until=time.monotonic()))
    (kept,) = (tmp_path / "run").glob("meshes-*")
    kept.write_bytes(b"damaged")
    path = train(store.records(), store, recipe, tmp_path / "run")
    assert not kept.exists()
    whole = weights(train(store.records(), store, recipe, tmp_path / "whole"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in weights(path).items())


def test_a_finished_run_is_kept_and_a_different_one_refused(videos, small_store, small_recipe, tmp_path):
    path = train(videos, small_store, small_recipe, tmp_path / "run")
    before = path.stat().st_mtime_ns
    train(videos, small_store, small_recipe, tmp_path / "run")
    assert path.stat().st_mtime_ns == before
    other = small_recipe.replace(train=small_recipe.train.replace(lr=0.5))
    with pytest.raises(ConfigError, match=r"other settings or data \(recipe.train.lr: 0.003, now 0.5\)"):
        train(videos, small_store, other, tmp_path / "run")
    with pytest.raises(ConfigError, match="videos.real0.mp4"):
        train([v for v in videos if v.video != "real0.mp4"], small_store, small_recipe, tmp_path / "run")


def test_changed_sources_or_crops_are_a_different_run(videos, small_store, small_recipe, tmp_path):
    small_recipe = small_recipe.replace(train=small_recipe.train.replace(epochs=1))
    train(videos, small_store, small_recipe, tmp_path / "run")
    train(videos[::-1], small_store, small_recipe, tmp_path / "run")
    *others, last = videos
    films = tuple(replace(t, film=t.film.with_name("real3.mp4.0123456789abcdef.mjpeg")) for t in last.tracklets)
    for other in (replace(last, source="real0.mp4"), replace(last, tracklets=films)):
        with pytest.raises(ConfigError, match=r"other settings or data \(content: '\w{16}', now '\w{16}'\)"):
            train([*others, other], small_store, small_recipe, tmp_path / "run")


HARD = {"self_blend": 0.5, "mixup": 0.5, "cutmix": 0.2, "ema": 0.9, "optimizer": "nd-adam", "accumulate": 2}


@pytest.mark.parametrize("settings", [{}, HARD, {"balance": "slices"}, {"optimizer": "nadam", "ema": 0.99}])
def test_a_stopped_run_resumes_to_the_same_weights(videos, small_store, small_recipe, tmp_path, settings):
    small_recipe = small_recipe.replace(train=small_recipe.train.replace(**settings))
    whole = weights(train(videos, small_store, small_recipe, tmp_path / "whole"))

    class Stopped(Exception):
        pass

    def stop(done, total, _):
        if done == total // 2 + 1:  # in the second epoch, after the first one's checkpoint
            raise Stopped

    with pytest.raises(Stopped):
        train(videos, small_store, small_recipe, tmp_path / "stopped", runtime=Runtime(stop))
    progress = []
    path = train(
        videos, small_store, small_recipe, tmp_path / "stopped", runtime=Runtime(lambda *args: progress.append(args))
    )
    assert progress[0][0] >= progress[-1][1] // 2  # it resumed with the second epoch
    resumed = weights(path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_number_of_loading_processes_does_not_change_weights(videos, small_store, small_recipe, tmp_path):
    small_recipe = small_recipe.replace(train=small_recipe.train.replace(self_blend=0.5, epochs=1))
    here = weights(train(videos, small_store, small_recipe, tmp_path / "here"))
    two = small_recipe.replace(train=small_recipe.train.replace(loaders=2))
    there = weights(train(videos, small_store, two, tmp_path / "there"))
    assert all(torch.equal(here[name], there[name]) for name in here)


def test_the_checkpoint_holds_ema_and_raw_weights(videos, small_store, small_recipe, tmp_path):
    plain = train(videos, small_store, small_recipe, tmp_path / "plain")
    averaged = small_recipe.replace(train=small_recipe.train.replace(ema=0.99))
    path = train(videos, small_store, averaged, tmp_path / "averaged")
    saved = torch.load(path, weights_only=True)
    last = weights(plain)
    assert all(torch.equal(saved["learning"][f"model.{name}"], last[name]) for name in last)
    model, _ = load_model(path)
    mean = model.state_dict()
    assert any(not torch.equal(mean[name], last[name]) for name in last)
    # After four steps the EMA lies between initial and final weights, nearer to the final ones.
    start = seeded_model(small_recipe).state_dict()
    name = max((n for n in last if last[n].is_floating_point()), key=lambda n: (last[n] - start[n]).norm())
    assert 0 < (mean[name] - last[name]).norm() < (last[name] - start[name]).norm()


def test_real_videos_suffice_with_self_blended_fakes(videos, small_store, small_recipe, tmp_path):
    alone = small_recipe.replace(train=small_recipe.train.replace(self_blend=1, epochs=1))
    path = train([v for v in videos if v.label == 0], small_store, alone, tmp_path / "run")
    assert load_model(path)[1].prior == 0.5


def test_options_that_need_pairs_are_refused_without_them(videos, small_store, small_recipe, tmp_path):
    for name in ("self_blend", "mixup", "cutmix"):
        lonely = small_recipe.replace(train=small_recipe.train.replace(balance="slices", **{name: 0.5}))
        with pytest.raises(ConfigError, match="set balance to pairs"):
            train(videos, small_store, lonely, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_slices_store_their_resulting_prior(videos, small_store, small_recipe, tmp_path):
    sliced = small_recipe.replace(train=small_recipe.train.replace(balance="slices", epochs=1, slices=1))
    few = [v for v in videos if v.video not in ("real0.mp4", "real1.mp4", "real2.mp4", "fake3.mp4")]
    assert load_model(train(few, small_store, sliced, tmp_path / "run"))[1].prior == 0.5  # 3 of 3 and 1 of 1


def test_a_step_covers_accumulate_batches(videos, small_store, small_recipe, tmp_path):
    progress = []
    two = small_recipe.replace(train=small_recipe.train.replace(accumulate=2, epochs=1, slices=2, batch=4))
    train(videos, small_store, two, tmp_path / "run", runtime=Runtime(lambda *args: progress.append(args)))
    assert progress[-1][:2] == (4, 4)  # 4 real videos twice, 2 clips and 2 of a fake: 32, in 8 batches of 4


def test_a_network_learns_an_easy_task(videos, small_store, small_recipe, tmp_path):
    easy = small_recipe.replace(
        model=ModelConfig(name="factorized", size="tiny", drop_path=0, dropout=0),
        train=small_recipe.train.replace(epochs=10, lr=1e-2, smoothing=0),
        augment=NOTHING,
    )
    train(videos, small_store, easy, tmp_path / "run")
    losses = pd.read_csv(tmp_path / "run" / "metrics.csv")["loss"]
    assert losses.iloc[-1] < 0.3


@pytest.mark.parametrize("name", ["lstm", "inflated"])
def test_sequence_and_video_networks_start_from_a_frame_network(videos, small_store, tmp_path, name):
    small = {"backbone": "test_efficientnet", "drop_path": 0.0, "dropout": 0}
    single = Recipe(
        model=ModelConfig(name="frame", **small),
        clip=ClipConfig(length=1, size=32),
        train=TrainConfig(epochs=1, per_load=1, batch=8),
        augment=NOTHING,
    )
    checkpoint = train(videos, small_store, single, tmp_path / "run")
    model, _ = load_model(checkpoint)
    config = ModelConfig(name=name, weights=checkpoint, hidden=8, **small)
    started = build_model(config, ClipConfig(length=3, size=32)).eval()
    picture = torch.randint(0, 256, (2, 3, 1, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():  # a still clip equals its single picture
        assert torch.allclose(started(picture.repeat(1, 1, 3, 1, 1)), model(picture), atol=1e-4)


def test_clips_wider_than_the_stored_crops_are_refused(videos, small_store, small_recipe, tmp_path):
    wide = small_recipe.replace(clip=small_recipe.clip.replace(margin=2.0))
    with pytest.raises(ConfigError, match=r"clip.margin is 2.0, wider than the stored crops' 1.6"):
        train(videos, small_store, wide, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_smaller_than_one_item_is_refused(videos, small_store, small_recipe, tmp_path):
    small = small_recipe.replace(train=small_recipe.train.replace(batch=3))
    with pytest.raises(ConfigError, match="batch is 3, less than the 4 clips that are loaded together.*per_load, 2"):
        train(videos, small_store, small, tmp_path / "run")


def test_a_single_class_is_refused_before_writing(videos, small_store, small_recipe, tmp_path):
    with pytest.raises(ConfigError, match="4 real and 0 fake"):
        train([v for v in videos if v.label == 0], small_store, small_recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_a_run_is_left_unchanged(videos, small_store, small_recipe, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty and not a run"):
        train(videos, small_store, small_recipe, tmp_path)


def test_a_folder_that_another_machine_makes_a_run_meanwhile_is_accepted(tmp_path):
    partial_path(tmp_path / "config.json").touch()  # what it writes first
    check_free(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty and not a run"):
        check_free(tmp_path)
