"""Make torchvision importable with a CPU-only torch.

Import this module before timm, facenet_pytorch or pytorch_lightning, which import torchvision.

PyPI's torchvision is built for CUDA. Its native library needs libcudart, so with a CPU build of torch it is not loaded,
and `import torchvision` fails with "operator torchvision::nms does not exist". Only two operators are missing at import
(nms and qnms), and only nms is called here (by MTCNN). A torchvision whose library loads is not changed.

It also saves the second that torchvision and timm take to import torch's compiler, which is never used here.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

MISSING = "operator torchvision::nms does not exist"
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression, as torchvision.ops.nms computes it.

    boxes (N,4) XYXY, scores (N,): returns int64 indices of the boxes kept, by falling score. A box is dropped when
    its intersection over union with a kept one exceeds `iou_threshold`.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]])
    >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5).tolist()
    [1, 2]
    """
    order = torch.argsort(scores, descending=True, stable=True).numpy()
    x1, y1, x2, y2 = boxes.detach().numpy().T
    areas = (x2 - x1) * (y2 - y1)
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = (x2[rest].clip(max=x2[best]) - x1[rest].clip(min=x1[best])).clip(min=0)
        height = (y2[rest].clip(max=y2[best]) - y1[rest].clip(min=y1[best])).clip(min=0)
        overlap = width * height
        order = rest[overlap <= iou_threshold * (areas[best] + areas[rest] - overlap)]
    return torch.tensor(kept, dtype=torch.int64)


# These two objects keep the registrations alive.
_schemas: torch.library.Library | None = None


@contextmanager
def without_compiler() -> Iterator[None]:
    """Context in which torch._dynamo is a placeholder, for imports that only mark functions not to be compiled."""
    if "torch._dynamo" in sys.modules:
        yield
        return
    stand_in, utils = ModuleType("torch._dynamo"), ModuleType("torch._dynamo.utils")
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    stand_in.disable = _as_it_is  # type: ignore[attr-defined]
    names = {"torch._dynamo": stand_in, "torch._dynamo.utils": utils}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


def _is_compile_supported(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device))


def _as_it_is(function: Callable[..., object], *_: object, **__: object) -> Callable[..., object]:
    """Decorate nothing: without a compiler there is none to keep off."""
    return function


def _ensure() -> None:
    global _schemas
    try:
        import torchvision
    except RuntimeError as error:
        if MISSING not in str(error):
            raise
        _schemas = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            _schemas.define(name + SCHEMA)
        _schemas.impl("nms", nms, "CPU")
        import torchvision.extension

        torchvision.extension._has_ops = lambda: True


with without_compiler():
    _ensure()
