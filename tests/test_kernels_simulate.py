"""Rehearse the three kernels on the mini-DFDC, each fed by the previous one, and check the limits."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from html import unescape

import nbformat
import pandas as pd
import psutil
import pytest

from kernels import KernelError, follow, image, inputs, places
from kernels import simulate as sandbox
from kernels.__main__ import main
from kernels.attach import Given, attach, resume_from
from kernels.build import build
from kernels.metadata import OWNER, Source
from kernels.places import output
from kernels.simulate import GIB, Rehearsal, attached, check_use, run_script, simulate
from tests.conftest import short_sample
from tests.kernel_workshop import checkout, commit, stock, use

pytestmark = pytest.mark.slow

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
    """The mini-DFDC in the competition's form: 24 labelled videos and 16 to score, six of them broken."""
    return short_sample(tmp_path_factory.mktemp("competition") / "mini-dfdc")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of one environment, for scripts run in the sandbox alone."""
    return image.linked_environment(tmp_path_factory.mktemp("linked") / "environment")


@pytest.fixture(scope="module")
def faces(competition):
    assert simulate("faces", FACES, Rehearsal(competition=competition)) == "done"
    return json.loads((output("faces") / "kernel.json").read_text())


def loopback_alone():
    """Begins a command that runs in a network namespace with loopback alone; empty where that is not allowed."""
    command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    return command if allowed else []


def spawned_below(process):
    """Number of processes that Python has spawned below one now."""
    found = 0
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            found += "--multiprocessing-fork" in child.cmdline()
    return found


@pytest.fixture(scope="module")
def unfinished(faces, competition):
    """The report of a training that its own time limit stopped, before the first epoch."""
    assert simulate("train", {**RECIPE, "hours": 0.000001}, Rehearsal(competition=competition)) == "unfinished"
    assert not (output("train") / "bundle").exists()
    return follow.read_report(output("train"))


@pytest.fixture(scope="module")
def cut_off(unfinished, competition, tmp_path_factory):
    """The report of the resumed training, which Kaggle's limit cut off after the first checkpoint."""
    scratch = tmp_path_factory.mktemp("scratch")

    def now():
        """Jump nine hours ahead as soon as there is a checkpoint."""
        begun = any(scratch.glob("dfd-train-*/kaggle/working/run/fold-0/checkpoints/last.ckpt"))
        return time.monotonic() + (32_400 if begun else 0)

    wanted = "ended as CANCEL_ACKNOWLEDGED: .* exceeded the max allowed execution duration.*KERNEL=train RESUME=1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        patch.setattr(sandbox, "now", now)
        with pytest.raises(KernelError, match=wanted):
            simulate("train", {"hours": 1}, Rehearsal(competition=competition), Given(resume=True))
    with pytest.raises(KernelError, match="kernel train was cut off: push it again with RESUME=1"):
        follow.report(output("train"))
    return follow.read_report(output("train"))


@pytest.fixture(scope="module")
def train(cut_off, competition, workshop, tmp_path_factory):
    """The report of the training resumed to its end, with its output and the most processes that it spawned."""
    command = [*loopback_alone(), sys.executable, "-m", "kernels", "simulate", "train", "--resume", "--layout=short"]
    log, together = tmp_path_factory.mktemp("train") / "log", 0
    before = (output("train") / "run/config.json").read_bytes()
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, f"--competition={competition}"], cwd=workshop, env={**os.environ, "PYTHONPATH": str(workshop)},
            stdout=out, stderr=out,
        )  # fmt: skip
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                together = max(together, spawned_below(process))
            time.sleep(0.1)
    assert process.returncode == 0, log.read_text()
    about = {"together": together, "log": log.read_text(), "before": before}
    return {**follow.read_report(output("train")), **about}


@pytest.fixture
def run(capfd, competition):
    def kernels(verb, name, *arguments):
        """Run a rehearsal; return exit status, standard output and standard error."""
        with pytest.raises(SystemExit) as stop:
            main([verb, name, "--competition", str(competition), *map(str, arguments)])
        return int(stop.value.code or 0), *capfd.readouterr()

    return kernels


def test_faces_writes_one_file_and_its_hash(faces):
    built = build("faces", changes=FACES)
    assert (faces["commit"], faces["sha256"]) == (built.commit, built.sha256)
    assert set(faces["statuses"]) <= {"ok", "no_face"}
    assert sum(faces["statuses"].values()) == 24
    assert faces["statuses"]["ok"] >= 23  # half a second has two looks: a face that differs between them is dropped
    assert sorted(p.name for p in output("faces").rglob("*") if p.is_file()) == [
        "MANIFEST.json",
        "faces.tar",
        "kernel.json",
    ]
    assert inputs.read_manifest(output("faces") / "faces")["kind"] == "faces"


