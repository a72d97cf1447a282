"""Invalid values for every option of every command of dfd and kernels, found by walking their parsers."""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

from dfd.cli import COMMANDS, app, main
from dfd.cli.options import a_file, a_folder, a_new_file, a_new_folder, a_place
from kernels.__main__ import app as kernels_app
from kernels.__main__ import main as kernels_main

pytestmark = pytest.mark.slow

PROGRAMS = {"dfd": (app, main), "kernels": (kernels_app, kernels_main)}
KERNELS = (
    "build", "check", "simulate", "push", "run", "publish", "status", "logs", "output", "wheelhouse",
)  # fmt: skip
ASKS_KAGGLE = ("push", "run", "publish", "status", "logs", "output", "wheelhouse")
HUGE = "1" + "0" * 30
WRONG = {"int": ("x", "1.5", "-1", HUGE, "nan", "inf"), "float": ("x", "-1", "1e30", "nan", "inf")}
TEXTS = ("a\nb", "a\0b", "x" * 10_000, "\udcff", " ", "{}", "../..", "=")
PLACES = (a_place, a_file, a_folder, a_new_file, a_new_folder)
SPOKEN_FOR = {"VIDEOS", "--identity-weights", "--folds-of", "--blend.mesh", "--model.weights"}
"""Paths that may be a file or a folder, or are settings of a stage: their readers report what is wrong."""
EVERY = [*(("dfd", path.split(":")[1]) for path in COMMANDS), *(("kernels", name) for name in KERNELS)]


@cache
def options(program, command):
    """The command's arguments without settings groups."""
    return [one for one in PROGRAMS[program][0][command].assemble_argument_collection() if not one.children]


@cache
def first_with(name):
    """The first of the commands that share a stage's setting, such as --clip.length."""
    return next(pair for pair in EVERY if any(option.name == name for option in options(*pair)))


def kind(option):
    """int, float or Path; "" for anything else."""
    hint = str(option.hint)
    if "tuple" in hint or ("int" in hint and "Path" in hint):  # a number or a folder: both are tried by hand
        return ""
    return next((name for name in ("float", "int", "Path") if name in hint), "")


def place(option):
    """What the option's validator requires of a path."""
    found = [check for check in PLACES if check in (option.parameter.validator or ())]
    return found[0] if found else None


def wrong_places(option, folder):
    """Paths that the option must refuse."""
    file, deep = folder / "file", folder / "file" / "below"
    return {a_place: [], a_file: [folder], a_folder: [file], a_new_file: [folder, deep], a_new_folder: [file, deep]}[
        place(option)
    ]


