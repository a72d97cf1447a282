"""A bundle: a folder with all that a prediction needs, ready to be attached to a kernel.

bundle.json    members with sha256 and golden logit, preprocessing, calibration, versions, out-of-fold score
member-0.pt …  weights with their headers
seen.json      names of all videos on which its members, and their starting weights, were trained
golden.mp4     a drawn face, which must be detected here as it was where the bundle was made
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfd.clips.dataset import scored_clips
from dfd.clips.distort import Distortion
from dfd.clips.sampling import ClipConfig, part_of
from dfd.errors import CheckpointError, ConfigError, DfdError, StoreError
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.faces.tracklets import FacesConfig, widest
from dfd.files import sha256, whole_folder, write_json, write_text
from dfd.inference.forward import (
    AT_ONCE,
    Answer,
    AtOnce,
    Member,
    answers,
    device_of,
    one_core_a_network,
    read_device,
    side_by_side,
)
from dfd.inference.golden import (
    check_faces,
    check_logit,
    check_releases,
    golden_face,
    golden_logit,
    write_golden_video,
)
from dfd.inference.info import (
    GOLDEN_VIDEO,
    PLAIN,
    SEEN_FILE,
    BundleInfo,
    MemberEntry,
    check_file,
    read_info,
    read_seen,
)
from dfd.inference.quality import brightness
from dfd.models.checkpoint import load_model, read_checkpoint, write_checkpoint
from dfd.scoring.aggregate import over_members
from dfd.scoring.calibrate import prior_offset
from dfd.scoring.decide import Rule
from dfd.scoring.ensemble import Blend
from dfd.scoring.evidence import Evidence
from dfd.scoring.seen import Seen
from dfd.scoring.set_blend import SetBlend
from dfd.types import FaceLogit


@dataclass(frozen=True)
class Fitted:
    """What was fitted and measured on predictions of unseen videos; see BundleInfo. weights: one above 0 per member."""

    rule: Rule = field(default_factory=Rule)
    reason: str = PLAIN
    score: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    blend: Blend | None = None
    sets: SetBlend | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Logits:
    """The logits of a video, one per scored tracklet. left_out: members that failed, and why.

    alone: the logits of each member in use; empty for one that failed. brightness: of the faces as fed to the first
    member in use, 0 to 255; None if not measured.
    """

    faces: tuple[FaceLogit, ...]
    left_out: tuple[str, ...] = ()
    alone: tuple[tuple[FaceLogit, ...], ...] = ()
    brightness: float | None = None


@dataclass(frozen=True)
class Bundle:
    """Networks in evaluation mode, their input settings, and the rule from logits to a probability.

    weights: of the members; equal if empty. distortion: applied to every clip first, for experiments; None in normal
    use. seen: names of all videos that they have seen in training.
    """

    info: BundleInfo
    members: tuple[Member, ...]
    weights: tuple[float, ...] = ()
    distortion: Distortion | None = None
    seen: tuple[str, ...] = ()

    @property
    def at_once(self) -> AtOnce:
        """The batch sizes for a network on this bundle's device."""
        return AT_ONCE[self.device.type]

    @cached_property
    def known(self) -> Seen:
        """`seen` with an index of its names."""
        return Seen(self.seen)

    def ready(self) -> AbstractContextManager[None]:
        """Context in which networks compute as for every score: on a CPU each on one core."""
        return one_core_a_network() if self.device.type == "cpu" else nullcontext()

    @property
    def device(self) -> torch.device:
        """The device of its networks."""
        return device_of(self.members[0][0])

    def used(self, members: float) -> tuple[Member, ...]:
        """The first `members`, a share in [0,1], of the networks; at least one."""
        return self.members[: part_of(len(self.members), members)]

    def logits(
        self, videos: Sequence[VideoRecord], segments: float = 1.0, members: float = 1.0, mirror: bool = False
    ) -> list[Logits | DfdError]:
        """Score several videos with faces; each network gets their clips together.

        segments, members: share of them to use, in [0,1]; at least one of each. mirror: average each clip's logit with
        that of its mirror image.

        A member that fails for a video, or gives a logit that is not finite, is left out for that video. The others
        replace it, in proportion to their weights. A video's entry is a StoreError if it cannot be read, and a
        CheckpointError if every member fails.
        """
        used = self.used(members)
        read = [self._read(record, {header.clip for _, header in used}, segments) for record in videos]
        whole = [loaded for loaded in read if not isinstance(loaded, DfdError)]

        def ask(member: Member) -> list[Answer]:
            """Run one member on all videos that could be read."""
            model, header = member
            clips = [loaded[header.clip][1] for loaded in whole]
            return answers(model, clips, prior_offset(header.prior), mirror)

        answered = zip(*side_by_side(ask, used, self.device), strict=True)
        return [loaded if isinstance(loaded, DfdError) else self._join(used, loaded, next(answered)) for loaded in read]

    def _read(self, record: VideoRecord, configs: set[ClipConfig], share: float) -> _Clips | StoreError:
        """Load the clips of a video that each configuration scores."""
        try:
            return {config: scored_clips(record, config, share, self.distortion) for config in configs}
        except StoreError as error:
            return error

    def _join(self, used: Sequence[Member], loaded: _Clips, answered: Sequence[Answer]) -> Logits | CheckpointError:
        """Combine the members' answers for one video."""
        alone: list[tuple[FaceLogit, ...]] = []
        good, weights, left_out = [], [], []
        for number, ((_, header), answer) in enumerate(zip(used, answered, strict=True)):
            if isinstance(answer, Exception):
                reason = " ".join(str(answer).split())[:200]
                left_out.append(f"member {number} left out: {type(answer).__name__}: {reason}")
                alone.append(())
                continue
            faces = zip(loaded[header.clip][0], answer, strict=True)
            alone.append(tuple(FaceLogit(t.segment, t.face, t.confidence, logit) for t, logit in faces))
            good.append(alone[-1])
            weights.append(self.weights[number] if self.weights else 1.0)
        if not good:
            return CheckpointError(f"every member failed; {left_out[0]}")
        clip = used[0][1].clip
        light = brightness(loaded[clip][1].numpy(), clip.margin)
        return Logits(over_members(good, weights), tuple(left_out), tuple(alone), light)


