import math
from types import SimpleNamespace

import pytest
import torch

from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError
from dfd.faces.tracklets import FacesConfig
from dfd.models import ModelConfig
from dfd.models.backbone import create_backbone
from dfd.models.checkpoint import Header, build_model
from dfd.models.contract import ClipSize
from dfd.training.config import TrainConfig
from dfd.training.module import ClipClassifier
from dfd.training.optimizers import MAKERS
from dfd.types import Clips

CLIP = ClipConfig(length=2, size=32)


class Answers(torch.nn.Module):
    """A model that gives the same logits for every batch."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, _):
        return self.logits


def classifier(steps=100, model=None, **settings):
    model = model or ModelConfig(name="journal_conv3d")
    header = Header(model=model, clip=CLIP, faces=FacesConfig(), prior=0.5)
    torch.manual_seed(0)
    return ClipClassifier(build_model(model, CLIP), TrainConfig(**settings), header, steps)


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_decays_weights_but_not_biases_or_norms(name):
    module = classifier(optimizer=name, lr=0.01, weight_decay=0.02)
    optimizer = module.configure_optimizers()["optimizer"]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(module.model.parameters()))
    for group in optimizer.param_groups:
        assert group["initial_lr"] == 0.01
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.02}


def test_a_pretrained_backbone_has_a_lower_learning_rate_than_new_layers(tmp_path):
    config = ModelConfig(name="frame", backbone="tf_efficientnet_lite0", drop_path=0)
    torch.save(create_backbone(config, ClipSize(2, 32, 32)).state_dict(), tmp_path / "weights.pt")
    for weights, rates in ((tmp_path / "weights.pt", {0.001, 0.01}), (None, {0.01})):
        module = classifier(model=config.replace(weights=weights), lr=0.01, backbone_lr=0.1)
        groups = module.configure_optimizers()["optimizer"].param_groups
        assert {round(group["initial_lr"], 6) for group in groups} == rates
        head = next(g for g in groups if any(p is module.model.head.weight for p in g["params"]))
        assert head["initial_lr"] == 0.01


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", False), ("16-mixed", False)])
def test_steps_are_fused_where_lightning_can_clip_their_gradients(precision, fused):
    optimizer = classifier(optimizer="adamw", precision=precision).configure_optimizers()["optimizer"]
    assert bool(optimizer.defaults["fused"]) == fused


def test_an_unknown_optimizer_lists_the_choices():
    with pytest.raises(ConfigError, match="optimizer is 'lion'.*'nd-adam'"):
        TrainConfig.read({"optimizer": "lion"}, "here")


def test_the_learning_rate_warms_up_and_decays_as_a_half_cosine():
    module = classifier(steps=100, warmup=0.1)
    assert [module._rate(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert module._rate(10) == pytest.approx(1.0)
    assert module._rate(55) == pytest.approx(0.5)
    assert module._rate(100) == pytest.approx(0.0, abs=1e-9)


def test_the_loss_uses_smoothed_labels_and_the_log_plain_ones():
    module = classifier(smoothing=0.1)
    module.model = Answers(torch.tensor([2.0, -1.0]))
    batch = Clips(torch.zeros(2, 3, 2, 32, 32, dtype=torch.uint8), torch.tensor([1.0, 1.0]), ("a", "b"))
    softplus = [math.log1p(math.exp(value)) for value in (-2.0, 1.0)]  # for a fake: log(1 + exp(-logit))
    plain = sum(softplus) / 2
    loss = module.training_step(batch, 0)
    module._trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda sums, reduce_op: sums))
    assert module.averages() == pytest.approx({"loss": plain, "accuracy": 0.5})
    module.training_step(batch, 1)
    assert module.averages() == pytest.approx({"loss": plain, "accuracy": 0.5})
    assert module.sums.tolist() == pytest.approx([4 * plain, 2, 4])
    # smoothed to 0.9: softplus(-z) + 0.1 z
    assert loss.item() == pytest.approx(plain + 0.1 * (2 - 1) / 2)


def test_the_ema_decay_warms_up():
    module = classifier(ema=0.5)
    for steps, wanted in ((0, 0.9), (1, 9 / 11), (1000, 0.5)):  # decays 1/10, 2/11 and 1/2
        means = [torch.zeros(1), torch.zeros(2, 2)]
        module._average(means, [torch.ones(1), torch.ones(2, 2)], torch.tensor(steps))
        assert [mean.flatten().tolist() for mean in means] == [pytest.approx([wanted]), pytest.approx([wanted] * 4)]
    counts = [torch.tensor(3)]
    module._average(counts, [torch.tensor(5)], torch.tensor(9))
    assert counts[0].item() == 5  # a batch count is not averaged


def test_the_ema_is_the_weighted_mean_of_weights_and_batch_statistics():
    """Tensor by tensor: mean + (1 - decay) (now - mean)."""
    module = classifier(model=ModelConfig(name="factorized", size="tiny"), ema=0.9)
    (average,) = module.average
    average.update_parameters(module.model)  # the first step copies
    wanted = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
    for steps in range(1, 4):
        with torch.no_grad():
            for tensor in module.model.state_dict().values():
                tensor += 1 if tensor.dtype == torch.int64 else 0.1 * torch.randn_like(tensor)
        average.update_parameters(module.model)
        for name, now in module.model.state_dict().items():
            weight = 1 - min(0.9, (1 + steps) / (10 + steps))
            wanted[name] = wanted[name].lerp(now, weight) if now.is_floating_point() else now.clone()
    mean = average.module.state_dict()
    assert all(torch.equal(mean[name], wanted[name]) for name in wanted)
    assert any(not tensor.is_floating_point() for tensor in mean.values())
