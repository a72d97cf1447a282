"""`python -m kernels VERB NAME`: exit status 0 done, 1 an error in one line, 2 wrong usage."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dfd.cli import run as run_command
from dfd.cli.options import FILE, FOLDER, MINUTES, NEW_FOLDER
from dfd.report import terminal as show
from kernels import KernelError, client, follow, inputs, pipeline, places, upload, wheelhouse
from kernels import image as images
from kernels import resume as resuming
from kernels.build import OWNER, Built, Sources, earlier, read_metadata
from kernels.build import build as make
from kernels.check import faults
from kernels.push import Order, check_given
from kernels.push import push as send
from kernels.report import report
from kernels.sandbox import Limits
from kernels.simulate import Layout, Rehearsal
from kernels.simulate import simulate as rehearse

app = App(name="python -m kernels", help="Build, check, rehearse and push a kernel: faces, train or predict.")
MINI = Path("work/mini-dfdc")
Name = Annotated[str, Parameter(help="faces, train or predict; as in faces-notebook it is pushed as a notebook.")]
Flag = Annotated[bool, Parameter(negative=())]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", negative=(), help="A setting of main.py, as in hours=8 or recipe=tiny; repeat it."),
]
Owner = Annotated[str, Parameter(help="Your Kaggle account; a push fills it in.")]
Latest = Annotated[bool, Parameter(negative=(), help="In Kaggle's newest image, not in the pinned one.")]
Labels = Annotated[
    Path | None, Parameter(help="Of the scored videos: a CSV filename,label or a metadata.json."), FILE
]  # fmt: skip
Bundle = Annotated[Path | None, FOLDER]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of `build` and `check`."""

    owner: Owner = ""
    set_: Set = ()
    resume: bool = False
    """Resume from what the last version left."""
    latest: Latest = False

    def make(self, name: str) -> Built:
        """Build the kernel `name` into its folder."""
        sources = Sources(earlier="" if self.resume else None, latest=self.latest)
        return make(name, self.owner, _settings(self.set_), sources)


@app.command
def build(name: Name, /, *, options: BuildOptions = BuildOptions()) -> None:
    """Write build/NAME/main.py, main.ipynb and kernel-metadata.json: one script, one notebook, dfd packed into each."""
    built = options.make(name)
    size = len(built.code.encode()) / 1000
    show.say(f"Built {places.shown(built.folder)}: {size:.0f} kB, commit {built.commit}, content {built.sha256[:12]}.")
    show.say(f"Next: make kernel-check KERNEL={name}")


@app.command
def check(name: Name, /, *, options: BuildOptions = BuildOptions()) -> None:
    """Build NAME, and list what Kaggle would refuse or ignore in it."""
    found = faults(options.make(name))
    for fault in found:
        show.say(fault)
    if found:
        raise KernelError(f"kernel {name} has {len(found)} faults")
    owner = "" if options.owner else f" Its owner is still {OWNER}: a push fills it in."
    show.say(f"Kernel {name} is ready to be pushed.{owner}")
    show.say(f"Next: make kernel-simulate KERNEL={name}")


