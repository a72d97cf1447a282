"""Prediction on the nodes of a cluster. A node detects faces and scores videos with a bundle that it loads once.

A request has a video's path and the speed at which to score it; the result has its score.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfd.clips.sampling import ScoredClips, part_of
from dfd.errors import CheckpointError, ClusterError, ConfigError
from dfd.faces.build import known_in, looked_at
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.budget import SPEEDS, Budget, Speed
from dfd.inference.info import BundleInfo, read_info, shipped
from dfd.inference.predict import PRIOR, hasty, scored
from dfd.types import Status, Video, VideoScore, Wanted
from dfd.videos.workers import Limits, staying

if TYPE_CHECKING:  # imports torch: workers start before that
    from dfd.inference.bundle import Bundle

Spread = Callable[..., Generator[list[Any], None, None]]
"""Cluster.spread."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster. bundle, force: as in Scorer.

    count: number of shards scored at a time, each with its own networks. workers: number of processes that detect
    faces, on all nodes together.
    """

    spread: Spread
    count: int
    workers: int
    bundle: Path | None
    force: bool = False


@dataclass(frozen=True)
class ScoreRequest:
    """A video to score, and the index in SPEEDS of the speed to use."""

    video: Video
    speed: int


@dataclass(frozen=True)
class Scored:
    """The result of a request. looking: seconds of face detection."""

    score: VideoScore
    speed: int
    looking: float = 0.0

    @property
    def status(self) -> Status:
        """The video's status."""
        return self.score.status


@dataclass
class _Clock:
    """A node's Pace: the speeds of its requests, and the seconds of face detection for each."""

    speeds: Mapping[str, int]
    until: float
    looking: dict[str, float] = field(default_factory=dict)

    def left(self) -> float:
        return self.until - time.monotonic()

    def speed(self, name: str) -> Speed:
        return SPEEDS[self.speeds[name]]

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        self.looking |= faces


@dataclass(frozen=True)
class Scorer:
    """Scores shards of videos on a node. bundle: a folder visible there; None for the bundle shipped with its dfd.

    digest: required sha256 of bundle.json. faces: a dataset to use and extend, on a path that all nodes share.
    limits: of the whole run. device, force: as in load_bundle. config: face settings; None for the bundle's own.
    """

    bundle: Path | None
    digest: str
    limits: Limits
    faces: Path | None = None
    device: str = "cpu"
    force: bool = False
    config: FacesConfig | None = None

    def __call__(self, requests: Sequence[ScoreRequest], limits: Limits) -> list[Scored]:
        """Return a score for each request, in their order. limits: on this node. Raises ClusterError without a GPU."""
        _check_device(self.device)
        folder = self.bundle or shipped()
        info = read_info(folder)
        if info.sha256() != self.digest:
            raise CheckpointError(
                f"node {socket.gethostname()} has another bundle in {folder} than this machine: copy it to all nodes"
            )
        speeds = {request.video.name: request.speed for request in requests}
        videos = [request.video for request in requests]
        config = self.config or info.faces
        store = FaceStore(self.faces, config) if self.faces else None
        known, todo = known_in(videos, store)
        clock = _Clock(speeds, time.monotonic() + 1e9 if limits.until is None else limits.until)

        def wanted(video: Video) -> Wanted | None:
            return wanted_at(clock.speed(video.name), info, store is not None)

        with closing(looked_at(todo, config, wanted, limits, store, known, staying)) as records:
            bundle = _loaded(folder, self.device, self.force)
            with bundle.ready():
                scores = {score.name: score for some in scored(speeds, records, bundle, clock) for score in some}
        return [Scored(scores[name], speed, clock.looking.get(name, 0.0)) for name, speed in speeds.items()]


def wanted_at(speed: Speed, info: BundleInfo, stored: bool) -> Wanted | None:
    """The frames that a prediction at `speed` reads of a video; None for all, if it fills a dataset and has time."""
    if stored and not hasty(speed):
        return None
    members = [member.clip for member in info.members]
    used = members[: part_of(len(members), speed.members)]
    return ScoredClips(tuple(dict.fromkeys(used)), speed.segments)


def scores_of(
    videos: Sequence[Video], scorer: Scorer, nodes: Nodes, budget: Budget
) -> Generator[list[VideoScore], None, None]:
    """Yield the videos' scores as nodes finish them, at the speeds picked by `budget`."""

    def request(video: Video) -> ScoreRequest:
        return ScoreRequest(video, budget.begin(video.name))

    def failure(asked: ScoreRequest, status: Status, reason: str) -> Scored:
        return Scored(VideoScore(asked.video.name, PRIOR, status, reason=reason), asked.speed)

    with closing(nodes.spread(scorer, scorer.limits, videos, request, failure)) as results:
        for some in results:
            in_time = [result for result in some if result.status != "out_of_budget"]
            for speed in dict.fromkeys(result.speed for result in in_time):
                same = [result for result in in_time if result.speed == speed]
                faces = {result.score.name: result.looking for result in same}
                scoring = sum(result.score.seconds - result.looking for result in same)
                budget.finish(faces, scoring / nodes.count)
            yield [result.score for result in some]


def _check_device(device: str) -> None:
    """Raise ClusterError naming this node if it lacks the device: Ray does not check `--num-gpus`."""
    if device == "cpu":
        return  # without importing torch: workers start before that
    from dfd.inference.forward import read_device

    try:
        read_device(device)
    except ConfigError as error:
        raise ClusterError(
            f"node {socket.gethostname()} claims a GPU, but {error}, or start Ray there without --num-gpus"
        ) from None


@cache
def _loaded(folder: Path, device: str, force: bool) -> Bundle:
    from dfd.inference.bundle import load_bundle

    return load_bundle(folder, device, force)
