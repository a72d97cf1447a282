"""Commands about bundles and predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dfd.cli.options import (
    FILE,
    FOLDER,
    GIGABYTES,
    HOURS,
    NEW_FILE,
    NEW_FOLDER,
    PLACE,
    SECONDS,
    WORKERS,
    Unlisted,
    Videos,
)
from dfd.errors import ConfigError, ManifestError, SubmissionError, first_of
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.files import write_json
from dfd.inference.info import read_info, shipped
from dfd.inference.looking import TELLING, explained
from dfd.inference.nodes import Nodes
from dfd.inference.predict import write_report
from dfd.inference.run import Settings, run
from dfd.report import terminal as show
from dfd.report.page import check_name, write_page
from dfd.report.understood import understood
from dfd.report.verdict import verdict
from dfd.scoring.sets import sets_of
from dfd.types import VideoScore
from dfd.versions import drifted
from dfd.videos.inputs import found_at, placed, shard_of
from dfd.videos.manifest import named, read_asked, read_videos
from dfd.videos.remote import url_of
from dfd.videos.workers import MEMORY, Limits

if TYPE_CHECKING:
    from dfd.inference.bundle import Bundle

MOST_EXPLAINED = 100
"""Videos of a page: more would make it larger than a mail takes."""

Several = Annotated[list[Path], Parameter(negative=(), consume_multiple=True), FOLDER]
Named = Annotated[list[str], Parameter(negative=(), consume_multiple=True)]


def bundle(
    runs: Annotated[list[Path], Parameter(negative=()), FOLDER],
    /,
    *,
    out: Annotated[Path, NEW_FOLDER],
    half: Annotated[bool, Parameter(negative=())] = False,
    sets: Several = [],  # noqa: B006
) -> None:
    """Pack the models of RUNS, calibration and preprocessing into OUT, ready for a kernel.

    Args:
        runs: Run folders of dfd crossval or dfd train. Several of crossval, over the same folds, are blended: weights
            are fitted, and kept if they do better than equal ones on folds that they were not fitted on.
        out: Folder of the bundle.
        half: Keep weights in 16 bits, in half the space; logits move by less than two hundredths of their spread.
        sets: Datasets of dfd faces, each with other faces and fakes, or one in several layouts (FaceForensics++,
            DeepFakeDetection, Celeb-DF, DFDC): by what is unseen there weights and a temperature are fitted, and
            judged by leaving one set out.
    """
    from dfd.inference.pack import pack_runs  # and with it torch, which a prediction loads while workers begin

    stores = {folder.resolve().name: FaceStore.open(folder) for folder in sets}
    if len(stores) < len(sets):
        raise ConfigError("two of --sets have one name: rename a folder")
    found = by_set({name: store.records() for name, store in stores.items()})
    with show.bar("bundle") as tell:
        info = pack_runs(runs, out, half, found, tell)
    if info.sets is not None:
        show.set_blend(info.sets, runs)
    if info.blend is not None:
        show.blend(info.blend, runs)
        show.score(info.score)
    show.say(f"{len(info.members)} models in {out}. The rule: {info.rule_reason}.")
    show.say(f"Next: dfd predict VIDEOS --bundle {out} --out submission.csv")


def card(
    bundle: Annotated[Path, FOLDER],
    /,
    *,
    run: Several = [],  # noqa: B006
    score: Named = [],  # noqa: B006
    distorted: Named = [],  # noqa: B006
    terms: Annotated[Path | None, FILE] = None,
    name: str | None = None,
) -> None:
    """Write CARD.md into BUNDLE: what it was trained on, how it was tested, and where it fails.

    Args:
        bundle: Folder that dfd bundle made.
        run: Run folders that its networks are of.
        score: Measures of a test, as in Celeb-DF=score.json: what dfd score --json prints, or a run's score.json, or
            such measures by method.
        distorted: The same under distortions, as in clips=RUN/distort.json.
        terms: Text file: on what it was trained, and on which terms it may be used.
        name: Title of the page; the folder's name if not given.
    """
    from dfd.report.card import Sources, write_card

    sources = Sources(run, _named(score, "--score"), _named(distorted, "--distorted"), terms)
    show.say(f"Wrote {write_card(bundle, name or bundle.resolve().name, sources)}.")


def predict(
    videos: Videos,
    /,
    *,
    bundle: Annotated[Path | None, FOLDER] = None,
    out: Annotated[Path | None, NEW_FILE] = None,
    sample: Annotated[Path | None, FILE] = None,
    unlisted: Unlisted = False,
    faces: int | Path | None = None,
    report: Annotated[Path | None, NEW_FILE] = None,
    hours: Annotated[float, HOURS] = 8.5,
    workers: Annotated[int, WORKERS] = 0,
    timeout: Annotated[float, SECONDS] = 120.0,
    memory: Annotated[float, GIGABYTES] = MEMORY,
    device: str = "cpu",
    mirror: Annotated[bool, Parameter(negative=())] = False,
    cluster: str | None = None,
    shard: str | None = None,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Score VIDEOS in words, and into OUT, a whole and valid submission from the first second.

    Killed, the same command goes on where it was.

    Args:
        bundle: Folder that dfd bundle made. Without it, the detector that comes with dfd.
        out: submission.csv to write. A single video needs none: without it nothing is kept.
        sample: sample_submission.csv, a metadata.json, or Celeb-DF's List_of_testing_videos.txt: a row for each of its
            rows. Without it, one for each video.
        faces: A number: of a segment at most so many faces are scored, the largest first; by default as many as when
            the bundle was made, 8 in most. Or a dataset of dfd faces to use and continue; without one, only what is
            scored of a video is looked at.
        report: JSON file to write: counts by status, seconds, rows that fell back.
        hours: Time to keep: where it is short, less of each video is scored, and at its end the rest gets 0.5.
        workers: Processes that look for faces; 0 for one a core.
        timeout: Seconds that a video may take.
        memory: Gigabytes that a video may take.
        device: cpu or cuda.
        mirror: Score every clip mirrored as well, and take the mean, as long as there is time for it.
        cluster: A Ray cluster that does the work, on paths that all its nodes see: auto, local, host:port or
            ray://host:port; with --device cuda on its nodes with a GPU. It takes pip install 'dfd[cluster]'.
        shard: Part I of N of the rows alone, as in 2/8, into an OUT of its own.
        force: Use a bundle whose files or libraries have changed, or that answers otherwise than where it was made.
    """
    dataset, most = (faces, None) if isinstance(faces, Path) else (None, faces)
    settings = Settings(hours * 3600, workers, timeout, memory, dataset and dataset.absolute(), mirror, device, most)
    if out is None and videos.is_dir():
        raise ConfigError(f"{videos} is a folder: give --out submission.csv, which gets a row for each of its videos")
    if sample is not None and not videos.is_dir():
        raise ManifestError(f"{videos} is not a folder: name the folder that holds the videos of {sample}")
    place = placed(videos)
    found = read_asked(sample, place, unlisted) if sample is not None else found_at(place, unlisted)
    rows = shard_of(found.videos, shard)
    detector = bundle or shipped()
    info = read_info(detector)

    def load() -> "Bundle":
        from dfd.inference.bundle import load_bundle

        loaded = load_bundle(detector, "cpu" if cluster else device, force)
        for line in understood(videos, found, labels=False):
            show.tell(line)
        if other := drifted(info.versions):
            holds = "" if force else "; its golden answers hold here"
            show.tell(f"{detector} was made with {', '.join(other)}{holds}.")
        return loaded

    with (
        TemporaryDirectory(prefix="dfd-predict-") as passing,
        _nodes(cluster, settings, place, bundle, force) as nodes,
        show.bar("predict") as tell,
    ):
        made = run(rows, info, load, out or Path(passing) / "submission.csv", settings, tell, show.tell, nodes)
    if report is not None:
        write_report(report, made)
    show.prediction(made, out)
    _refuse_nothing(made.scores)
    if out is not None:
        check = f"dfd validate {out} --sample {sample}; " if sample else ""
        show.say(f"Next: {check}dfd score {out} --labels LABELS --bundle {detector}")


