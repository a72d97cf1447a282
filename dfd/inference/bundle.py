"""A bundle: a folder with all that a prediction takes, ready to be attached to a kernel.

bundle.json    members with sha256 and golden logit, preprocessing, calibration, versions, the score earned out of fold
member-0.pt …  weights with their headers
seen.json      names of all that its members, and the weights they began from, were trained on
golden.mp4     a drawn face, which is to be found here as it was where the bundle was made
"""

from __future__ import annotations

import shutil
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
from dfd.files import partial_path, sha256, write_json, write_text
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
class Earned:
    """What predictions of unseen videos have earned a bundle, as BundleInfo has it. weights: above 0, one a member."""

    rule: Rule = field(default_factory=Rule)
    reason: str = PLAIN
    score: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    blend: Blend | None = None
    sets: SetBlend | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Logits:
    """Of a video: the logit of each tracklet that is scored. left_out: members that failed, and why.

    alone: what each member in use says by itself; nothing of one that failed. brightness: of the faces that the first
    member in use was fed, 0 to 255; None where that was not measured.
    """

    faces: tuple[FaceLogit, ...]
    left_out: tuple[str, ...] = ()
    alone: tuple[tuple[FaceLogit, ...], ...] = ()
    brightness: float | None = None


@dataclass(frozen=True)
class Bundle:
    """Networks in evaluation mode, what they are fed, and how their logits become a probability.

    weights: what each member counts for; alike where none are given. distortion: what every clip is put through first,
    to see what the networks make of it; None in use. seen: names of all that they have seen in training.
    """

    info: BundleInfo
    members: tuple[Member, ...]
    weights: tuple[float, ...] = ()
    distortion: Distortion | None = None
    seen: tuple[str, ...] = ()

    @property
    def at_once(self) -> AtOnce:
        """What a network is given at a time, where this bundle's are."""
        return AT_ONCE[self.device.type]

    @cached_property
    def known(self) -> Seen:
        """The names of `seen`, indexed."""
        return Seen(self.seen)

    def ready(self) -> AbstractContextManager[None]:
        """Inside, its networks compute as every score is made: on a CPU on one core each."""
        return one_core_a_network() if self.device.type == "cpu" else nullcontext()

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return device_of(self.members[0][0])

    def used(self, members: float) -> tuple[Member, ...]:
        """The first `members`, a share in [0,1], of the networks; at least one."""
        return self.members[: part_of(len(self.members), members)]

    def logits(
        self, videos: Sequence[VideoRecord], segments: float = 1.0, members: float = 1.0, mirror: bool = False
    ) -> list[Logits | DfdError]:
        """The logits of several videos with faces, of which a network gets the clips together.

        segments, members: share of them to use, in [0,1]; at least one of each. mirror: the mean of each clip's logit
        and that of its mirror image.

        A member that fails for a video, or gives what is no number, is left out there: the others count for it, in
        proportion to their weights. A video has a StoreError where it cannot be read, a CheckpointError where every
        member fails.
        """
        used = self.used(members)
        read = [self._read(record, {header.clip for _, header in used}, segments) for record in videos]
        whole = [loaded for loaded in read if not isinstance(loaded, DfdError)]

        def ask(member: Member) -> list[Answer]:
            model, header = member
            clips = [loaded[header.clip][1] for loaded in whole]
            return answers(model, clips, prior_offset(header.prior), mirror)

        answered = zip(*side_by_side(ask, used, self.device), strict=True)
        return [loaded if isinstance(loaded, DfdError) else self._join(used, loaded, next(answered)) for loaded in read]

    def _read(self, record: VideoRecord, configs: set[ClipConfig], share: float) -> _Clips | StoreError:
        """What each configuration scores of a video."""
        try:
            return {config: scored_clips(record, config, share, self.distortion) for config in configs}
        except StoreError as error:
            return error

    def _join(self, used: Sequence[Member], loaded: _Clips, answered: Sequence[Answer]) -> Logits | CheckpointError:
        """Of one video, whose answers the members in use have given."""
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
"""For each configuration the tracklets that it scores of a video, and their clips."""


def write_bundle(
    out: Path, checkpoints: Sequence[Path], earned: Earned | None = None, half: bool = False
) -> BundleInfo:
    """Pack `checkpoints` into the folder `out`; nothing is left of it on failure.

    half: weights in 16 bits, as write_checkpoint has it; the golden logits are of what is left of them. Raises
    CheckpointError when there is no checkpoint, one cannot be read, or they were trained on different face crops;
    ConfigError when `out` is a folder that is not a bundle.
    """
    if not checkpoints:
        raise CheckpointError("no checkpoint to bundle: name one run or more")
    if out.exists() and not (out / "bundle.json").is_file() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} is there and not a bundle: name a new folder")
    read = [read_checkpoint(path) for path in checkpoints]
    faces = _faces(checkpoints, [header.faces for header, _ in read])
    earned = earned or Earned()
    partial = partial_path(out)
    partial.mkdir(parents=True)
    try:
        counts = earned.weights or (1.0,) * len(read)
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
            rule=earned.rule,
            rule_reason=earned.reason,
            blend=earned.blend,
            sets=earned.sets,
            score=earned.score,
            evidence=earned.evidence,
            seen_sha256=sha256(partial / SEEN_FILE),
        )
        write_text(partial / "bundle.json", info.text(), durable=True)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return info


def _entry(path: Path, weight: float) -> MemberEntry:
    """What bundle.json says of the member in `path`."""
    model, header = load_member(path, torch.device("cpu"))
    return MemberEntry(
        file=path.name,
        sha256=sha256(path),
        model=header.model.name,
        clip=header.clip,
        golden=golden_logit(model, header),
        weight=weight,
    )


def _faces(checkpoints: Sequence[Path], configs: Sequence[FacesConfig]) -> FacesConfig:
    """What a prediction cuts for all members: as wide and large as the one that needs most. Raises CheckpointError."""
    faces = widest(configs)
    if faces is None:
        agrees = [widest([configs[0], config]) is not None for config in configs]
        other = checkpoints[agrees.index(False)]
        raise CheckpointError(f"{other} was trained on other faces than {checkpoints[0]}: bundle them apart")
    return faces


def load_bundle(folder: Path, device: str = "cpu", force: bool = False) -> Bundle:
    """The bundle in `folder`, if its files are whole and it does here what it did where it was made (golden.py).

    force: go on where one of these does not hold. Raises CheckpointError; ConfigError for a device that is not here.
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
    """A network as every score is made with it, out of fold and in a bundle. Raises CheckpointError."""
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
