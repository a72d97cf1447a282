import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.mix import cutmix, mixup

REAL, FAKE = np.full((6, 20, 20, 3), 0, np.uint8), np.full((6, 20, 20, 3), 200, np.uint8)


@given(st.integers(0, 10**6))
def test_mixup_weights_match_the_label_share(seed):
    first, second, share = mixup(REAL, FAKE, np.random.default_rng(seed))
    assert 0 <= share <= 0.5
    assert first.mean() == pytest.approx(200 * share, abs=1)
    assert second.mean() == pytest.approx(200 * (1 - share), abs=1)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_cutmix_area_matches_the_label_share(seed, frames):
    first, second, share = cutmix(REAL[:1].repeat(frames, 0), FAKE[:1].repeat(frames, 0), np.random.default_rng(seed))
    assert 0 <= share <= 0.5
    assert first.mean() == pytest.approx(200 * share)
    assert second.mean() == pytest.approx(200 * (1 - share))


def test_one_box_of_space_and_time_is_exchanged():
    boxes = []
    for seed in range(30):
        first, _, share = cutmix(REAL, FAKE, np.random.default_rng(seed))
        taken = np.argwhere(first[..., 0] == 200)
        if len(taken) == 0:
            continue
        low, high = taken.min(axis=0), taken.max(axis=0) + 1
        assert (high - low).prod() == len(taken)  # a full box
        assert len(taken) / first[..., 0].size == pytest.approx(share)
        boxes.append(high - low)
    assert len({int(box[0]) for box in boxes}) > 1  # also at other clip lengths


def test_input_clips_are_not_modified():
    rng = np.random.default_rng(0)
    for _ in range(5):
        mixup(REAL, FAKE, rng), cutmix(REAL, FAKE, rng)
    assert REAL.max() == 0
    assert FAKE.min() == 200
