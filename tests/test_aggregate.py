import pytest

from dfd.scoring.aggregate import mean_logit


def test_mean_logit_by_hand():
    assert mean_logit([1.0, 2.0, 6.0]) == 3.0


def test_a_video_without_clips_has_no_logit():
    with pytest.raises(ValueError, match="without a clip"):
        mean_logit([])
