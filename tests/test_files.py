import ast
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from dfd import files
from dfd.errors import ConfigError
from dfd.models.checkpoint import Header, write_checkpoint
from dfd.scoring.submission import write_submission
from dfd.training.fit import train

ROOT = Path(__file__).resolve().parents[1]
HELD = 200_000
"""Bytes of a file that is written many times: more than one write call handles."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_only_the_requested_file_is_written(tmp_path):
    with files.whole(tmp_path / "a.csv") as partial:
        partial.write_text("half")
        assert not (tmp_path / "a.csv").exists()
        partial.write_text("whole")
    assert (tmp_path / "a.csv").read_text() == "whole"
    assert names(tmp_path) == ["a.csv"]


def write_half(path, error):
    with files.whole(path) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_unchanged(tmp_path, error):
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        with pytest.raises(error):
            write_half(tmp_path / name, error)
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_an_unwritable_path_raises_os_error_and_leaves_no_file(tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "file").touch()
    for place in (tmp_path / "folder", tmp_path / "file" / "a.csv"):
        with pytest.raises(OSError, match="folder|file"):
            files.write_bytes(place, b"")
    assert names(tmp_path) == ["file", "folder"]


def test_the_parent_folder_is_created(tmp_path):
    files.write_text(tmp_path / "new" / "newer" / "a", "a", durable=True)
    assert (tmp_path / "new" / "newer" / "a").read_text() == "a"


def test_text_keeps_line_endings_and_json_is_indented(tmp_path):
    files.write_text(tmp_path / "a", "a\r\nb\rc\nä")
    files.write_json(tmp_path / "b", {"a": [1, "ä"]})
    assert (tmp_path / "a").read_bytes() == "a\r\nb\rc\nä".encode()
    assert (tmp_path / "b").read_bytes() == b'{\n "a": [\n  1,\n  "\\u00e4"\n ]\n}\n'


def write_often(path, letter):
    for _ in range(200):
        files.write_bytes(path, letter.encode() * HELD)


def write_often_in_a_process(path, letter):
    code = "import sys; from dfd.files import Path, write_bytes\n"
    code += f"for _ in range(200): write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * {HELD})"
    subprocess.run([sys.executable, "-c", code, path, letter], check=True)


@pytest.mark.parametrize("write", [write_often, write_often_in_a_process])
def test_two_writers_of_one_file_leave_one_whole_file(tmp_path, write):
    """A concurrent reader also finds one complete file."""
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"a" * HELD)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, path, letter) for letter in "ab"]
        found = {path.read_bytes()}
        while not all(writer.done() for writer in writers):
            found.add(path.read_bytes())
        for writer in writers:
            writer.result()
    assert found | {path.read_bytes()} <= {b"a" * HELD, b"b" * HELD}
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "new" / "folder"
    for name in "ab":
        with files.whole_folder(folder) as partial:
            (partial / name).write_text(name)
        assert names(folder) == [name]
    (tmp_path / "link").symlink_to(folder)
    with files.whole_folder(tmp_path / "link") as partial:
        (partial / "c").touch()
    assert names(folder) == ["c"]
    assert names(tmp_path / "new") == ["folder"]


def test_an_exception_leaves_the_old_folder_unchanged(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.whole_folder(tmp_path / "a"):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is the current folder"), files.whole_folder(Path()):
        pass
    assert names(tmp_path.parent).count(tmp_path.name) == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_never_replaces_one(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    files.write_new(tmp_path / "a", "first")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["a.csv", ".hidden", "ü" * 127 + "u", "n" * 255])
def test_temporary_names_are_unique_hidden_and_short_enough(tmp_path, name):
    path = tmp_path / name
    partials = [files.partial_path(path) for _ in range(100)]
    assert len(set(partials)) == 100
    assert all(p.parent == tmp_path and p.match(f".*{files.PARTIAL}") for p in partials)
    files.write_text(path, "whole")
    assert names(tmp_path) == [name]


@pytest.fixture
def synced(monkeypatch):
    """The fsync calls in order: (inode, whether it is a folder)."""
    asked = []

    def spy(handle, fsync=os.fsync):
        about = os.fstat(handle)
        asked.append((about.st_ino, stat.S_ISDIR(about.st_mode)))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    return asked


def reached(synced, path):
    """Whether the current file was synced, and its folder after it."""
    file, folder = (path.stat().st_ino, False), (path.parent.stat().st_ino, True)
    return file in synced and folder in synced[synced.index(file) :]


def test_durable_syncs_the_file_and_then_its_folder(tmp_path, synced):
    path = tmp_path / "a.csv"
    with files.whole(path, durable=True) as partial:
        partial.touch()
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    for write, value in ((files.write_bytes, b""), (files.write_text, ""), (files.write_json, {})):
        write(path, value, durable=True)
        assert reached(synced, path)


def test_nondurable_writes_do_not_sync(tmp_path, synced):
    for write, value in ((files.write_bytes, b""), (files.write_text, ""), (files.write_json, {})):
        write(tmp_path / "a", value)
    assert synced == []


def test_a_file_that_fails_to_sync_does_not_replace_the_old_one(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(5, "Input/output error")

    files.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        files.write_text(tmp_path / "a", "new", durable=True)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_submission_survives_a_power_loss(tmp_path, synced):
    write_submission(tmp_path / "submission.csv", {"a.mp4": 0.25})
    assert reached(synced, tmp_path / "submission.csv")


def test_a_run_survives_a_power_loss(small_store, small_recipe, tmp_path, synced):
    """Settings, Lightning's checkpoint, ours and the done mark are synced. No temporary file is left."""
    checkpoint = train(small_store.records(), small_store, small_recipe, tmp_path / "run")
    assert all(reached(synced, path) for path in (checkpoint, tmp_path / "run/config.json", tmp_path / "run/done"))
    assert not list(tmp_path.rglob(f"*{files.PARTIAL}"))
    about = torch.load(checkpoint, weights_only=True)
    for place in (tmp_path / "a.pt", tmp_path / "another name.pt"):
        write_checkpoint(place, Header(**about["dfd"]), about["state_dict"])
        assert reached(synced, place)
    assert files.sha256(tmp_path / "a.pt") == files.sha256(tmp_path / "another name.pt")


