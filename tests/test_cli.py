import importlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from dfd.cli import COMMANDS, main
from dfd.faces.mesh import SHA256
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.files import sha256
from dfd.inference.bundle import write_bundle
from dfd.models.checkpoint import read_checkpoint
from dfd.training.recipes import RECIPES
from tests.test_bundle import checkpoint

pytestmark = pytest.mark.slow

RECIPE = [
    "--recipe",
    "tiny",
    "--model.name",
    "journal_conv3d",
    "--model.freeze",
    "none",
    "--clip.length",
    "6",
    "--clip.size",
    "48",
    "--train.epochs",
    "1",
]


def dfd(capsys, *arguments):
    """Run one command; return its exit status, standard output and standard error."""
    try:
        main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, *capsys.readouterr()


@pytest.mark.parametrize("path", COMMANDS)
def test_the_command_list_quotes_the_docstrings(path):
    module, name = path.split(":")
    function = getattr(importlib.import_module(f"dfd.cli.{module}"), name)
    assert (function.__doc__ or "").splitlines()[0] == COMMANDS[path]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_shows_its_whole_docstring(capsys, path):
    module, name = path.split(":")
    doc = getattr(importlib.import_module(f"dfd.cli.{module}"), name).__doc__
    shown = " ".join(dfd(capsys, name, "--help")[1].split())
    for paragraph in doc.partition("Args:")[0].replace("`", "").split("\n\n"):
        assert " ".join(paragraph.split()) in shown


def test_help_lists_every_setting_and_recipe(capsys):
    status, out, _ = dfd(capsys, "crossval", "--help")
    assert status == 0
    for text in ("--train.lr", "--clip.margin", "--model.weights", "in widths of", *RECIPES):
        assert text in out


def test_printed_settings_can_be_read_back(capsys, tmp_path):
    """Printing reads no dataset and writes no run folder."""
    options = ("--recipe", "blend", "--train.lr", "3e-5", "--model.weights", "a b.pt", "--blend.ratios", "0.5")
    command, file = ("train", tmp_path / "none", "--out", tmp_path / "run"), tmp_path / "mine.yaml"
    status, text, _ = dfd(capsys, *command, *options, "--print-config")
    assert status == 0
    assert "\n  lr: 3e-05  # peak learning rate" in text
    assert '\n  weights: "a b.pt"  # ' in text
    file.write_text(text)
    assert dfd(capsys, *command, "--config", file, "--print-config") == (0, text, "")
    status, text, _ = dfd(capsys, *command, "--config", file, "--train.lr", "1", "--print-config")
    assert (status, "\n  lr: 1.0  #" in text, '\n  weights: "a b.pt"' in text) == (0, True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_recipe_is_printed_in_full_or_in_one_line(capsys):
    status, text, _ = dfd(capsys, "recipes")
    assert (status, [line.split()[0] for line in text.splitlines()[1:-1]]) == (0, list(RECIPES))
    status, text, _ = dfd(capsys, "recipes", "tiny")
    assert (status, "\n  lr: 0.003  # peak" in text, "\n  batch: 8  # clips" in text) == (0, True, True)


def test_a_contact_sheet_shows_the_training_samples(capsys, small_store, mesh, tmp_path):
    out = tmp_path / "sheet.jpg"
    status, text, _ = dfd(capsys, "sheet", small_store.folder, "--out", out, "--count", 2, "--blend.mesh", mesh)
    assert status == 0
    assert f"2 pairs are in {out}" in text
    assert out.stat().st_size > 10_000
    assert OVALS not in text
    assert OVALS in dfd(capsys, "sheet", small_store.folder, "--out", out, "--count", 1)[1]


RANDOM = "Without --model.weights the network starts from random weights: "
OVALS = "Without --blend.mesh the masks of self-blended fakes are ovals: `dfd weights mesh --out FILE` writes"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--recipe blend", [f"{RANDOM}`dfd weights imagenet-lite0 --out FILE` writes ImageNet's.", OVALS]),
        ("--recipe stills", [f"{RANDOM}`dfd weights imagenet-lite0 --out FILE`"]),
        ("--recipe dfdc-gpu", [f"{RANDOM}`dfd weights imagenet-lite2 --out FILE`"]),
        ("--recipe dfdc --model.backbone timm/resnet18.a1_in1k", [f"{RANDOM}give a state dict of resnet18."]),
        ("--recipe gpu --model.name r3d_18", [f"{RANDOM}give a state dict of r3d_18.", OVALS]),
        ("--recipe tiny --model.name factorized --model.freeze none", []),
        ("--recipe blend --model.weights none.pt --blend.mesh {mesh}", []),
    ],
)
def test_a_training_says_which_files_it_does_without(capsys, small_store, mesh, tmp_path, options, said):
    """Too wide a margin stops each command before it trains."""
    given = [*options.format(mesh=mesh).split(), "--folds", "2", "--clip.margin", "3", "--out", tmp_path / "run"]
    for command in ("train", "crossval"):
        status, text, error = dfd(capsys, command, small_store.folder, *given)
        assert (status, error.count("\n")) == (1, 1)
        assert [line[: len(start)] for line, start in zip(text.splitlines(), said, strict=True)] == said


