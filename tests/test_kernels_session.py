"""Code that runs on Kaggle: finding mounted inputs, the time limit, the report."""

import json
import shutil

import pytest

from dfd.errors import ConfigError
from dfd.faces.store import FaceStore
from dfd.files import partial_path
from kernels import KernelError, attach, inputs
from kernels import session as sessions
from kernels.session import Session

pytestmark = pytest.mark.slow


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    monkeypatch.setenv(sessions.ROOT, str(tmp_path))
    (tmp_path / "input").mkdir()
    return tmp_path


def folder(root, kind="bundle", **files):
    root.mkdir(parents=True)
    for name, text in (files or {"member": "weights"}).items():
        (root / name).write_text(text)
    return inputs.write_manifest(root, kind)


def ended(root):
    return json.loads((root / "working" / "kernel.json").read_text())


@pytest.mark.parametrize("place", ["dfd-bundle", "datasets/me/dfd-bundle", "notebooks/me/dfd-train/bundle"])
def test_a_source_is_found_wherever_it_is_mounted(kaggle, place):
    folder(kaggle / "input" / place)
    with Session("predict", {"hours": 1}) as session:
        assert session.attached("bundle") == kaggle / "input" / place
        session.finish("done")


@pytest.mark.parametrize("place", ["dfdc", "competitions/dfdc"])
def test_the_competition_is_found_by_its_files(kaggle, place):
    (kaggle / "input" / place / "test_videos").mkdir(parents=True)
    assert inputs.competition(kaggle / "input") == []
    (kaggle / "input" / place / "sample_submission.csv").touch()
    assert inputs.competition(kaggle / "input") == [kaggle / "input" / place]


def test_a_late_source_is_awaited(kaggle, monkeypatch):
    session, naps = Session("predict", {"hours": 1}), []
    session.rehearsal = False

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            folder(kaggle / "input" / "late")

    monkeypatch.setattr(sessions.time, "sleep", sleep)
    assert session.attached("bundle") == kaggle / "input" / "late"
    assert naps == [5, 5, 5]


def test_a_missing_source_ends_in_one_sentence_and_a_listing(kaggle, capsys):
    (kaggle / "input" / "datasets" / "me").mkdir(parents=True)
    message = "dfd kernel predict: .* does not hold a folder whose MANIFEST.json says bundle"
    with pytest.raises(SystemExit, match=message), Session("predict", {"hours": 1}) as session:
        session.attached("bundle")
    out, _ = capsys.readouterr()
    assert f"mounted:\n{kaggle / 'input'}/ (0 files)\n{kaggle / 'input/datasets'}/ (0 files)" in out
    assert ended(kaggle)["status"] == "failed"


def built_for(monkeypatch, **wanted):
    """Let sessions require these contents, by kind."""
    monkeypatch.setattr(sessions, "built_as", lambda: {"commit": "c", "sha256": "s" * 64, "wanted": wanted})


def test_an_older_version_of_a_source_is_not_used(kaggle, monkeypatch):
    identity = folder(kaggle / "input" / "bundle", member="new")
    session = Session("predict", {"hours": 1})
    built_for(monkeypatch, bundle=identity)
    assert session.attached("bundle").name == "bundle"
    built_for(monkeypatch, bundle="0123456789abcdef")
    with pytest.raises(KernelError, match="with content 0123456789ab"):
        session.attached("bundle")


def test_duplicate_and_damaged_sources_are_refused(kaggle):
    folder(kaggle / "input" / "a")
    (kaggle / "input" / "a" / "member").write_text("changed")
    with pytest.raises(KernelError, match=r"member has sha256 \w{12}…, its manifest says \w{12}…: upload it again"):
        Session("predict", {"hours": 1}).attached("bundle")
    (kaggle / "input" / "a" / "member").unlink()
    with pytest.raises(KernelError, match="member is missing: upload it again"):
        Session("predict", {"hours": 1}).attached("bundle")
    folder(kaggle / "input" / "b")
    with pytest.raises(KernelError, match="2 folders of kind bundle"):
        Session("predict", {"hours": 1}).attached("bundle")


def test_a_wheelhouse_without_the_locked_wheels_is_refused(kaggle, monkeypatch):
    built_for(monkeypatch, wheels="0" * 64)
    folder(kaggle / "input" / "wheels", "wheels", **{"old-1.0-py3-none-any.whl": "x"})
    with pytest.raises(
        KernelError, match="does not hold a folder whose MANIFEST.json says wheels with content 000000000000"
    ):
        Session("predict", {"hours": 1}).install_wheels()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "bundle"}', '{"kind": "bundle", "files": []}'])
def test_a_foreign_manifest_is_not_recognized(tmp_path, text):
    (tmp_path / "MANIFEST.json").write_text(text)
    assert inputs.read_manifest(tmp_path)["kind"] == ""
    assert inputs.of_kind(tmp_path, "bundle") == []


def test_videos_with_the_same_name_are_kept_apart(kaggle, small_dataset):
    for name in ("a", "b"):
        (kaggle / "input" / name).symlink_to(small_dataset)
    with pytest.raises(KernelError, match="have one name"):
        Session("faces", {"hours": 1}).videos("")
    assert len(Session("faces", {"hours": 1}).videos("a")) == 8


def test_unlabelled_videos_are_printed_and_can_be_included(kaggle, small_dataset, capsys):
    place = kaggle / "input" / "mine"
    shutil.copytree(small_dataset, place)
    labels = json.loads((place / "metadata.json").read_text())
    first = sorted(labels)[0]
    del labels[first]
    (place / "metadata.json").write_text(json.dumps(labels))
    session = Session("faces", {"hours": 1})
    assert first not in {video.name for video in session.videos("")}
    out = capsys.readouterr().out
    assert "Labels are from" in out
    assert 'left out; SET="unlisted=true" includes it.' in out
    assert first in {video.name for video in session.videos("", unlisted=True)}


