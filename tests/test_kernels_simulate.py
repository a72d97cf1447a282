"""Rehearsals of the three kernels on the mini-DFDC, faces feeding train feeding predict, and their limits."""

import json
import shutil
import tempfile
import time

import pandas as pd
import pytest

from dfd.errors import DfdError
from kernels import KernelError, image, inputs, pin, resume, sandbox
from kernels.__main__ import main
from kernels.build import build
from kernels.report import read_report, report
from kernels.simulate import attached, output, simulate
from tests.conftest import short_sample
from tests.kernel_workshop import checkout, commit, stock, use

FACES = {"options": {"size": 64, "detect_side": 320}}
RECIPE = {
    "recipe": "tiny",
    "folds": 2,
    "weights": "",
    "options": {
        "model": {"name": "journal_conv3d", "freeze": "none"},
        "clip": {"length": 6, "size": 48},
        "train": {"epochs": 1},
    },
}


@pytest.fixture(scope="module", autouse=True)
def workshop(tmp_path_factory):
    root = checkout(tmp_path_factory.mktemp("checkout"))
    stock(root)
    commit(root)
    with pytest.MonkeyPatch.context() as patch:
        use(patch, root)
        patch.setenv("KAGGLE_KEY", "never-seen-by-a-rehearsal")
        yield root


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    """The mini-DFDC, in the competition's form: 24 labelled videos, and 16 to score, six of which break things."""
    return short_sample(tmp_path_factory.mktemp("competition") / "mini-dfdc")


@pytest.fixture(scope="module")
def faces(competition):
    built = build("faces", changes=FACES)
    assert simulate(built, competition, {}) == "done"
    return json.loads((output("faces") / "kernel.json").read_text())


@pytest.fixture(scope="module")
def train(faces, competition):
    built = build("train", changes=RECIPE)
    assert simulate(built, competition, {}, long_layout=False) == "done"
    return json.loads((output("train") / "kernel.json").read_text())


@pytest.fixture(scope="module")
def finished(train, tmp_path_factory):
    """A copy of what kernel train left: a rehearsal clears the place of the last."""
    return shutil.copytree(output("train"), tmp_path_factory.mktemp("finished") / "train")


def test_faces_leaves_one_file_and_its_hash(faces):
    built = build("faces", changes=FACES)
    assert (faces["commit"], faces["sha256"]) == (built.commit, built.sha256)
    assert set(faces["statuses"]) <= {"ok", "no_face"}
    assert sum(faces["statuses"].values()) == 24
    assert faces["statuses"]["ok"] >= 23  # half a second has two looks: a face that differs between them is no face
    assert sorted(p.name for p in output("faces").rglob("*") if p.is_file()) == [
        "MANIFEST.json",
        "faces.tar",
        "kernel.json",
    ]
    assert inputs.fault(output("faces") / "faces") == ""


def test_train_makes_a_bundle_out_of_faces(train, finished):
    assert (train["score"]["videos"], train["score"]["fakes"]) == (24, 14)
    folder = finished / "bundle"
    assert inputs.read_manifest(folder)["kind"] == "bundle"
    assert set(inputs.read_manifest(folder)["files"]) == {p.name for p in folder.iterdir()} - {"MANIFEST.json"}


def test_predict_makes_a_valid_scored_submission(finished, competition, capfd):
    labels = competition / "test_labels.csv"
    assert simulate(build("predict"), competition, {"dfd-train": finished}, labels=labels) == "done"
    out, _ = capfd.readouterr()
    rows = pd.read_csv(output("predict") / "submission.csv")
    assert list(rows["filename"]) == list(pd.read_csv(competition / "sample_submission.csv")["filename"])
    about = json.loads((competition / "sample.json").read_text())["videos"]
    kinds = rows["filename"].map(lambda name: about[f"test_videos/{name}"])
    assert set(kinds[rows["label"] == 0.5]) == {"empty", "no face"}
    for words in ("is a valid submission", "balanced log loss", "unreadable", "4000 videos in", "COMPLETE after"):
        assert words in out


def test_a_rehearsal_has_no_network_no_credentials_and_a_read_only_input(competition, workshop, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import os, pathlib, socket\n"
        "for address in (('127.0.0.1', 80), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(address, 2); raise SystemExit('connected')\n"
        "    except OSError as error: print('no network:', error)\n"
        "assert not [k for k in os.environ if k == 'KAGGLE_KEY' or k == 'PYTHONPATH']\n"
        "root = pathlib.Path(os.environ['DFD_KAGGLE'])\n"
        "for name in ('input/new', 'input/datasets/o/s/new'):\n"
        "    try: (root / name).write_text('x'); print('written', name)\n"
        "    except OSError as error: print(error)\n"
        "for name in ('facenet_pytorch', 'dfd', 'av', 'pytest'):\n"
        "    try: __import__(name); raise SystemExit(name + ' is there')\n"
        "    except ModuleNotFoundError: pass\n"
        "import numpy\n"
        "(root / 'working/made').write_text(os.getcwd())\n"
    )
    for namespaces in {False, sandbox.has_namespaces()}:
        source, tree, log = (tmp_path / f"{part}-{namespaces}" for part in ("source", "tree", "log"))
        source.mkdir()
        python = image.make_environment(tmp_path / f"environment-{namespaces}", blocked=not namespaces)
        ended = sandbox.run(python, script, tree, {"datasets/o/s": source}, sandbox.Limits(30), log, namespaces)
        assert ended.status == "COMPLETE", log.read_text()
        assert log.read_text().count("no network") == 2
        if namespaces:
            assert not list(source.iterdir())
            assert log.read_text().count("Read-only file system") == 2
            assert (tree / "working/made").read_text() == "/kaggle/working"


