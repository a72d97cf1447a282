import math

import pytest
import torch
from torch import nn

from dfd.training.optimizers import FUSED, MAKERS, NDAdam, create_optimizer


def learn(name, steps=200, lr=0.02, decay=0.0):
    """Loss before and after fitting a line that a one-layer network can represent."""
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = (x @ torch.tensor([0.3, -0.5, 0.2, 0.1]) + 0.7).sign()
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = create_optimizer(name, [{"params": list(model.parameters()), "lr": lr, "weight_decay": decay}])
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.soft_margin_loss(model(x).squeeze(1), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_reduces_the_loss(name):
    losses = learn(name)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", MAKERS)
def test_a_fused_step_equals_a_plain_one_within_rounding(name):
    torch.manual_seed(0)
    start, gradients = torch.randn(40, 30), torch.randn(5, 40, 30)
    ends = []
    for fused in (False, True):
        weight = nn.Parameter(start.clone())
        optimizer = create_optimizer(name, [{"params": [weight], "lr": 0.01, "weight_decay": 0.02}], fused)
        assert bool(optimizer.defaults.get("fused")) == (fused and name in FUSED)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        ends.append(weight.detach())
    assert torch.allclose(*ends, rtol=0, atol=1e-6)
    assert (ends[0] - start).abs().mean() > 0.005


def test_amsgrad_and_momentum_are_configured():
    parameter = [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.1, "weight_decay": 0.0}]
    assert create_optimizer("amsgrad", parameter).defaults["amsgrad"]
    assert create_optimizer("sgd", parameter).defaults["momentum"] == 0.9


def nd_step(weight, gradient, lr):
    parameter = nn.Parameter(torch.tensor(weight))
    optimizer = NDAdam([parameter], lr=lr)
    parameter.grad = torch.tensor(gradient)
    optimizer.step()
    return parameter.detach()


def test_nd_adam_rotates_a_unit_and_keeps_its_norm():
    # (3,4): direction (.6,.8). The gradient's part at right angles is (-.8,.6) times its own -.8*2 = -1.6, so
    # (1.28,-.96), of length 1.6. Adam's first step is lr in its direction: (.6,.8) - .1*(.8,-.6) = (.52,.86).
    turned = torch.tensor([0.52, 0.86])
    expected = 5 * turned / turned.norm()
    assert nd_step([[3.0, 4.0]], [[2.0, 0.0]], 0.1)[0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_nd_adam_does_not_move_along_the_weights():
    assert nd_step([[3.0, 4.0]], [[6.0, 8.0]], 0.1)[0].tolist() == pytest.approx([3.0, 4.0], abs=0.05)


def test_each_unit_of_a_convolution_keeps_its_norm():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 3)
    before = convolution.weight.detach().flatten(1).norm(dim=1)
    optimizer = NDAdam(convolution.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        convolution(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    assert torch.allclose(convolution.weight.detach().flatten(1).norm(dim=1), before, rtol=1e-5)


def test_a_zero_initialized_head_can_train():
    """Adam's first step has the size of the learning rate for any gradient."""
    assert nd_step([[0.0, 0.0]], [[2.0, -0.5]], 0.1)[0].tolist() == pytest.approx([-0.1, 0.1], rel=1e-4)


def test_nd_adam_state_can_be_saved_and_restored():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.load_state_dict(a.state_dict())
    one, two = NDAdam(a.parameters()), NDAdam(b.parameters())
    x = torch.randn(8, 3)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    step(a, one), step(b, two)
    again = NDAdam(b.parameters())
    again.load_state_dict(two.state_dict())
    step(a, one), step(b, again)
    assert torch.equal(a.weight, b.weight)
    assert math.isfinite(a.weight.sum().item())
