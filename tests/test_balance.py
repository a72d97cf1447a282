import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.balance import balance, both_classes
from dfd.errors import ConfigError


def test_the_journal_takes_5_of_a_fake_and_21_of_a_real_video():
    share = balance([1] * 323 + [0] * 77, 5)  # DFDC's train sample: 323 fakes, 77 real, 4.2 to 1
    assert (share.fake, share.real) == (5, 21)
    assert share.prior == pytest.approx(323 * 5 / (323 * 5 + 77 * 21))


def test_the_rarer_class_is_sampled_more():
    assert (balance([0] * 9 + [1] * 3, 2).fake, balance([0] * 9 + [1] * 3, 2).real) == (6, 2)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 20))
def test_the_prior_is_close_to_a_half(reals, fakes, slices):
    share = balance([0] * reals + [1] * fakes, slices)
    assert min(share.real, share.fake) == slices
    assert abs(share.prior - 0.5) < 0.13  # rounding of 1.5 slices to 2 at worst


@pytest.mark.parametrize("labels", [[0, 0], [1], []])
def test_a_single_class_is_refused(labels):
    with pytest.raises(ConfigError, match=r"\d real and \d fake"):
        balance(labels, 5)


def test_real_videos_suffice_when_all_fakes_are_self_blended():
    assert both_classes([0, 0, 0], made=1) == (3, 0)
    with pytest.raises(ConfigError, match="--train.self-blend 1 makes the fakes"):
        both_classes([0, 0, 0], made=0.9)
    with pytest.raises(ConfigError, match="0 real and 2 fake"):
        both_classes([1, 1], made=1)
