"""A bundle: a folder with all that a prediction takes, ready to be attached to a kernel.

bundle.json    members with their sha256, preprocessing, calibration, the score it earned out of fold
member-0.pt …  weights with their headers
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from dfd.clips.dataset import scored_clips
from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.extract import FacesConfig
from dfd.faces.store import TrackRecord
from dfd.models.checkpoint import Header, load_model, read_checkpoint, versions, write_checkpoint
from dfd.scoring.aggregate import mean_logit
from dfd.scoring.calibrate import prior_offset
from dfd.scoring.decide import Rule

FORMAT = 1


class MemberEntry(Config):
    """One network of a bundle."""

    file: str
    sha256: str
    model: str


class BundleInfo(Config):
    """What bundle.json says."""

    format: int = FORMAT
    faces: FacesConfig
    members: tuple[MemberEntry, ...]
    rule: Rule = Rule()
    rule_reason: str = "the plain rule: there are no out-of-fold predictions to choose another on"
    score: dict[str, Any] = Field(default_factory=dict, description="measures of the out-of-fold predictions")
    versions: dict[str, str] = Field(default_factory=versions)


@dataclass(frozen=True)
class Bundle:
    """Networks in evaluation mode, what they are fed, and how their logits become a probability."""

    info: BundleInfo
    members: tuple[tuple[nn.Module, Header], ...]

    def logits(self, track: TrackRecord) -> tuple[float, ...]:
        """One logit a clip of `track`, the mean over the members, each for a test of half fakes.

        Raises StoreError, naming the file.
        """
        by_clip: dict[ClipConfig, list[tuple[nn.Module, Header]]] = {}
        for model, header in self.members:
            by_clip.setdefault(header.clip, []).append((model, header))
        per_member: list[torch.Tensor] = []
        with torch.inference_mode():
            for config, members in by_clip.items():
                clips = scored_clips(track, config, config.clips)
                for model, header in members:
                    logits = model(clips.to(next(model.parameters()).device)).float().cpu()
                    per_member.append(logits + prior_offset(header.prior))
        if len({len(logits) for logits in per_member}) > 1:  # members with clips of other lengths: a mean of means
            return (mean_logit([mean_logit(logits.tolist()) for logits in per_member]),)
        return tuple(torch.stack(per_member).mean(dim=0).tolist())


def write_bundle(
    out: Path,
    checkpoints: Sequence[Path],
    rule: Rule | None = None,
    reason: str = "",
    score: dict[str, Any] | None = None,
) -> BundleInfo:
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
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        members = []
        for number, (header, weights) in enumerate(read):
            path = partial / f"member-{number}.pt"
            write_checkpoint(path, header, weights)
            members.append(MemberEntry(file=path.name, sha256=_sha256(path), model=header.model.name))
        info = BundleInfo(faces=faces, members=tuple(members), score=score or {})
        if rule is not None:
            info = info.replace(rule=rule, rule_reason=reason)
        (partial / "bundle.json").write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return info


def load_bundle(folder: Path, device: torch.device | str = "cpu") -> Bundle:
    """The bundle in `folder`, each file checked against its sha256. Raises CheckpointError."""
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
    return Bundle(info, tuple(_member(folder, entry, device) for entry in info.members))


def _member(folder: Path, entry: MemberEntry, device: torch.device | str) -> tuple[nn.Module, Header]:
    path = folder / entry.file
    if Path(entry.file).name != entry.file:
        raise CheckpointError(
            f"{folder / 'bundle.json'} names {entry.file!r}, which is not a file of the bundle's folder"
        )
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: copy the bundle again, or make it anew")
    if (found := _sha256(path)) != entry.sha256:
        raise CheckpointError(f"{path} has sha256 {found[:12]}…, not {entry.sha256[:12]}…: copy the bundle again")
    model, header = load_model(path)
    return model.to(device), header


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
