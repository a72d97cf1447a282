import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.sampling import ClipConfig, ScoredFrames, even_clips, random_clips, scored_positions, stride


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


FOUR = ClipConfig(length=16, fps=15, clips=4)


def test_what_is_scored_is_planned_over_the_video():
    frames = ScoredFrames((FOUR,))(300, 29.97)
    assert frames.tolist() == [start + 2 * i for start in (34, 101, 168, 235) for i in range(16)]


def test_a_share_is_the_first_clips():
    whole = ScoredFrames((FOUR,))(300, 30)
    for share, count in ((1.0, 4), (0.5, 2), (0.25, 1), (0.0, 1)):
        assert ScoredFrames((FOUR,), share)(300, 30).tolist() == whole[: 16 * count].tolist()


def test_several_configurations_are_planned_together():
    other = FOUR.replace(length=8, fps=7.5, clips=3)
    frames = ScoredFrames((FOUR, other))(120, 30)
    assert np.all(np.diff(frames) > 0)
    wanted = [even_clips(120, 30, config, config.clips) for config in (FOUR, other)]
    assert set(frames.tolist()) == {i for clips in wanted for i in clips.flat}


@pytest.mark.parametrize("frames", [1, 5, 16, 40, 300, 1800])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_track_of_what_is_planned_gives_the_clips_of_the_whole_track(frames, share):
    whole, planned = np.arange(frames), ScoredFrames((FOUR,), share)(frames, 30.0)
    a, b = (scored_positions(indices, frames, 30.0, FOUR, share) for indices in (whole, planned))
    assert np.array_equal(whole[a], planned[b])


def test_a_track_that_begins_late_is_scored_where_it_is():
    late = np.arange(110, 300)
    clips = late[scored_positions(late, 300, 30.0, FOUR)]
    assert clips[:, -1].tolist() == [131, 198, 265]
    assert clips[0].tolist() == [110, 110, 110, 110, 110, 111, 113, 115, 117, 119, 121, 123, 125, 127, 129, 131]
    fleeting = np.arange(70, 100)  # between two clips
    assert np.array_equal(scored_positions(fleeting, 300, 30.0, FOUR), even_clips(30, 30.0, FOUR, 4))