def test_training_resumes_after_its_time_limit_and_after_a_kill(unfinished, cut_off, train, tmp_path):
    assert (unfinished["status"], cut_off["status"], train["status"]) == ("unfinished", "cut off", "done")
    assert train["settings"] == {**build("train").settings, **RECIPE, "hours": 1}
    assert re.search(r"resumes from \S+/input/dfd-train-earlier", train["log"])
    assert (output("train") / "run/config.json").read_bytes() == train["before"]
    with pytest.raises(KernelError, match="kernel train is done"):
        resume_from(output("train"), "train", "OWNER", {}, tmp_path / "left")


def test_train_runs_in_two_processes(train):
    """In place of two cards, by gloo over loopback."""
    assert train["together"] == 2


def test_train_makes_a_bundle_and_a_page_of_faces(train):
    assert "balanced log loss" in (output("train") / "run.html").read_text()
    assert (train["score"]["videos"], train["score"]["fakes"]) == (24, 14)
    folder = output("train") / "bundle"
    assert inputs.read_manifest(folder)["kind"] == "bundle"
    assert set(inputs.read_manifest(folder)["files"]) == {p.name for p in folder.iterdir()} - {"MANIFEST.json"}


def test_predict_as_a_notebook_makes_a_valid_scored_submission_with_an_attached_model(run, train, competition):
    name = "predict-notebook"
    status, out, err = run("simulate", name, "--bundle", output("train") / "bundle", "--set", "explained=2")
    assert status == 0, err + out
    for words in ("is a valid submission", "balanced log loss", "unreadable", "4000 videos in", "COMPLETE after"):
        assert words in out
    assert follow.read_report(output(name))["kernel"] == "predict"
    rows = pd.read_csv(output(name) / "submission.csv")
    assert list(rows["filename"]) == list(pd.read_csv(competition / "sample_submission.csv")["filename"])
    about = json.loads((competition / "sample.json").read_text())["videos"]
    kinds = rows["filename"].map(lambda video: about[f"test_videos/{video}"])
    assert set(kinds[rows["label"] == 0.5]) == {"empty", "no face"}
    page = (output(name) / "explain.html").read_text()
    highest = rows.sort_values("label", ascending=False)["filename"]
    assert [video in page for video in highest[:3]] == [True, True, False]
    book = nbformat.read(output(name) / "__notebook__.ipynb", 4)
    shown = [made.data["text/html"] for cell in book.cells for made in cell.get("outputs", []) if "data" in made]
    [framed] = [html for html in shown if html.startswith("<iframe srcdoc=")]
    assert unescape(framed).count(page) == 1


