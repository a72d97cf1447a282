import torch
from hypothesis import given
from hypothesis import strategies as st

from dfd.torchvision_ops import nms


def test_timm_and_facenet_can_be_imported_with_it():
    import facenet_pytorch
    import timm

    assert timm.__version__
    assert facenet_pytorch.MTCNN


def test_the_operator_used_by_mtcnn_works():
    import torchvision

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.1, 0.9))
def test_kept_boxes_do_not_overlap_and_dropped_ones_overlap_a_better_box(seed, count, threshold):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 30], dim=1)
    scores = torch.rand(count, generator=generator)
    kept = nms(boxes, scores, threshold)
    shared = overlap(boxes)
    assert (scores[kept].diff() <= 0).all()
    for i in range(count):
        better = [j for j in kept.tolist() if j != i and scores[j] >= scores[i] and shared[i, j] > threshold]
        assert bool(better) != (i in kept.tolist())


def overlap(boxes):
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = (high - low).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return inter / (area[:, None] + area[None] - inter)
