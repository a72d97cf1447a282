"""dfd from Python, for a notebook or a service: load() a detector, score() a video, score_many().

>>> import dfd
>>> detector = dfd.load()
>>> result = detector.score(detector.folder / "golden.mp4")  # a drawn face, which comes with every bundle
>>> result.name, result.status, len(result.segments)
('golden.mp4', 'ok', 1)
>>> [result.status for result in detector.score_many(["gone.mp4"])]
['missing']
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from dfd.errors import ConfigError
from dfd.inference.bundle import Bundle, load_bundle
from dfd.inference.explain import Explanation, Look
from dfd.inference.info import shipped
from dfd.inference.looking import explained
from dfd.report import terminal
from dfd.report.explain import page
from dfd.report.page import framed
from dfd.report.verdict import words
from dfd.scoring.aggregate import over_faces
from dfd.types import Status
from dfd.videos.manifest import named
from dfd.videos.workers import Limits

File = str | PathLike[str]


class Segment(NamedTuple):
    """A segment of a video with scored faces; times in seconds. probability: of being fake, by this segment alone."""

    start: float
    stop: float
    probability: float


@dataclass(frozen=True)
class Result:
    """A detector's result for one video. A notebook displays it as the page of `dfd explain`.

    verdict: the evidence in words; "cannot say" if the score supports none. probability: of being fake, in [0,1], if
    half of all videos are fakes; 0.5 without a score. status: "ok", or why there is no score; reason: one line. faces:
    each scored face of a segment, by person and time. segments: each segment with a face.
    """

    name: str
    verdict: str
    probability: float
    status: Status
    reason: str
    faces: tuple[Look, ...] = ()
    segments: tuple[Segment, ...] = ()
    _page: "partial[str] | None" = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """The page, in a frame. Takes about as long as scoring, since the video is processed again."""
        return framed(self._page()) if self._page else ""


class Detector:
    """A loaded bundle, ready to score videos. folder: of the bundle."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder

    def __repr__(self) -> str:
        return f"<Detector {self.folder}: {len(self.bundle.members)} networks on {self.bundle.device.type}>"

    def score(self, video: File, timeout: float = 120.0) -> Result:
        """Score one video or image. Errors are in the result's status and reason.

        timeout: limit in seconds. Raises ConfigError for an impossible one.
        """
        (about,) = explained(named([Path(video)]), self.bundle.info, lambda: self.bundle, False, 0, Limits(1, timeout))
        return self._result(about)

    def score_many(self, videos: Sequence[File], workers: int = 0, timeout: float = 120.0) -> list[Result]:
        """Score several videos with a progress bar. Returns results in their order. A video that fails affects no
        other.

        workers: number of processes that detect faces; 0 for one per core. timeout: seconds per video. Raises
        ConfigError for impossible values, or if `videos` is a single path.
        """
        if isinstance(videos, str | PathLike):
            raise ConfigError(
                f"score_many takes a list of videos, not {str(videos)!r}: give it in brackets, or to score()"
            )
        paths = [Path(video) for video in videos]
        rows = {video.path: video for video in named(paths)}
        limits = Limits(workers, timeout)
        with terminal.bar("score") as progress:
            abouts = explained(list(rows.values()), self.bundle.info, lambda: self.bundle, False, 0, limits, progress)
        found = {about.video.path: self._result(about) for about in abouts}
        return [found[path] for path in paths]

    def page(self, video: File) -> str:
        """The page of `dfd explain` on one video, as HTML."""
        return page(explained(named([Path(video)]), self.bundle.info, lambda: self.bundle), self.bundle)

    def _result(self, about: Explanation) -> Result:
        rule, score = self.bundle.info.rule, about.score
        spans = {look.segment: (look.start, look.stop) for look in about.looks}
        faces = {number: [face for face in score.faces if face.segment == number] for number in spans}
        segments = [
            Segment(*spans[number], rule.calibration.probability(over_faces(faces[number], rule.aggregation.faces)))
            for number in sorted(spans)
        ]
        return Result(
            about.video.name, words(score), score.probability, score.status, score.reason, about.looks,
            tuple(segments), partial(self.page, about.video.path),
        )  # fmt: skip


def load(bundle: File | None = None, device: str = "cpu", force: bool = False) -> Detector:
    """Load the detector shipped with dfd, or the bundle in a folder. Loading takes seconds, so reuse the detector.

    device: cpu or cuda. force: continue if its files or libraries have changed. Raises CheckpointError for a folder
    that is not a bundle or has changed; ConfigError for a device that this machine lacks.
    """
    folder = shipped() if bundle is None else Path(bundle)
    return Detector(load_bundle(folder, device, force), folder)
