"""`python -m kernels VERB NAME`: exit status 0 done, 1 an error in one line, 2 wrong usage."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dfd.cli import run as run_command
from dfd.cli.options import FILE, FOLDER, GIGABYTES, MINUTES, NEW_FOLDER, SECONDS
from dfd.report import terminal as show
from kernels import KernelError, client, datasets, follow, models, pipeline, places, wheelhouse
from kernels import image as images
from kernels import resume as resuming
from kernels.build import OWNER, Built, Sources, earlier, read_metadata
from kernels.build import build as make
from kernels.check import faults
from kernels.push import check_given, prepare
from kernels.push import push as push_built
from kernels.report import report
from kernels.sandbox import GIB, Limits
from kernels.simulate import simulate as rehearse

app = App(name="python -m kernels", help="Build, check, rehearse and push a kernel: faces, train or predict.")
Changes = Annotated[list[str], Parameter(name="--set", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
MINI = Path("work/mini-dfdc")


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """How a kernel is built.

    Args:
        owner: Your Kaggle account; a push fills it in.
        set_: A setting of main.py, as in hours=8 or recipe=tiny; repeat it.
        resume: Attach what the last version of the kernel left, to go on from.
        latest: In Kaggle's newest image, not in the pinned one.
    """

    owner: str = ""
    set_: Changes = ()  # type: ignore[assignment]
    resume: bool = False
    latest: Flag = False

    def build(self, name: str) -> Built:
        """Build the kernel `name` so."""
        return make(name, self.owner, _changes(self.set_), Sources(resume=self.resume, latest=self.latest))


@app.command
def build(name: str, /, *, options: Options = Options()) -> None:
    """Write build/NAME/main.py, main.ipynb and kernel-metadata.json: one script, one notebook, with dfd packed into it.

    Args:
        name: faces, train or predict; faces-notebook and so on push the notebook.
    """
    built = options.build(name)
    size = len(built.code.encode())
    show.say(
        f"Built {places.shown(built.folder)}: {size / 1000:.0f} kB, commit {built.commit}, content {built.sha256[:12]}."
    )
    show.say(f"Next: make kernel-check KERNEL={name}")


@app.command
def check(name: str, /, *, options: Options = Options()) -> None:
    """Build NAME, and list what Kaggle would refuse or ignore in it.

    Args:
        name: faces, train or predict.
    """
    found = faults(options.build(name))
    for fault in found:
        show.say(fault)
    if found:
        raise KernelError(f"{len(found)} faults in kernel {name}")
    waits = "" if options.owner else f" Its owner is still {OWNER}: a push fills it in."
    show.say(f"Kernel {name} is ready to be pushed.{waits}")
    show.say(f"Next: make kernel-simulate KERNEL={name}")


@app.command
def simulate(
    name: str,
    /,
    *,
    competition: Annotated[Path, FOLDER] = MINI,
    labels: Annotated[Path | None, FILE] = None,
    source: Annotated[list[str], Parameter(negative=())] = [],  # noqa: B006
    set_: Changes = [],  # noqa: B006
    bundle: Annotated[Path | None, FOLDER] = None,
    resume: bool = False,
    layout: str = "long",
    seconds: Annotated[float, SECONDS] = 32_400,
    memory: Annotated[float, GIGABYTES] = 31,
    disk: Annotated[float, GIGABYTES] = 20,
    exact: bool = False,
) -> None:
    """Rehearse NAME here under Kaggle's conditions: inputs, packages, no network, limits; then validate and score.

    Args:
        name: faces, train or predict.
        competition: A folder like the competition's.
        labels: Of its test videos; by default its test_labels.csv, if it is there.
        source: A folder for a dataset or a kernel's output, as in dfd-train=FOLDER; repeat it.
        set_: A setting of main.py, as in hours=8 or recipe=tiny; repeat it.
        bundle: For predict: a bundle made here, attached as a model.
        resume: Go on from what the last rehearsal of NAME left, with its settings.
        layout: long: /kaggle/input/datasets/<owner>/<slug>; short: /kaggle/input/<slug>. Kaggle uses both.
        seconds: Time limit.
        memory: Limit in GiB.
        disk: Limit of the output in GiB.
        exact: With the image's Python and exact versions, from the registry: once, minutes and gigabytes.
    """
    if layout not in ("long", "short"):
        raise KernelError(f"layout is {layout!r}: long or short is wanted")
    known = competition / "test_labels.csv"
    labels = labels or (known if known.is_file() else None)
    folders = {slug: Path(folder) for slug, folder in _pairs(source, "--source")}
    changes, sources = _changes(set_), Sources()
    if resume:
        left = resuming.from_folder(name, folders.get(f"dfd-{name}", places.output(name)), places.built(name) / "left")
        changes = resuming.settle(name, left.settings, changes)
        folders[earlier(name)], sources = left.folder, Sources(resume=True, identity=left.identity)
    if bundle:
        check_given(name, "bundle", str(bundle))
        folders["dfd"] = places.built(name) / "bundle"
        shutil.rmtree(folders["dfd"], ignore_errors=True)
        folders["dfd"].mkdir(parents=True)
        datasets.stage(bundle, folders["dfd"])
        sources = Sources(f"{models.variation(OWNER, 'bundle')}/1")
    built = make(name, None, changes, sources)
    limits = Limits(seconds, memory * GIB, disk * GIB)
    rehearse(built, competition, folders, layout == "long", limits, labels, exact)
    show.say(f"Next: make kernel-push KERNEL={name}")


@app.command
def push(
    name: str,
    /,
    *,
    set_: Changes = [],  # noqa: B006
    bundle: Annotated[Path | None, FOLDER] = None,
    faces: Annotated[Path | None, FOLDER] = None,
    resume: bool = False,
    latest: Flag = False,
    wait: Annotated[float, MINUTES] = 0,
    no_run: Flag = False,
) -> None:
    """Build, check and push NAME as committed; it runs at once.

    Args:
        name: faces, train or predict.
        set_: A setting of main.py, as in hours=8 or recipe=tiny; repeat it.
        bundle: For predict: a bundle made here, published as a model, or a model as in you/dfd/pyTorch/detector/1.
        faces: For train: a dataset of faces made here, in place of what kernel faces made.
        resume: Go on from what the last version left, with its settings.
        latest: In Kaggle's newest image, not in the pinned one.
        wait: Minutes to try again while no session of your account is free.
        no_run: Save the version on Kaggle without running it.
    """
    given = {kind: str(source) for kind, source in (("bundle", bundle), ("faces", faces)) if source is not None}
    for kind, source in given.items():
        check_given(name, kind, source)
    account = client.account()
    built = prepare(name, account, _changes(set_), next(iter(given.values()), ""), resume, latest)
    pushed = push_built(built, account, wait, no_run, show.say)
    show.say(f"Pushed {pushed.name}, version {pushed.version}, commit {built.commit}: {pushed.url}")
    show.say("It does not run: run it on its page." if no_run else f"Next: make kernel-status KERNEL={name}")


@app.command
def run(
    *,
    set_: Changes = [],  # noqa: B006
    latest: Flag = False,
    labels: Annotated[Path | None, FILE] = None,
) -> None:
    """Run faces, train and predict on Kaggle one after the other, waiting for each; fetch and score the submission.

    Stopped, it goes on where it was: what is done with the same code and settings is not done again.

    Args:
        set_: A setting of each kernel that has it, as in recipe=tiny, or of one, as in train.hours=8; repeat it.
        latest: In Kaggle's newest image, not in the pinned one.
        labels: Of the scored videos: a CSV filename,label or a metadata.json.
    """
    pipeline.run_all(client.account(), _changes(set_), latest, show.say)
    output("predict", labels=labels)


@app.command
def publish(bundle: Annotated[Path, FOLDER], /, *, name: str = "detector", licence: str = models.LICENCE) -> None:
    """Publish a bundle as the newest version of the private Kaggle Model OWNER/dfd/pyTorch/NAME, with its card.

    Args:
        bundle: A folder that `dfd bundle` made.
        name: Of the model's variation.
        licence: One of Kaggle's licences for models.
    """
    version, identity = models.publish(bundle, name, client.account(), licence)
    show.say(f"Model {version} is ready, content {identity[:12]}, {licence}.")
    show.say(f"Next: make kernel-push KERNEL=predict BUNDLE={version}")


@app.command
def status(name: str, /, *, wait: Annotated[float, MINUTES] = 0) -> None:
    """Print the state of the last version of NAME; exit status 1 when it failed.

    Args:
        name: faces, train or predict.
        wait: Minutes to wait for its end.
    """
    kernel = _kernel(name)
    state = follow.status(kernel, wait, show.say)
    show.say(f"{kernel} is {state.lower()}.")
    show.say(f"Next: make kernel-{'output' if state == 'COMPLETE' else 'status'} KERNEL={name}")


@app.command
def logs(name: str, /) -> None:
    """Print the log of the last version of NAME.

    Args:
        name: faces, train or predict.
    """
    print(follow.log(_kernel(name), places.built(name) / "output"), end="")


@app.command
def output(
    name: str,
    /,
    *,
    out: Annotated[Path | None, NEW_FOLDER] = None,
    labels: Annotated[Path | None, FILE] = None,
    everything: bool = False,
) -> None:
    """Fetch the output of the last version of NAME; validate a submission, and score it with labels.

    Args:
        name: faces, train or predict.
        out: Folder; build/NAME/output if not given.
        labels: Of the videos that it scored: a CSV filename,label or a metadata.json.
        everything: All files, checkpoints too.
    """
    folder = follow.fetch(name, _kernel(name), out or places.built(name) / "output", everything)
    show.say(f"Fetched into {places.shown(folder)}.")
    report(folder, labels)


@app.command
def image(name: str, /, *, move: bool = False) -> None:
    """Compare the image that the last version of NAME ran in with the pinned one.

    Args:
        name: faces, train or predict.
        move: Pin that image from now on, in kernels/image.json.
    """
    found = follow.image(_kernel(name))
    rows = images.differences(images.pinned(), found)
    show.table(rows) if rows else show.say(f"It ran in the pinned image, {found.docker_image}.")
    if move and rows:
        images.move(found)
        show.say(f"{places.shown(places.image())} pins {found.docker_image}: commit it.")
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
        name, identity = datasets.upload(folder, "dfd-wheelhouse", account)
        show.say(f"Dataset {name} is ready, content {identity[:12]}.")
    show.say(f"Next: make kernel-{'push' if push else 'simulate'} KERNEL=faces")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit status."""
    run_command(app, "kernels", arguments, "stopped")


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    """Settings by name, from JSON where the text is JSON."""
    changes: dict[str, Any] = {}
    for key, text in _pairs(texts, "--set"):
        try:
            changes[key] = json.loads(text)
        except ValueError:
            changes[key] = text
    return changes


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    for text in texts:
        if "=" not in text:
            raise KernelError(f"{option} {text!r}: name=value is wanted")
    return [(text.partition("=")[0], text.partition("=")[2]) for text in texts]


def _kernel(name: str) -> str:
    """owner/slug of a kernel of the account here."""
    return str(read_metadata(name, client.account(), Sources())["id"])


if __name__ == "__main__":
    main()
