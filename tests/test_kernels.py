"""Building and checking kernels."""

import ast
import doctest
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace

import nbformat
import pytest
from slugify import slugify

from dfd.errors import DfdError
from kernels import KernelError, client, image, inputs, metadata, places
from kernels import build as kernel_build
from kernels.__main__ import main
from kernels.build import build, pack, uncommitted
from kernels.check import LARGEST, faults
from kernels.metadata import Source, read_metadata
from tests.kernel_workshop import HERE, checkout, commit, use

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(autouse=True)
def _here(monkeypatch, repository):
    use(monkeypatch, repository)
    monkeypatch.delenv("KAGGLE_KEY", raising=False)


@pytest.fixture(scope="module")
def whole(repository):
    with pytest.MonkeyPatch.context() as patch:
        use(patch, repository)
        return build("predict", "tester")


@pytest.fixture
def built(whole):
    """Replace the script by one line and pack no files, so that checks are fast."""
    return replace(whole, code="print(1)\n", files={})


@pytest.fixture
def own_metadata(monkeypatch, tmp_path):
    """Replace entries of kernel predict's own metadata, in a copy."""
    shutil.copytree(places.ROOT / "kernels", tmp_path / "kernels")
    path = tmp_path / "kernels" / "predict" / "kernel-metadata.json"
    before = json.loads(path.read_text())

    def write(**changes):
        path.write_text(json.dumps({**before, **changes}))

    monkeypatch.setattr(places, "source", lambda name: tmp_path / "kernels" / places.base(name))
    return write


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize("name", places.NAMES)
def test_the_three_kernels_pass_checks_and_are_short(name):
    made = build(name, "tester")
    assert faults(made) == []
    assert made.metadata["id"] == f"tester/dfd-{name}"
    assert "OWNER" not in json.dumps(made.metadata)
    assert len((places.source(name) / "main.py").read_text().splitlines()) <= 50
    assert len(made.code.encode()) < 350_000  # Kaggle's limit is a megabyte
    assert json.loads((made.folder / "kernel-metadata.json").read_text()) == made.metadata


def test_the_same_commit_gives_the_same_bytes(repository):
    first = build("train").code
    for path in repository.rglob("*.py"):
        path.touch()
    assert build("train").code == first
    assert re.search(r"commit [0-9a-f]{12}, content sha256 [0-9a-f]{64}", first)


def test_a_notebook_has_the_same_source_in_short_cells():
    made = build("train-notebook", "tester")
    assert faults(made) == []
    assert made.metadata["id"] == "tester/dfd-train-notebook"
    book = nbformat.read(made.folder / "main.ipynb", 4)
    nbformat.validate(book)
    text, head, *cells = book.cells
    assert text.cell_type == "markdown"
    script = (made.folder / "main.py").read_text()
    assert script.startswith(head.source)
    main = (places.source("train") / "main.py").read_text()
    about = ast.get_docstring(ast.parse(main), clean=False)
    assert about in text.source
    assert "\n".join(cell.source for cell in cells).split() == main.removeprefix(f'"""{about}"""').split()
    assert [cell.source.split()[0] for cell in cells] == ["from", "SETTINGS:", "def", "if"]
    assert max(len(cell.source.splitlines()) for cell in cells) < 40
    assert build("train-notebook", "tester", {"folds": 3}).code.count('"SETTINGS: dict[str, Any] = {') == 1
    with pytest.raises(KernelError, match="no kernel 'trains-notebook'"):
        build("trains-notebook")


def test_a_change_alters_commit_and_hash(tmp_path, monkeypatch):
    root = checkout(tmp_path / "other")
    use(monkeypatch, root)
    first = build("faces")
    (root / "dfd" / "errors.py").write_text((root / "dfd" / "errors.py").read_text() + "# changed\n")
    dirty = build("faces")
    assert dirty.commit == f"{first.commit}-dirty"
    assert dirty.sha256 != first.sha256
    commit(root)
    assert build("faces").commit not in (first.commit, dirty.commit)
    assert build("faces").sha256 == dirty.sha256


def test_the_shipped_bundle_is_not_packed(tmp_path, monkeypatch):
    use(monkeypatch, checkout(tmp_path / "other"))
    first = build("predict")
    (places.ROOT / "dfd" / "pretrained").mkdir(exist_ok=True)
    (places.ROOT / "dfd" / "pretrained" / "member-9.pt").write_bytes(bytes(range(256)) * 4000)
    made = build("predict")
    assert (made.sha256, made.commit, uncommitted()) == (first.sha256, first.commit, [])
    assert not [name for name in made.files if "pretrained" in name]


