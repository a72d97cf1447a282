"""Evaluate runs on sets of videos that none of them has seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from dfd.clips.blend import BlendConfig
from dfd.clips.made import made_fakes
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.records import VideoRecord
from dfd.inference.bundle import Bundle, load_member
from dfd.inference.forward import Member
from dfd.inference.info import BundleInfo
from dfd.inference.predict import score_videos
from dfd.scoring.aggregate import Aggregation, aggregate, over_members
from dfd.scoring.seen import seen_before
from dfd.scoring.set_blend import JudgedSet
from dfd.types import FaceLogit


def judge_sets(
    runs: Sequence[Sequence[Path]], sets: Mapping[str, Sequence[VideoRecord]], progress: Progress | None = None
) -> list[JudgedSet]:
    """Score each set's videos with each run, except those of which a run has seen the video, a source or a person.

    runs: the checkpoints of each run. sets: records by name of the set. In a set without fakes, one fake is made of
    each real video, with the blending settings of a run that was trained on such fakes. Raises ConfigError if nothing
    of a set is left, or fakes cannot be made; CheckpointError; StoreError.
    """
    members = [[load_member(path, torch.device("cpu")) for path in run] for run in runs]
    seen = {name for run in members for _, header in run for name in header.videos}
    judged = []
    for name, records in sets.items():
        videos = _with_fakes(name, _unseen(name, records, seen), members)
        answers = [_logits(name, videos, narrowed(run, videos), progress) for run in members]
        made = all(record.label != 1 for record in records)
        known = tuple(_knows(run, made) for run in members)
        judged.append(_joined(name, videos, answers, known))
    return judged


def _knows(run: Sequence[Member], made: bool) -> bool:
    """Whether a run was trained on this kind of fakes: `made` by self-blending, or found. True if it does not say."""
    share = run[0][1].training.get("train", {}).get("self_blend")
    return share is None or (share > 0 if made else share < 1)


def narrowed(members: Sequence[Member], videos: Sequence[VideoRecord]) -> tuple[Member, ...]:
    """The networks, with margins limited to those of the stored crops.

    Images cut as tight as the face show no more than that. A network trained on crops of several widths, like those of
    the single-frame recipes, can handle them.
    """
    stored = min((tracklet.margin for video in videos for tracklet in video.tracklets), default=3.0)
    fed = [header.clip.replace(margin=min(header.clip.margin, stored)) for _, header in members]
    return tuple((model, header.replace(clip=clip)) for (model, header), clip in zip(members, fed, strict=True))


def _unseen(name: str, records: Sequence[VideoRecord], seen: set[str]) -> list[VideoRecord]:
    """The videos with a label and a face that no run has seen."""
    usable = [record for record in records if record.label is not None and record.tracklets]
    names, sources = [r.video for r in usable], [r.source or r.video for r in usable]
    again = set(seen_before(names, sources, sources, seen, {record.video: record.people for record in usable}))
    left = [record for record in usable if record.video not in again]
    if not left:
        raise ConfigError(
            f"{name} has nothing to judge by: of {len(records)} videos {len(usable)} have a label and a face, and the "
            "runs were trained on all of them; train with --fold, which keeps some aside"
        )
    return left


def _with_fakes(name: str, videos: list[VideoRecord], runs: Sequence[Sequence[Member]]) -> list[VideoRecord]:
    if any(video.label == 1 for video in videos):
        return videos
    for run in runs:
        training = run[0][1].training
        if training.get("train", {}).get("self_blend") == 1:
            return [*videos, *made_fakes(videos, BlendConfig.read(training["blend"], name))]
    raise ConfigError(f"{name} has no fakes, and no run was trained on self-blended ones: give a set of both classes")


def _logits(
    name: str, videos: Sequence[VideoRecord], run: Sequence[Member], progress: Progress | None
) -> dict[str, tuple[FaceLogit, ...]]:
    """Logits of the tracklets of each video that could be scored, averaged over the run's models."""
    bundle = Bundle(BundleInfo(faces=run[0][1].faces, members=()), tuple(run))
    found: dict[str, tuple[FaceLogit, ...]] = {}
    with bundle.ready():
        for start in range(0, len(videos), bundle.at_once.videos):
            part = videos[start : start + bundle.at_once.videos]
            found |= {score.name: score.faces for score in score_videos(part, bundle) if score.faces}
            if progress:
                progress(start + len(part), len(videos), name)
    return found


def _joined(
    name: str,
    videos: Sequence[VideoRecord],
    answers: Sequence[Mapping[str, tuple[FaceLogit, ...]]],
    known: tuple[bool, ...],
) -> JudgedSet:
    """Keep the videos that every run could score."""
    whole = [video for video in videos if all(video.video in answer for answer in answers)]
    logits = [[aggregate(over_members([a[video.video]]), Aggregation()) for a in answers] for video in whole]
    return JudgedSet(
        name,
        np.array(logits, float).reshape(len(whole), len(answers)),
        np.array([int(video.label or 0) for video in whole]),
        tuple(video.source or video.video for video in whole),
        known,
    )
