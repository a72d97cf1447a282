"""Class balance: how often an epoch opens real and fake videos, and how they are paired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError
from dfd.types import Label


class DrawConfig(Config):
    """What an epoch's clips are drawn from."""

    balance: Literal["pairs", "slices"] = Field(
        "pairs",
        description="pairs: a real and a fake clip, augmented alike; slices: single clips, more of the smaller class",
    )
    slices: int = Field(
        1,
        ge=1,
        le=1000,
        description="how often an epoch opens a video of the larger class; of the smaller, more often",
    )
    per_load: int = Field(2, ge=1, le=100, description="clips taken of a tracklet each time that it is opened")
    self_blend: float = Field(
        0.0, ge=0, le=1, description="share of fakes made by blending a real clip with itself; 1: no others are used"
    )
    aligned: float = Field(
        0.5, ge=0, le=1, description="share of pairs in which the real clip is the fake's source, frame by frame"
    )
    mixup: float = Field(0.0, ge=0, le=1, description="share of aligned pairs that are mixed, labels and all")
    cutmix: float = Field(0.0, ge=0, le=1, description="share of pairs that swap a box of space and time")
    seed: int = Field(0, ge=0, lt=2**32, description="of weights, clips and order")


@dataclass(frozen=True)
class Balance:
    """How often an epoch opens each video, by class. `prior`: the resulting share of fakes in training."""

    real: int
    fake: int
    prior: float

    def slices(self, label: Label) -> int:
        """Number of slices drawn from a video of class `label`."""
        return self.fake if label else self.real


def balance(labels: Sequence[Label], slices: int) -> Balance:
    """Draw `slices` from each video of the larger class, and enough more from the smaller class to level the two.

    Raises ConfigError when a class is missing.

    >>> balance([1] * 42 + [0] * 10, slices=5)  # the journal's 5 and 21
    Balance(real=21, fake=5, prior=0.5)
    """
    reals, fakes = both_classes(labels)
    real = slices if reals >= fakes else round(slices * fakes / reals)
    fake = slices if fakes >= reals else round(slices * reals / fakes)
    return Balance(real, fake, fakes * fake / (fakes * fake + reals * real))


def both_classes(labels: Sequence[Label], made: float = 0.0) -> tuple[int, int]:
    """Count the real and the fake videos. Raises ConfigError when a class is missing.

    made: the share of fakes that are made from real videos; at 1 no others are needed.
    """
    fakes = sum(labels)
    reals = len(labels) - fakes
    if not reals or (not fakes and made < 1):
        more = "; with real videos alone, --train.self-blend 1 makes the fakes" if reals else ""
        raise ConfigError(
            f"the training videos are {reals} real and {fakes} fake: a model needs some of both to learn from{more}"
        )
    return reals, fakes