def test_the_script_unpacks_to_the_local_source(whole, tmp_path):
    code = "import dfd, kernels.session as s; print(dfd.__file__); print(s.built_as()['commit'])"
    script = tmp_path / "script.py"
    script.write_text(whole.code.split("# ------")[0] + code)
    environment = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines() == [str(tmp_path / f"dfd-{whole.sha256[:16]}" / "dfd/__init__.py"), whole.commit]
    assert whole.files["dfd/types.py"] == (HERE / "dfd/types.py").read_bytes()


def test_damaged_files_are_one_line(tmp_path, monkeypatch):
    use(monkeypatch, checkout(tmp_path / "other"))
    for place in ("faces/kernel-metadata.json", "wheelhouse.json"):
        path = places.ROOT / "kernels" / place
        whole = path.read_bytes()
        for text in (b"{", b"[]", b'"\xff"'):
            path.write_bytes(text)
            with pytest.raises(KernelError, match=f"{place} .*: restore it from git"):
                build("faces")
        path.write_bytes(whole)
    main = places.source("faces") / "main.py"
    main.write_text("def main(:\n")
    with pytest.raises(KernelError, match="main.py of kernel faces, line 1: "):
        build("faces")
    for text in ("", "SETTINGS: dict", "SETTINGS: dict = {'hours': 60 * 8}", "SETTINGS: list = [1]"):
        main.write_text(text)
        with pytest.raises(KernelError, match="main.py of kernel faces: SETTINGS: .* is wanted, of plain values"):
            build("faces")


def test_the_archive_stores_neither_times_nor_owners():
    with tarfile.open(fileobj=io.BytesIO(pack((("a", b"1"),)))) as archive:
        entry = archive.getmember("a")
    assert (entry.mtime, entry.uid, entry.uname, entry.mode) == (0, 0, "", 0o644)


def test_settings_are_replaced_in_the_script():
    made = build("train", changes={"recipe": "tiny", "hours": 2})
    assert "SETTINGS: dict[str, Any] = {'recipe': 'tiny', 'folds': 5," in made.code
    assert made.settings["hours"] == 2
    assert faults(made) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": "tiny"}, "no setting 'recipes'; there are recipe, folds"),
        ({"folds": "5"}, "setting folds of kernel train is '5': a int like 5 is wanted"),
        ({"folds": True}, "setting folds"),
    ],
)
def test_an_unknown_setting_or_one_of_another_type_is_refused(changes, message):
    with pytest.raises(KernelError, match=re.escape(message)):
        build("train", changes=changes)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gpu", True, "has the key 'gpu'; there are machine_shape, dataset_sources"),
        ("machine_shape", "NvidiaTeslaP100", "is 'NvidiaTeslaP100': 'NvidiaTeslaT4' (two of them)"),
        ("machine_shape", "T4", "is 'T4'"),
        ("machine_shape", None, "is None"),
        ("dataset_sources", ["datasets/tester/x"], "without a prefix"),
        ("dataset_sources", ["wheels"], "['wheels']: a list of owner/slug, each once and without a prefix, is wanted"),
        ("dataset_sources", "tester/wheels", "'tester/wheels': a list of owner/slug"),
        ("dataset_sources", ["tester/wheels", "tester/wheels"], "each once"),
        ("dataset_sources", ["Tester/wheels"], "a list of owner/slug"),
        ("competition_sources", ["c/dfdc"], "without a prefix"),
        ("kernel_sources", ["code/tester/train"], "without a prefix"),
        ("model_sources", ["tester/model/pytorch/small"], "owner/model/framework/variation/version"),
    ],
)
def test_metadata_kaggle_would_refuse_or_ignore_is_refused(own_metadata, key, value, message):
    own_metadata(**{key: value})
    with pytest.raises(KernelError, match=re.escape(message)) as error:
        build("predict")
    assert key in str(error.value)


@pytest.mark.parametrize("value", [None, "tester/wheels", 3])
def test_sources_that_are_no_list_are_refused_before_one_is_attached(own_metadata, value):
    own_metadata(dataset_sources=value)
    with pytest.raises(KernelError, match=re.escape(f"is {value!r}: a list of owner/slug")):
        build("predict", sources=[Source("tester/faces", "faces")])


FIXED = {
    "language": "python",
    "is_private": True,
    "enable_internet": False,
    "docker_image_pinning_type": "original",
}


@pytest.mark.parametrize("name", [*places.NAMES, "predict-notebook"])
def test_what_is_the_same_for_all_kernels_is_in_no_file(own_metadata, built, name):
    made = build(name, "tester").metadata
    title = f"dfd {name.replace('-', ' ')}"
    assert (made["id"], made["title"]) == (f"tester/dfd-{name}", title)
    assert slugify(title) == f"dfd-{name}"  # Kaggle goes by the title
    form = ("notebook", "main.ipynb") if name.endswith("-notebook") else ("script", "main.py")
    assert (made["kernel_type"], made["code_file"]) == form
    assert FIXED.items() <= made.items()
    for key in ("id", "title", "kernel_type", "code_file", "docker_image", "enable_gpu", *FIXED):
        own_metadata(**{key: made.get(key)})
        with pytest.raises(KernelError, match=f"has the key {key!r}"):
            build("predict")


