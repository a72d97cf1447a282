"""`dfd faces`."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from dfd.cli.options import NEW_FOLDER, MachineOptions, Unlisted, Videos, WorkerOptions
from dfd.errors import ConfigError
from dfd.faces.build import Each, build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.report import terminal as show
from dfd.report.understood import understood
from dfd.types import STILLS, Video
from dfd.videos.inputs import found_at, shard_of
from dfd.videos.remote import url_of
from dfd.videos.workers import Limits, each_video

INPUT = Parameter(group=Group("Input and output", sort_key=10))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FacesOptions:
    """Options of `dfd faces`."""

    out: Annotated[Path, NEW_FOLDER, INPUT]
    """Folder of the dataset."""
    unlisted: Annotated[Unlisted, INPUT] = False
    cut_margin: Annotated[float | None, Parameter(validator=Number(gte=1, lte=3)), INPUT] = None
    """For images that are face crops already: their width, in widths of the face's box; 1 for crops as tight as the
    face. It becomes the dataset's margin. With --size equal to their side, JPEGs are stored unchanged."""
    config: Annotated[FacesConfig, Parameter(name="*", group=Group("Detection and crops", sort_key=20))] = FacesConfig()
    reading: WorkerOptions = WorkerOptions()
    machines: MachineOptions = MachineOptions()


def faces(videos: Videos, /, *, options: FacesOptions) -> None:
    """Build or continue the dataset of VIDEOS in OUT: every face in every segment, cut out.

    An image is a video of one frame. In a photograph, the largest face near its middle is detected and cut out. A face
    crop (--cut-margin) is taken whole.
    """
    limits, cluster = options.reading.limits(), options.machines.cluster
    known = found_at(videos, options.unlisted)
    found = shard_of(known.videos, options.machines.shard)
    cut, config = options.cut_margin is not None, options.config
    if options.cut_margin is not None:
        config = _cut(found, options.cut_margin, config)
    for line in understood(videos, known):
        show.say(line)
    start = time.monotonic()
    origin = None if url_of(videos) else videos if videos.is_dir() else videos.parent
    store = FaceStore.create(options.out.absolute(), config, cut, origin)
    with _readers(cluster, limits, found, store.folder) as each, show.bar("faces") as progress:
        build_store(found, store, limits, progress, each)
    _summarize(store, found, time.monotonic() - start)


def _summarize(store: FaceStore, found: Sequence[Video], seconds: float) -> None:
    """Print the videos' statuses and the dataset's size. seconds: duration of the command."""
    names, out = {video.name for video in found}, store.folder
    records = [record for record in store.records() if record.video in names]
    fell_back = [{"filename": r.video, "status": r.status, "reason": r.reason} for r in records if r.status != "ok"]
    show.statuses(Counter(record.status for record in records), fell_back, ok="shows a face")
    tracklets = [tracklet for record in records for tracklet in record.tracklets]
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    each = sum(record.seconds for record in records) / max(1, len(records))
    what = "pictures" if all(video.still for video in found) else "videos"
    show.say(
        f"{len(records)} {what}, {len(tracklets)} tracklets, {sum(t.frames for t in tracklets)} crops in {out}: "
        f"{size / 1e6:.1f} MB, {each:.2f} s each in its worker, {seconds:.1f} s this time."
    )
    if not tracklets:
        show.say(f"No face was found: {out / 'videos.csv'} has the status and reason of each.")
    elif all(record.label is None for record in records):
        show.say("None has a label, which a training needs: dfd faces --help lists where labels are read.")
    else:
        show.say(f"Next: dfd crossval {out} --recipe cpu --folds 5 --out RUN")


@contextmanager
def _readers(cluster: str | None, limits: Limits, videos: Sequence[Video], out: Path) -> Iterator[Each]:
    """Context with the function that reads videos: in local processes, or on a cluster that can write to `out`."""
    if cluster is None:
        yield each_video
        return
    from dfd.cluster import joined

    with joined(cluster, limits.workers) as nodes:
        nodes.check(limits.memory, [videos[0].path, videos[-1].path], out)
        yield nodes.each


def _cut(found: Sequence[Video], margin: float, config: FacesConfig) -> FacesConfig:
    """Settings for a dataset of ready-made crops. Raises ConfigError for other videos, or a conflicting --margin."""
    videos = [video.name for video in found if not video.still]
    if videos:
        raise ConfigError(f"--cut-margin is for pictures ({' '.join(sorted(STILLS))}), and {videos[0]} is none")
    if config.margin not in (margin, FacesConfig().margin):
        raise ConfigError(f"--margin is {config.margin:g}, but --cut-margin {margin:g} is the dataset's: leave it out")
    return config.replace(margin=margin)