def test_mesh_weights_are_written(capsys, tmp_path):
    status, text, _ = dfd(capsys, "weights", "mesh", "--out", tmp_path / "new" / "mesh.tflite")
    assert (status, "--recipe blend --blend.mesh" in text) == (0, True)
    assert sha256(tmp_path / "new" / "mesh.tflite") == SHA256


def test_a_command_starts_without_packages_that_it_does_not_need():
    code = """
import importlib, sys
for commands, packages in (
    (("inference",), {"torch", "scipy", "sklearn"}),
    (("scoring", "faces", "report"), {"torch"}),
    (("models", "recipes", "sample", "audit"), {"pytorch_lightning", "torch._dynamo"}),
):
    for name in commands:
        importlib.import_module(f"dfd.cli.{name}")
        assert not packages & {*sys.modules}, (name, packages & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def labels_on_record(folder):
    return {record.video: (record.label, record.source) for record in FaceStore.open(folder).records()}


def test_from_videos_to_a_scored_submission(capsys, small_dataset, tmp_path):
    faces, run, bundle, out = (tmp_path / name for name in ("faces", "run", "bundle", "submission.csv"))
    names = sorted(path.name for path in small_dataset.glob("*.mp4"))
    sample = tmp_path / "sample_submission.csv"
    pd.DataFrame({"filename": [*names, "gone.mp4"], "label": 0.5}).to_csv(sample, index=False)

    status, text, _ = dfd(capsys, "faces", small_dataset, "--out", faces, "--size", 64, "--detect-side", 320)
    assert status == 0
    assert text.startswith(
        f"{small_dataset}: DFDC's form: 4 real, 4 fake, 4 groups of one source.\nLabels are from meta"
    )
    assert "8 videos, 8 tracklets, 160 crops in" in text
    status, text, _ = dfd(capsys, "audit", faces, "--folds", 2, "--threshold", 1.0)
    assert (status, "Nothing crosses folds." in text) == (0, True)
    status, text, _ = dfd(capsys, "crossval", faces, "--folds", 2, "--out", run, *RECIPE)
    assert status == 0
    assert "balanced log loss" in text
    page = tmp_path / "page.html"
    status, text, _ = dfd(capsys, "report", run, "--out", page)
    assert status == 0
    assert text == f"Wrote {page}, {page.stat().st_size / 1000:,.0f} kB: open it in a browser.\n"
    shown = re.findall(r'alt="Face in (.*?)"', page.read_text())
    assert sorted(shown) == names  # the run records where its faces are
    assert dfd(capsys, "report", faces, "--out", page)[0] == 0
    assert "8 videos: 4 real, 4 fake; 0 show no face." in page.read_text()
    assert dfd(capsys, "bundle", run, "--out", bundle, "--half")[0] == 0
    tests = ("--run", run, "--score", f"mini={run / 'score.json'}", f"again={run / 'score.json'}")
    assert dfd(capsys, "card", bundle, *tests)[0] == 0
    page = (bundle / "CARD.md").read_text()
    assert all(
        text in page for text in ("# bundle", "| run | journal_conv3d | 8 videos, 4 fake |", "| mini |", "| again |")
    )
    report = tmp_path / "report.json"
    arguments = ("--bundle", bundle, "--sample", sample, "--out", out, "--report", report, "--faces", faces)
    before = labels_on_record(faces)
    assert before["fake2.mp4"] == (1, "real2.mp4")
    status, text, stderr = dfd(capsys, "predict", small_dataset, *arguments)
    assert status == 0
    assert f"{small_dataset}: what sample_submission.csv asks for: 9 videos, 1 of them not there.\n" in stderr
    assert "gone.mp4" in text
    assert text.startswith("9 videos: 9 cannot say. A score is evidence, never proof.\n")
    assert "\nNo verdict on scored videos: seen in training (8).\n" in text
    assert f"Wrote {out}: 9 rows in" in text
    assert json.loads(report.read_text())["statuses"] == {"ok": 8, "missing": 1}
    assert labels_on_record(faces) == {**before, "gone.mp4": (None, "gone.mp4")}  # a sample has no labels
    assert dfd(capsys, "validate", out, "--sample", sample)[0] == 0
    status, text, _ = dfd(capsys, "score", out, "--labels", small_dataset / "metadata.json", "--json")
    rows = pd.read_csv(out).iloc[:-1]
    labels = rows["filename"].str.startswith("fake").astype(int)
    assert json.loads(text)["log_loss"] == pytest.approx(log_loss(labels, rows["label"]), abs=1e-9)
    assert json.loads(text)["videos"] == 8


def test_videos_missing_from_metadata_are_reported_or_included(capsys, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.WMV"):
        (folder / name).write_bytes(b"no video")
    (folder / "metadata.json").write_text('{"A.mp4": {"label": "fake"}}')
    arguments = ("faces", folder, "--out", tmp_path / "faces", "--workers", 1)
    status, text, _ = dfd(capsys, *arguments)
    assert (status, "\n1 videos, 0 tracklets" in text) == (0, True)
    assert "1 video is not in metadata.json and is left out; --unlisted includes it.\n" in text
    status, text, _ = dfd(capsys, *arguments, "--unlisted")
    assert (status, "\n2 videos, 0 tracklets" in text, "left out" in text) == (0, True, False)
    assert text.splitlines()[-1].startswith(f"No face was found: {tmp_path / 'faces' / 'videos.csv'} has")


def test_training_is_proposed_only_where_a_video_has_a_label(capsys, face_video, tmp_path):
    limits = ("--workers", 1, "--size", 64, "--detect-side", 320)
    status, text, _ = dfd(capsys, "faces", face_video, "--out", tmp_path / "faces", *limits)
    assert (status, " 0 tracklets" in text) == (0, False)
    assert text.splitlines()[-1].startswith("None has a label, which a training needs")


@pytest.mark.parametrize("command", ["faces", "predict"])
def test_help_lists_each_layout_with_its_telltale_names(capsys, command):
    _, text, _ = dfd(capsys, command, "--help")
    names = ("metadata.json", "dataset.json", "index.csv", "original_sequences/", "Deepfakes/", "Celeb-synthesis/")
    assert [name for name in (*names, "List_of_testing_videos.txt", "real/", "labels.csv") if name not in text] == []


@pytest.fixture
def shipped(small_store, tmp_path, monkeypatch):
    """A small bundle in place of the shipped one."""
    monkeypatch.setattr("dfd.inference.info.SHIPPED", tmp_path / "shipped")
    write_bundle(tmp_path / "shipped", [checkpoint(tmp_path / "m.ckpt", 5, small_store.config)])
    return tmp_path / "shipped"


def test_a_single_video_needs_no_option_and_leaves_no_file(capsys, shipped, small_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status, text, _ = dfd(capsys, "predict", small_dataset / "real0.mp4")
    assert status == 0
    assert re.fullmatch(
        r"real0.mp4: 0\.\d\d, [a-z ]+ \(1 face, 1 segment scored\)\. A score is evidence, never proof\.\n", text
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_detector_without_information_says_so(capsys, shipped, small_dataset):
    made = json.loads((shipped / "bundle.json").read_text())
    made["rule"]["calibration"]["scale"] = 0.0
    (shipped / "bundle.json").write_text(json.dumps(made))
    status, text, error = dfd(capsys, "predict", small_dataset / "real0.mp4")
    assert (status, text.startswith("real0.mp4: 0.50")) == (0, True)
    assert f"{shipped} gives every video the same probability: its networks were no better than chance.\n" in error


def test_a_submission_of_only_one_half_is_a_failure(capsys, tmp_path):
    write_bundle(tmp_path / "bundle", [checkpoint(tmp_path / "m.ckpt", 5)])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "table.mp4").write_text("filename,label\na.mp4,0.5\n")
    (tmp_path / "sample.csv").write_text("filename,label\ntable.mp4,0.5\ngone.mp4,0.5\n")
    out = tmp_path / "new" / "s.csv"
    arguments = ("--bundle", tmp_path / "bundle", "--sample", tmp_path / "sample.csv", "--out", out)
    status, text, error = dfd(capsys, "predict", tmp_path / "in", *arguments, "--workers", 1)
    assert status == 1
    assert error.splitlines()[-1].startswith("dfd: no video of 2 could be scored: ")
    assert "no such file" in error.splitlines()[-1]
    rows = out.read_text()
    assert rows == "filename,label\ntable.mp4,0.5\ngone.mp4,0.5\n"  # complete, and Kaggle would accept it
    assert "Next:" not in text


@pytest.mark.parametrize("name", ["index.csv", "metadata.json", "LABELS.CSV"])
def test_a_table_is_not_a_video(capsys, tmp_path, name):
    (tmp_path / name).write_text("file,label,source\na.mp4,REAL,\n")
    status, _, error = dfd(capsys, "predict", tmp_path / name, "--out", tmp_path / "s.csv")
    assert (status, error.count("\n")) == (1, 1)
    assert f"{name} is a table, not a video: give a video, or the folder that holds the videos" in error
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_single_fold_is_scored_on_its_held_out_videos(capsys, small_store, tmp_path):
    run, fold = tmp_path / "run", ("--fold", 1, "--folds", 2)
    track = ("--track", f"sqlite:///{tmp_path / 'mlflow.db'}")  # takes ten seconds: in no other test here
    assert dfd(capsys, "train", small_store.folder, *fold, "--out", run, *RECIPE, *track)[0] == 0
    held = set(pd.read_csv(run / "oof.csv")["filename"])
    assert 0 < len(held) < 9
    assert not held & set(json.loads((run / "config.json").read_text())["videos"])
    assert (tmp_path / "mlflow.db").is_file()
    assert dfd(capsys, "bundle", run, "--out", tmp_path / "bundle")[0] == 0


def test_weights_that_saw_the_videos_are_refused_or_flagged_on_every_line(capsys, small_store, tmp_path):
    backbone = "--model.name frame --model.backbone test_efficientnet --model.freeze none"  # timm's smallest network
    clips = "--clip.length 1 --clip.size 32 --clip.clips 1 --clip.margin 1.3"
    small = f"--recipe tiny {backbone} {clips} --train.epochs 1".split()
    first, run = tmp_path / "first", tmp_path / "run"
    assert dfd(capsys, "train", small_store.folder, "--out", first, *small)[0] == 0
    small += ["--folds", "2", "--model.weights", first / "checkpoints" / "last.ckpt", "--out", run]
    for command in (["crossval"], ["train", "--fold", "1"]):
        status, _, error = dfd(capsys, *command, small_store.folder, *small)
        assert (status, "to score, or on their sources or group: 'fake" in error, run.exists()) == (1, True, False)
    status, text, _ = dfd(capsys, "crossval", small_store.folder, "--allow-seen", "--distort", *small)
    assert status == 0
    assert "9 videos, of which the starting weights had seen 8, or their sources or group" in text
    assert "Warning: the starting weights had seen 8 of these 9" in text
    assert "the videos that they have seen, distorted" in text
    assert "not seen" not in text
    assert {found["seen_by_weights"] for found in json.loads((run / "distort.json").read_text()).values()} == {8}
    assert "What training changed" in text
    assert "Training made it WORSE by" in text or "off the balanced log loss" in text
    small[-1] = tmp_path / "zero"
    status, text, _ = dfd(capsys, "crossval", small_store.folder, "--zero-shot", "--allow-seen", *small)
    assert (status, "as it is, without training" in text, "--folds-of" in text.splitlines()[-1]) == (0, True, True)
    small[-1] = tmp_path / "fold"
    _, text, _ = dfd(capsys, "train", small_store.folder, "--fold", 1, "--allow-seen", "--folds-of", run, *small)
    score = json.loads((tmp_path / "fold" / "score.json").read_text())
    assert f"had seen {score['seen_by_weights']} of these {score['videos']}" in text
    assert f"resampling {score['groups']} groups" in text
    assert score["groups"] < score["videos"]


def test_two_datasets_are_trained_jointly_and_scored_separately(capsys, small_store, other_store, tmp_path):
    both, run = (small_store.folder, other_store.folder), tmp_path / "run"
    status, text, error = dfd(capsys, "audit", *both, "--folds", 2, "--threshold", 0.99)
    assert (status, "pairs of near-duplicate faces cross folds" in error) == (1, True)  # one video under two names
    assert "b/real0.mp4" in text
    arguments = (*both, "--mix", "1,0.5", "--folds", 2, *RECIPE)
    status, text, _ = dfd(capsys, "crossval", *arguments, "--out", run)
    assert status == 0
    lines = text[text.index("Each dataset alone") :].splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [["other", "6", "3"], ["store", "9", "5"]]
    status, text, _ = dfd(capsys, "train", *arguments, "--fold", 0, "--out", tmp_path / "one")
    assert (status, "Each dataset alone" in text) == (0, True)
    assert json.loads((tmp_path / "one" / "config.json").read_text())["mix"] == {"store": 1.0, "other": 0.5}


def test_real_only_training_is_evaluated_on_self_blended_fakes(capsys, real_store, tmp_path):
    made = ("--train.self-blend", 1, "--fold", 0, "--folds", 2, *RECIPE)
    status, text, _ = dfd(capsys, "train", real_store.folder, *made, "--out", tmp_path / "run")
    assert status == 0
    assert "Mind that the fakes are self-blended: made of the real videos that are scored" in text
    status, text, _ = dfd(capsys, "audit", real_store.folder, "--folds", 2, "--threshold", 1.0)
    assert (status, "Nothing crosses folds." in text) == (0, True)
    status, _, error = dfd(capsys, "train", real_store.folder, *made[2:], "--out", tmp_path / "none")
    assert (status, "with real videos alone, --train.self-blend 1 makes the fakes" in error) == (1, True)


def test_pictures_train_a_frame_network(capsys, tmp_path):
    """Pre-cut crops of ten people, real and fake; the fakes are striped."""
    crops, faces, run = (tmp_path / name for name in ("crops", "faces", "run"))
    crops.mkdir()
    rows, rng = ["file,label,source"], np.random.default_rng(0)
    for person in range(10):
        real = np.full((32, 32, 3), rng.integers(40, 200, 3), np.uint8)
        fake = real.copy()
        fake[:, ::4] = 255 - fake[:, ::4]
        for name, image, label in ((f"r{person}.png", real, "REAL"), (f"f{person}.png", fake, "FAKE")):
            cv2.imwrite(str(crops / name), image)
            rows.append(f"{name},{label},r{person}.mp4")
    (crops / "index.csv").write_text("\n".join(rows) + "\n")
    assert dfd(capsys, "faces", crops, "--out", faces, "--cut-margin", 1, "--size", 32)[0] == 0
    model = ("--recipe", "stills", "--model.name", "factorized", "--model.size", "tiny", "--model.freeze", "none")
    small = ("--train.epochs", 1, "--train.batch", 8, "--clip.size", 32)
    status, text, _ = dfd(capsys, "train", faces, "--fold", 1, "--out", run, *model, *small)
    assert (status, "balanced log loss" in text) == (0, True)
    score = json.loads((run / "score.json").read_text())
    assert (score["videos"], score["fakes"], score["groups"]) == (4, 2, 2)
    header, _ = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert header.faces == FacesConfig()  # how video faces are cut, not how these crops were
    assert len(header.videos) == 16 + 8  # pictures, and their source videos


def test_two_runs_on_the_same_folds_are_packed_into_one_bundle(capsys, small_store, tmp_path):
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    status, text, _ = dfd(capsys, "crossval", small_store.folder, "--folds", 2, "--out", first, "--distort", *RECIPE)
    assert status == 0
    for name in ("as it is", "h264", "quarter", "noise", "flip"):
        assert any(line.startswith(name) for line in text.splitlines())
    seed = (*RECIPE, "--train.seed", 1, "--folds", 2)
    assert dfd(capsys, "crossval", small_store.folder, "--out", second, "--folds-of", first, *seed)[0] == 0
    status, text, _ = dfd(capsys, "bundle", first, second, "--out", tmp_path / "bundle")
    assert status == 0
    assert "balanced log loss alone" in text
    assert "Why: equal weights: testing another choice takes three folds" in text
    assert "4 models in" in text
    assert dfd(capsys, "audit", small_store.folder, "--folds", 2, "--folds-of", first, "--threshold", 1.0)[0] == 0
    assert dfd(capsys, "crossval", small_store.folder, "--out", other, *seed)[0] == 0
    status, _, error = dfd(capsys, "bundle", first, other, "--out", tmp_path / "none")
    assert (status, "have different folds" in error) == (1, True), error
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["faces", "{tmp}/none", "--out", "{tmp}/out"], 1, "none is not there"),
        (["faces", "{tmp}/empty", "--out", "{tmp}/out"], 1, "empty"),
        (["faces", "{videos}", "--out", "{tmp}/out", "--margin", "9"], 1, "margin is '9': input should be less than"),
        (["faces", "{videos}", "--out", "{tmp}/out", "--wings", "9"], 2, "Unknown option: --wings. There are --out"),
        (["faces", "{videos}", "--out", "{tmp}/full"], 1, "not empty and no dataset of dfd faces"),
        (
            ["faces", "{videos}", "--out", "{tmp}/out", "--cut-margin", "1"],
            1,
            "--cut-margin is for pictures (.bmp .jpeg .jpg",
        ),
        (
            ["faces", "{photo}", "--out", "{tmp}/out", "--cut-margin", "4"],
            1,
            "--cut-margin is 4: must be <= 3",
        ),
        (["faces", "{photo}", "--out", "{tmp}/out", "--cut-margin", "1", "--margin", "2"], 1, "1 is the dataset's"),
        (["faces"], 2, "VIDEOS requires an argument"),
        (["fly"], 2, "Unknown command"),
        (["crossval", "{tmp}/empty", "--out", "{tmp}/out"], 1, "no dataset.json"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--recipe", "huge"], 1, "'huge'; there are tiny, cpu"),
        (
            ["crossval", "{faces}", "--out", "{tmp}/out", "--folds", "2", "--model.name", "resnet"],
            1,
            "unknown model 'resnet'",
        ),
        (
            ["crossval", "{faces}", "--out", "{tmp}/out", "--folds", "2", "--model.weights", "{tmp}/no.pt"],
            1,
            "no such file of weights",
        ),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--train.lr", "fast"], 1, "lr is 'fast'"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--folds", "50"], 1, "fold"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--groups", "colour"], 1, "groups is 'colour': input should be"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--groups", "part"], 1, "is in no part of DFDC"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--groups", "identity"], 1, "dfd weights identity --out"),
        (["crossval", "{faces}", "--out", "{tmp}/out", "--folds-of", "{tmp}/empty"], 1, "is no CSV of folds"),
        (["train", "{faces}", "--out", "{tmp}/out", "--fold", "0", "--groups", "part"], 1, "is in no part of DFDC"),
        (["train", "{faces}", "--out", "{tmp}/out", "--fold", "7"], 1, "fold is 7: with 5 folds it is one of 0 to 4"),
        (["train", "{faces}", "{faces}", "--out", "{tmp}/out"], 1, "store is named twice: name each dataset once"),
        (
            ["crossval", "{faces}", "--mix", "1,2", "--out", "{tmp}/out"],
            1,
            "--mix gives 2 numbers for 1 dataset: give each",
        ),
        (["train", "{faces}", "--mix", "half", "--out", "{tmp}/out"], 1, "--mix is 'half': give each dataset a number"),
        (
            ["train", "{faces}", "--out", "{tmp}/out", "--config", "{tmp}/none.yaml"],
            1,
            "`dfd recipes cpu > {tmp}/none.yaml`",
        ),
        (["recipes", "huge"], 1, "unknown recipe 'huge'; there are tiny, cpu"),
        (["train", "--out", "{tmp}/out"], 2, "FACES requires an argument"),
        (
            ["train", "{faces}", "--out", "{tmp}/out", "--blend.mesh", "{tmp}/no.tflite"],
            1,
            "no.tflite: no such file: `dfd weights mesh --out {tmp}/no.tflite` writes it",
        ),
        (["sheet", "{faces}", "--out", "{tmp}/out.txt"], 1, "out.txt has no ending of a picture"),
        (["bundle", "{tmp}/empty", "--out", "{tmp}/out"], 1, "no checkpoints/last.ckpt"),
        (["predict", "{videos}", "--bundle", "{tmp}/empty", "--out", "{tmp}/out"], 1, "no bundle.json"),
        (["card", "{old}", "--score", "x.json"], 1, "--score is 'x.json': give NAME=FILE"),
        (["card", "{tmp}/empty"], 1, "no bundle.json"),
        (["predict", "{videos}", "--bundle", "{old}"], 1, "is a folder: give --out submission.csv"),
        (["predict", "{videos}/real0.mp4"], 1, "this dfd has no shipped detector: give --bundle FOLDER"),
        (["predict", "{tmp}/none.mp4"], 1, "none.mp4 is not there"),
        (["predict", "{videos}", "--bundle", "{old}", "--out", "{tmp}/out"], 1, "format 3, the one that this version"),
        (["faces", "{videos}", "--out", "{old}"], 1, "old is of format 1, and this version reads 4: build it again"),
        (["audit", "{old}"], 1, "old is of format 1, and this version reads 4: build it again with `dfd faces`"),
        (
            ["report", "{tmp}/empty", "--out", "{tmp}/out.html"],
            1,
            "empty is neither a run of dfd crossval or",
        ),
        (
            ["report", "{faces}", "{faces}", "--out", "{tmp}/out.html"],
            1,
            "2 folders are named: a page shows one",
        ),
        (["report", "{faces}", "--out", "{tmp}/out.pdf"], 1, "out.pdf has no ending of a page: name it .html"),
        (["report", "{faces}", "--out", "{tmp}/out.html", "--faces", "{faces}"], 1, "--faces is for the page of a run"),
        (["report", "{old}", "--out", "{tmp}/out.html"], 1, "old is of format 1, and this version reads 4: build it"),
        (["report", "--out", "{tmp}/out.html"], 2, "FOLDERS requires an argument"),
        (
            ["train", "{faces}", "--out", "{tmp}/out", "--folds-of", "{tmp}/old"],
            1,
            "--folds-of is for one fold of a run",
        ),
        (
            ["crossval", "{faces}", "--out", "{tmp}/out", "--identity-weights", "{tmp}/no.pt"],
            1,
            "--identity-weights is for --groups identity, not for people",
        ),
        (["models", "lstm", "--clip", "3x4"], 1, "as in 15x1080x1920"),
        (["weights", "imagenet-huge", "--out", "{tmp}/out"], 1, "imagenet-lite0"),
        (["score", "{tmp}/none.csv", "--labels", "{videos}/metadata.json"], 1, "none.csv"),
    ],
)
def test_a_user_error_is_one_line_and_leaves_no_file(
    capsys, small_dataset, small_store, tmp_path, monkeypatch, arguments, status, message
):
    monkeypatch.setattr("dfd.inference.info.SHIPPED", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "old").mkdir()
    for name in ("bundle.json", "faces.json"):  # of the format before segments
        (tmp_path / "old" / name).write_text(json.dumps({"format": 1}))
    before = sorted(tmp_path.rglob("*"))
    places = {"tmp": tmp_path, "old": tmp_path / "old", "videos": small_dataset, "faces": small_store.folder}
    places["photo"] = small_dataset.parent / "photo.jpg"
    places["photo"].touch()
    found, out, err = dfd(capsys, *(argument.format(**places) for argument in arguments))
    assert found == status
    assert message.format(**places) in err
    assert err.count("\n") == 1
    assert "Traceback" not in err + out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_in_two_layouts_has_two_sets(small_store):
    from dfd.cli.inference import by_set

    names = ["Celeb-real/id0_0.mp4", "Celeb-synthesis/id0_id1_0.mp4", "original_sequences/youtube/c23/videos/0.mp4"]
    records = [replace(record, video=name) for record, name in zip(small_store.records(), names, strict=False)]
    found = by_set({"mixed": records, "one": records[:2]})
    assert {name: len(of) for name, of in found.items()} == {"mixed/Celeb-DF": 2, "mixed/FaceForensics++": 1, "one": 2}