def test_sweep_removes_only_temporary_files_older_than_a_day(tmp_path):
    (tmp_path / "below").mkdir()
    kept = [tmp_path / name for name in ("a.csv", "a.partial", ".hidden", ".new.1.partial", "below/.new.2.partial")]
    left = [tmp_path / name for name in (".old.1.partial", "below/.old.2.partial")]
    for path in (*kept, *left):
        path.touch()
        age = 0 if ".new" in path.name else files.STALE + 60
        os.utime(path, (time.time() - age,) * 2)
    files.sweep(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_sweep_of_a_missing_folder_does_nothing(tmp_path):
    files.sweep(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_sha256_of_known_bytes(tmp_path, content, wanted):
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == wanted
    (tmp_path / "a").write_bytes(content * 1_000_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content * 1_000_000).hexdigest()


EXCEPTED = {
    "dfd/files.py": "is the one",
    "dfd/sample.py": "moves a wheel that pip has loaded",
    "dfd/faces/store.py": "names a film by its content",
}


def by_hand(source: str) -> Iterator[str]:
    """Calls in a module's source that write or hash a file directly: line and call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".partial"):
            yield f"{node.lineno}: a temporary name"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "hashlib"):
            yield from (
                f"{node.lineno}: {of.name}" for of in node.names if of.name in ("replace", "rename", "file_digest")
            )
        if not isinstance(node, ast.Call):
            continue
        call, (of, _, name) = ast.unparse(node), ast.unparse(node.func).rpartition(".")
        given = [*node.args, *node.keywords]  # str.replace takes two arguments, Config.replace keywords
        alone = len(given) == 1 and (bool(node.args) or node.keywords[0].arg == "target")
        if (name in ("replace", "rename") and of and (of == "os" or alone)) or name == "file_digest":
            yield f"{node.lineno}: {call}"
        if name in ("sha256", "sha1", "md5") and ".read" in call:
            yield f"{node.lineno}: {call}"


@pytest.mark.parametrize(
    "source",
    [
        'partial = path.with_name(f".{path.name}.partial")',
        'partial = out / ".config.json.partial"',
        'partial = path.with_name(f".{path.name}.{os.getpid()}.partial")',
        "os.replace(partial, path)",
        "os.rename(partial, path)",
        "partial.replace(path)",
        "partial.rename(path)",
        "partial.replace(target=path)",
        '(place / partial).replace(place / "faces.tar")',
        'hashlib.file_digest(file, "sha256")',
        "from hashlib import file_digest",
        "from os import replace",
        "hashlib.sha256(path.read_bytes()).hexdigest()",
        "sha256(file.read())",
    ],
)
def test_handwritten_file_access_is_detected(source):
    assert list(by_hand(source))


@pytest.mark.parametrize(
    "source",
    [
        'name.replace("-", "_")',
        "config.replace(weights=None)",
        "replace(config, weights=None)",
        "dataclasses.replace(config, weights=None)",
        "hashlib.sha256(text.encode()).hexdigest()",
        "with whole(path) as partial: partial.touch()",
        "files.sha256(path)",
    ],
)
def test_other_calls_are_not_flagged(source):
    assert not list(by_hand(source))


def test_only_one_module_writes_and_hashes_files():
    modules = {p.relative_to(ROOT).as_posix(): p for part in ("dfd", "kernels") for p in (ROOT / part).rglob("*.py")}
    found = {name: list(by_hand(path.read_text(encoding="utf-8"))) for name, path in modules.items()}
    assert "dfd/training/fit.py" in found
    assert all(found[name] for name in EXCEPTED), "an exception that is none any more"
    assert {name: lines for name, lines in found.items() if lines and name not in EXCEPTED} == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"a\.json cannot be read \(No such file or directory\): make it again$"),
        (b"{", r"a\.json is not JSON \(.*\): make it again$"),
        (b'"\xff"', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", r"a\.json holds no JSON object: make it again$"),
    ],
)
def test_a_malformed_json_file_is_an_error_with_its_remedy(tmp_path, data, message):
    path = tmp_path / "a.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        files.read_object(path, ConfigError, "make it again")


def test_json_is_read_as_written(tmp_path):
    files.write_json(tmp_path / "a.json", {"é": [1, None]})
    assert files.read_object(tmp_path / "a.json", ConfigError, "") == {"é": [1, None]}
    files.write_json(tmp_path / "b.json", ["a"])
    assert files.read_json(tmp_path / "b.json", ConfigError, "") == ["a"]
