"""The state, log and output of a kernel's last version, and the report on it."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from dfd.cli.scoring import score, validate
from dfd.errors import DfdError, SubmissionError
from dfd.files import read_object, write_json
from dfd.report import terminal as show
from dfd.scoring.board import public_test_labels
from dfd.scoring.submission import read_submission
from kernels import KernelError, client, inputs, places
from kernels.image import differences
from kernels.session import REPORT, SUBMISSION

PUBLIC_TEST = 4000
"""Number of videos to score within nine hours in the competition."""
ENDED = frozenset({"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"})
FETCHED = rf"^({REPORT}|(sample_)?{SUBMISSION}|(explain|run)\.html|(faces|bundle)/.*|run/\w+\.(json|csv))$"
"""Files to fetch from a kernel's output, as a regular expression: all but checkpoints."""


def status(name: str, kernel: str, wait: float = 0) -> str:
    """The state of owner/slug, after waiting up to `wait` minutes for its end. Raises KernelError when it failed."""
    state, why = wait_for(kernel, wait)
    if state == "MISSING":
        raise KernelError(f"{kernel} does not exist on Kaggle: make kernel-push KERNEL={name} makes it")
    if state in ENDED and state != "COMPLETE":
        again = f"; resume from what it left: make kernel-push KERNEL={name} RESUME=1"
        raise KernelError(
            f"{kernel} ended as {state}{': ' + why if why else ''}; see its log: make kernel-logs KERNEL={name}"
            + again * (places.base(name) in places.LEAVES)
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
        if last or state in {*ENDED, "MISSING"}:
            break
        show.say(f"{kernel} is {state.lower()}")
    return state, why


def fetch(name: str, kernel: str, out: Path) -> None:
    """Fetch the output of the last version of owner/slug into `out`, without checkpoints.

    Raises KernelError when there is none.
    """
    for earlier in (REPORT, SUBMISSION):  # remove those of an earlier version
        (out / earlier).unlink(missing_ok=True)
    download(kernel, out, FETCHED)
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
        with suppress(client.MissingError):  # a version that has not run
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


def read_report(folder: Path) -> dict[str, Any]:
    """Read the kernel.json in `folder`. Raises KernelError when there is none."""
    about = read_object(folder / REPORT, KernelError, "has the kernel ended? Read its log")
    if missing := {"kernel", "status", "commit", "sha256", "seconds", "python"} - about.keys():
        raise KernelError(f"{folder / REPORT} has no {min(missing)}: it is not a kernel's report; read its log")
    return about


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
    for row in differences(about) if about.get("image") else []:  # it ran on Kaggle
        show.say(f"Not as pinned: {row['what']} is {row['there']}, pinned is {row['pinned']}.", "yellow")
    if status == "failed":
        raise KernelError(f"kernel {name} failed: {about['reason']}")
    if status == "cut off":
        again = "with RESUME=1" if name in places.LEAVES else "with a smaller hours"
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


def _judge_submission(folder: Path, prediction: dict[str, Any], labels: Path | None) -> None:
    """Validate submission.csv in `folder`, and score it with `labels` or the known ones of the public test set."""
    show.statuses(prediction["statuses"], prediction["fell_back"])
    pace = prediction["seconds_a_video"]
    show.say(
        f"{pace:.2f} s a video: {PUBLIC_TEST} videos in {pace * PUBLIC_TEST / 3600:.1f} hours, of the 9 there were."
    )
    submission, how = places.shown(folder / SUBMISSION), folder / "report.json"
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
