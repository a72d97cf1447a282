"""Run clips of one or several videos through a network. A failure costs no other video its score."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from dfd.errors import ConfigError
from dfd.models.checkpoint import Header
from dfd.videos.workers import available_cores

MODEL_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)
"""Errors that a network may raise. torch's own, out of memory included, are RuntimeErrors."""

Member = tuple[nn.Module, Header]
"""A network, and the header that describes its input."""

Answer = list[float] | Exception
"""A video's logits, one per clip; or the error instead."""


@dataclass(frozen=True)
class AtOnce:
    """Batch settings of a network.

    videos: number of videos whose clips are batched together. frames: maximum per batch, but at least one clip. Batches
    of several videos are padded to a fixed size with blank clips, so that the same GPU kernels run and a video gets the
    same digits in any batch. half: eligible layers compute in 16 bits, which moves a logit by a tenth at most.
    """

    videos: int = 1
    frames: int = 16
    half: bool = False


AT_ONCE = {"cpu": AtOnce(), "cuda": AtOnce(videos=8, frames=512, half=True)}
"""By device type. One video's clips do not fill a GPU. On a CPU larger batches take as long per frame, and more memory
(`python -m benchmarks.memory`)."""


def read_device(name: str) -> torch.device:
    """Parse a device name like "cpu", "cuda" or "cuda:1". Raises ConfigError if this machine lacks it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in AT_ONCE:
        raise ConfigError(f"there is no device {name!r}: name cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"there is no device {name!r} here: torch sees {torch.cuda.device_count()} GPUs; name cpu")
    return device


def device_of(model: nn.Module) -> torch.device:
    """The device of its weights."""
    return next(model.parameters()).device


@contextmanager
def one_core_a_network() -> Iterator[None]:
    """Context in which a network computes on one core, and side_by_side() runs several networks in parallel.

    Threads that share a layer wait for one another, most of all while decoding processes compete for the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(
    ask: Callable[[Member], list[Answer]], members: Sequence[Member], device: torch.device
) -> list[list[Answer]]:
    """Call `ask` for each member. On a CPU, with one core per network, as many run in parallel as there are cores."""
    if device.type != "cpu" or torch.get_num_threads() > 1 or len(members) == 1:
        return [ask(member) for member in members]
    with ThreadPoolExecutor(min(len(members), available_cores())) as threads:
        return list(threads.map(ask, members))


def answers(
    model: nn.Module,
    videos: Sequence[torch.Tensor],
    offset: float = 0.0,
    mirror: bool = False,
    at_once: AtOnce | None = None,
) -> list[Answer]:
    """A network's answer to each of `videos`: clips (N,3,T,S,S) uint8.

    offset: added to every logit. mirror: average each clip's logit with that of its mirror image. at_once: batch
    settings; None selects those of the network's device. If a batch fails, out of memory perhaps, each video is tried
    alone. A video whose logits overflow in 16 bits is tried in 32.
    """
    if not videos:
        return []
    at_once = at_once or AT_ONCE[device_of(model).type]
    try:
        clips = torch.cat(list(videos))
        logits = _logits(model, clips, at_once)
        if mirror:
            logits = (logits + _logits(model, clips.flip(-1), at_once)) / 2
    except MODEL_ERRORS as error:
        if len(videos) == 1:
            return [error]
        alone = replace(at_once, videos=1)
        return [answer for video in videos for answer in answers(model, [video], offset, mirror, alone)]
    found: list[Answer] = []
    for video, mine in zip(videos, (logits + offset).split([len(video) for video in videos]), strict=True):
        if torch.isfinite(mine).all():
            found.append(mine.tolist())
        elif at_once.half:
            found += answers(model, [video], offset, mirror, replace(at_once, half=False))
        else:
            found.append(ValueError(f"its logits are {mine.tolist()}"))
    return found


def _logits(model: nn.Module, clips: torch.Tensor, at_once: AtOnce) -> torch.Tensor:
    """Logits (N,) float32 of clips (N,3,T,S,S)."""
    device = device_of(model)
    most = max(1, at_once.frames // clips.shape[2])
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=at_once.half):
        for part in clips.split(most):
            blank = part.new_zeros((most - len(part) if at_once.videos > 1 else 0, *part.shape[1:]))
            found.append(model(torch.cat([part, blank]).to(device)).float().cpu()[: len(part)])
    return torch.cat(found)
