import copy

import pytest
import torch

from dfd.models import ModelConfig, build
from dfd.models.frozen import fold_frozen

SIZE = 64


def network(name="frame", freeze="stem", backbone="tf_efficientnet_lite0", frames=1):
    """A network in training mode whose batch statistics are not those of a fresh one."""
    torch.manual_seed(0)
    config = ModelConfig(name=name, backbone=backbone, freeze=freeze, dropout=0, drop_path=0, hidden=8)
    made = build(config, frames, SIZE, SIZE)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    return made.train()


def clips(frames=1):
    return torch.randint(0, 256, (4, 3, frames, SIZE, SIZE), dtype=torch.uint8)


def exchanged(model):
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


@pytest.mark.parametrize(
    ("settings", "folded"),
    [
        ({}, 9),  # the stem, a separable block of two convolutions, and two blocks of three
        ({"freeze": "all"}, 1 + 2 + 15 * 3 + 1),
        ({"name": "inflated", "frames": 2}, 9),
        ({"backbone": "efficientnet_b0"}, 9),
    ],
)
def test_folded_layers_give_the_same_logits_and_gradients(settings, folded):
    model, pictures = network(**settings), clips(settings.get("frames", 1))
    other = copy.deepcopy(model)
    fold_frozen(other)
    assert len(exchanged(other)) == 2 * folded
    assert exchanged(model) == []
    answers = []
    for one in (model, other):
        logits = one(pictures)
        logits.square().sum().backward()
        answers.append((logits.detach(), {name: p.grad for name, p in one.named_parameters() if p.grad is not None}))
    (logits, gradients), (others, folded_gradients) = answers
    assert torch.allclose(others, logits, rtol=1e-3, atol=1e-5)
    assert gradients.keys() == folded_gradients.keys() != set()
    whole, other = (torch.cat([found[name].flatten() for name in gradients]) for found in (gradients, folded_gradients))
    assert (other - whole).norm() <= 0.02 * whole.norm()  # batch statistics of 2x2 maps amplify rounding


def test_weights_and_their_names_stay_as_they_are():
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold_frozen(model)
    model(clips())
    after = model.state_dict()
    assert list(after) == list(before)
    frozen = [name for name in before if name.startswith(("backbone.conv_stem", "backbone.bn1", "backbone.blocks.1"))]
    assert all(torch.equal(after[name], before[name]) for name in frozen)


@pytest.mark.parametrize("settings", [{"freeze": "none"}, {"backbone": "resnet18"}])
def test_layers_that_learn_and_other_backbones_are_left_alone(settings):
    model = network(**settings)
    fold_frozen(model)
    assert exchanged(model) == []