@app.command
def simulate(
    name: Name,
    /,
    *,
    competition: Annotated[Path, FOLDER] = MINI,
    labels: Labels = None,
    source: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    bundle: Bundle = None,
    set_: Set = (),
    resume: bool = False,
    layout: Layout = "long",
    exact: bool = False,
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> None:
    """Rehearse NAME here under Kaggle's conditions: inputs, packages, no network, limits; then validate and score.

    Args:
        competition: A folder like the competition's, with test_labels.csv if its test videos are to be scored.
        source: A folder for a dataset or a kernel's output, as in dfd-train=FOLDER; repeat it.
        bundle: For predict: a bundle made here, attached as a model.
        resume: Resume from what the last rehearsal of NAME left, with its settings.
        layout: long: /kaggle/input/datasets/<owner>/<slug>; short: /kaggle/input/<slug>. Kaggle uses both.
        exact: With the image's Python and exact versions, from the registry: once, minutes and gigabytes.
    """
    known = competition / "test_labels.csv"
    folders = {slug: Path(folder) for slug, folder in _pairs(source, "--source").items()}
    here = Rehearsal(competition, labels or (known if known.is_file() else None), folders, layout, limits, exact)
    settings, sources = _settings(set_), Sources()
    with tempfile.TemporaryDirectory(prefix="dfd-attached-") as scratch:
        if resume:
            output = folders.get(f"dfd-{name}", places.output(name))
            left = resuming.from_folder(name, output, OWNER, settings, Path(scratch) / "left")
            folders[earlier(name)], settings = left.upload.staged, left.settings
            sources = Sources(earlier=left.upload.identity)
        if bundle:
            check_given(name, "bundle", str(bundle))
            folders[upload.MODEL] = Path(scratch) / "bundle"
            inputs.stage(bundle, folders[upload.MODEL], "bundle")
            sources = Sources(f"{upload.variation(OWNER, 'bundle')}/1")
        rehearse(make(name, "", settings, sources), here)
    show.say(f"Next: make kernel-push KERNEL={name}")


@app.command
def push(
    name: Name,
    /,
    *,
    bundle: Bundle = None,
    faces: Annotated[Path | None, FOLDER] = None,
    set_: Set = (),
    resume: bool = False,
    latest: Latest = False,
    wait: Annotated[float, MINUTES] = 0,
    no_run: Flag = False,
) -> None:
    """Build, check and push NAME as committed; it runs at once.

    Args:
        bundle: For predict: a bundle made here, published as a model, or a model as in you/dfd/pyTorch/detector/1.
        faces: For train: a dataset of faces made here, in place of what kernel faces made.
        resume: Resume from what the last version left, with its settings.
        wait: Minutes to try again while no session of your account is free.
        no_run: Save the version on Kaggle without running it.
    """
    given = {kind: str(source) for kind, source in (("bundle", bundle), ("faces", faces)) if source is not None}
    for kind, source in given.items():
        check_given(name, kind, source)
    instead = next(iter(given.values()), "")
    order = Order(name, client.account(), _settings(set_), instead, resume, latest, wait, not no_run)
    pushed = send(order)
    show.say(f"Pushed {pushed.name}, version {pushed.version}, commit {pushed.commit}: {pushed.url}")
    show.say("It does not run: run it on its page." if no_run else f"Next: make kernel-status KERNEL={name}")


@app.command
def run(*, set_: Set = (), latest: Latest = False, labels: Labels = None) -> None:
    """Run faces, train and predict on Kaggle one after the other, waiting for each; fetch and score the submission.

    Stopped, it continues where it was: what is done with the same code and settings is not done again. --set changes a
    setting of each kernel that has it, as in recipe=tiny, or of one, as in train.hours=8.
    """
    pipeline.run_all(client.account(), _settings(set_), latest)
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
        sent = upload.model(bundle, name, account, Path(scratch))
        sent.send(licence)
    show.say(f"Model {sent.name} is ready, content {sent.identity[:12]}, {licence}.")
    show.say(f"Next: make kernel-push KERNEL=predict BUNDLE={sent.name}")


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
    print(follow.log(_kernel(name), places.built(name) / "output"), end="")


@app.command
def output(
    name: Name,
    /,
    *,
    out: Annotated[Path | None, NEW_FOLDER] = None,
    labels: Labels = None,
    everything: bool = False,
) -> None:
    """Fetch the output of the last version of NAME; validate a submission, and score it with labels.

    Args:
        out: Folder; build/NAME/output if not given.
        everything: All files, checkpoints too.
    """
    folder = follow.fetch(name, _kernel(name), out or places.built(name) / "output", everything)
    show.say(f"Fetched into {places.shown(folder)}.")
    report(folder, labels)


@app.command
def image(name: Name, /, *, move: bool = False) -> None:
    """Compare the image that the last version of NAME ran in with the pinned one.

    Args:
        move: Pin that image from now on, in kernels/image.json.
    """
    found = follow.image(_kernel(name))
    rows = images.differences(images.pinned(), found)
    show.table(rows) if rows else show.say(f"It ran in the pinned image, {found.docker_image}.")
    if move and rows:
        images.move(found)
        show.say(f"{places.shown(places.source('image.json'))} pins {found.docker_image}: commit it.")
        show.say(f"Next: make kernel-simulate KERNEL={name} EXACT=1")


@app.command(name="wheelhouse")
def gather(*, relock: bool = False, push: bool = False) -> None:
    """Gather the wheels that Kaggle's image lacks in build/wheelhouse.

    Args:
        relock: Rewrite kernels/wheelhouse.json, after a change of requirements.txt.
        push: Upload them as the newest version of the dataset dfd-wheelhouse.
    """
    account = client.account() if push else ""
    folder = wheelhouse.gather(relock)
    size = sum(path.stat().st_size for path in folder.iterdir())
    show.say(f"{len(list(folder.glob('*.whl')))} wheels in {places.shown(folder)}: {size / 1e6:.0f} MB.")
    if push:
        with tempfile.TemporaryDirectory(prefix="dfd-dataset-") as scratch:
            sent = upload.dataset(folder, "wheels", f"{account}/dfd-wheelhouse", Path(scratch))
            sent.send()
        show.say(f"Dataset {sent.name} is ready, content {sent.identity[:12]}.")
    show.say(f"Next: make kernel-{'push' if push else 'simulate'} KERNEL=faces")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit status."""
    run_command(app, "kernels", arguments, "stopped")


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse settings NAME=VALUE, with values as JSON where possible."""
    found: dict[str, Any] = {}
    for key, text in _pairs(texts, "--set").items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Parse texts NAME=VALUE, by name. Raises KernelError."""
    for text in texts:
        if "=" not in text:
            raise KernelError(f"{option} {text!r}: name=value is wanted")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _kernel(name: str) -> str:
    """owner/slug of a kernel of the current account."""
    return str(read_metadata(name, client.account())["id"])


if __name__ == "__main__":
    main()
