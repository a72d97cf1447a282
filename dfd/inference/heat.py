"""Heat maps: where in a face a network finds evidence of a fake.

Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization") on
the second-to-last stage of a timm backbone, or else on the last convolution. A map is a hint. check_maps measures how
far to trust it, on self-blended fakes with known masks.

The stage was chosen on photographs that no network had seen. For the shipped blending network 71 % of the heat lies
inside the mask with the second-to-last stage, and 53 % with the last; for a bell centred on the image, 48 %. HiResCAM
(61 %), LayerCAM (57 %) and earlier stages (at most 50 %) did worse. For the DFDC network at most 57 % lies inside with
any of these, and 63 % for the centred bell, so its maps are not shown. These figures come from the
photographs that chose the stage, and those of the shipped bundle's own check from the same pool: both are a little
flattered.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dfd.clips.blend import BlendConfig, self_blend
from dfd.clips.dataset import Raw, as_clips, changed
from dfd.clips.distort import UNCHANGED
from dfd.clips.made import located
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError
from dfd.faces.records import VideoRecord, load_crops, load_geometry
from dfd.inference.forward import Member, device_of
from dfd.scoring.evidence import MapCheck

Heat = NDArray[np.float32]

HEAD = "conv_head"
"""timm's name for a 1x1 convolution that widens features for the last layer. It has no spatial extent."""
STAGES = "blocks"
"""timm's name for the stages of a backbone."""
CENTRED = 0.25
"""Standard deviation of the centred bell that heat maps are compared with, in sides of the image."""


def heat_maps(model: nn.Module, clips: Tensor) -> tuple[list[float], Heat]:
    """Logits of clips (N,3,T,S,S) uint8, and their heat maps (N,T,S,S) float32, not negative.

    A map is 0 everywhere if nothing indicates a fake. Raises ConfigError for a network without a convolution.
    """
    with _last_features(model) as kept, torch.enable_grad():
        logits = model(clips.to(device_of(model)))
        if not kept:
            raise ConfigError(f"{type(model).__name__} has no convolution of which a heat map could be drawn")
        features = kept[-1]
        (slopes,) = torch.autograd.grad(logits.sum(), features)
    weights = slopes.mean(dim=tuple(range(2, slopes.ndim)), keepdim=True)
    maps = torch.relu((weights * features.detach()).sum(1)).float()
    frames, side = clips.shape[2], clips.shape[-1]
    maps = maps.reshape(len(clips), 1, -1, *maps.shape[-2:])  # a single-frame network has them as separate images
    full = F.interpolate(maps, (frames, side, side), mode="trilinear")[:, 0]
    return logits.detach().float().cpu().tolist(), np.asarray(full.cpu().numpy(), np.float32)


@contextmanager
def _last_features(model: nn.Module) -> Iterator[list[Tensor]]:
    """Context that captures the features for a map during a forward pass: the last ones with several pixels."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        if output.ndim >= 4 and min(output.shape[-2:]) > 1:
            kept[:] = [output if output.requires_grad else output.requires_grad_()]

    hooks = [layer.register_forward_hook(keep) for layer in _layers(model)]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _layers(model: nn.Module) -> list[nn.Module]:
    """All stages of a timm backbone except the last; for other networks the convolutions."""
    for module in model.modules():
        stages = getattr(module, STAGES, None)
        if isinstance(stages, nn.Sequential) and len(stages) > 1:
            return list(stages)[:-1]
    return [m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d) and HEAD not in name]


def check_maps(
    member: Member, videos: Sequence[VideoRecord], blend: BlendConfig, most: int = 100, times: int = 1
) -> MapCheck | None:
    """Evaluate a network's maps on self-blended fakes of real `videos`: `times` fakes of at most `most` tracklets.

    None if it takes none of them for a fake, or no video shows a face with landmarks. Raises StoreError.
    """
    found = []
    for fake, mask in _fakes(videos, member[1].clip, blend, most, times):
        (logit,), (heat,) = heat_maps(member[0], fake[None])
        if logit > 0 and heat.sum() > 0 and mask.any():
            found.append([_inside(heat, mask), float(mask.mean()), _inside(_bell(mask.shape), mask)])
    if not found:
        return None
    inside, uniform, centred = np.mean(found, axis=0).round(4).tolist()
    return MapCheck(fakes=len(found), inside=inside, uniform=uniform, centred=centred)


def _fakes(
    videos: Sequence[VideoRecord], clip: ClipConfig, blend: BlendConfig, most: int, times: int
) -> Iterator[tuple[Tensor, NDArray[np.bool_]]]:
    """Fakes (3,T,S,S) uint8 as network input, and their masks (T,S,S)."""
    still = blend.replace(change_target=0.0, ratios=(1.0,))
    faces = [tracklet for video in videos if video.label == 0 for tracklet in located(video)]
    for face, turn in product(faces[:most], range(times)):
        at = np.minimum(np.arange(clip.length), face.frames - 1)
        name = f"{face.video}/{face.segment}/{face.face}/{turn}"
        rng = np.random.default_rng(crc32(name.encode("utf-8", "surrogatepass")))
        _, fake, mask = self_blend(load_crops(face, at), load_geometry(face)[2][at], rng, still)
        grey = np.round(255 * mask[..., None].repeat(3, axis=3)).astype(np.uint8)
        margin = min(clip.margin, face.margin)
        pictures, masks = (
            changed(Raw(images, face.margin, None, face.video), UNCHANGED, clip.replace(margin=margin))
            for images in (fake, grey)
        )
        yield as_clips([pictures], [1.0], [face.video]).images[0], masks[..., 0] > 25


def _inside(heat: Heat, mask: NDArray[np.bool_]) -> float:
    """The share of a map's heat that lies inside a mask.

    >>> _inside(np.array([[1.0, 3.0]], np.float32), np.array([[False, True]]))
    0.75
    """
    return float(heat[mask].sum() / heat.sum())


def _bell(shape: tuple[int, ...]) -> Heat:
    """A centred bell (T,S,S), the baseline that only knows where the centre is."""
    side = shape[-1]
    away = (np.arange(side) - (side - 1) / 2) / (CENTRED * side)
    bell = np.exp(-(away**2) / 2)
    return np.broadcast_to(np.outer(bell, bell), shape).astype(np.float32)