def test_a_notebook_that_fails_ends_in_one_line(python, tmp_path):
    book = {"cells": [{"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
                      for source in ("print('first')", "raise SystemExit('dfd kernel: no GPU')", "print('third')")],
            "metadata": {}, "nbformat": 4, "nbformat_minor": 4}  # fmt: skip
    (tmp_path / "main.ipynb").write_text(json.dumps(book))
    log = tmp_path / "log"
    ended = run_script(python, tmp_path / "main.ipynb", tmp_path / "tree", {}, 250, log)
    lines = log.read_text().splitlines()
    assert (ended.status, lines[-1]) == ("ERROR", "SystemExit: dfd kernel: no GPU")
    assert "first" in lines
    assert "third" not in lines


def test_a_rehearsal_has_no_network_no_credentials_and_a_read_only_input(python, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import os, pathlib, socket, subprocess, sys\n"
        "for address in (('198.51.100.1', 80), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(address, 2); raise SystemExit('connected')\n"
        "    except OSError as error: print(error)\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname()).close()\n"  # as the processes of a training do
        "assert not [k for k in os.environ if k == 'KAGGLE_KEY' or k == 'PYTHONPATH']\n"
        "root = pathlib.Path(os.environ['DFD_KAGGLE'])\n"
        "source = root / 'input/datasets/o/s'\n"
        "remove = [sys.executable, '-c', 'import os, sys; os.remove(sys.argv[1])', str(source)]\n"
        "for write in (\n"
        "    lambda: (root / 'input/new').write_text('x'),\n"
        "    lambda: (source / 'new').mkdir(),\n"
        "    lambda: subprocess.run(remove, check=True),\n"
        "):\n"
        "    try: write(); raise SystemExit('written')\n"
        "    except (OSError, subprocess.CalledProcessError) as error: print(error)\n"
        "(root / 'working/link').symlink_to(root / 'input/datasets/o/s')\n"
        "for name in ('facenet_pytorch', 'dfd', 'av', 'pytest'):\n"
        "    try: __import__(name); raise SystemExit(name + ' is there')\n"
        "    except ModuleNotFoundError: pass\n"
        "import numpy\n"
        "(root / 'working/made').write_text(os.getcwd())\n"
    )
    source = tmp_path / "source"
    source.mkdir()
    ended = run_script(python, script, tmp_path / "tree", {"datasets/o/s": source}, 250, tmp_path / "log")
    log = (tmp_path / "log").read_text()
    assert ended.status == "COMPLETE", log
    assert log.count("Network is unreachable") == 2
    assert log.count("Read-only file system: ") == 3
    assert "returned non-zero exit status 1" in log  # written by a child process of the script
    assert [path.name for path in source.iterdir()] == []
    assert (tmp_path / "tree/working/made").read_text() == str(tmp_path / "tree/working")
    assert (tmp_path / "tree/working/link").readlink() == tmp_path / "tree/input/datasets/o/s"


@pytest.mark.parametrize(
    ("code", "seconds", "status", "reason"),
    [
        ("import time; time.sleep(600)", 1, "CANCEL_ACKNOWLEDGED", "max allowed execution duration"),
        ("raise SystemExit(3)", 250, "ERROR", "exit status 3"),
        ("raise SystemExit('dfd kernel: no GPU')", 250, "ERROR", "dfd kernel: no GPU"),
        ("import subprocess as s; s.Popen(['sleep', '600'])", 250, "COMPLETE", ""),
    ],
)
def test_a_script_ends_with_its_reason_and_in_time(python, tmp_path, code, seconds, status, reason):
    (tmp_path / "main.py").write_text(code)
    begun = time.monotonic()
    ended = run_script(python, tmp_path / "main.py", tmp_path / "tree", {}, seconds, tmp_path / "log")
    assert ended.status == status
    assert reason in ended.reason
    assert time.monotonic() - begun < 250  # not after 600


def test_the_memory_of_all_processes_is_measured(python, tmp_path):
    child = "import time; x = bytearray(300_000_000); time.sleep(1)"
    (tmp_path / "main.py").write_text(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    ended = run_script(python, tmp_path / "main.py", tmp_path / "tree", {}, 250, tmp_path / "log")
    assert 300_000_000 < ended.memory < GIB


def test_more_than_a_session_has_is_refused():
    check_use(31, 20, 500)
    for taken, message in (
        ((31.5, 1, 1), "took 31.5 GiB of memory: a session on Kaggle has 31"),
        ((1, 20.25, 1), "took 20.25 GiB of output: a session on Kaggle has 20"),
        ((1, 1, 501), "took 501 files: a session on Kaggle has 500"),
    ):
        with pytest.raises(KernelError, match=message):
            check_use(*taken)


def test_a_rehearsal_without_output_cannot_be_resumed(tmp_path):
    with pytest.raises(KernelError, match="kernel train left nothing to resume from: leave out RESUME=1"):
        resume_from(tmp_path, "train", "OWNER", {}, tmp_path / "left")
    with pytest.raises(KernelError, match="predict has nothing to resume"):
        resume_from(tmp_path, "predict", "OWNER", {}, tmp_path / "left")


def test_missing_sources_say_how_to_make_them(competition, tmp_path, workshop, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(places, "built", lambda name: tmp_path / name)
        with pytest.raises(KernelError, match="OWNER/dfd-wheelhouse is not here .*: make wheelhouse"):
            attached(build("train"), Rehearsal(competition=competition))
        (tmp_path / "wheelhouse").mkdir()
        with pytest.raises(KernelError, match="OWNER/dfd-faces is not here .*make kernel-simulate KERNEL=faces"):
            attached(build("train"), Rehearsal(competition=competition))
        made = build("faces", sources=[Source("me/more-videos", "videos")])
        with pytest.raises(KernelError, match="me/more-videos is not here .*put a dataset of yours there"):
            attached(made, Rehearsal(competition=competition))
        (tmp_path / "more-videos").mkdir()
        found = attached(made, Rehearsal(competition=competition))
        assert found["datasets/me/more-videos"] == tmp_path / "more-videos"
    places_long = attached(build("faces"), Rehearsal(competition=competition))
    assert "competitions/deepfake-detection-challenge/test_videos" in places_long
    assert "datasets/OWNER/dfd-wheelhouse" in places_long
    assert not any("labels" in place for place in places_long)
    assert set(attached(build("faces"), Rehearsal(competition=competition, layout="short"))) >= {"dfd-wheelhouse"}


def test_a_rehearsal_takes_faces_made_here(small_store, tmp_path):
    _, sources = attach("train", OWNER, {}, Given(faces=small_store.folder), tmp_path)
    found = attached(build("train", sources=sources), Rehearsal(), sources)
    assert set(found) == {"datasets/OWNER/dfd-wheelhouse", "datasets/OWNER/dfd-face-tracks"}
    assert inputs.read_manifest(found["datasets/OWNER/dfd-face-tracks"])["kind"] == "faces"


def test_the_image_has_nothing_that_kaggle_lacks():
    found = image.image_packages()
    assert {"torch", "numpy", "timm", "pip", "pydantic-core"} <= found
    assert not found & {"dfd", "av", "decord", "facenet-pytorch", "cyclopts", "pytest", "scikit-image"}