@pytest.mark.parametrize(
    ("code", "limits", "status", "reason"),
    [
        ("import time; time.sleep(60)", {"seconds": 1.0}, "CANCEL_ACKNOWLEDGED", "max allowed execution duration"),
        ("x = bytearray(300_000_000); import time; time.sleep(60)", {"memory": 2e8}, "ERROR", "more memory"),
        ("open('big', 'wb').write(bytes(5_000_000)); import time; time.sleep(60)", {"disk": 1e6}, "ERROR", "is full"),
        ("raise SystemExit(3)", {}, "ERROR", "exit status 3"),
        ("import subprocess as s; s.Popen(['sleep', '60'])", {}, "COMPLETE", ""),
    ],
)
def test_limits(tmp_path, code, limits, status, reason):
    (tmp_path / "main.py").write_text(code)
    python = image.make_environment(tmp_path / "environment", blocked=False)
    limit = sandbox.Limits(**{"seconds": 20.0, **limits})
    ended = sandbox.run(
        python, tmp_path / "main.py", tmp_path / "tree", {}, limit, tmp_path / "log", sandbox.has_namespaces()
    )
    assert ended.status == status
    assert reason in ended.reason
    assert ended.seconds < 15


@pytest.fixture
def cut_off(finished, competition, tmp_path, monkeypatch):
    """A training that is cut off at nine hours, which are over once it has a checkpoint."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def now():
        begun = any(tmp_path.glob("dfd-train-*/kaggle/working/run/fold-0/checkpoints/last.ckpt"))
        return time.monotonic() + (32_400 if begun else 0)

    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "now", now)
        told = "ended as CANCEL_ACKNOWLEDGED: .* exceeded the max allowed execution duration.*KERNEL=train RESUME=1"
        with pytest.raises(KernelError, match=told):
            simulate(build("train", changes=RECIPE), competition, {})
    with pytest.raises(KernelError, match="kernel train was cut off before its end: push it again with RESUME=1"):
        report(output("train"))
    return output("train")


def test_training_goes_on_where_it_was_cut_off(cut_off, finished, competition, capfd):
    shutil.copytree(cut_off / "run", cut_off.parent / "kept")
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "train", "--competition", str(competition), "--resume"])
    out, err = capfd.readouterr()
    assert not stop.value.code, err
    assert "goes on from /kaggle/input/datasets/OWNER/dfd-train-earlier" in out or not sandbox.has_namespaces()
    whole = json.loads((finished / "run/score.json").read_text())
    assert json.loads((output("train") / "run/score.json").read_text()) == whole
    assert read_report(output("train"))["settings"]["options"] == RECIPE["options"]
    assert (output("train") / "run/config.json").read_bytes() == (cut_off.parent / "kept/config.json").read_bytes()
    with pytest.raises(KernelError, match="kernel train is done"):
        resume.from_here("train", output("train"))


def test_training_goes_on_where_it_stopped_by_its_own_clock(finished, competition):
    assert simulate(build("train", changes={**RECIPE, "hours": 1e-6}), competition, {}) == "unfinished"
    assert not (output("train") / "bundle").exists()
    left = resume.from_here("train", output("train"))
    settings = resume.settle("train", left.settings, {"hours": 1.0})
    again = build("train", changes=settings, sources=left.sources("OWNER"))
    assert again.metadata["kernel_sources"] == ["OWNER/dfd-faces", "OWNER/dfd-train"]
    assert simulate(again, competition, {left.slug: left.folder}) == "done"
    assert (output("train") / "run/score.json").read_text() == (finished / "run/score.json").read_text()


def test_a_rehearsal_that_left_nothing_cannot_be_gone_on_from(tmp_path):
    with pytest.raises(KernelError, match="holds nothing to go on from: rehearse train without RESUME=1 first"):
        resume.from_here("train", tmp_path)
    with pytest.raises(KernelError, match="predict begins anew each time"):
        resume.from_here("predict", tmp_path)


def test_sources_that_are_not_here_say_how_to_make_them(competition, tmp_path, workshop):
    with pytest.raises(KernelError, match="OWNER/dfd-faces is not here .*make kernel-simulate KERNEL=faces"):
        attached(build("train"), competition, {"dfd-faces": tmp_path / "none"}, True)
    with pytest.raises(KernelError, match="make wheelhouse"):
        attached(build("train"), competition, {"dfd-wheelhouse": tmp_path / "none"}, True)
    places_long = attached(build("faces"), competition, {}, True)
    assert "competitions/deepfake-detection-challenge/test_videos" in places_long
    assert "datasets/OWNER/dfd-wheelhouse" in places_long
    assert not any("labels" in place for place in places_long)
    assert set(attached(build("faces"), competition, {}, False)) >= {"dfd-wheelhouse"}


def test_a_folder_without_a_report_is_no_output(tmp_path):
    with pytest.raises(DfdError, match="is not a kernel's report"):
        report(tmp_path)


def test_an_exact_rehearsal_needs_its_python(monkeypatch, competition):
    monkeypatch.setattr(image, "pinned", lambda: pin.Image("", "3.99", {}))
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: True)
    with pytest.raises(KernelError, match="python3.99 is not installed"):
        simulate(build("faces"), competition, {}, exact=True)
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    with pytest.raises(KernelError, match="leave out EXACT=1"):
        simulate(build("faces"), competition, {}, exact=True)


def test_the_image_has_nothing_that_kaggle_lacks():
    found = set(image.image_packages())
    assert {"torch", "numpy", "timm", "pip", "pydantic-core"} <= found
    assert not found & {"dfd", "av", "decord", "facenet-pytorch", "cyclopts", "pytest", "scikit-image"}