def test_valid_metadata_is_taken(own_metadata):
    more = {"model_sources": ["tester/model/pyTorch/small/1"], "dataset_sources": ["OWNER/wheels/3"]}
    own_metadata(**more)
    made = read_metadata("predict", "tester")
    assert (made["model_sources"], made["dataset_sources"]) == (more["model_sources"], ["tester/wheels/3"])


def test_kernels_use_the_pinned_image_or_the_latest(built):
    assert re.fullmatch(r"gcr\.io/[a-z-]+/python@sha256:[0-9a-f]{64}", built.metadata["docker_image"])
    newest = build("train", latest=True)
    assert "docker_image" not in newest.metadata
    assert newest.metadata["docker_image_pinning_type"] == "latest"
    assert faults(replace(newest, code="print(1)\n", files={})) == []


@pytest.mark.parametrize("text", ["", "[]", '{"docker_image": "python:3", "python": "3.12", "versions": {}}'])
def test_an_invalid_image_pin_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr(places, "source", lambda name: tmp_path / name)
    (tmp_path / "image.json").write_text(text)
    with pytest.raises(DfdError, match="image.json"):
        image.pinned()


@pytest.mark.parametrize("hours", [0, 8.84, 9, "8"])
def test_the_time_limit_must_be_below_kaggles(built, hours):
    assert "at most 8.83" in faults(replace(built, settings={**built.settings, "hours": hours}))[0]


def test_size_syntax_and_secrets_are_checked(built):
    assert "Kaggle takes 900 kB" in faults(replace(built, code=built.code + "#" * LARGEST))[0]
    assert "does not compile" in faults(replace(built, code="def f(:"))[0]
    assert "does not compile" in faults(replace(built, code="type Pair = tuple[int, int]"))[0]
    for secret in ("KGAT_" + "a1" * 8, "AKIA" + "A" * 16, '{"key": "' + "0" * 32 + '"}'):
        assert "take it out" in faults(replace(built, code=f"x = '''{secret}'''"))[0]


def test_local_keys_and_key_files_are_faults(monkeypatch, tmp_path):
    root = checkout(tmp_path / "other")
    use(monkeypatch, root)
    (root / "dfd" / "kaggle.json").write_text("{}")
    (root / "dfd" / "place.py").write_text("A = 'secret-of-mine'\n")
    monkeypatch.setenv("KAGGLE_KEY", "secret-of-mine")
    found = " ".join(faults(build("faces")))
    assert [word in found for word in ("dfd/kaggle.json", "your Kaggle credentials")] == [True, True]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("train", {"recipe": "huge"}, "unknown recipe 'huge'"),
        ("train", {"options": {"train": {"lr": 7}}}, "lr is 7"),
        ("train", {"options": {"trian": {}}}, "trian"),
        ("faces", {"options": {"size": 1}}, "size is 1"),
    ],
)
def test_options_unknown_to_dfd_are_faults(name, changes, message):
    assert message in faults(build(name, changes=changes))[0]


def test_commands_print_the_next_step(capsys):
    status, out, _ = run(capsys, "build", "predict")
    assert status == 0
    assert re.search(
        r"Built .*build/predict: \d+ kB, commit \w{12}, content \w{12}.\nNext: make kernel-check KERNEL=predict", out
    )
    status, out, _ = run(capsys, "check", "predict")
    assert status == 0
    assert "ready to be pushed. Its owner is still OWNER" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["build", "prediction"], 1, "no kernel 'prediction'; there are faces, train, predict"),
        (["build"], 2, "requires an argument"),
        (["bild", "faces"], 2, "Unknown command"),
        (["check", "train", "--set", "hours=9"], 1, "kernel train has 1 faults"),
        (["build", "train", "--set", "hours"], 1, "--set 'hours': name=value is wanted"),
        (["simulate", "faces", "--layout", "wide"], 1, "long"),
        (["simulate", "predict", "--competition", "nowhere"], 1, "is not here (nowhere)"),
    ],
)
def test_a_user_error_is_one_line(capsys, arguments, status, message):
    found, out, err = run(capsys, *arguments)
    assert found == status
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_a_folder_without_git_builds_and_says_so(monkeypatch, tmp_path):
    root = checkout(tmp_path / "other")
    use(monkeypatch, root)
    first = build("faces")
    (root / ".git").rename(root / "no-git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert build("faces").commit == "unknown"
    assert build("faces").sha256 == first.sha256


@pytest.mark.parametrize("module", [client, image, inputs, kernel_build, metadata, places])
def test_docstring_examples_pass(module):
    tried = doctest.testmod(module)
    assert tried.attempted
    assert not tried.failed
