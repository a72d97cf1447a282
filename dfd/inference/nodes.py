"""A prediction's part on a node of a cluster: the faces and the scores of some videos, by a bundle that is loaded once.

What travels to a node is a video's place and the speed at which to score it; what comes back is its score.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfd.clips.sampling import ScoredClips, part_of
from dfd.errors import CheckpointError
from dfd.faces.build import known_in, looked_at
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.budget import SPEEDS, Budget, Speed
from dfd.inference.info import BundleInfo, read_info, shipped
from dfd.inference.predict import PRIOR, hasty, scored
from dfd.types import Status, Video, VideoScore, Wanted
from dfd.videos.workers import Limits, staying

if TYPE_CHECKING:  # which imports torch: workers begin before that
    from dfd.inference.bundle import Bundle

Spread = Callable[..., Generator[list[Any], None, None]]
"""Cluster.spread."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster. bundle, force: as Scorer has them.

    count: shards that are scored at a time, each with its own networks. workers: processes that look for faces.
    """

    spread: Spread
    count: int
    workers: int
    bundle: Path | None
    force: bool = False


@dataclass(frozen=True)
class Order:
    """A video to score; speed: number of the speed at which to."""

    video: Video
    speed: int


@dataclass(frozen=True)
class Done:
    """What came of an order. looked: seconds that looking for its faces took."""

    score: VideoScore
    speed: int
    looked: float = 0.0


@dataclass
class _Orders:
    """The speeds of a node's orders, and what looking for each one's faces took: what scoring asks a clock."""

    speeds: Mapping[str, int]
    until: float
    looked: dict[str, float] = field(default_factory=dict)

    def left(self) -> float:
        return self.until - time.monotonic()

    def speed(self, name: str) -> Speed:
        return SPEEDS[self.speeds[name]]

    def finish(self, faces: Mapping[str, float], scoring: float) -> None:
        self.looked |= faces


@dataclass(frozen=True)
class Scorer:
    """What a node does. bundle: a folder that it sees, None for the one that its dfd comes with.

    digest: sha256 of its bundle.json. faces: a dataset to use and continue, on a path that all nodes see. limits: but
    for their time. device, force: as in load_bundle. config: how faces are looked for; as the bundle says if
    None.
    """

    bundle: Path | None
    digest: str
    limits: Limits
    faces: Path | None = None
    device: str = "cpu"
    force: bool = False
    config: FacesConfig | None = None

    def __call__(self, orders: Sequence[Order], limits: Limits) -> list[Done]:
        """Each order's score. limits: what they are on this node, its time included."""
        folder = self.bundle or shipped()
        info = read_info(folder)
        if info.sha256() != self.digest:
            raise CheckpointError(f"{folder} is another bundle there than where the command runs: copy it to all nodes")
        speeds = {order.video.name: order.speed for order in orders}
        videos = [order.video for order in orders]
        config = self.config or info.faces
        store = FaceStore(self.faces, config) if self.faces else None
        known, todo = known_in(videos, store)
        asked = _Orders(speeds, time.monotonic() + 1e9 if limits.until is None else limits.until)

        def wanted(video: Video) -> Wanted | None:
            return wanted_at(asked.speed(video.name), info, store is not None)

        with closing(looked_at(todo, config, wanted, limits, store, known, staying)) as records:
            bundle = _loaded(folder, self.device, self.force)
            with bundle.ready():
                scores = [score for some in scored(speeds, records, bundle, asked) for score in some]
        return [Done(score, speeds[score.name], asked.looked.get(score.name, 0.0)) for score in scores]


def wanted_at(speed: Speed, info: BundleInfo, stored: bool) -> Wanted | None:
    """What is looked at in a video that is scored at `speed`. A dataset takes all of it, where there is no haste."""
    if stored and not hasty(speed):
        return None
    members = [member.clip for member in info.members]
    used = members[: part_of(len(members), speed.members)]
    return ScoredClips(tuple(dict.fromkeys(used)), speed.segments)


def scores_of(
    videos: Sequence[Video], scorer: Scorer, nodes: Nodes, budget: Budget
) -> Generator[list[VideoScore], None, None]:
    """The videos' scores as nodes finish them, at the speeds that `budget` picks."""

    def order(video: Video) -> Order:
        return Order(video, budget.begin(video.name))

    def lost(order: Order, status: Status, reason: str) -> Done:
        return Done(VideoScore(order.video.name, PRIOR, status, reason=reason), order.speed)

    with closing(nodes.spread(scorer, scorer.limits, videos, order, lost, budget.until)) as come:
        for some in come:
            in_time = [done for done in some if done.score.status != "out_of_budget"]
            for speed in dict.fromkeys(done.speed for done in in_time):
                mine = [done for done in in_time if done.speed == speed]
                faces = {done.score.name: done.looked for done in mine}
                scoring = sum(done.score.seconds - done.looked for done in mine)
                budget.finish(faces, scoring / nodes.count)
            yield [done.score for done in some]


@cache
def _loaded(folder: Path, device: str, force: bool) -> Bundle:
    from dfd.inference.bundle import load_bundle

    return load_bundle(folder, device, force)
