import numpy as np
import pytest
import torch
from torch import nn

from dfd import sample
from dfd.clips.blend import BlendConfig
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError
from dfd.faces.recorder import in_memory
from dfd.inference.bundle import load_member
from dfd.inference.heat import check_maps, heat_maps
from dfd.inference.info import read_info, shipped
from dfd.models import ModelConfig
from dfd.models.checkpoint import build_model
from dfd.types import Video

pytestmark = pytest.mark.slow


class Corner(nn.Module):
    """A network whose logit is the mean of red minus green over the clip."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        self.look.weight.data = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None] / 255

    def forward(self, clips):
        maps = self.look(clips.float().transpose(1, 2).flatten(0, 1))
        return (maps[:, 0] - maps[:, 1]).mean((1, 2)).unflatten(0, (len(clips), -1)).mean(1)


def test_a_map_highlights_what_drives_the_logit():
    clips = torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8)
    clips[0, 0, 1, :4, :4] = 255  # red in one corner of the second frame raises the logit
    clips[1, 1] = 255  # green lowers it
    logits, maps = heat_maps(Corner(), clips)
    assert logits == pytest.approx([1 / 12, -1.0])
    assert maps.shape == (2, 3, 8, 8)
    lit = maps[0, 1] > 0.5 * maps.max()
    assert lit[:4, :4].all()
    assert lit.sum() == 16
    assert maps[0, 0].max() < 0.5 * maps.max() or maps[0, 0].max() == 0
    assert maps[1].max() == 0


@pytest.mark.parametrize("name", ["frame", "lstm", "journal_conv3d", "factorized", "inflated"])
@pytest.mark.parametrize("frozen", [False, True])
def test_every_network_has_a_map_and_is_left_unchanged(name, frozen):
    clip = ClipConfig(length=4, size=64)
    backbone = {"backbone": "mobilenetv3_small_050"} if name in ("frame", "lstm", "inflated") else {}
    model = build_model(ModelConfig(name=name, size="tiny", **backbone), clip).eval()
    model.requires_grad_(not frozen)
    clips = torch.randint(0, 256, (2, 3, 4, 64, 64), dtype=torch.uint8)
    logits, maps = heat_maps(model, clips)
    assert maps.shape == (2, 4, 64, 64)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    with torch.inference_mode():
        assert model(clips).tolist() == pytest.approx(logits, abs=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


class Flat(nn.Linear):
    def forward(self, clips):
        return super().forward(clips.float().flatten(1))[:, 0]


def test_a_network_without_a_convolution_is_refused():
    with pytest.raises(ConfigError, match="Flat has no convolution"):
        heat_maps(Flat(12, 1), torch.zeros(1, 3, 1, 2, 2, dtype=torch.uint8))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Fourteen real faces of different people, from the mini-DFDC's photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for package in ("feat", "insightface", "skimage"):
        sample.unpack(package, folder)
    config = read_info(shipped()).faces
    paths = sorted(path for path in folder.glob("*.*") if path.suffix in (".jpg", ".png"))
    return [in_memory(Video(path, path.name, 0), config) for path in paths]


@pytest.mark.parametrize(("member", "knows_blends"), [(0, False), (1, True)])
def test_the_shipped_networks_look_where_a_face_was_changed(faces, mesh, member, knows_blends):
    """For fakes that a network detects, its maps have more mass inside the mask than a uniform map.

    For the network trained on such fakes, also more than a centred map. The shipped bundle's check therefore shows
    only that network's maps.
    """
    network = load_member(shipped() / f"member-{member}.pt", torch.device("cpu"))
    found = check_maps(network, faces, BlendConfig(mesh=mesh), times=4)
    print(f"network {member}: {found}")
    assert found.fakes >= 5
    assert found.inside > found.uniform
    assert found.inside > found.centred or not knows_blends
    assert read_info(shipped()).evidence.maps[member].tells is knows_blends


def test_maps_cannot_be_judged_without_real_faces(faces):
    network = load_member(shipped() / "member-1.pt", torch.device("cpu"))
    fakes = [record.known_as(Video(faces[0].tracklets[0].film, record.video, 1)) for record in faces[:1]]
    assert check_maps(network, fakes, BlendConfig()) is None