_Clips = dict[ClipConfig, tuple[list[TrackletRecord], torch.Tensor]]
"""For each configuration the scored tracklets of a video, and their clips."""


def write_bundle(
    out: Path, checkpoints: Sequence[Path], fitted: Fitted | None = None, half: bool = False
) -> BundleInfo:
    """Pack `checkpoints` into the folder `out`. Leaves nothing behind if it fails.

    half: store 16-bit weights, see write_checkpoint; the golden logits are computed with them. Raises CheckpointError
    when there is no checkpoint, one cannot be read, or they were trained on different face crops; ConfigError when
    `out` is a folder that is not a bundle.
    """
    if not checkpoints:
        raise CheckpointError("no checkpoint to bundle: name one run or more")
    if out.exists() and not (out / "bundle.json").is_file() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not a bundle: name a new folder")
    read = [read_checkpoint(path) for path in checkpoints]
    faces = _faces(checkpoints, [header.faces for header, _ in read])
    fitted = fitted or Fitted()
    with whole_folder(out) as partial:
        counts = fitted.weights or (1.0,) * len(read)
        members = []
        for number, ((header, weights), weight) in enumerate(zip(read, counts, strict=True)):
            path = partial / f"member-{number}.pt"
            write_checkpoint(path, header, weights, half)
            members.append(_entry(path, weight))
        write_golden_video(partial / GOLDEN_VIDEO)
        write_json(partial / SEEN_FILE, sorted({video for header, _ in read for video in header.videos}), durable=True)
        info = BundleInfo(
            faces=faces,
            golden_face=golden_face(partial / GOLDEN_VIDEO, faces, sha256(partial / GOLDEN_VIDEO)),
            members=tuple(members),
            rule=fitted.rule,
            rule_reason=fitted.reason,
            blend=fitted.blend,
            sets=fitted.sets,
            score=fitted.score,
            evidence=fitted.evidence,
            seen_sha256=sha256(partial / SEEN_FILE),
        )
        write_text(partial / "bundle.json", info.text(), durable=True)
    return info


def _entry(path: Path, weight: float) -> MemberEntry:
    """The entry in bundle.json for the member in `path`."""
    model, header = load_member(path, torch.device("cpu"))
    return MemberEntry(
        file=path.name,
        sha256=sha256(path),
        model=header.model.name,
        backbone=header.model.backbone,
        clip=header.clip,
        golden=golden_logit(model, header),
        weight=weight,
    )


def _faces(checkpoints: Sequence[Path], configs: Sequence[FacesConfig]) -> FacesConfig:
    """Face settings that suit all members: the widest margin and the largest size. Raises CheckpointError."""
    faces = widest(configs)
    if faces is None:
        agrees = [widest([configs[0], config]) is not None for config in configs]
        other = checkpoints[agrees.index(False)]
        raise CheckpointError(f"{other} has other settings of faces than {checkpoints[0]}: make two bundles")
    return faces


def load_bundle(folder: Path, device: str = "cpu", force: bool = False) -> Bundle:
    """Load the bundle in `folder` and check its files and that it behaves here as where it was made (golden.py).

    force: continue when a check fails. Raises CheckpointError; ConfigError for a device that this machine lacks.
    """
    place = read_device(device)
    info = read_info(folder)
    if not force:
        check_releases(folder, info.versions)
        if info.golden_face is not None:
            check_file(folder / GOLDEN_VIDEO, info.golden_face.sha256)
            check_faces(folder / GOLDEN_VIDEO, info.faces, info.golden_face, info.versions)
        check_file(folder / SEEN_FILE, info.seen_sha256)
    members = tuple(_member(folder, entry, info, place, force) for entry in info.members)
    seen = read_seen(folder)
    return Bundle(info, members, tuple(entry.weight for entry in info.members), seen=seen)


def load_member(path: Path, device: torch.device) -> Member:
    """Load a network as for every score, out of fold and in a bundle. Raises CheckpointError."""
    model, header = load_model(path)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # its outputs take its weights' layout: half as much again in speed
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    return model.to(device), header


def _member(folder: Path, entry: MemberEntry, info: BundleInfo, device: torch.device, force: bool) -> Member:
    path = folder / entry.file
    if Path(entry.file).name != entry.file:
        raise CheckpointError(
            f"{folder / 'bundle.json'} names {entry.file!r}, which is not a file of the bundle's folder"
        )
    if not force or not path.is_file():
        check_file(path, entry.sha256)
    model, header = load_member(path, torch.device("cpu"))
    if entry.golden is not None and not force:
        check_logit(path, golden_logit(model, header), entry.golden, info.versions)
    return model.to(device), header
