import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from dfd.cli import main
from dfd.clips.augment import NOTHING
from dfd.clips.sampling import ClipConfig
from dfd.clips.stills import read_stills
from dfd.errors import ConfigError
from dfd.models import ModelConfig
from dfd.models.checkpoint import build_model, load_model
from dfd.training.fit import CHECKPOINT
from dfd.training.module import TrainConfig
from dfd.training.pretrain import pretrain
from dfd.training.recipes import Recipe

BACKBONE = {"backbone": "efficientnet_lite0", "drop_path": 0.0}
RECIPE = Recipe(
    model=ModelConfig(name="frame", dropout=0, **BACKBONE),
    clip=ClipConfig(length=1, size=32, margin=1.0),
    train=TrainConfig(epochs=1, slices=1, per_load=1, batch=8),
    augment=NOTHING,
)


@pytest.fixture
def stills(tmp_path):
    """Ten people, real and fake: a fake is striped."""
    folder = tmp_path / "stills"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for person in range(10):
        real = np.full((32, 32, 3), rng.integers(40, 200, 3), np.uint8)
        fake = real.copy()
        fake[:, ::4] = 255 - fake[:, ::4]
        for name, image, label in ((f"r{person}.png", real, "REAL"), (f"f{person}.png", fake, "FAKE")):
            cv2.imwrite(str(folder / name), image)
            rows.append({"file": name, "label": label, "source": f"r{person}.mp4"})
    pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
    return read_stills(folder)


def test_a_network_learns_from_pictures_and_is_scored_on_other_people(stills, tmp_path):
    easy = RECIPE.replace(
        model=ModelConfig(name="factorized", size="tiny", drop_path=0, dropout=0),
        train=TrainConfig(epochs=20, slices=1, per_load=1, lr=1e-2),
    )
    score = pretrain(stills, easy, tmp_path / "run", fold=1, folds=5)
    assert score is not None
    assert score["videos"] == 4
    curve = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert curve["held_loss"].iloc[-1] == pytest.approx(score["balanced_log_loss"], abs=1e-4)
    assert curve["held_auc"].iloc[-1] == score["auc"]
    assert score["balanced_log_loss"] < 0.6
    scored = pd.read_csv(tmp_path / "run" / "oof.csv")["filename"].tolist()
    seen = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (seen["stills"], seen["fold"]) == (16, 1)
    header = load_model(tmp_path / "run" / CHECKPOINT)[1]
    assert not {name.replace("f", "r")[:2] for name in scored} & {source[:2] for source in header.videos}
    assert json.loads((tmp_path / "run" / "score.json").read_text())["auc"] == score["auc"]


def test_other_pictures_as_many_of_them_are_another_run(stills, tmp_path):
    """By their names, labels, sources and content: else the old model would be scored on what it has not held out."""
    run = tmp_path / "run"
    pretrain(stills, RECIPE, run, fold=1)
    pretrain(stills[::-1], RECIPE, run, fold=1)
    last = stills[-1]
    for other in (
        replace(last, label=1 - last.label),
        replace(last, source="r0.mp4"),
        replace(last, path=stills[0].path),
        replace(last, name="other.png"),
    ):
        with pytest.raises(ConfigError, match=r"other settings or data \(content: '\w{16}', now '\w{16}'\)"):
            pretrain([*stills[:-1], other], RECIPE, run, fold=1)


@pytest.mark.parametrize("name", ["lstm", "inflated"])
def test_sequence_and_video_networks_start_from_it(stills, tmp_path, name):
    assert pretrain(stills[:4], RECIPE, tmp_path / "run") is None
    checkpoint = tmp_path / "run" / CHECKPOINT
    model, header = load_model(checkpoint)
    assert (header.clip.length, header.clip.margin) == (1, 1.0)
    config = ModelConfig(name=name, weights=checkpoint, hidden=8, **BACKBONE)
    started = build_model(config, ClipConfig(length=3, size=32)).eval()
    picture = torch.randint(0, 256, (2, 3, 1, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():  # a clip that stands still: as the picture alone
        assert torch.allclose(started(picture.repeat(1, 1, 3, 1, 1)), model(picture), atol=1e-4)


def test_a_clip_of_more_than_one_frame_is_refused(stills, tmp_path):
    with pytest.raises(ConfigError, match="clip.length is 8: a picture is a clip of 1 frame"):
        pretrain(stills, RECIPE.replace(clip=ClipConfig(length=8)), tmp_path / "run")
    with pytest.raises(ConfigError, match="fold is 5: with 5 folds it is one of 0 to 4"):
        pretrain(stills, RECIPE, tmp_path / "run", fold=5)
    assert not (tmp_path / "run").exists()


def test_one_command_from_pictures_to_a_score(stills, tmp_path, capsys):
    folder, run = stills[0].path.parent, tmp_path / "run"
    small = ["--model.name", "journal_conv3d", "--model.freeze", "none", "--clip.size", "32"]
    arguments = ["--fold", "0", "--train.epochs", "1", "--train.precision", "32-true", "--augment.jpeg", "1"]
    with pytest.raises(SystemExit) as end:
        main(["pretrain", str(folder), "--out", str(run), *small, *arguments])
    assert not end.value.code
    told = capsys.readouterr().out
    assert "balanced log loss" in told
    assert f"--model.weights {run / CHECKPOINT} --clip.margin 1" in " ".join(told.split())
    training = load_model(run / CHECKPOINT)[1].training
    assert (training["augment"]["jpeg"], training["augment"]["zoom"]) == (1, 0.2)  # what was given, and the recipe's


def begun_from(run):
    return RECIPE.replace(model=RECIPE.model.replace(weights=run / CHECKPOINT))


def test_a_network_lists_its_pictures_and_their_sources_and_its_ancestors(stills, tmp_path):
    pretrain(stills[:4], RECIPE, tmp_path / "a")
    pretrain(stills[4:8], begun_from(tmp_path / "a"), tmp_path / "b")
    wanted = {name for number in range(4) for name in (f"r{number}.png", f"f{number}.png", f"r{number}.mp4")}
    assert set(load_model(tmp_path / "b" / CHECKPOINT)[1].videos) == wanted


def test_weights_that_have_seen_the_fold_are_refused_or_the_score_says_so(stills, tmp_path):
    pretrain(stills, RECIPE, tmp_path / "all")
    recipe, run = begun_from(tmp_path / "all"), tmp_path / "run"
    with pytest.raises(ConfigError, match=r"trained on 4 of the 4 videos to score.*: 'f\d\.png', '\w\d\.png'"):
        pretrain(stills, recipe, run, fold=0)
    assert not run.exists()
    score = pretrain(stills, recipe, run, fold=0, allow_seen=True)
    assert score["seen_by_weights"] == json.loads((run / "score.json").read_text())["seen_by_weights"] == 4
