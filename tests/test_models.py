import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dfd.errors import ConfigError
from dfd.models import REGISTRY, ClipModel, ModelConfig, build
from dfd.models import describe as description
from dfd.models.backbone import _known, current_name
from dfd.models.describe import clips_per_second, describe, multiply_adds, table
from dfd.models.inflated import TemporalTaps
from dfd.models.layers import ACTIVATIONS
from dfd.models.recurrent import GatedAttention

from timm.layers import DropPath  # isort: skip  # after dfd, which makes torchvision importable
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model  # isort: skip
from timm.models._registry import get_deprecated_models  # isort: skip
from timm.models.resnet import BasicBlock, ResNet  # isort: skip
from torchvision.models import video  # isort: skip

pytestmark = pytest.mark.slow

NAMES = list(REGISTRY)
BACKBONED = ["frame", "lstm", "gru", "attention", "time_only", "inflated"]
TIMELESS = ["frame", "attention"]
VIDEO = ["r3d_18", "mc3_18", "r2plus1d_18"]
FRAMES, SIDE = 8, 32


def small(name: str, frames: int = FRAMES, side: int = SIDE, /, **changes: Any) -> ClipModel:
    """The architecture at its smallest, without dropout, from a fixed seed."""
    return copy.deepcopy(_built(name, frames, side, **changes))


@cache
def _built(name: str, frames: int, side: int, **changes: Any) -> ClipModel:
    """Drawing the weights of the larger ones takes a second; copying them does not."""
    torch.manual_seed(0)
    settings = {"backbone": "test_efficientnet", "size": "tiny", "hidden": 8, "dropout": 0.0, "drop_path": 0.0}
    return build(ModelConfig.read({"name": name, **settings, **changes}, "test"), frames, side, side)


def noise(clips: int, frames: int = FRAMES, height: int = SIDE, width: int = SIDE, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (clips, 3, frames, height, width), dtype=torch.uint8, generator=generator)


