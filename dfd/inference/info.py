"""bundle.json, a bundle's description. It is read before the networks, so that workers can start early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.tracklets import FacesConfig
from dfd.files import read_json, read_object, sha256
from dfd.scoring.decide import Rule
from dfd.scoring.ensemble import Blend
from dfd.scoring.evidence import Evidence
from dfd.scoring.set_blend import SetBlend
from dfd.versions import versions

FORMAT = 3
SEEN_FILE = "seen.json"
GOLDEN_VIDEO = "golden.mp4"
AGAIN = "copy the bundle again, or make it again"
PLAIN = "the plain rule: there are no out-of-fold predictions to choose another on"
SHIPPED = Path(__file__).parents[1] / "pretrained"
"""The bundle shipped with dfd, if any."""
BOX_TOLERANCE = 0.02
"""Tolerance of each side of a golden face box, in widths of the box."""
COLOUR_TOLERANCE = 2.0
"""Tolerance of its colour, of 255. Another YUV matrix shifts the colour by 4, another value range by 11."""


class GoldenFace(Config):
    """The face detected in the golden video: its square box (left, top, right, bottom) in the first frame, in pixels,
    and the mean colour (red, green, blue) of its skin. None if nothing is found with these settings.
    """

    sha256: str
    box: tuple[float, float, float, float] | None = None
    colour: tuple[float, float, float] | None = None

    def agrees(self, found: GoldenFace) -> bool:
        """Whether `found`, from the same video, is the same face within the tolerances."""
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
    """One network of a bundle. clip: its input. golden: its logit of golden_clip() where the bundle was made.

    backbone: timm's name; None in earlier bundles. weight: of its logits in the mean over members.
    """

    file: str
    sha256: str
    model: str
    backbone: str | None = None
    clip: ClipConfig
    golden: float | None = None
    weight: float = Field(1.0, gt=0)


class BundleInfo(Config):
    """The contents of bundle.json."""

    format: int = FORMAT
    faces: FacesConfig
    members: tuple[MemberEntry, ...]
    rule: Rule = Rule()
    rule_reason: str = PLAIN
    blend: Blend | None = Field(None, description="how several runs were blended, and why")
    sets: SetBlend | None = Field(None, description="how runs were blended that were judged on several sets")
    score: dict[str, Any] = Field(default_factory=dict, description="measures of the out-of-fold predictions")
    seen_sha256: str = Field("", description="of seen.json, the names of all that members have seen in training")
    golden_face: GoldenFace | None = Field(None, description="what is found in golden.mp4 where the bundle was made")
    evidence: Evidence | None = Field(None, description="what scores of unseen videos have meant; left out if None")
    versions: dict[str, str] = Field(default_factory=versions)

    def text(self) -> str:
        """The text of bundle.json."""
        return self.model_dump_json(indent=1, exclude={"evidence"} if self.evidence is None else None) + "\n"

    def sha256(self) -> str:
        """SHA-256 of bundle.json. It covers all that decides a prediction, since it lists the other files' sha256."""
        return sha256(self.text().encode())


def shipped() -> Path:
    """The folder of the bundle shipped with dfd. Raises CheckpointError if there is none."""
    if not (SHIPPED / "bundle.json").is_file():
        raise CheckpointError("this dfd has no shipped detector: give --bundle FOLDER")
    return SHIPPED


def is_shipped(identity: str) -> bool:
    """Whether the shipped bundle exists and the sha256 of its bundle.json is `identity`."""
    path = SHIPPED / "bundle.json"
    return path.is_file() and sha256(path) == identity


def read_info(folder: Path) -> BundleInfo:
    """Read the bundle.json in `folder`. Raises CheckpointError."""
    path = folder / "bundle.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a bundle (no bundle.json): make one with `dfd bundle RUN --out {folder}`"
        )
    about = read_object(path, CheckpointError, AGAIN)
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not of format {FORMAT}, the one that this version reads: bundle the run again"
        )
    try:
        return BundleInfo.read(about, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def read_seen(folder: Path) -> tuple[str, ...]:
    """Read a bundle's seen.json: names of all videos on which a member or its starting weights were trained, and of
    the sources of those videos. Raises CheckpointError.
    """
    path = folder / SEEN_FILE
    names = read_json(path, CheckpointError, AGAIN)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path} is not a list of names: {AGAIN}")
    return tuple(names)


def check_file(path: Path, wanted: str) -> None:
    """Raise CheckpointError unless `path` exists and has the sha256 `wanted`."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {AGAIN}")
    if (found := sha256(path)) != wanted:
        raise CheckpointError(f"{path} has sha256 {found[:12]}…, not {wanted[:12]}…: copy the bundle again")
