"""What a bundle says of itself, bundle.json: read before its networks are, so that workers can begin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.tracklets import FacesConfig
from dfd.files import sha256
from dfd.scoring.decide import Rule
from dfd.scoring.ensemble import Blend
from dfd.scoring.evidence import Evidence
from dfd.scoring.set_blend import SetBlend
from dfd.versions import versions

FORMAT = 3
SEEN_FILE = "seen.json"
GOLDEN_VIDEO = "golden.mp4"
PLAIN = "the plain rule: there are no out-of-fold predictions to choose another on"
SHIPPED = Path(__file__).parents[1] / "pretrained"
"""The bundle that comes with dfd, where it has one."""
BOX_TOLERANCE = 0.02
"""Of each side of a golden face's box, in widths of the box."""
COLOUR_TOLERANCE = 2.0
"""Of its colour, in 255ths: another matrix from YUV to RGB moves it by 4, another range by 11."""


class GoldenFace(Config):
    """What is found in the golden video: the face's square box (left, top, right, bottom) in its first picture, in
    pixels, and the mean colour (red, green, blue) of its skin. None where nothing is found with such settings.
    """

    sha256: str
    box: tuple[float, float, float, float] | None = None
    colour: tuple[float, float, float] | None = None

    def agrees(self, found: GoldenFace) -> bool:
        """Whether `found`, in the same video, is the same face within the tolerances."""
        if self.box is None or self.colour is None or found.box is None or found.colour is None:
            return self.box is found.box
        width = self.box[2] - self.box[0]
        moved = np.abs(np.subtract(self.box, found.box)).max() / width
        return bool(moved <= BOX_TOLERANCE and np.abs(np.subtract(self.colour, found.colour)).max() <= COLOUR_TOLERANCE)

    def __str__(self) -> str:
        if self.box is None or self.colour is None:
            return "no face"
        box, colour = (", ".join(f"{value:.1f}" for value in values) for values in (self.box, self.colour))
        return f"a face at ({box}) of colour ({colour})"


class MemberEntry(Config):
    """One network of a bundle. clip: what it is fed. golden: its logit of golden_clip() where the bundle was made.

    weight: the weight of its logits among the members'.
    """

    file: str
    sha256: str
    model: str
    clip: ClipConfig
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
    sets: SetBlend | None = Field(None, description="how runs were blended that were judged on several sets")
    score: dict[str, Any] = Field(default_factory=dict, description="measures of the out-of-fold predictions")
    seen_sha256: str = Field("", description="of seen.json, the names of all that members have seen in training")
    golden_face: GoldenFace | None = Field(None, description="what is found in golden.mp4 where the bundle was made")
    evidence: Evidence | None = Field(None, description="what scores of unseen videos have meant; left out if None")
    versions: dict[str, str] = Field(default_factory=versions)

    def text(self) -> str:
        """bundle.json, as it is written."""
        return self.model_dump_json(indent=1, exclude={"evidence"} if self.evidence is None else None) + "\n"

    def sha256(self) -> str:
        """Of bundle.json, and so of all that decides a prediction: it has the other files' sha256."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def shipped() -> Path:
    """The folder of the bundle that comes with dfd. Raises CheckpointError where this dfd has none."""
    if not (SHIPPED / "bundle.json").is_file():
        raise CheckpointError("this dfd has no shipped detector: give --bundle FOLDER")
    return SHIPPED


def is_shipped(identity: str) -> bool:
    """Whether the shipped bundle's bundle.json is there and has the sha256 `identity`."""
    path = SHIPPED / "bundle.json"
    return path.is_file() and sha256(path) == identity


def read_info(folder: Path) -> BundleInfo:
    """What the bundle.json in `folder` says. Raises CheckpointError."""
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
        raise CheckpointError(
            f"{path} is not of format {FORMAT}, the one that this version reads: bundle the run again"
        )
    try:
        return BundleInfo.read(about, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def read_seen(folder: Path) -> tuple[str, ...]:
    """The names in a bundle's seen.json: of all that a member was trained on, or weights that it began from, or what
    those were made from. Raises CheckpointError.
    """
    path = folder / SEEN_FILE
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy the bundle again, or make it again") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path} is not a list of names: copy the bundle again, or make it again")
    return tuple(names)


def check_file(path: Path, wanted: str) -> None:
    """Raise CheckpointError unless `path` is there with the sha256 `wanted`."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: copy the bundle again, or make it again")
    if (found := sha256(path)) != wanted:
        raise CheckpointError(f"{path} has sha256 {found[:12]}…, not {wanted[:12]}…: copy the bundle again")