def shaken(model: ClipModel) -> ClipModel:
    """`model` in eval mode with every parameter perturbed, so that nothing is zero from initialization."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


# the contract of every architecture


def test_all_models_but_baseline_and_attention_are_temporal() -> None:
    assert [name for name in NAMES if not REGISTRY[name].temporal] == TIMELESS


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_one_float_per_clip_and_start_near_zero(name: str) -> None:
    logits = small(name).eval()(noise(3))
    assert logits.shape == (3,)
    assert logits.dtype == torch.float32
    if not name.startswith("journal"):
        assert logits.abs().max() < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = small(name).train()
    clips, labels = noise(2), torch.tensor([0.0, 1.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):  # a zero head blocks gradients in the first step
        optimizer.zero_grad(set_to_none=True)
        nn.functional.binary_cross_entropy_with_logits(model(clips), labels).backward()
        gradients = {path: parameter.grad for path, parameter in model.named_parameters()}
        assert [path for path, gradient in gradients.items() if gradient is None] == []
        optimizer.step()
    assert [path for path, gradient in gradients.items() if gradient is not None and not gradient.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_logit_does_not_depend_on_the_other_clips(name: str) -> None:
    model = shaken(small(name))
    clips = noise(3)
    with torch.inference_mode():
        together = model(clips)
        alone = torch.cat([model(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_saved_loaded_and_copied_weights_give_the_same_logits(name: str, tmp_path: Path) -> None:
    model = shaken(small(name))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = small(name).eval()
    with torch.inference_mode():
        expected = model(noise(1))
        assert not torch.equal(other(noise(1)), expected)
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(other(noise(1)), expected)
        assert torch.equal(copy.deepcopy(model)(noise(1)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_only_temporal_models_depend_on_frame_order(name: str) -> None:
    model = shaken(small(name))
    with torch.inference_mode():
        forwards, backwards = model(noise(1)), model(noise(1).flip(2))
    if REGISTRY[name].temporal:
        assert (forwards - backwards).abs() > 1e-4 * forwards.abs()
    else:
        torch.testing.assert_close(forwards, backwards, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_changes_little(name: str) -> None:
    model = small(name, 4, 16).eval()  # a 3D convolution in 16 bits is slow on a CPU
    clips = noise(1, 4, 16, 16)
    with torch.inference_mode():
        exact = model(clips)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(clips)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (noise(2, frames=7), r"clips are \(2, 3, 7, 32, 32\) uint8"),
        (noise(2, height=33), r"\(2, 3, 8, 33, 32\) uint8"),
        (noise(2, width=16), r"\(2, 3, 8, 32, 16\) uint8"),
        (noise(2)[:, :1], r"\(2, 1, 8, 32, 32\) uint8"),
        (noise(2)[0], r"\(3, 8, 32, 32\) uint8"),
        (noise(2).float(), r"\(2, 3, 8, 32, 32\) float32"),
    ],
    ids=["frames", "height", "width", "channels", "no batch", "float"],
)
def test_clips_of_another_size_give_a_one_line_error(name: str, clips: Tensor, message: str) -> None:
    model = small(name)
    with pytest.raises(ConfigError, match=message + r": this network was built for \(any, 3, 8, 32, 32\) uint8$"):
        model(clips)


# settings


def test_an_unknown_name_lists_the_registry() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'resnet'; there are frame, lstm, .*journal_separable_large$"):
        build(ModelConfig(name="resnet"), 8, 64, 64)


def test_an_unknown_backbone_suggests_similar_names() -> None:
    with pytest.raises(
        ConfigError, match=r"backbone is 'efficientnet_bo', which timm lacks; near it are efficientnet_b\d,"
    ):
        small("frame", backbone="efficientnet_bo")


def test_an_unknown_tag_of_a_backbone_is_a_config_error() -> None:
    with pytest.raises(
        ConfigError, match=r"'resnet18\.nobody', a pretraining that timm lacks; it has .*resnet18\.a1_in1k"
    ):
        small("frame", backbone="resnet18.nobody")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tf_efficientnet_b7_ns", "tf_efficientnet_b7.ns_jft_in1k"),  # the winner of DFDC's
        ("tf_efficientnet_b4_ap", "tf_efficientnet_b4.ap_in1k"),
        ("ssl_resnet18", "resnet18.fb_ssl_yfcc100m_ft_in1k"),
        ("timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("resnet18", "resnet18"),
    ],
)
def test_a_backbone_can_be_given_by_its_old_name(old: str, new: str) -> None:
    assert current_name(old) == new


def test_every_old_timm_name_is_known_or_refused_with_a_reason() -> None:
    refused = []
    for old in get_deprecated_models():
        try:
            assert _known(current_name(old)) is not None
        except ConfigError as error:
            refused.append(str(error))
    assert all("which timm has dropped" in error or "a pretraining that timm lacks" in error for error in refused)
    assert len(refused) < 10  # of 209; timm's table has two tags that no longer exist


def test_a_network_is_built_by_its_old_name() -> None:
    old, new = (small("frame", backbone=name) for name in ("ssl_resnet18", "resnet18"))
    assert old.state_dict().keys() == new.state_dict().keys()


MEAN = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
default_cfgs = generate_default_cfgs({"own_resnet": {**MEAN, "first_conv": "conv1", "classifier": "fc"}})


@register_model
def own_resnet(pretrained: bool = False, **options: Any) -> nn.Module:
    """A network that timm lacks, added as CONTRIBUTING says; register_model finds its default_cfgs in this module."""
    shape = {"block": BasicBlock, "layers": (1, 1, 1, 1), "channels": (4, 8, 8, 16)}
    return build_model_with_cfg(ResNet, "own_resnet", pretrained, **shape, **options)


@pytest.mark.parametrize("name", [name for name in BACKBONED if name != "inflated"])  # which needs an EfficientNet
def test_a_network_registered_with_timm_is_a_backbone(name: str) -> None:
    model = small(name, backbone="own_resnet", freeze="stem").train()
    model(noise(2)).sum().backward()
    learns = {p.requires_grad: p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters()}
    assert learns == {True: True, False: False}


def test_a_setting_unsupported_by_the_backbone_is_named() -> None:
    with pytest.raises(ConfigError, match=r"backbone 'vgg11' cannot be built with {'drop_path_rate': 0.5}$"):
        small("frame", backbone="vgg11", drop_path=0.5)


def test_a_transformer_is_built_for_the_clips_size() -> None:
    assert small("lstm", backbone="test_vit").eval()(noise(2)).shape == (2,)
    with pytest.raises(ConfigError, match=r"time_only needs a convolutional backbone, .* not 'test_vit'$"):
        small("time_only", backbone="test_vit")


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0x64x64 \(frames, height, width\) is empty"):
        build(ModelConfig(name="frame"), 0, 64, 64)


@pytest.mark.parametrize("changes", [{"weights": "imagenet.pt"}, {"freeze": "all"}])
def test_a_network_without_a_backbone_refuses_weights(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="factorized has no backbone"):
        small("factorized", **changes)


@pytest.mark.parametrize("changes", [{"dropout": 1.0}, {"hidden": 0}, {"size": "huge"}, {"activation": "swish"}])
def test_settings_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        small("lstm", **changes)


def test_each_network_has_its_own_colour_normalization() -> None:
    def colours(model: ClipModel) -> tuple[list[float], list[float]]:
        return model.mean.flatten().tolist(), model.std.flatten().tolist()

    assert colours(small("frame", backbone="tf_efficientnet_lite0")) == ([0.5] * 3, [0.5] * 3)
    assert colours(small("lstm"))[0] == pytest.approx([0.485, 0.456, 0.406])
    assert colours(small("mc3_18"))[1] == pytest.approx([0.22803, 0.22145, 0.216989])
    assert colours(small("journal_conv3d")) == ([0.0] * 3, [1.0] * 3)


def test_pixels_are_normalized_by_the_buffers() -> None:
    class Brightest(ClipModel):
        def logits(self, pixels: Tensor) -> Tensor:
            return pixels.amax(dim=(1, 2, 3, 4))

    model = Brightest(small("frame").clip, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    clips = torch.zeros((2, 3, FRAMES, SIDE, SIDE), dtype=torch.uint8)
    clips[1, 0, 0, 0, 0] = 255
    assert model(clips).tolist() == [-2.0, 2.0]


@pytest.mark.parametrize("name", [*BACKBONED[:-1], *VIDEO])
def test_a_frozen_backbone_does_not_change_in_training(name: str) -> None:
    model = small(name, freeze="all").train()
    backbone = model.get_submodule("backbone")
    before = copy.deepcopy(backbone.state_dict())
    model(noise(2)).sum().backward()
    assert not any(module.training for module in backbone.modules())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert model.get_submodule("head").weight.grad is not None


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("frame", {"conv_stem", "bn1", "blocks.0", "blocks.1"}),
        ("inflated", {"conv_stem", "bn1", "blocks.0", "blocks.1"}),
        ("mc3_18", {"stem", "layer1", "layer2"}),
    ],
)
def test_a_frozen_stem_is_the_stem_and_two_stages(name: str, frozen: set[str]) -> None:
    backbone = small(name, freeze="stem").train().get_submodule("backbone")
    still = {path for path, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert still == {path for path, _ in backbone.named_parameters() if any(path.startswith(f"{p}.") for p in frozen)}
    assert all(not backbone.get_submodule(path).training for path in frozen)
    assert backbone.training


# the sequence models


@pytest.mark.parametrize("name", ["lstm", "gru", "attention", "time_only"])
def test_an_untrained_sequence_model_equals_the_frame_model(name: str) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(small(name).eval()(noise(2)), small("frame").eval()(noise(2)), rtol=0, atol=0)


def test_the_frame_model_averages_single_frame_logits() -> None:
    model = shaken(small("frame"))
    single = build(ModelConfig(name="frame", backbone="test_efficientnet"), frames=1, height=SIDE, width=SIDE).eval()
    single.load_state_dict(model.state_dict())
    clip = noise(1)
    with torch.inference_mode():
        one_by_one = torch.stack([single(clip[:, :, [t]]) for t in range(FRAMES)]).mean(dim=0)
        torch.testing.assert_close(model(clip), one_by_one, rtol=1e-4, atol=1e-5)


def test_uniform_attention_is_the_mean_over_frames() -> None:
    pool = GatedAttention(features=3, hidden=4)
    nn.init.zeros_(pool.worth.weight)
    features = torch.arange(12.0).view(1, 4, 3)
    assert pool(features).tolist() == [[4.5, 5.5, 6.5]]


# the inflated network


def test_an_inflated_network_starts_equal_to_the_2d_one() -> None:
    flat, inflated = shaken(small("frame")), small("inflated").eval()
    assert sum(isinstance(module, TemporalTaps) for module in inflated.modules()) == 2
    state = flat.state_dict()
    for path, weight in inflated.state_dict().items():
        if weight.shape != state[path].shape:  # the middle third of the channels is the frame itself
            around = torch.zeros_like(state[path])
            state[path] = torch.cat([around, state[path], around], dim=1)
    inflated.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(inflated(noise(2)), flat(noise(2)), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(small("inflated").eval()(noise(2)), small("frame").eval()(noise(2)))


def test_thirds_agree_with_the_2d_network_on_a_still_clip_only() -> None:
    flat, thirds = small("frame").eval(), small("inflated", inflation="third").eval()
    moving = noise(1)
    still = moving[:, :, :1].expand_as(moving)
    with torch.inference_mode():
        torch.testing.assert_close(thirds(still), flat(still), rtol=1e-3, atol=1e-8)
        assert (thirds(moving) - flat(moving)).abs() > 0.01 * flat(moving).abs()


def test_taps_read_the_previous_and_the_next_frame() -> None:
    taps = TemporalTaps(nn.Conv2d(1, 1, 1), frames=3, inflation="centre")
    with torch.no_grad():
        taps.weight.copy_(torch.tensor([100.0, 10.0, 1.0]).view(1, 3, 1, 1))
        taps.bias.zero_()  # type: ignore[union-attr]
    two_clips = torch.tensor([1.0, 2, 3, 7, 8, 9]).view(6, 1, 1, 1)
    assert taps(two_clips).flatten().tolist() == [112, 123, 233, 778, 789, 899]


@pytest.mark.parametrize("changes", [{"backbone": "test_resnet"}, {"freeze": "all"}])
def test_nothing_to_inflate_is_an_error(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="nothing to inflate"):
        small("inflated", **changes)


# the journal's networks, as its figures 2, 4 and 6 list them: channels, frames, height, width, parameters

CONV3D = [
    ("conv3d_1", [3, 13, 360, 640], 246),
    ("max_pooling3d_1", [3, 13, 180, 320], 0),
    ("conv3d_2", [3, 11, 60, 106], 246),
    ("max_pooling3d_2", [3, 11, 30, 53], 0),
    ("conv3d_3", [3, 9, 10, 17], 246),
    ("max_pooling3d_3", [3, 9, 5, 8], 0),
    ("flatten_1", [1080], 0),
    ("dense_1", [20], 21620),
    ("dense_2", [10], 210),
    ("dense_3", [6], 66),
    ("dense_4", [2], 14),
]
SEPARABLE = [
    ("max_pooling3d_1", [3, 15, 270, 480], 0),
    ("conv3d_1", [3, 13, 270, 480], 30),
    ("conv3d_2", [3, 13, 268, 480], 30),
    ("conv3d_3", [3, 13, 90, 160], 30),
    ("max_pooling3d_2", [3, 13, 45, 80], 0),
    ("conv3d_4", [3, 11, 45, 80], 30),
    ("conv3d_5", [3, 11, 43, 80], 30),
    ("conv3d_6", [3, 11, 15, 26], 30),
    ("max_pooling3d_3", [3, 11, 7, 13], 0),
    ("conv3d_7", [3, 9, 7, 13], 30),
    ("conv3d_8", [3, 9, 5, 13], 30),
    ("conv3d_9", [3, 9, 2, 4], 30),
    ("max_pooling3d_4", [3, 9, 1, 2], 0),
    ("flatten_1", [54], 0),
    ("dense_1", [20], 1100),
    ("dense_2", [10], 210),
    ("dense_3", [6], 66),
    ("dense_4", [2], 14),
]
SEPARABLE_LARGE = [
    ("conv3d_1", [10, 13, 1080, 1920], 100),
    ("conv3d_2", [10, 13, 1078, 1920], 310),
    ("conv3d_3", [10, 13, 1078, 1918], 310),
    ("max_pooling3d_1", [10, 13, 539, 959], 0),
    ("conv3d_4", [10, 11, 539, 959], 310),
    ("conv3d_5", [10, 11, 537, 959], 310),
    ("conv3d_6", [10, 11, 537, 957], 310),
    ("max_pooling3d_2", [10, 11, 268, 478], 0),
    ("conv3d_7", [10, 9, 268, 478], 310),
    ("conv3d_8", [10, 9, 266, 478], 310),
    ("conv3d_9", [10, 9, 266, 476], 310),
    ("max_pooling3d_3", [10, 9, 133, 238], 0),
    ("conv3d_10", [10, 7, 133, 238], 310),
    ("conv3d_11", [10, 7, 131, 238], 310),
    ("conv3d_12", [10, 7, 131, 236], 310),
    ("max_pooling3d_4", [10, 7, 65, 118], 0),
    ("conv3d_13", [10, 5, 65, 118], 310),
    ("conv3d_14", [10, 5, 63, 118], 310),
    ("conv3d_15", [10, 5, 63, 116], 310),
    ("max_pooling3d_5", [10, 5, 31, 58], 0),
    ("conv3d_16", [10, 3, 31, 58], 310),
    ("conv3d_17", [10, 3, 29, 58], 310),
    ("conv3d_18", [10, 3, 29, 56], 310),
    ("max_pooling3d_6", [10, 3, 14, 28], 0),
    ("conv3d_19", [10, 1, 14, 28], 310),
    ("conv3d_20", [10, 1, 12, 28], 310),
    ("conv3d_21", [10, 1, 12, 26], 310),
    ("max_pooling3d_7", [10, 1, 6, 13], 0),
    ("flatten_1", [780], 0),
    ("dense_1", [50], 39050),
    ("dense_2", [25], 1275),
    ("dense_3", [16], 416),
    ("dense_4", [2], 34),
]


@pytest.mark.parametrize(
    ("name", "layers", "total"),
    [
        ("journal_conv3d", CONV3D, 22_648),
        ("journal_separable", SEPARABLE, 1_660),
        ("journal_separable_large", SEPARABLE_LARGE, 47_075),
    ],
)
def test_the_journals_figures_are_reproduced(name: str, layers: list[tuple[str, list[int], int]], total: int) -> None:
    described = describe(ModelConfig(name=name), frames=15, height=1080, width=1920)
    assert [tuple(layer.values()) for layer in described["layers"]] == layers
    assert described["parameters"] == total
    assert described["name"] == name


@given(
    name=st.sampled_from(["journal_conv3d", "journal_separable", "journal_separable_large"]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 90), st.integers(1, 90)),
)
@settings(max_examples=40, deadline=None)
def test_the_journals_networks_build_at_any_size(name: str, size: tuple[int, int, int]) -> None:
    logits = build(ModelConfig(name=name), *size)(noise(2, *size))
    assert logits.shape == (2,)
    assert logits.isfinite().all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_can_be_chosen(activation: str) -> None:
    model = small("journal_conv3d", activation=activation, dense_activation=activation)
    assert sum(type(layer) is ACTIVATIONS[activation] for layer in model.modules()) == 6  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "convolved", "dense"),
    [
        ("journal_conv3d", nn.ELU, nn.Sigmoid),
        ("journal_separable", nn.ELU, nn.Tanh),
        ("journal_separable_large", nn.ELU, nn.Tanh),
    ],
)
def test_activations_default_to_the_journals(name: str, convolved: type, dense: type) -> None:
    layers = dict(small(name).get_submodule("layers").named_children())
    assert {type(layer) for path, layer in layers.items() if path.startswith("activation")} == {convolved}
    assert [type(layer) for path, layer in layers.items() if path.startswith("dense_activation")] == [dense] * 3


def test_the_journals_logit_matches_its_softmax() -> None:
    model = small("journal_conv3d").eval()
    pixels = noise(2).float() / 255
    fake = model.get_submodule("layers")(pixels).softmax(dim=1)[:, 0]
    torch.testing.assert_close(model(noise(2)).sigmoid(), fake)


# descriptions


@pytest.mark.parametrize("name", NAMES)
def test_a_description_matches_the_built_network(name: str) -> None:
    model = small(name)
    config = ModelConfig(name=name, backbone="test_efficientnet", size="tiny", hidden=8)
    described = describe(config, FRAMES, SIDE, SIDE)
    assert described["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    shapes: dict[str, list[int]] = {}
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Conv3d | nn.MaxPool3d | nn.Flatten):
            path = path.removeprefix("layers.")
            layer.register_forward_hook(lambda _, __, output, path=path: shapes.update({path: list(output.shape[1:])}))
    model.eval()(noise(1))
    shown = {layer["name"]: layer["output_shape"] for layer in described["layers"]}
    assert {path: shown[path] for path in shapes} == shapes
    assert described["layers"][-1]["output_shape"] == ([2] if name.startswith("journal") else [1])


def test_frames_stacked_in_a_batch_are_described_as_time() -> None:
    config = ModelConfig(name="lstm", backbone="test_efficientnet", hidden=8)
    layers = {layer["name"]: layer for layer in describe(config, FRAMES, SIDE, SIDE)["layers"]}
    assert layers["backbone.conv_stem"] == {
        "name": "backbone.conv_stem",
        "output_shape": [24, FRAMES, SIDE // 2, SIDE // 2],
        "parameters": 3 * 24 * 9,
    }
    # two directions of four gates, each 256 features and 8 states wide with two biases
    assert layers["pool.cell"]["parameters"] == 2 * 4 * 8 * (256 + 8 + 2)
    assert layers["pool.cell"]["output_shape"] == [16]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("r3d_18", video.R3D_18_Weights.DEFAULT),
        ("mc3_18", video.MC3_18_Weights.DEFAULT),
        ("r2plus1d_18", video.R2Plus1D_18_Weights.DEFAULT),
    ],
)
def test_costs_match_those_published_by_torchvision(name: str, published: Any) -> None:
    config = ModelConfig(name=name)
    assert multiply_adds(config, 16, 112, 112) / 1e9 == pytest.approx(published.meta["_ops"], abs=0.001)
    head_of_400, head_of_1 = 400 * (512 + 1), 512 + 1
    assert describe(config, 16, 112, 112)["parameters"] == published.meta["num_params"] - head_of_400 + head_of_1


def test_factorized_has_a_full_3d_stem_and_factorized_blocks() -> None:
    model = small("factorized")
    stem, *kernels = [layer.kernel_size for layer in model.modules() if isinstance(layer, nn.Conv3d)]
    assert stem == (3, 7, 7)
    assert set(kernels) == {(1, 1, 1), (1, 3, 3), (3, 1, 1)}
    layers = describe(ModelConfig(name="factorized", size="tiny"), FRAMES, SIDE, SIDE)["layers"]
    shapes = [layer["output_shape"] for layer in layers if layer["name"].startswith(("stem", "blocks"))]
    assert shapes[0] == [16, 8, 16, 16]
    assert shapes[-1] == [64, 4, 2, 2]


def test_drop_path_rises_to_its_setting_at_the_last_block() -> None:
    model = build(ModelConfig(name="factorized", drop_path=0.6, size="tiny"), FRAMES, SIDE, SIDE)
    assert [layer.drop_prob for layer in model.modules() if isinstance(layer, DropPath)] == pytest.approx([0, 0.3, 0.6])


def test_time_only_convolves_over_time_alone() -> None:
    kernels = [layer.kernel_size for layer in small("time_only").modules() if isinstance(layer, nn.Conv3d)]
    assert kernels == [(5, 1, 1), (5, 1, 1)]


def test_a_still_clip_has_no_flicker_at_its_ends() -> None:
    time = small("time_only").get_submodule("time")
    still = torch.rand(1, 256, 1, 2, 2).expand(1, 256, FRAMES, 2, 2)
    seen = time(still)
    torch.testing.assert_close(seen, seen[:, :, :1].expand_as(seen))


def test_factorized_has_more_parameters_at_larger_sizes() -> None:
    sizes = ["tiny", "small", "base"]
    costs = [multiply_adds(ModelConfig.read({"name": "factorized", "size": size}, ""), 16, 112, 112) for size in sizes]
    assert costs == sorted(costs)
    assert costs[-1] > 4 * costs[0]


def test_the_table_has_one_row_per_model(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: REGISTRY[name] for name in ["journal_conv3d", "factorized"]}
    monkeypatch.setattr(description, "REGISTRY", few)
    rows = table(frames=4, side=32, seconds=0.01)
    assert [row["name"] for row in rows] == list(few)
    assert [row["family"] for row in rows] == ["journal", "3D"]
    assert rows[1]["parameters"] == describe(ModelConfig(name="factorized"), 4, 32, 32)["parameters"]
    assert all(row["clips_per_second"] > 0 and row["multiply_adds"] > 0 and row["purpose"] for row in rows)


def test_speed_is_measured_in_eval_mode_in_clips_per_second() -> None:
    model = small("frame").train()
    passed: list[bool] = []
    model.register_forward_hook(lambda module, _, __: passed.append(module.training))
    assert clips_per_second(model, seconds=0.0) > 0
    assert passed == [False] * 3
