"""Commands about bundles and predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from dfd.cli.options import (
    FILE,
    FOLDER,
    HOURS,
    LIMITS,
    NEW_FILE,
    NEW_FOLDER,
    PLACE,
    MachineOptions,
    Unlisted,
    Videos,
    WorkerOptions,
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
from dfd.videos.found import Found
from dfd.videos.inputs import found_at, placed, shard_of
from dfd.videos.manifest import named, read_asked, read_videos

if TYPE_CHECKING:
    from dfd.inference.bundle import Bundle

MOST_EXPLAINED = 100
"""Maximum number of videos on a page, so that it can be mailed."""

INPUT, DETECTOR, OUTPUT = (
    Parameter(group=Group(name, sort_key=place)) for place, name in enumerate(("Input", "Detector", "Output"), 10)
)
Force = Annotated[
    bool,
    DETECTOR,
    Parameter(
        negative=(),
        help="Use a bundle whose files or libraries have changed, or whose reference outputs cannot be reproduced.",
    ),
]
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
        half: Store weights in 16 bits, at half the size; logits change by less than 2 % of their spread.
        sets: Datasets of dfd faces, each with other faces and fakes, or one in several layouts (FaceForensics++,
            DeepFakeDetection, Celeb-DF, DFDC). Their unseen videos fit the members' weights and a temperature, which
            are tested by leaving one set out.
    """
    from dfd.inference.pack import pack_runs  # imports torch, which predict loads while its workers start

    stores = {folder.resolve().name: FaceStore.open(folder) for folder in sets}
    if len(stores) < len(sets):
        raise ConfigError("two of --sets have one name: rename a folder")
    found = by_set({name: store.records() for name, store in stores.items()})
    with show.bar("bundle") as progress:
        info = pack_runs(runs, out, half, found, progress)
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
        run: Run folders that its members come from.
        score: Measures of a test, as in Celeb-DF=score.json: what dfd score --json prints, or a run's score.json, or
            such measures by method.
        distorted: The same under distortions, as in clips=RUN/distort.json.
        terms: Text file: what it was trained on, and on which terms it may be used.
        name: Title of the page; the folder's name if not given.
    """
    from dfd.report.card import Sources, write_card

    sources = Sources(run, _named(score, "--score"), _named(distorted, "--distorted"), terms)
    show.say(f"Wrote {write_card(bundle, name or bundle.resolve().name, sources)}.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Options of `dfd predict`."""

    bundle: Annotated[Path | None, FOLDER, DETECTOR] = None
    """Folder that dfd bundle made. Without it, the detector that comes with dfd."""
    device: Annotated[str, DETECTOR] = "cpu"
    """cpu or cuda."""
    mirror: Annotated[bool, Parameter(negative=()), DETECTOR] = False
    """Score every clip mirrored as well, and take the mean, as long as there is time for it."""
    force: Force = False
    out: Annotated[Path | None, NEW_FILE, OUTPUT] = None
    """submission.csv to write. A single video needs none: without it nothing is kept."""
    report: Annotated[Path | None, NEW_FILE, OUTPUT] = None
    """JSON file to write: counts by status, seconds, rows that fell back."""
    sample: Annotated[Path | None, FILE, INPUT] = None
    """sample_submission.csv, a metadata.json, or Celeb-DF's List_of_testing_videos.txt: a row for each of its rows.
    Without it, one for each video."""
    unlisted: Annotated[Unlisted, INPUT] = False
    faces: Annotated[int | Path | None, INPUT] = None
    """A number: score at most so many faces of a segment, the largest first; by default as many as when the bundle was
    made, usually 8. Or a dataset of dfd faces to use and continue; without one, only the scored part of a video is
    searched for faces."""
    hours: Annotated[float, HOURS, Parameter(group=LIMITS)] = 8.5
    """Time to keep. When it is short, less of each video is scored; when it is up, the rest gets 0.5."""
    reading: WorkerOptions = WorkerOptions()
    machines: MachineOptions = MachineOptions()

    def settings(self) -> Settings:
        """Convert these options to the settings of a prediction."""
        dataset, most = (self.faces.absolute(), None) if isinstance(self.faces, Path) else (None, self.faces)
        return Settings(self.hours * 3600, self.reading.limits(), dataset, self.mirror, self.device, most)


def predict(videos: Videos, /, *, options: PredictOptions = PredictOptions()) -> None:
    """Score VIDEOS: print verdicts, and write OUT, a submission that is valid from the start.

    After a kill the same command resumes. As many segments of a video are scored as when the bundle's networks were
    validated (--clip.clips of dfd crossval); dfd explain --thorough scores all.
    """
    settings, out, cluster = options.settings(), options.out, options.machines.cluster
    place, found = _asked(videos, options)
    rows = shard_of(found.videos, options.machines.shard)
    detector = options.bundle or shipped()
    info = read_info(detector)

    def load() -> "Bundle":
        """The bundle; what it and the videos are is printed to stderr."""
        loaded = _load(detector, "cpu" if cluster else options.device, options.force)
        for line in understood(videos, found, labels=False):
            show.tell(line)
        if other := drifted(info.versions):
            holds = "" if options.force else "; its golden answers hold here"
            show.tell(f"{detector} was made with {', '.join(other)}{holds}.")
        if info.rule.calibration.constant:
            show.tell(f"{detector} gives every video the same probability: its networks were no better than chance.")
        return loaded

    with (
        TemporaryDirectory(prefix="dfd-predict-") as passing,
        _nodes(cluster, settings, place, options.bundle, options.force) as nodes,
        show.bar("predict") as progress,
    ):
        settings = replace(settings, progress=progress, tell=show.tell, nodes=nodes)
        made = run(rows, info, load, out or Path(passing) / "submission.csv", settings)
    if options.report is not None:
        write_report(options.report, made)
    show.prediction(made, out)
    _refuse_nothing(made.scores)
    if out is not None:
        check = f"dfd validate {out} --sample {options.sample}; " if options.sample else ""
        show.say(f"Next: {check}dfd score {out} --labels LABELS --bundle {detector}")


