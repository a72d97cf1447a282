import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.sampling import ClipConfig, even_clips, random_clips, stride


@given(st.integers(1, 400), st.floats(5, 120), st.integers(1, 32), st.integers(1, 8), st.integers(0, 99))
def test_every_position_is_in_the_track_and_time_never_runs_back(frames, fps, length, count, seed):
    config = ClipConfig(length=length)
    drawn = random_clips(frames, fps, config, count, np.random.default_rng(seed))
    even = even_clips(frames, fps, config, count)
    assert drawn.shape == (count, length)
    assert 1 <= len(even) <= count
    for clips in (drawn, even):
        assert clips.min() >= 0
        assert clips.max() < frames
        assert (np.diff(clips, axis=1) >= 0).all()


@given(st.integers(16, 400), st.floats(5, 120))
def test_a_frame_is_repeated_only_in_a_track_shorter_than_a_clip(frames, fps):
    steps = np.diff(even_clips(frames, fps, ClipConfig(length=16), 4), axis=1)
    assert steps.min() == steps.max() >= 1


def test_the_rate_of_a_clip_is_the_same_whatever_the_video():
    seconds = [np.ptp(even_clips(300, fps, ClipConfig(length=16, fps=15), 1)[0]) / fps for fps in (15, 30, 60)]
    assert seconds == pytest.approx([1.0, 1.0, 1.0])


def test_the_stride_shrinks_before_a_frame_is_repeated():
    config = ClipConfig(length=8, fps=15)
    assert even_clips(12, 30, config, 1)[0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert even_clips(3, 30, config, 1)[0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]


def test_random_clips_reach_both_ends():
    config = ClipConfig(length=4, fps=30)
    starts = random_clips(10, 30, config, 500, np.random.default_rng(0))[:, 0]
    assert set(starts) == set(range(7))


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="no frame"):
        even_clips(0, 30, ClipConfig(), 1)


def test_stride_is_never_zero():
    assert stride(5, 60) == 1
