"""README and docs: links point to existing files and headings; commands of dfd, make and benchmarks exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfd.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
COMMANDS = ("dfd ", "make ", "python -m ")
WORDS_BEFORE_MORE = 900


def commands(page: Path) -> Iterator[str]:
    """Commands of a page: lines of indented blocks, and text between backquotes; a `\\` joins lines."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    for command in (*lines, *re.findall(r"`([^`]+)`", text)):
        command = re.split(r"\s{2,}(?=[a-zA-Z])|\s+#", command)[0].strip()  # drop a remark to its right
        if command.startswith(COMMANDS) and "…" not in command:
            yield command


def on_pages(prefix: str) -> list[str]:
    return sorted({command for page in PAGES for command in commands(page) if command.startswith(prefix)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_points_to_a_file_and_heading(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings], link


def test_the_pages_contain_commands():
    assert len(on_pages("dfd ")) > 15
    assert len(on_pages("make ")) > 10


@pytest.mark.parametrize("command", on_pages("dfd "))
def test_every_dfd_command_parses(command, tmp_path, monkeypatch):
    """The command and its options exist; their values and files are not checked."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    name = words[0]
    if len(words) == 1:  # "dfd train" in a sentence
        assert name in app, command
        return
    arguments = app[name].assemble_argument_collection()
    known = {option for argument in arguments for option in argument.names}
    if not words[1].startswith("--"):  # whole: "dfd faces --margin" names an option
        missing = [a.names for a in arguments if a.required and a.name.startswith("--") and not {*a.names} & {*words}]
        assert not missing, (command, missing)
    for word in words[1:]:
        if word.startswith("--"):
            assert word.split("=")[0] in known | {"--help", "--version"}, (command, word)


@pytest.mark.parametrize("command", on_pages("make "))
def test_every_make_command_exists(command):
    verb = shlex.split(command)[1]
    assert re.search(rf"^{re.escape(verb)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), command


@pytest.mark.parametrize("command", on_pages("python -m "))
def test_every_module_exists(command):
    module = ROOT / shlex.split(command)[2].replace(".", "/")
    assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), command


def test_readme_is_short_before_its_first_link_to_more():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, more, _ = text.partition("More: [")
    assert more
    assert len(before.split()) <= WORDS_BEFORE_MORE