def test_a_failing_page_keeps_the_results(kaggle, capsys):
    with Session("predict", {"hours": 1}) as session:
        with session.page("one.html") as path:
            path.write_text("<p>one</p>")
        with session.page("two.html"):
            raise ZeroDivisionError("no bins")
        session.finish("done")
    out = capsys.readouterr().out
    assert "page one.html" in out
    assert "no page two.html: ZeroDivisionError: no bins" in out
    assert ended(kaggle)["status"] == "done"


@pytest.mark.parametrize("options", [{"train": 5}, {"train": {"lr": 7}}, {"trian": {}}, {"blend": {"mesh": 3}}])
def test_invalid_recipe_options_are_refused(options):
    with pytest.raises(ConfigError, match="options"):
        sessions.training_recipe({"recipe": "tiny", "options": options})


def test_the_report_states_how_the_run_ended(kaggle):
    with Session("train", {"hours": 1, "folds": 2}) as session:
        session.finish("done", score={"videos": 3})
    assert {"kernel": "train", "status": "done", "settings": {"hours": 1, "folds": 2}}.items() <= ended(kaggle).items()
    with Session("train", {"hours": 1}):
        pass
    assert ended(kaggle)["reason"] == "main() ended without a result"
    with pytest.raises(SystemExit, match="dfd kernel train: folds is 1"), Session("train", {"hours": 1}):
        raise ConfigError("folds is 1")
    with pytest.raises(ZeroDivisionError), Session("train", {"hours": 1}):
        print(1 / 0)
    assert ended(kaggle)["reason"] == "ZeroDivisionError: division by zero"


def test_progress_is_printed_at_time_intervals(kaggle, capsys):
    now = [100.0]
    session = Session("train", {"hours": 0.01}, clock=lambda: now[0])
    assert session.until == pytest.approx(136)
    session.progress(1, 9, "first")
    now[0] += 31
    session.progress(2, 9, "second")
    session.progress(3, 9, "third")
    out = capsys.readouterr().out
    assert [line.partition("s] ")[2] for line in out.splitlines()] == [
        "train: 2 of 9 (22%), second, 1.9/min, 0:03:37 left"  # one in 31 seconds
    ]


def test_a_face_dataset_is_packed_as_one_file(kaggle, small_store):
    session = Session("faces", {"hours": 1})
    session.working.mkdir()
    session.pack(small_store.folder, "faces")
    assert sorted(path.name for path in (session.working / "faces").iterdir()) == ["MANIFEST.json", "faces.tar"]
    there = inputs.unpack(session.working / "faces", "faces", session.scratch / "faces")
    files = [sorted(p.relative_to(root) for root in [r] for p in r.rglob("*")) for r in (there, small_store.folder)]
    assert files[0] == files[1]


def test_an_unfinished_dataset_is_packed_periodically(kaggle, small_store, tmp_path):
    now, store = [0.0], tmp_path / "store"
    shutil.copytree(small_store.folder, store)
    half_made = partial_path(next(store.glob("tracklets/*/real0.mp4.json")))
    half_made.write_bytes(b"half")
    session = Session("faces", {"hours": 1}, clock=lambda: now[0])
    session.working.mkdir()
    session.pack(store, "faces", sessions.PACK_EVERY)
    assert not (session.working / "faces").exists()
    now[0] = sessions.PACK_EVERY
    session.pack(store, "faces", sessions.PACK_EVERY)
    there = FaceStore.open(inputs.unpack(session.working / "faces", "faces", session.scratch / "faces"))
    assert [(r.video, r.status, r.faced) for r in there.records()] == [
        (r.video, r.status, r.faced) for r in small_store.records()
    ]
    packed = {path.relative_to(there.folder) for path in there.folder.rglob("*")}
    assert packed == {path.relative_to(store) for path in store.rglob("*") if path != half_made}
    inputs.check(session.working / "faces", "")


def test_an_interrupted_run_says_so(kaggle):
    session = Session("train", {"hours": 1})
    session.__enter__()
    assert (ended(kaggle)["status"], ended(kaggle)["settings"]) == ("cut off", {"hours": 1})


def test_without_a_gpu_a_kernel_ends_at_once(kaggle, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    session = Session("train", {"hours": 1})
    assert session.device() == ("cpu", 2)  # as many processes as Kaggle has cards
    session.rehearsal = False
    with pytest.raises(KernelError, match="no GPU that torch can use"):
        session.device()


def test_a_kernel_resumes_only_from_the_dataset_it_was_built_for(kaggle, monkeypatch, tmp_path):
    left = tmp_path / "output" / "run"
    (left / "fold-0").mkdir(parents=True)
    (left / "config.json").write_text("{}")
    (left / "fold-0" / "last.ckpt").write_text("weights")
    session = Session("train", {"hours": 1})
    assert session.resume("run", tmp_path / "run") == tmp_path / "run"
    assert not (tmp_path / "run").exists()  # not built to resume
    there = kaggle / "input" / "dfd-train-earlier"
    _, [sent] = attach.resume_from(left.parent, "train", "tester", {}, there)
    assert (sent.name, sent.folder) == ("tester/dfd-train-earlier", there)
    built_for(monkeypatch, run="0" * 64)
    with pytest.raises(KernelError, match="says run with content 000000000000"):
        session.resume("run", tmp_path / "run")
    built_for(monkeypatch, run=sent.identity)
    place = session.resume("run", tmp_path / "run")
    assert {p.relative_to(place).as_posix() for p in place.rglob("*")} == {"config.json", "fold-0", "fold-0/last.ckpt"}
