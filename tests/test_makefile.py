"""The commands that make would run: their order, and that dfd accepts their options. Nothing is trained."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dfd.cli import app

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def dry_run(*arguments):
    """Lines that make would run, with .venv taken as up to date."""
    command = ["make", "--dry-run", "--old-file", ".venv/.ready", *arguments]
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}  # make test sets it
    made = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return made.stdout.replace("\\\n", " ")


def commands(text):
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith(".venv/bin/dfd ")]


@pytest.mark.parametrize(("more", "recipes"), [((), ["dfdc", "blend"]), (("GPU=1",), ["dfdc-gpu", "blend-gpu"])])
def test_pretrained_makes_bundle_scores_and_card_from_two_folders(tmp_path, more, recipes):
    text = dry_run("pretrained", f"DATA={tmp_path}", f"WORK={tmp_path / 'work'}", "TERMS=my terms.md", *more)
    lines = [line for line in commands(text) if line[0] != "weights"]
    steps = ["faces", "faces", "train", "faces", "train", "bundle", "card"]
    assert [line[0] for line in lines] == steps
    assert [line[line.index("--recipe") + 1] for line in lines if line[0] == "train"] == recipes
    for line in lines:
        known = {name for argument in app[line[0]].assemble_argument_collection() for name in argument.names}
        assert {word for word in line if word.startswith("--")} <= known
    card = lines[-1]
    assert card[card.index("--terms") + 1] == "my terms.md"
    scores = [value for value in card if value.endswith("/score.json")]
    runs = [line[line.index("--out") + 1] for line in lines if line[0] == "train"]
    assert [value.partition("=")[2] for value in scores] == [f"{run}/score.json" for run in runs]


def test_a_card_of_other_data_omits_the_shipped_license_terms(tmp_path):
    lines = commands(dry_run("pretrained", f"DATA={tmp_path}", f"WORK={tmp_path / 'work'}"))
    assert "--terms" not in lines[-1]


@pytest.mark.slow
def test_mlflow_is_used_only_when_asked(tmp_path):
    for goal in ("train", "crossval"):
        asked, plain = (commands(dry_run(goal, f"WORK={tmp_path}", *more))[-1] for more in (["TRACK=1"], []))
        assert "--track" not in plain
        assert asked[asked.index("--track") + 1] == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_recipe_finetune_starts_from_the_detector(tmp_path):
    line = commands(dry_run("crossval", f"WORK={tmp_path}", f"VIDEOS={tmp_path}", "RECIPE=finetune"))[-1]
    assert line[line.index("--model.weights") + 1] == "dfd/pretrained/member-1.pt"
