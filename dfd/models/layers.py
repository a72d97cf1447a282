"""Small layers shared by several architectures."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfd.models.contract import ActivationName

ACTIVATIONS: dict[ActivationName, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


def small_head(features: int) -> nn.Linear:
    """The last dense layer, `features` in and 1 logit out. Initial logits are near 0, and the initial loss near ln 2.

    timm would initialise a one-class head with a standard deviation of 0.58, for an initial loss of about 5.
    """
    head = nn.Linear(features, 1)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head


def zero_head(features: int) -> nn.Linear:
    """A last dense layer that starts with zero output."""
    head = nn.Linear(features, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def mean_and_max(sequence: Tensor) -> Tensor:
    """Concatenate mean and maximum over time: (B,T,F) -> (B,2F).

    >>> mean_and_max(torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])).tolist()
    [[1.0, 2.0, 2.0, 3.0]]
    """
    return torch.cat([sequence.mean(dim=1), sequence.amax(dim=1)], dim=1)
