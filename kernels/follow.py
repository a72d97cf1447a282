"""The state, log and output of a kernel's last version, the report on it, and how the next one resumes from it.

Its output is fetched and attached to the next version as a dataset. This works however it ended: Kaggle itself mounts
only the output of a version that succeeded.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfd.cli.scoring import score, validate
from dfd.errors import DfdError, SubmissionError
from dfd.files import write_json
from dfd.report import terminal as show
from dfd.scoring.board import public_test_labels
from dfd.scoring.submission import read_submission
from kernels import KernelError, client, inputs, places, upload
from kernels.build import Source, read_metadata
from kernels.image import differences, seen
from kernels.session import REPORT, SUBMISSION

PUBLIC_TEST = 4000
"""Number of videos to score within nine hours in the competition."""
MAY_CHANGE = frozenset({"hours", "timeout", "unlisted"})
"""Settings that may change from version to version."""
ENDED = frozenset({"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"})
WANTED = {
    "faces": rf"^({REPORT}|faces/.*)$",
    "train": rf"^({REPORT}|run\.html|bundle/.*|run/(score\.json|metrics\.csv|folds\.csv|oof\.csv))$",
    "predict": rf"^({REPORT}|explain\.html|submission\.csv|sample_submission\.csv)$",
}
"""Files to fetch from a kernel's output, as a regular expression."""


def status(name: str, kernel: str, wait: float = 0) -> str:
    """The state of owner/slug, after waiting up to `wait` minutes for its end. Raises KernelError when it failed."""
    state, why = wait_for(kernel, wait)
    if state in ENDED and state != "COMPLETE":
        again = f"; resume from what it left: make kernel-push KERNEL={name} RESUME=1"
        raise KernelError(
            f"{kernel} ended as {state}{': ' + why if why else ''}; see its log: make kernel-logs KERNEL={name}"
            + again * (places.base(name) != "predict")
        )
    return state


def wait_for(kernel: str, wait: float) -> tuple[str, str]:
    """The state of owner/slug at its end, or after `wait` minutes, and why it failed or "".

    A lost network connection does not end the wait.
    """
    for last in client.tries(wait):
        try:
            state, why = client.kernel_status(kernel)
        except client.UnreachableError as error:
            if last:
                raise
            show.say(str(error))
            continue
        if last or state in ENDED:
            break
        show.say(f"{kernel} is {state.lower()}")
    return state, why


def fetch(name: str, kernel: str, out: Path) -> None:
    """Fetch the output of the last version of owner/slug into `out`, without checkpoints.

    Raises KernelError when there is none.
    """
    for earlier in (REPORT, SUBMISSION):  # remove those of an earlier version
        (out / earlier).unlink(missing_ok=True)
    download(kernel, out, WANTED[places.base(name)])
    if not (out / REPORT).is_file():
        raise KernelError(
            f"{kernel} has no {REPORT}: it has not ended, or was stopped; make kernel-status KERNEL={name} says which"
        )


