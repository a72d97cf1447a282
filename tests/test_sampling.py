import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.sampling import ClipConfig, ScoredClips, middle_clip, random_clips, scored_frames, stride
from dfd.videos.segments import Segment, cut_segments, even, looks

TWO, FOUR = ClipConfig(length=16, fps=15, clips=2), ClipConfig(length=16, fps=15, clips=4)


@given(st.integers(1, 400), st.floats(5, 120), st.integers(1, 32), st.integers(1, 8), st.integers(0, 99))
def test_positions_are_within_the_track_and_nondecreasing(frames, fps, length, count, seed):
    config = ClipConfig(length=length)
    drawn = random_clips(frames, fps, config, count, np.random.default_rng(seed))
    middle = middle_clip(0, frames, fps, config)
    assert drawn.shape == (count, length)
    assert middle.shape == (length,)
    for clips in (drawn, middle[None]):
        assert clips.min() >= 0
        assert clips.max() < frames
        assert (np.diff(clips, axis=1) >= 0).all()


@given(st.integers(16, 400), st.floats(5, 120))
def test_a_frame_is_repeated_only_in_a_segment_shorter_than_a_clip(frames, fps):
    steps = np.diff(middle_clip(0, frames, fps, FOUR))
    assert steps.min() == steps.max() >= 1


@given(st.integers(0, 1000), st.integers(1, 400), st.floats(5, 120))
def test_a_middle_clip_is_centred_wherever_the_segment_begins(start, frames, fps):
    clip = middle_clip(start, start + frames, fps, FOUR)
    assert np.array_equal(clip - start, middle_clip(0, frames, fps, FOUR))
    before, after = clip[0] - start, start + frames - 1 - clip[-1]
    assert 0 <= after - before <= 1


def test_the_clip_frame_rate_does_not_depend_on_the_video():
    seconds = [np.ptp(middle_clip(0, 300, fps, FOUR)) / fps for fps in (15, 30, 60)]
    assert seconds == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("fps", [15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 90, 120, 240])
def test_a_default_clip_fits_a_default_segment_at_common_rates(fps):
    """This is why a segment has 1.3 seconds."""
    for segment in cut_segments(round(10 * fps), fps, 1.3):
        clip = middle_clip(segment.start, segment.stop, fps, ClipConfig())
        assert set(np.diff(clip)) == {stride(fps, 15)}


def test_the_stride_shrinks_before_a_frame_is_repeated():
    config = ClipConfig(length=8, fps=15)
    assert middle_clip(0, 12, 30, config).tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert middle_clip(7, 10, 30, config).tolist() == [7, 8, 9, 9, 9, 9, 9, 9]


def test_random_clips_reach_both_ends():
    config = ClipConfig(length=4, fps=30)
    starts = random_clips(10, 30, config, 500, np.random.default_rng(0))[:, 0]
    assert set(starts) == set(range(7))


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="no frame"):
        middle_clip(3, 3, 30, ClipConfig())


def test_stride_is_never_zero():
    assert stride(5, 60) == 1