def given(program, command, folder, value=None, option=None):
    """A complete command line with nonexistent paths, so that no work begins if a value is accepted."""
    line = [command]
    for one in options(program, command):
        is_it = option is not None and one.name == option.name
        if not is_it and not one.required:
            continue
        text = str(value) if is_it else str(folder / "none" / "at all")
        line += [text] if one.index is not None else [f"{one.name}={text}"]
    return line


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command that must fail with one line and leave the folder unchanged; return the line."""
    (tmp_path / "file").write_text("not what is wanted")

    def run(program, line):
        with pytest.raises(SystemExit) as stop:
            PROGRAMS[program][1](line)
        out, error = capsys.readouterr()
        assert (stop.value.code in (1, 2), out, error.count("\n")) == (True, "", 1), (line, error)
        assert error.startswith(f"{program}: "), error
        assert [path.name for path in tmp_path.iterdir()] == ["file"], line
        return error

    return run


def test_every_command_is_covered():
    assert {name for name in kernels_app if not name.startswith("-")} == set(KERNELS)
    assert len(EVERY) == len(COMMANDS) + len(KERNELS)
    assert sum(kind(option) in ("int", "float") for pair in EVERY for option in options(*pair)) > 100


@pytest.mark.parametrize(("program", "command"), EVERY)
def test_an_invalid_number_is_refused_with_the_option_name(refused, tmp_path, program, command):
    """Refused before anything is opened: the given paths do not exist, yet the error names the option."""
    for option in options(program, command):
        if kind(option) not in WRONG or ("." in option.name and (program, command) != first_with(option.name)):
            continue
        for value in WRONG[kind(option)]:
            error = refused(program, given(program, command, tmp_path, value, option))
            leaf = option.name.lstrip("-").rpartition(".")[2].replace("-", "_")
            assert option.name in error or f"{leaf} is" in error, (option.name, value, error)


@pytest.mark.parametrize(("program", "command"), EVERY)
def test_a_wrong_path_is_refused_with_the_option_name(refused, tmp_path, program, command):
    for option in options(program, command):
        if kind(option) != "Path" or option.name in SPOKEN_FOR:
            continue
        assert place(option), f"{program} {command} {option.name} says not what it is: see dfd/cli/options.py"
        for path in wrong_places(option, tmp_path):
            error = refused(program, given(program, command, tmp_path, path, option))
            assert f"{option.name} is {path}" in error


@pytest.mark.parametrize(("program", "command"), EVERY)
def test_an_empty_value_is_refused_with_the_option_name(refused, tmp_path, program, command):
    for option in options(program, command):
        if option.index is None and kind(option):
            assert f"there is nothing after {option.name}" in refused(program, [command, f"{option.name}="])
    for empty in ("", "  "):
        assert f"there is nothing after {command}" in refused(program, [command, empty])


@pytest.mark.parametrize(("program", "command"), [pair for pair in EVERY if pair[1] not in ASKS_KAGGLE])
def test_an_invalid_text_value_is_a_one_line_error(refused, tmp_path, program, command):
    """For options that take neither a number nor a path."""
    for option in options(program, command):
        if kind(option) == "" and option.hint is not bool and option.name.count(".") == 0:
            for value in TEXTS:
                assert len(refused(program, given(program, command, tmp_path, value, option))) < 2100


def test_a_non_utf8_name_is_a_one_line_error(refused, tmp_path):
    """Settings are saved as JSON."""
    line = ["sheet", str(tmp_path / "none"), f"--out={tmp_path / 'out'}", "--blend.mesh=\udce9"]
    assert "'\\udce9' in a name is not UTF-8: rename it" in refused("dfd", line)


def test_an_impossible_clip_is_refused_even_without_a_model(refused):
    assert "--clip is 'x': give frames, height and width" in refused("dfd", ["models", "--clip=x"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_usage_is_a_one_line_error(refused, program):
    for line in (["fly"], ["--wings"], [""], ["\udcff"], ["x" * 100_000]):
        refused(program, line)


@pytest.mark.parametrize("value", ["{}", "[]", "1", "length", '{"length": "x"}', '{"wings": 1}'])
def test_an_invalid_settings_group_is_refused(refused, tmp_path, value):
    refused("dfd", ["train", str(tmp_path / "none"), f"--out={tmp_path / 'out'}", f"--clip={value}"])


def test_an_impossible_path_is_a_one_line_error(refused, tmp_path):
    for path in ("x" * 5000, str(tmp_path / ("y" * 300)), "a\0b"):
        for line in (["score", path], ["faces", path, f"--out={path}"], ["predict", path], ["audit", path]):
            assert len(refused("dfd", line)) < 2100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_an_unreadable_or_unwritable_path_is_named(refused, tmp_path):
    (tmp_path / "file").chmod(0)
    assert "may not be read" in refused("dfd", ["score", str(tmp_path / "file")])
    tmp_path.chmod(0o500)
    assert "may not be written to" in refused("dfd", ["sample", str(tmp_path / "new")])
    tmp_path.chmod(0o700)


def test_a_device_is_never_replaced(refused):
    """Renaming a submission to /dev/null would replace the device."""
    error = refused("dfd", ["predict", "none.mp4", "--out=/dev/null"])
    assert "--out is /dev/null: that is not a regular file" in error
    assert Path("/dev/null").is_char_device()


def test_a_disk_failure_is_a_one_line_error(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dfd", "score", "/proc/self/mem"])
    assert "/proc/self/mem" in refused("dfd", None)
