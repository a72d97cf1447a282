"""Small parts that several architectures share."""

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
    """The last dense layer, `features` in and 1 logit out: first logits near 0, hence a first loss near ln 2.

    timm would start a head of one class with a standard deviation of 0.58, and a first loss of about 5.
    """
    head = nn.Linear(features, 1)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head


def zero_head(features: int) -> nn.Linear:
    """A last dense layer that adds nothing until it has learned."""
    head = nn.Linear(features, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def mean_and_max(sequence: Tensor) -> Tensor:
    """Mean and maximum over time, side by side: (B,T,F) -> (B,2F).

    >>> mean_and_max(torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])).tolist()
    [[1.0, 2.0, 2.0, 3.0]]
    """
    return torch.cat([sequence.mean(dim=1), sequence.amax(dim=1)], dim=1)
