"""Class balance by slices a video: the journal took 5 of a fake and 21 of a real video, for 4.2 fakes a real one."""

from collections.abc import Sequence
from dataclasses import dataclass

from dfd.errors import ConfigError
from dfd.types import Label


@dataclass(frozen=True)
class Balance:
    """Slices taken of each video an epoch, by class, and `prior`: the share of fakes that training then sees."""

    real: int
    fake: int
    prior: float

    def slices(self, label: Label) -> int:
        """Slices of a video of class `label`."""
        return self.fake if label else self.real


def balance(labels: Sequence[Label], slices: int) -> Balance:
    """`slices` of each video of the commoner class, and as many more of the rarer as brings the two level.

    Raises ConfigError when a class is missing.

    >>> balance([1] * 42 + [0] * 10, slices=5)  # the journal's 5 and 21
    Balance(real=21, fake=5, prior=0.5)
    """
    fakes = sum(labels)
    reals = len(labels) - fakes
    if not fakes or not reals:
        raise ConfigError(
            f"the training videos are {reals} real and {fakes} fake: a model needs some of both to learn from"
        )
    real = slices if reals >= fakes else round(slices * fakes / reals)
    fake = slices if fakes >= reals else round(slices * reals / fakes)
    return Balance(real, fake, fakes * fake / (fakes * fake + reals * real))