def download(kernel: str, out: Path, pattern: str) -> None:
    """Fetch the files of the last version of owner/slug whose names match `pattern`, and its log, into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    options = ["-p", str(out), "-o", "-q", "--page-size", "200", "--file-pattern", pattern]
    client.ask("kernels", "output", kernel, *options)


def read_last_report(kernel: str) -> dict[str, Any]:
    """The kernel.json of the last version of owner/slug; {} when it left none."""
    with tempfile.TemporaryDirectory(prefix="dfd-report-") as temporary:
        download(kernel, Path(temporary), f"^{REPORT}$")
        return read_report(Path(temporary)) if (Path(temporary) / REPORT).is_file() else {}


def log(kernel: str) -> str:
    """The log of the last version of owner/slug. Raises KernelError when there is none yet."""
    text = client.ask("kernels", "logs", kernel)
    if not text.strip():
        raise KernelError(f"{kernel} has no log yet")
    try:  # Kaggle stores it as JSON
        return "".join(str(entry.get("data", "")) for entry in json.loads(text, strict=False))
    except (ValueError, AttributeError, TypeError):
        return text


def report(folder: Path, labels: Path | None = None) -> str:
    """Print how the kernel with its output in `folder` ended; validate and score a submission. Returns the status.

    labels: of the scored videos. Raises KernelError when the kernel failed or left no report, SubmissionError when
    Kaggle would reject its submission.csv.
    """
    about = read_report(folder)
    name, status = about["kernel"], about["status"]
    show.say(
        f"Kernel {name}, commit {about['commit']}, content {about['sha256'][:12]}: "
        f"{status} after {about['seconds']:.0f} s on Python {about['python']}."
    )
    if about.get("image"):  # the run was on Kaggle
        for row in differences(seen(about)):
            show.say(f"Not as pinned: {row['what']} is {row['there']}, pinned is {row['pinned']}.", "yellow")
    if status == "failed":
        raise KernelError(f"kernel {name} failed: {about['reason']}")
    if status == "cut off":
        again = "with a smaller hours" if name == "predict" else "with RESUME=1"
        raise KernelError(f"kernel {name} was cut off: push it again {again}")
    if status == "unfinished":
        show.say(f"Unfinished: {about['reason']}. Push it again with RESUME=1.")
    if "statuses" in about:
        show.statuses(about["statuses"], ok="shows a face")
    if "score" in about:
        show.score(about["score"])
    if "prediction" in about:
        _judge_submission(folder, about["prediction"], labels)
    for page in sorted(folder.glob("*.html")):
        show.say(f"Page: {places.shown(page)}")
    return str(status)


def read_report(folder: Path) -> dict[str, Any]:
    """Read kernel.json. Raises KernelError when there is none."""
    path = folder / REPORT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = about["kernel"], about["status"], about["sha256"], about["seconds"]
    except (OSError, ValueError, TypeError, LookupError):
        raise KernelError(f"{path} is not a kernel's report: has the kernel ended? Read its log") from None
    return about


def _judge_submission(folder: Path, prediction: dict[str, Any], labels: Path | None) -> None:
    """Validate submission.csv in `folder`, and score it with `labels` or the known ones of the public test set."""
    show.statuses(prediction["statuses"], prediction["fell_back"])
    pace = prediction["seconds_a_video"]
    show.say(
        f"{pace:.2f} s a video: {PUBLIC_TEST} videos in {pace * PUBLIC_TEST / 3600:.1f} hours, of the 9 there were."
    )
    submission, how = Path(places.shown(folder / SUBMISSION)), folder / "report.json"
    write_json(how, prediction)  # in the form of dfd predict --report
    try:
        validate(submission, sample=folder / inputs.SAMPLE)
    except SubmissionError as error:
        raise SubmissionError(f"not a valid submission: {error}") from None
    if labels is None and set(read_submission(submission)) != set(public_test_labels()):
        show.say("Not scored: no labels are given, and these are not the videos of the competition's public test.")
        return
    try:
        score(submission, labels=labels, report=how, partial=True)
    except DfdError as error:
        raise KernelError(f"{submission} is valid, but cannot be scored: {error}") from None


class NothingLeftError(KernelError):
    """The last version left no output to resume from."""


def resume_from_kaggle(
    name: str, account: str, changes: Mapping[str, Any], scratch: Path
) -> tuple[dict[str, Any], list[Source]]:
    """Fetch the output of the last version of kernel `name` into `scratch`, and return what resume_from_folder does.

    Raises KernelError: there is no version, it is still running, and as resume_from_folder.
    """
    kernel, kind = str(read_metadata(name, account)["id"]), _left_by(name)
    state, _ = client.kernel_status(kernel)
    if state not in ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: wait for its end, then resume it")
    download(kernel, scratch / "output", rf"^({REPORT}|{kind}/.*)$")
    return resume_from_folder(name, scratch / "output", account, changes, scratch / "left")


def resume_from_folder(
    name: str, output: Path, account: str, changes: Mapping[str, Any], staged: Path
) -> tuple[dict[str, Any], list[Source]]:
    """The settings of the next version and the sources to attach to it: the results in `output`, now also in `staged`.

    changes: of the settings. Raises KernelError: the last version is done, it left nothing, its files are damaged, or
    it had another recipe or dataset.
    """
    kind, about = _left_by(name), read_report(output) if (output / REPORT).is_file() else {}
    if about.get("status") == "done" and kind != "faces":  # more videos may have been attached to faces
        raise KernelError(f"kernel {name} is done: there is nothing to resume")
    if inputs.kind_of(output / kind) != kind:
        raise NothingLeftError(f"kernel {name} left nothing to resume from: leave out RESUME=1")
    inputs.check(output / kind, "fetch it again")
    before = about.get("settings", {})
    for key, value in changes.items():
        if key not in MAY_CHANGE and key in before and before[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, but {before[key]!r} in what it resumes from: leave it "
                "out, or push without RESUME=1"
            )
    sources = [upload.dataset(output / kind, kind, f"{account}/dfd-{name}-earlier", staged)]
    if kind == "run" and "faces" in about.get("wanted", {}):  # it took a local folder's faces: so does the next
        sources.insert(0, Source(f"{account}/{upload.FACES}", "faces", about["wanted"]["faces"]))
    return {**before, **changes}, sources


def _left_by(name: str) -> str:
    """The kind of folder that a kernel leaves to resume from."""
    if (base := places.base(name)) == "predict":
        raise KernelError("kernel predict has nothing to resume: leave out RESUME=1")
    return places.LEAVES[base]
