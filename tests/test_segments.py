import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.sampling import ScoredClips, middle_clip, stride
from dfd.faces.tracklets import FacesConfig
from dfd.training.recipes import RECIPES
from dfd.videos.segments import Segment, cut_segments, even, looks, scored

DEFAULT = FacesConfig().segment
RATES = (12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60)
"""Common frame rates of cameras and platforms; 16 frames at about 15 per second fit into the default segment."""
frame_counts = st.integers(1, 5000)
rates = st.floats(0.1, 240)
lengths = st.floats(0.05, 60)


@given(frame_counts, rates, lengths)
def test_segments_cover_each_frame_once_and_have_almost_equal_length(frames, fps, seconds):
    segments = cut_segments(frames, fps, seconds)
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert [index for s in segments for index in range(s.start, s.stop)] == list(range(frames))
    sizes = [segment.stop - segment.start for segment in segments]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(frames, math.floor(fps * seconds))  # whole frames: 32 of 1.3 s at 25
    assert min(sizes) >= 1


@given(frame_counts, rates, lengths)
def test_there_are_as_many_segments_as_possible(frames, fps, seconds):
    count = len(cut_segments(frames, fps, seconds))
    assert count == frames or frames / (count + 1) < fps * seconds * (1 + 1e-9)


@pytest.mark.parametrize(
    ("frames", "fps", "count", "sizes"),
    [
        (300, 30, 7, {42, 43}),  # 39 at least
        (300, 30000 / 1001, 7, {42, 43}),
        (250, 25, 7, {35, 36}),
        (65, 25, 2, {32, 33}),
        (78, 30, 2, {39}),
        (77, 30, 1, {77}),
        (38, 30, 1, {38}),
        (1, 30, 1, {1}),
        (0, 30, 0, set()),
        (5, 0.5, 5, {1}),  # a picture every two seconds
    ],
)
def test_segments_of_1_3_seconds_by_hand(frames, fps, count, sizes):
    segments = cut_segments(frames, fps, 1.3)
    assert len(segments) == count
    assert {segment.stop - segment.start for segment in segments} == sizes


@given(st.integers(0, 1000), st.integers(1, 3000), rates, st.floats(0.01, 10))
def test_looks_include_both_end_frames_and_are_close_together(start, frames, fps, seconds):
    found = looks(Segment(0, start, start + frames), fps, seconds)
    assert found.dtype == np.int64
    assert (found[0], found[-1]) == (start, start + frames - 1)
    gaps = np.diff(found)
    assert (gaps >= 1).all()
    assert (gaps <= max(1, math.ceil(fps * seconds))).all()
    assert not len(gaps) or np.ptp(gaps) <= 1


@pytest.mark.parametrize(
    ("frames", "fps", "found"),
    [
        (39, 30, [0, 13, 25, 38]),  # 15 apart at most
        (32, 25, [0, 10, 21, 31]),
        (16, 30, [0, 15]),
        (17, 30, [0, 8, 16]),
        (2, 30, [0, 1]),
        (1, 30, [0]),
        (4, 1, [0, 1, 2, 3]),  # never more looks than frames
    ],
)
def test_looks_half_a_second_apart_by_hand(frames, fps, found):
    assert looks(Segment(0, 0, frames), fps, 0.5).tolist() == found


@given(st.integers(0, 500), st.integers(1, 50))
def test_evenly_spread_numbers_are_centred_in_their_shares(total, count):
    numbers = even(total, count)
    assert len(numbers) == min(total, count)
    for place, number in enumerate(numbers):
        share = total / len(numbers)
        assert abs(number + 0.5 - (place + 0.5) * share) <= 0.5 + 1e-9
    gaps = np.diff(numbers)
    assert (gaps >= 1).all()
    assert not len(gaps) or np.ptp(gaps) <= 1


@pytest.mark.parametrize(
    ("total", "count", "numbers"), [(7, 4, [0, 2, 4, 6]), (7, 6, [0, 1, 2, 4, 5, 6]), (7, 1, [3]), (2, 4, [0, 1])]
)
def test_evenly_spread_numbers_by_hand(total, count, numbers):
    assert even(total, count) == numbers


@st.composite
def faced(draw):
    """A number of segments, and the segments that show a face."""
    total = draw(st.integers(1, 60))
    return total, sorted(draw(st.sets(st.integers(0, total - 1))))


@given(faced(), st.integers(1, 12))
def test_a_video_is_scored_on_even_segments_if_one_shows_a_face(segments, count):
    total, shown = segments
    chosen = scored(total, shown, count)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(shown)
    assert len(chosen) <= count
    usual = [number for number in even(total, count) if number in shown]
    if usual:
        assert chosen == usual
    else:
        assert len(chosen) == min(count, len(shown))  # as many of the others as possible


@given(faced(), st.integers(1, 12))
def test_other_segments_do_not_matter_if_the_first_suffice(segments, count):
    total, shown = segments
    seen = sorted(set(even(total, count)) & set(shown))  # all segments that a prediction has read
    if seen:
        assert scored(total, seen, count) == scored(total, shown, count)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("rate", RATES)
def test_a_segment_fits_a_clip_at_its_stride(recipe, rate):
    clip = RECIPES[recipe]().clip
    step = stride(rate, clip.fps)
    for frames in range(math.floor(DEFAULT * rate), 20 * 60):  # whatever the video's length
        shortest = min(cut_segments(frames, rate, DEFAULT), key=lambda segment: segment.stop - segment.start)
        assert (clip.length - 1) * step + 1 <= shortest.stop - shortest.start
        positions = middle_clip(shortest.start, shortest.stop, rate, clip)
        assert np.diff(positions).tolist() == [step] * (clip.length - 1)


@pytest.mark.parametrize("rate", [10, 12])
def test_at_low_rates_a_long_clip_repeats_its_last_frames(rate):
    clip = RECIPES["gpu"]().clip
    (segment,) = cut_segments(math.floor(DEFAULT * rate), rate, DEFAULT)
    steps = np.diff(middle_clip(segment.start, segment.stop, rate, clip))
    assert set(steps) == {0, 1}
    assert (steps == 0).sum() <= 3  # of 16


def test_scored_segments_of_a_ten_second_video():
    wanted = ScoredClips((RECIPES["gpu"]().clip,))
    segments = cut_segments(300, 30, DEFAULT)
    first = wanted.first(len(segments))
    assert first == [0, 1, 2, 4, 5, 6]
    assert wanted.frames(segments[0].start, segments[0].stop, 30).tolist() == list(range(5, 36, 2))
