"""Clips of one video or several through one network, so that what fails costs no other video."""

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
"""What a network may raise: torch's own errors, out of memory included, are RuntimeErrors."""

Member = tuple[nn.Module, Header]
"""A network, and what it is fed."""

Answer = list[float] | Exception
"""Of a video: the logit of each of its clips; or why there are none."""


@dataclass(frozen=True)
class AtOnce:
    """What a network is given at a time.

    videos: whose clips it gets together. frames: at most, but at least a clip. Where they are of several videos there
    are always as many, and what is lacking is blank: the same kernels run whoever stands beside a video, and give it
    the same digits. half: layers that gain by it compute in 16 bits, which moves a logit by a hundredth at most.
    """

    videos: int = 1
    frames: int = 16
    half: bool = False


AT_ONCE = {"cpu": AtOnce(), "cuda": AtOnce(videos=8, frames=512, half=True)}
"""By kind of device. One video's clips do not fill a GPU; on a CPU more frames at a time take as long a frame, and more
memory (`python -m benchmarks.memory`)."""


def read_device(name: str) -> torch.device:
    """The device that `name`, as in "cpu", "cuda" or "cuda:1", stands for. Raises ConfigError where it is not here."""
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
    """Where its weights are."""
    return next(model.parameters()).device


@contextmanager
def one_core_a_network() -> Iterator[None]:
    """Inside, a network computes on one core, and side_by_side() several at a time.

    Threads that share a layer wait for one another, which costs most where processes that decode want the cores too.
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
    """What `ask` says of each member: on a CPU where a network has one core, as many at a time as there are cores."""
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

    offset: added to every logit. mirror: the mean of each clip's logit and that of its mirror image. at_once: that of
    the network's device if None. Where all together fail, out of memory perhaps, each video is tried alone; a video
    whose logits are no numbers in 16 bits is tried in 32.
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