class TestScoredClips:
    def test_the_first_segments_are_those_any_configuration_scores(self):
        assert ScoredClips((TWO, FOUR)).first(8) == [1, 2, 3, 5, 6, 7]
        assert ScoredClips((FOUR,)).first(8) == [1, 3, 5, 7]
        assert ScoredClips((TWO, FOUR)).first(3) == [0, 1, 2]
        assert ScoredClips((TWO,)).first(1) == [0]
        assert ScoredClips((TWO,)).first(0) == []

    @pytest.mark.parametrize(("share", "count"), [(1.0, 4), (0.5, 2), (0.25, 1), (0.0, 1)])
    def test_a_share_takes_evenly_spread_segments(self, share, count):
        some = ScoredClips((FOUR,), share)
        assert some.first(8) == even(8, count)
        assert some.segments(FOUR, 8, list(range(8))) == even(8, count)

    def test_enough_means_a_face_for_every_configuration(self):
        """Of eight segments one configuration scores 2 and 6, the other 1, 3, 5 and 7."""
        both = ScoredClips((TWO, FOUR))
        assert not both.enough(8, [])
        assert not both.enough(8, [0, 4])
        assert not both.enough(8, [1, 3, 5, 7])
        assert not both.enough(8, [2])
        assert both.enough(8, [6, 7])
        assert ScoredClips((FOUR,)).enough(8, [7])

    def test_a_configuration_without_a_face_uses_the_other_segments(self):
        both = ScoredClips((TWO, FOUR))
        assert both.segments(TWO, 8, [0, 6, 7]) == [6]
        assert both.segments(FOUR, 8, [0, 6, 7]) == [7]
        assert both.segments(TWO, 8, [0, 4, 5]) == [0, 5]  # two of them, spread evenly
        assert both.segments(FOUR, 8, [0, 4]) == [0, 4]

    def test_frames_are_those_of_all_middle_clips(self):
        other = FOUR.replace(length=8, fps=7.5)
        assert ScoredClips((FOUR,)).frames(100, 139, 30).tolist() == list(range(104, 136, 2))
        together = ScoredClips((FOUR, other)).frames(100, 139, 30)
        assert np.all(np.diff(together) > 0)
        assert set(together) == {*middle_clip(100, 139, 30, FOUR), *middle_clip(100, 139, 30, other)}

    @given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.floats(0, 1), st.integers(1, 6), st.integers(1, 6))
    def test_if_the_first_segments_suffice_no_others_are_scored(self, total, faced, share, one, other):
        """So it makes no difference whether all segments were read, as for a dataset, or only these."""
        faced = sorted(number for number in faced if number < total)
        configs = (FOUR.replace(clips=one), FOUR.replace(clips=other))
        wanted = ScoredClips(configs, share)
        first = wanted.first(total)
        of_first = sorted(set(first) & set(faced))
        if wanted.enough(total, of_first):
            for config in configs:
                assert wanted.segments(config, total, of_first) == wanted.segments(config, total, faced)
                assert set(wanted.segments(config, total, faced)) <= set(first)
        elif faced:
            assert all(wanted.segments(config, total, faced) for config in configs)


class TestScoredFrames:
    def test_a_complete_tracklet_gives_the_clip_itself(self):
        indices = np.arange(100, 139)
        clip = middle_clip(100, 139, 30, FOUR)
        assert np.array_equal(scored_frames(indices, [100, 115, 138], clip), clip)

    def test_a_face_that_appears_late_or_leaves_early_is_scored_on_its_frames(self):
        clip = np.array([0, 10, 20, 30])
        late, early = np.arange(18, 40), np.arange(23)
        assert scored_frames(late, [18, 39], clip).tolist() == [20, 20, 20, 30]
        assert scored_frames(early, [0, 22], clip).tolist() == [0, 10, 20, 20]

    def test_a_face_seen_only_between_clip_frames_is_scored_on_its_detections(self):
        indices = np.arange(22, 29)
        assert scored_frames(indices, [22, 28], np.array([10, 20, 30, 40])).tolist() == [22, 22, 28, 28]

    @given(
        data=st.data(),
        frames=st.integers(1, 90),
        start=st.integers(0, 500),
        fps=st.floats(5, 60),
        every=st.floats(0.1, 1.0),
        length=st.integers(1, 20),
    )
    def test_the_clip_does_not_depend_on_other_frames_of_the_tracklet(self, data, frames, start, fps, every, length):
        """A dataset's tracklet has all frames from its first to its last detection, a prediction's only some."""
        segment = Segment(3, start, start + frames)
        configs = (ClipConfig(length=length), ClipConfig(length=5, fps=7))
        found = looks(segment, fps, every)
        seen = sorted(data.draw(st.sets(st.sampled_from(found.tolist()), min_size=1)))
        whole = np.arange(seen[0], seen[-1] + 1)
        lost = data.draw(st.sets(st.sampled_from(whole.tolist()))) - set(seen)  # frames that cannot be read
        whole = np.setdiff1d(whole, list(lost))
        wanted = ScoredClips(configs).frames(segment.start, segment.stop, fps)
        read = np.intersect1d(whole, np.union1d(found, wanted))
        needed = ScoredClips(configs).crops(segment.start, segment.stop, fps, read, seen)
        assert set(needed) <= set(read)
        for config in configs:
            clip = middle_clip(segment.start, segment.stop, fps, config)
            of_whole, of_needed = (scored_frames(i, seen, clip) for i in (whole, needed))
            assert np.array_equal(of_whole, of_needed)
            assert of_whole.shape == (length if config is configs[0] else 5,)
            assert np.all(np.diff(of_whole) >= 0)
