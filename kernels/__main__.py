"""`python -m kernels VERB NAME`: exit status 0 done, 1 an error that one line explains, 2 wrong usage."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dfd.cli import run
from dfd.cli.options import FILE, FOLDER, GIGABYTES, MINUTES, NEW_FOLDER, SECONDS
from dfd.report import terminal as show
from kernels import KernelError, client, datasets, follow, pin, places, wheelhouse
from kernels import resume as resuming
from kernels.build import OWNER, Sources, read_metadata
from kernels.build import build as make
from kernels.check import OLDEST, faults, newer_pythons
from kernels.push import check_taken, prepare
from kernels.push import push as push_built
from kernels.report import report
from kernels.sandbox import GIB, Limits
from kernels.simulate import output as last_output
from kernels.simulate import simulate as rehearse

app = App(name="python -m kernels", help="Build, check, rehearse and push a kernel: faces, train or predict.")
Changes = Annotated[
    list[str],
    Parameter(name="--set", negative=(), help="A setting of main.py, as in hours=8 or recipe=tiny; repeat it."),
]
Latest = Annotated[bool, Parameter(negative=())]
MINI = Path("work/mini-dfdc")


@app.command
def build(
    name: str,
    /,
    *,
    owner: str = "",
    set_: Changes = [],  # noqa: B006
    resume: bool = False,
    latest: Latest = False,
) -> None:
    """Write build/NAME/main.py and kernel-metadata.json: one script, with dfd packed into it.

    Args:
        name: faces, train or predict.
        owner: Your Kaggle account; a push fills it in.
        set_: Settings.
        resume: Attach the kernel's own last output, to go on from.
        latest: In Kaggle's newest image, not in the pinned one.
    """
    built = make(name, owner, _changes(set_), Sources(resume, latest=latest))
    size = len(built.script.encode())
    show.say(
        f"Built {places.shown(built.folder)}: {size / 1000:.0f} kB, commit {built.commit}, content {built.sha256[:12]}."
    )
    show.say(f"Next: make kernel-check KERNEL={name}")


@app.command
def check(
    name: str,
    /,
    *,
    owner: str = "",
    set_: Changes = [],  # noqa: B006
    resume: bool = False,
    latest: Latest = False,
) -> None:
    """Build NAME, and say everything about it that Kaggle would refuse, ignore or trip over.

    Args:
        name: faces, train or predict.
        owner: Your Kaggle account.
        set_: Settings.
        resume: Attach the kernel's own last output, to go on from.
        latest: In Kaggle's newest image, not in the pinned one.
    """
    built = make(name, owner, _changes(set_), Sources(resume, latest=latest))
    found = faults(built)
    for fault in found:
        show.say(fault)
    if found:
        raise KernelError(f"{len(found)} faults in kernel {name}")
    waits = f" Its owner is yet {OWNER}: a push fills it in." if not owner else ""
    show.say(f"Kernel {name} is fit to be pushed.{waits}")
    tried = [".".join(map(str, OLDEST)), *newer_pythons()]
    show.say(f"It compiles on Python {', '.join(tried)}, as far as they are installed here.")
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
    resume: bool = False,
    layout: str = "long",
    seconds: Annotated[float, SECONDS] = 32_400,
    memory: Annotated[float, GIGABYTES] = 31,
    disk: Annotated[float, GIGABYTES] = 20,
    exact: bool = False,
) -> None:
    """Run NAME here as Kaggle would: its inputs, its packages, no network, its limits; then validate and score.

    Args:
        name: faces, train or predict.
        competition: A folder like the competition's.
        labels: Of its test videos; test_labels.csv in that folder, if it is there.
        source: What stands for a dataset or a kernel's output, as in dfd-train=FOLDER; repeat it.
        set_: Settings.
        resume: Go on from what the last rehearsal of NAME left, with its settings.
        layout: long: /kaggle/input/datasets/<owner>/<slug>; short: /kaggle/input/<slug>. Kaggle does both.
        seconds: When it is cut off.
        memory: Most GiB of memory.
        disk: Most GiB of output.
        exact: In the image's Python and very versions, from the registry: once, minutes and gigabytes.
    """
    if layout not in ("long", "short"):
        raise KernelError(f"layout is {layout!r}: long or short is wanted")
    beside = competition / "test_labels.csv"
    labels = labels or (beside if beside.is_file() else None)
    folders = {slug: Path(folder) for slug, folder in _pairs(source, "--source")}
    changes, sources = _changes(set_), Sources()
    if resume:
        left = resuming.from_here(name, folders.get(f"dfd-{name}", last_output(name)))
        sources, changes = left.sources(OWNER), resuming.settle(name, left.settings, changes)
        folders = {**folders, left.slug: left.folder}
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
    latest: Latest = False,
    wait: Annotated[float, MINUTES] = 0,
) -> None:
    """Build, check and push NAME as committed; it runs at once.

    Args:
        name: faces, train or predict.
        set_: Settings.
        bundle: For predict: a bundle made here, uploaded as a dataset in place of what kernel train made.
        faces: For train: a dataset of faces made here, in place of what kernel faces made.
        resume: Go on from the last version of it: from what it left, with its settings.
        latest: In Kaggle's newest image, not in the pinned one.
        wait: Minutes to try again while all of the account's sessions are taken.
    """
    given = {kind: folder for kind, folder in (("bundle", bundle), ("faces", faces)) if folder is not None}
    for kind, folder in given.items():
        check_taken(name, kind, folder)
    account, mine = client.account(), next(iter(given.values()), None)
    built = prepare(name, account, _changes(set_), mine, resume, latest, show.say)
    pushed = push_built(built, account, wait, show.say)
    show.say(f"Pushed {pushed.name}, version {pushed.version}, commit {pushed.commit}: {pushed.url}")
    show.say(f"Next: make kernel-status KERNEL={name}")


@app.command
def status(name: str, /, *, wait: Annotated[float, MINUTES] = 0) -> None:
    """Say where the last version of NAME stands; exit status 1 when it failed.

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
    """Print what the last version of NAME printed.

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
    """Fetch what the last version of NAME made, and judge it: a submission is validated, and scored with labels.

    Args:
        name: faces, train or predict.
        out: Folder; build/NAME/output if not given.
        labels: Of the videos that it scored: a CSV filename,label or a metadata.json.
        everything: Also checkpoints and all else.
    """
    folder = follow.fetch(name, _kernel(name), out or places.built(name) / "output", everything)
    show.say(f"Fetched into {places.shown(folder)}.")
    report(folder, labels)


@app.command
def image(name: str, /, *, move: bool = False) -> None:
    """Say which image of Kaggle's the last version of NAME ran in, beside the pinned one.

    Args:
        name: faces, train or predict.
        move: Pin that image from now on, in kernels/image.json.
    """
    found = follow.image(_kernel(name))
    rows = pin.differences(pin.pinned(), found)
    show.table(rows) if rows else show.say(f"It ran in the pinned image, {found.docker_image}.")
    if move and rows:
        pin.move(found)
        show.say(f"{places.shown(places.image())} pins {found.docker_image}: commit it.")
        show.say(f"Next: make kernel-simulate KERNEL={name} EXACT=1")


@app.command(name="wheelhouse")
def gather(*, relock: bool = False, push: bool = False) -> None:
    """Gather the wheels that Kaggle's image lacks in build/wheelhouse.

    Args:
        relock: Write kernels/wheelhouse.json anew, after a change of requirements.txt.
        push: Make them the newest version of the dataset dfd-wheelhouse.
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
    run(app, "kernels", arguments, "stopped")


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    """Settings by name; what is not JSON is text."""
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
    """owner/slug of the kernel called `name`, of the account here."""
    return str(read_metadata(name, client.account(), Sources())["id"])


if __name__ == "__main__":
    main()
