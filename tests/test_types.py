import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data._utils.pin_memory import pin_memory

from dfd.types import STATUSES, UNDONE, Clips, Detections, FaceLogit, Frames, Tracklet, Video, VideoScore


def frames(count=3, indices=None, fps=30.0):
    indices = np.arange(count) if indices is None else np.array(indices)
    return Frames(np.zeros((count, 4, 6, 3), np.uint8), indices.astype(np.int64), fps)


def tracklet(margin=1.6, **changes):
    parts = {
        "images": np.zeros((2, 8, 8, 3), np.uint8),
        "indices": np.array([4, 5]),
        "boxes": np.zeros((2, 4), np.float32),
        "landmarks": np.zeros((2, 5, 2), np.float32),
    }
    return Tracklet(**{**parts, **changes}, confidence=0.9, margin=margin, fps=30, segment=2, face=0)


def test_a_real_video_is_its_own_source():
    assert Video(Path("a.mp4"), "a.mp4").source == "a.mp4"
    assert Video(Path("b.mp4"), "b.mp4", 1, "a.mp4").source == "a.mp4"


@pytest.mark.parametrize("label", [2, -1, "FAKE"])
def test_an_unknown_label_is_refused(label):
    with pytest.raises(ValueError, match="1 \\(fake\\), 0 \\(real\\) or None"):
        Video(Path("a.mp4"), "a.mp4", label)


@pytest.mark.parametrize("indices", [[0, 0, 1], [2, 1, 3], [-1, 0, 1]])
def test_frames_are_in_time_order(indices):
    with pytest.raises(ValueError, match="increasing"):
        frames(indices=indices)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_positive(fps):
    with pytest.raises(ValueError, match="fps"):
        frames(fps=fps)


def test_pictures_are_uint8_rgb():
    with pytest.raises(ValueError, match=r"images is \(2, 4, 6, 3\) float32"):
        Frames(np.zeros((2, 4, 6, 3), np.float32), np.arange(2), 30)


def test_detection_arrays_have_equal_length():
    with pytest.raises(ValueError, match="confidences"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros((2, 5, 2), np.float32))


def test_a_tracklet_is_square_and_as_long_as_its_indices():
    assert len(tracklet()) == 2
    with pytest.raises(ValueError, match="images"):
        tracklet(images=np.zeros((2, 8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"boxes is \(3, 4\) float32, not \(2, 4\) float32"):
        tracklet(boxes=np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="landmarks"):
        tracklet(landmarks=np.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match="increasing"):
        tracklet(indices=np.array([5, 4]))
    with pytest.raises(ValueError, match="margin"):
        tracklet(margin=0.9)


def test_a_tracklet_may_have_no_pictures():
    assert len(tracklet(images=np.zeros((2, 0, 0, 3), np.uint8))) == 2


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan")])
def test_a_probability_is_within_0_and_1(probability):
    with pytest.raises(ValueError, match="not in \\[0, 1\\]"):
        VideoScore("a.mp4", probability, "ok")


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="'fine', not one of ok, no_face"):
        VideoScore("a.mp4", 0.5, "fine")


def test_face_logits_are_restored_from_any_sequence():
    score = VideoScore("a.mp4", 0.5, "ok", faces=([3, 0, 0.9, -1.5],))
    assert score.faces == (FaceLogit(segment=3, face=0, confidence=0.9, logit=-1.5),)


def test_transient_failures_are_statuses():
    assert set(UNDONE) == set(STATUSES) - {"ok", "no_face", "unreadable"}


def test_a_non_utf8_name_can_be_written_everywhere():
    path = Path(os.fsdecode(b"vid\xe9o.mp4"))
    video = Video(path, path.name, 1)
    assert video.path == path
    assert video.name == video.source == "vid\\udce9o.mp4"
    assert Video(path, "видео 視頻.mp4").name == "видео 視頻.mp4"


def test_clips_are_pinned_by_the_torch_loader():
    """Pinning itself needs a GPU, so tensors that record the call replace real ones."""

    class Pinned(torch.Tensor):
        def pin_memory(self):
            return self + 1

    images, labels = torch.zeros(2, 3, 1, 4, 4).as_subclass(Pinned), torch.zeros(2).as_subclass(Pinned)
    clips = pin_memory(Clips(images, labels, ("a", "b")))
    assert clips.images.eq(1).all()
    assert clips.labels.eq(1).all()
    assert clips.names == ("a", "b")