def _refuse_nothing(scores: Sequence[VideoScore]) -> None:
    """Raise SubmissionError where no row could be scored: a file of nothing but 0.5 says nothing."""
    if all(score.status != "ok" for score in scores):
        why = dict.fromkeys(score.reason or score.status for score in scores)
        raise SubmissionError(f"no video of {len(scores)} could be scored: {first_of(list(why))}")


def by_set(datasets: Mapping[str, Sequence[VideoRecord]]) -> dict[str, list[VideoRecord]]:
    """The videos of each set: of each dataset, or of each layout in it, where it has several."""
    found: dict[str, list[VideoRecord]] = {}
    for name, records in datasets.items():
        sets = sets_of({record.video: name for record in records})
        for record in records:
            found.setdefault(sets[record.video], []).append(record)
    return found


def explain(
    videos: Annotated[list[Path], Parameter(negative=()), PLACE],
    /,
    *,
    out: Annotated[Path, NEW_FILE],
    json: Annotated[Path | None, NEW_FILE] = None,
    bundle: Annotated[Path | None, FOLDER] = None,
    thorough: Annotated[bool, Parameter(negative=())] = False,
    workers: Annotated[int, WORKERS] = 0,
    timeout: Annotated[float, SECONDS] = 120.0,
    device: str = "cpu",
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Why VIDEOS got their scores, as a page: OUT opens in a browser, from a disk or a mail.

    Args:
        videos: Videos, pictures, or folders of these.
        out: Page to write, as in page.html.
        json: File to write all of the page's numbers to.
        bundle: Folder that dfd bundle made. Without it, the detector that comes with dfd.
        thorough: Score every segment, not only those by which a prediction goes.
        workers: Processes that look for faces; 0 for one a core.
        timeout: Seconds that a video may take.
        device: cpu or cuda.
        force: Use a bundle whose files or libraries have changed, or that answers otherwise than where it was made.
    """
    check_name(out)  # before minutes of work
    rows = named([video.path for path in videos for video in read_videos(path)])
    if len(rows) > MOST_EXPLAINED:
        raise ConfigError(f"a page holds at most {MOST_EXPLAINED} videos, not {len(rows)}: make several pages")
    detector = bundle or shipped()
    loaded: list[Bundle] = []

    def load() -> "Bundle":
        from dfd.inference.bundle import load_bundle

        loaded.append(load_bundle(detector, device, force))
        return loaded[0]

    frames = max(1, min(TELLING, 40 // len(rows)))  # of many videos fewer, so that the page stays small
    limits = Limits(workers, timeout)
    with show.bar("explain") as tell:
        abouts = explained(rows, read_info(detector), load, thorough, frames, limits, tell)
    from dfd.report.explain import as_json, page

    size = write_page(out, page(abouts, loaded[0]))
    if json is not None:
        write_json(json, as_json(abouts, loaded[0]))
    for about in abouts:
        show.say(verdict(about.score))
    show.say(f"Wrote {out}: {size / 1e6:.1f} MB.")


@contextmanager
def _nodes(
    cluster: str | None, settings: Settings, videos: Path, bundle: Path | None, force: bool
) -> Iterator[Nodes | None]:
    """The nodes of a cluster, which see the videos, the bundle and the dataset; None without a cluster."""
    if cluster is None:
        yield None
        return
    from dfd.cluster import joined

    bundle = bundle and bundle.absolute()
    with joined(cluster, settings.workers, settings.device != "cpu") as nodes:
        if settings.faces:
            settings.faces.mkdir(parents=True, exist_ok=True)
        seen = [path for path in (videos, bundle) if path and not url_of(path)]
        nodes.check(settings.memory, seen, settings.faces)
        yield Nodes(nodes.spread, nodes.count, nodes.count * nodes.workers, bundle, force)


def _named(texts: list[str], option: str) -> dict[str, Path]:
    """NAME=FILE, several times. Raises ConfigError."""
    for text in texts:
        if "=" not in text:
            raise ConfigError(f"{option} is {text!r}: give NAME=FILE")
    return {name: Path(file) for name, _, file in (text.partition("=") for text in texts)}
