"""A bundle: a folder with all that a prediction takes, ready to be attached to a kernel.

bundle.json    members with sha256 and golden logit, preprocessing, calibration, versions, the score earned out of fold
member-0.pt …  weights with their headers
golden.mp4     a drawn face, which is to be found here as it was where the bundle was made
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from dfd.clips.dataset import scored_clips
from dfd.clips.distort import Distortion
from dfd.clips.sampling import ClipConfig, ScoredFrames
from dfd.config import Config
from dfd.errors import CheckpointError, ConfigError, DfdError, StoreError
from dfd.faces.extract import FacesConfig
from dfd.faces.store import TrackRecord
from dfd.inference.forward import AT_ONCE, Answer, AtOnce, Member, answers, device_of, read_device, side_by_side
from dfd.inference.golden import (
    GoldenFace,
    check_faces,
    check_logit,
    check_releases,
    golden_face,
    golden_logit,
    write_golden_video,
)
from dfd.models.checkpoint import load_model, read_checkpoint, versions, write_checkpoint
from dfd.scoring.aggregate import over_members
from dfd.scoring.calibrate import prior_offset
from dfd.scoring.decide import Rule
from dfd.scoring.ensemble import Blend

FORMAT = 1
GOLDEN_VIDEO = "golden.mp4"
PLAIN = "the plain rule: there are no out-of-fold predictions to choose another on"


class MemberEntry(Config):
    """One network of a bundle. golden: its logit of golden_clip() where the bundle was made.

    weight: what its logits count for, beside the other members'.
    """

    file: str
    sha256: str
    model: str
    golden: float | None = None
    weight: float = Field(1.0, gt=0)


class BundleInfo(Config):
    """What bundle.json says."""

    format: int = FORMAT
    faces: FacesConfig
    members: tuple[MemberEntry, ...]
    rule: Rule = Rule()
    rule_reason: str = PLAIN
    blend: Blend | None = Field(None, description="how several runs were blended, and why so")
    score: dict[str, Any] = Field(default_factory=dict, description="measures of the out-of-fold predictions")
    videos: tuple[str, ...] = Field((), description="names of all videos that a member was trained on")
    golden_face: GoldenFace | None = Field(None, description="what is found in golden.mp4 where the bundle was made")
    versions: dict[str, str] = Field(default_factory=versions)

    def text(self) -> str:
        """bundle.json, as it is written."""
        return self.model_dump_json(indent=1) + "\n"

    def sha256(self) -> str:
        """Of bundle.json, and so of all that decides a prediction: the members stand in it with their own sha256."""
        return hashlib.sha256(self.text().encode()).hexdigest()


@dataclass(frozen=True)
class Earned:
    """What out-of-fold predictions have earned a bundle, as BundleInfo has it. weights: a number above 0 a member."""

    rule: Rule = field(default_factory=Rule)
    reason: str = PLAIN
    score: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    blend: Blend | None = None


@dataclass(frozen=True)
class Logits:
    """Of a video: for each track its clips' logits. left_out: members that failed, and why."""

    tracks: tuple[tuple[float, ...], ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """Networks in evaluation mode, what they are fed, and how their logits become a probability.

    weights: what each member counts for; alike where none are given. distortion: what every clip is put through first,
    to see what the networks make of it; None in use.
    """

    info: BundleInfo
    members: tuple[Member, ...]
    weights: tuple[float, ...] = ()
    distortion: Distortion | None = None

    @property
    def at_once(self) -> AtOnce:
        """What a network is given at a time, where this bundle's are."""
        return AT_ONCE[self.device.type]

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return device_of(self.members[0][0])

    def used(self, members: float) -> tuple[Member, ...]:
        """The first `members`, a share in [0,1], of the networks; at least one."""
        return self.members[: max(1, round(len(self.members) * members))]

    def plan(self, clips: float = 1.0, members: float = 1.0) -> ScoredFrames:
        """The plan of what logits_of() reads of a video."""
        return ScoredFrames(tuple({header.clip: None for _, header in self.used(members)}), clips)

    def logits(self, track: TrackRecord) -> tuple[float, ...]:
        """One logit a clip of `track`, the weighted mean over the members, each for a test of half fakes.

        Raises StoreError, naming the file; CheckpointError when every member fails.
        """
        return self.video_logits([track]).tracks[0]

    def video_logits(
        self, tracks: Sequence[TrackRecord], clips: float = 1.0, members: float = 1.0, mirror: bool = False
    ) -> Logits:
        """logits() of each of a video's tracks. Arguments and errors as of logits_of()."""
        (found,) = self.logits_of([tracks], clips, members, mirror)
        if isinstance(found, DfdError):
            raise found
        return found

    def logits_of(
        self,
        videos: Sequence[Sequence[TrackRecord]],
        clips: float = 1.0,
        members: float = 1.0,
        mirror: bool = False,
    ) -> list[Logits | DfdError]:
        """The logits of several videos, each by its tracks, of which a network gets the clips together.

        clips, members: share of them to use, in [0,1]; at least one of each. mirror: the mean of each clip's logit and
        that of its mirror image.

        A member that fails on one of a video's tracks, or gives what is no number, is left out for the video: the
        others count for it, in proportion to their weights. A video has a StoreError where a track cannot be read, a
        CheckpointError where every member fails.
        """
        used = self.used(members)
        read = [self._read(tracks, {header.clip for _, header in used}, clips) for tracks in videos]
        whole = [loaded for loaded in read if not isinstance(loaded, DfdError)]

        def ask(member: Member) -> list[Answer]:
            model, header = member
            return answers(model, [loaded[header.clip] for loaded in whole], prior_offset(header.prior), mirror)

        answered = side_by_side(ask, used, self.device)
        joined = map(self._join, zip(*answered, strict=True))
        return [loaded if isinstance(loaded, DfdError) else next(joined) for loaded in read]

    def _read(
        self, tracks: Sequence[TrackRecord], configs: set[ClipConfig], share: float
    ) -> dict[ClipConfig, list[torch.Tensor]] | StoreError:
        """Of each configuration the clips of each track."""
        try:
            return {
                config: [scored_clips(track, config, share, self.distortion) for track in tracks] for config in configs
            }
        except StoreError as error:
            return error

    def _join(self, answered: Sequence[Answer]) -> Logits | CheckpointError:
        """Of one video, whose answers the members in use have given."""
        good = {number: answer for number, answer in enumerate(answered) if not isinstance(answer, Exception)}
        left_out = tuple(
            f"member {number} left out: {type(answer).__name__}: {' '.join(str(answer).split())[:200]}"
            for number, answer in enumerate(answered)
            if isinstance(answer, Exception)
        )
        if not good:
            return CheckpointError(f"every member failed; {left_out[0]}")
        weights = [self.weights[number] if self.weights else 1.0 for number in good]
        tracks = zip(*good.values(), strict=True)
        return Logits(tuple(over_members(each, weights) for each in tracks), left_out)


def write_bundle(out: Path, checkpoints: Sequence[Path], earned: Earned | None = None) -> BundleInfo:
    """Pack `checkpoints` into the folder `out`; nothing is left of it on failure.

    Raises CheckpointError when there is none, one cannot be read, or they were trained on different face crops;
    ConfigError when `out` is a folder that is not a bundle.
    """
    if not checkpoints:
        raise CheckpointError("no checkpoint to bundle: name one run or more")
    if out.exists() and not (out / "bundle.json").is_file() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} is there and not a bundle: name a new folder")
    read = [read_checkpoint(path) for path in checkpoints]
    faces = read[0][0].faces
    for path, (header, _) in zip(checkpoints, read, strict=True):
        if header.faces != faces:
            raise CheckpointError(f"{path} was trained on other face crops than {checkpoints[0]}: bundle them apart")
    earned = earned or Earned()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        members = []
        for number, (header, weights) in enumerate(read):
            path = partial / f"member-{number}.pt"
            write_checkpoint(path, header, weights)
            golden = golden_logit(*load_model(path))
            weight = earned.weights[number] if earned.weights else 1.0
            members.append(
                MemberEntry(file=path.name, sha256=_sha256(path), model=header.model.name, golden=golden, weight=weight)
            )
        write_golden_video(partial / GOLDEN_VIDEO)
        info = BundleInfo(
            faces=faces,
            golden_face=golden_face(partial / GOLDEN_VIDEO, faces, _sha256(partial / GOLDEN_VIDEO)),
            members=tuple(members),
            rule=earned.rule,
            rule_reason=earned.reason,
            blend=earned.blend,
            score=earned.score,
            videos=tuple(sorted({video for header, _ in read for video in header.videos})),
        )
        (partial / "bundle.json").write_text(info.text(), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return info


def load_bundle(folder: Path, device: str = "cpu", force: bool = False) -> Bundle:
    """The bundle in `folder`, if its files are whole and it does here what it did where it was made (golden.py).

    force: go on where one of these does not hold. Raises CheckpointError; ConfigError for a device that is not here.
    """
    place = read_device(device)
    path = folder / "bundle.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a bundle (no bundle.json): make one with `dfd bundle RUN --out {folder}`"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}, the one that this version reads: bundle the run anew")
    try:
        info = BundleInfo.read(about, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    if not force:
        check_releases(folder, info.versions)
        if info.golden_face is not None:  # of a bundle of before there is none
            _check_file(folder / GOLDEN_VIDEO, info.golden_face.sha256)
            check_faces(folder / GOLDEN_VIDEO, info.faces, info.golden_face, info.versions)
    members = tuple(_member(folder, entry, info, place, force) for entry in info.members)
    return Bundle(info, members, tuple(entry.weight for entry in info.members))


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: copy the bundle again, or make it anew")
    if (found := _sha256(path)) != sha256:
        raise CheckpointError(f"{path} has sha256 {found[:12]}…, not {sha256[:12]}…: copy the bundle again")


def _member(folder: Path, entry: MemberEntry, info: BundleInfo, device: torch.device, force: bool) -> Member:
    path = folder / entry.file
    if Path(entry.file).name != entry.file:
        raise CheckpointError(
            f"{folder / 'bundle.json'} names {entry.file!r}, which is not a file of the bundle's folder"
        )
    if not force or not path.is_file():
        _check_file(path, entry.sha256)
    model, header = load_model(path)
    if entry.golden is not None and not force:
        check_logit(path, golden_logit(model, header), entry.golden, info.versions)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # its outputs take its weights' layout: half as much again in speed
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    return model.to(device), header


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
