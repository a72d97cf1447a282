"""`python -m kernels VERB NAME`: exit status 0 done, 1 an error in one line, 2 wrong usage."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dfd.cli import run as run_command
from dfd.cli.options import FILE, FOLDER, MINUTES, NEW_FOLDER
from dfd.report import terminal as show
from kernels import KernelError, client, follow, places, upload
from kernels import image as images
from kernels.attach import NOTHING, Given
from kernels.build import build as make
from kernels.check import faults
from kernels.metadata import OWNER, read_metadata
from kernels.push import PushOptions, run_all
from kernels.push import push as send
from kernels.simulate import Rehearsal
from kernels.simulate import simulate as rehearse

Name = Annotated[str, Parameter(help="faces, train or predict; as in faces-notebook it is pushed as a notebook.")]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", negative=(), help="A setting of main.py, as in hours=8 or recipe=tiny; repeat it."),
]
Latest = Annotated[bool, Parameter(negative=(), help="In Kaggle's newest image, not in the pinned one.")]
Labels = Annotated[
    Path | None, Parameter(help="Of the scored videos: a CSV filename,label or a metadata.json."), FILE
]  # fmt: skip

app = App(name="python -m kernels", help="Build, check, rehearse and push a kernel: faces, train or predict.")


@app.command
def build(name: Name, /, *, set_: Set = (), latest: Latest = False) -> None:
    """Write build/NAME/main.py, main.ipynb and kernel-metadata.json: one script, one notebook, dfd packed into each."""
    built = make(name, OWNER, settings(set_), (), latest)
    size = len(built.code.encode()) / 1000
    show.say(f"Built {places.shown(built.folder)}: {size:.0f} kB, commit {built.commit}, content {built.sha256[:12]}.")
    show.say(f"Next: make kernel-check KERNEL={name}")


@app.command
def check(name: Name, /, *, set_: Set = (), latest: Latest = False) -> None:
    """Build NAME, and list what Kaggle would refuse or ignore in it."""
    found = faults(make(name, OWNER, settings(set_), (), latest))
    for fault in found:
        show.say(fault)
    if found:
        raise KernelError(f"kernel {name} has {len(found)} faults")
    show.say(f"Kernel {name} is ready to be pushed. Its owner is still {OWNER}: a push fills it in.")
    show.say(f"Next: make kernel-simulate KERNEL={name}")


@app.command
def simulate(name: Name, /, *, set_: Set = (), options: Rehearsal = Rehearsal(), given: Given = NOTHING) -> None:  # noqa: B008
    """Rehearse NAME here under Kaggle's conditions: inputs, packages, no network, limits; then validate and score."""
    rehearse(name, settings(set_), options, given)
    show.say(f"Next: make kernel-push KERNEL={name}")


@app.command
def push(name: Name, /, *, set_: Set = (), options: PushOptions = PushOptions(), given: Given = NOTHING) -> None:  # noqa: B008
    """Build, check and push NAME as committed; it runs at once."""
    send(name, client.account(), settings(set_), given, options)
    still = "It does not run: run it on its page."
    show.say(still if options.no_run else f"Next: make kernel-status KERNEL={name}")


@app.command
def run(*, set_: Set = (), latest: Latest = False, labels: Labels = None) -> None:
    """Run faces, train and predict on Kaggle one after the other, waiting for each; fetch and score the submission.

    Stopped, it continues where it was: what is done with the same code and settings is not done again. --set changes a
    setting of each kernel that has it, as in recipe=tiny, or of one, as in train.hours=8.
    """
    run_all(client.account(), settings(set_), latest)
    output("predict", labels=labels)


@app.command
def publish(bundle: Annotated[Path, FOLDER], /, *, name: str = "detector", licence: str = upload.LICENCE) -> None:
    """Publish a bundle as the newest version of the private Kaggle Model OWNER/dfd/pyTorch/NAME, with its card.

    Args:
        bundle: A folder that `dfd bundle` made.
        name: Of the model's variation.
        licence: One of Kaggle's licences for models.
    """
    account = client.account()
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as scratch:
        model = upload.model(bundle, name, account, Path(scratch))
        upload.send(model, licence)
    show.say(f"Model {model.name} is ready, content {model.identity[:12]}, {licence}.")
    show.say(f"Next: make kernel-push KERNEL=predict BUNDLE={model.name}")


@app.command
def status(name: Name, /, *, wait: Annotated[float, MINUTES] = 0) -> None:
    """Print the state of the last version of NAME; exit status 1 when it failed.

    Args:
        wait: Minutes to wait for its end.
    """
    kernel = _kernel(name)
    state = follow.status(name, kernel, wait)
    show.say(f"{kernel} is {state.lower()}.")
    show.say(f"Next: make kernel-{'output' if state == 'COMPLETE' else 'status'} KERNEL={name}")


@app.command
def logs(name: Name, /) -> None:
    """Print the log of the last version of NAME."""
    print(follow.log(_kernel(name)), end="")


@app.command
def output(
    name: Name, /, *, out: Annotated[Path | None, NEW_FOLDER] = None, labels: Labels = None, pin: bool = False
) -> None:
    """Fetch the output of the last version of NAME; validate a submission, and score it with labels.

    Args:
        out: Folder; build/NAME/output if not given.
        pin: From now on run kernels in the image in which this one ran, by kernels/image.json.
    """
    folder = out or places.built(name) / "output"
    follow.fetch(name, _kernel(name), folder)
    show.say(f"Fetched into {places.shown(folder)}.")
    follow.report(folder, labels)
    if pin:
        images.move(follow.read_report(folder))
        show.say(f"{places.shown(places.source('image.json'))} pins the image it ran in: commit it.")


@app.command(name="wheelhouse")
def gather(*, relock: bool = False, push: bool = False) -> None:
    """Gather the wheels that Kaggle's image lacks in build/wheelhouse.

    Args:
        relock: Rewrite kernels/wheelhouse.json, after a change of requirements.txt.
        push: Upload them as the newest version of the dataset dfd-wheelhouse.
    """
    account = client.account() if push else ""
    folder = images.gather_wheels(relock)
    size = sum(path.stat().st_size for path in folder.iterdir())
    show.say(f"{len(list(folder.glob('*.whl')))} wheels in {places.shown(folder)}: {size / 1e6:.0f} MB.")
    if push:
        with tempfile.TemporaryDirectory(prefix="dfd-dataset-") as scratch:
            sent = upload.dataset(folder, "wheels", f"{account}/dfd-wheelhouse", Path(scratch))
            upload.send(sent)
        show.say(f"Dataset {sent.name} is ready, content {sent.identity[:12]}.")
    show.say(f"Next: make kernel-{'push' if push else 'simulate'} KERNEL=faces")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit status."""
    run_command(app, "kernels", arguments, "stopped")


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse settings NAME=VALUE, with values as JSON where possible. Raises KernelError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise KernelError(f"--set {text!r}: name=value is wanted")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _kernel(name: str) -> str:
    """owner/slug of a kernel of the current account."""
    return str(read_metadata(name, client.account())["id"])


if __name__ == "__main__":
    main()