def _asked(videos: Path, options: PredictOptions) -> tuple[Path, Found]:
    """The folder of the videos, and the videos to score. Raises ConfigError, ManifestError."""
    if options.out is None and videos.is_dir():
        raise ConfigError(f"{videos} is a folder: give --out submission.csv, which gets a row for each of its videos")
    if options.sample is not None and not videos.is_dir():
        raise ManifestError(f"{videos} is not a folder: name the folder that holds the videos of {options.sample}")
    place = placed(videos)
    if options.sample is not None:
        return place, read_asked(options.sample, place, options.unlisted)
    return place, found_at(place, options.unlisted)


def _load(folder: Path, device: str, force: bool) -> "Bundle":
    from dfd.inference.bundle import load_bundle  # imports torch: meanwhile the workers start

    return load_bundle(folder, device, force)


def _refuse_nothing(scores: Sequence[VideoScore]) -> None:
    """Raise SubmissionError when no row could be scored: a file with only 0.5 is not a result."""
    if all(score.status != "ok" for score in scores):
        why = dict.fromkeys(score.reason or score.status for score in scores)
        raise SubmissionError(f"no video of {len(scores)} could be scored: {first_of(list(why))}")


def by_set(datasets: Mapping[str, Sequence[VideoRecord]]) -> dict[str, list[VideoRecord]]:
    """The videos by set: a dataset, or each layout of a dataset with several."""
    found: dict[str, list[VideoRecord]] = {}
    for name, records in datasets.items():
        sets = sets_of({record.video: name for record in records})
        for record in records:
            found.setdefault(sets[record.video], []).append(record)
    return found


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """Options of `dfd explain`."""

    out: Annotated[Path, NEW_FILE, OUTPUT]
    """Page to write, as in page.html."""
    json: Annotated[Path | None, NEW_FILE, OUTPUT] = None
    """File to write all of the page's numbers to."""
    bundle: Annotated[Path | None, FOLDER, DETECTOR] = None
    """Folder that dfd bundle made. Without it, the detector that comes with dfd."""
    device: Annotated[str, DETECTOR] = "cpu"
    """cpu or cuda."""
    force: Force = False
    thorough: Annotated[bool, Parameter(negative=()), INPUT] = False
    """Score every segment, not only those that dfd predict scores."""
    reading: WorkerOptions = WorkerOptions()


def explain(videos: Annotated[list[Path], Parameter(negative=()), PLACE], /, *, options: ExplainOptions) -> None:
    """Why VIDEOS got their scores, as a page: OUT opens in a browser, from a disk or a mail.

    Args:
        videos: Videos, pictures, or folders of these.
    """
    check_name(options.out)  # before minutes of work
    rows = named([video.path for path in videos for video in read_videos(path)])
    if len(rows) > MOST_EXPLAINED:
        raise ConfigError(f"a page holds at most {MOST_EXPLAINED} videos, not {len(rows)}: make several pages")
    detector = options.bundle or shipped()
    loaded: list[Bundle] = []

    def load() -> "Bundle":
        loaded.append(_load(detector, options.device, options.force))
        return loaded[0]

    frames = max(1, min(TELLING, 40 // len(rows)))  # fewer if there are many videos, so that the page stays small
    limits = options.reading.limits()
    with show.bar("explain") as progress:
        abouts = explained(rows, read_info(detector), load, options.thorough, frames, limits, progress)
    from dfd.report.explain import as_json, page

    size = write_page(options.out, page(abouts, loaded[0]))
    if options.json is not None:
        write_json(options.json, as_json(abouts, loaded[0]))
    for about in abouts:
        show.say(verdict(about.score))
    show.page(options.out, size)


@contextmanager
def _nodes(
    cluster: str | None, settings: Settings, videos: Path, bundle: Path | None, force: bool
) -> Iterator[Nodes | None]:
    """The nodes of a cluster, checked to see the videos, bundle and dataset; None without a cluster."""
    if cluster is None:
        yield None
        return
    from dfd.cluster import joined

    bundle = bundle and bundle.absolute()
    with joined(cluster, settings.limits.workers, settings.device != "cpu") as nodes:
        if settings.faces:
            settings.faces.mkdir(parents=True, exist_ok=True)
        seen = [path for path in (videos, bundle) if path]
        nodes.check(settings.limits.memory, seen, settings.faces)
        yield Nodes(nodes.spread, nodes.count, nodes.count * nodes.workers, bundle, force)


def _named(texts: list[str], option: str) -> dict[str, Path]:
    """Parse texts NAME=FILE into files by name. Raises ConfigError."""
    for text in texts:
        if "=" not in text:
            raise ConfigError(f"{option} is {text!r}: give NAME=FILE")
    return {name: Path(file) for name, _, file in (text.partition("=") for text in texts)}
