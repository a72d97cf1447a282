import pytest

from dfd.scoring.evidence import APART, TENTHS, Evidence, MapCheck, evidence, row_of, tabulate


def test_a_score_maps_to_the_share_of_fakes_with_such_scores():
    probabilities = [0.85] * 5 + [0.05] * 10 + [1.0]
    labels = [1, 1, 1, 1, 0] + [0] * 9 + [1] + [1]
    made = evidence("sixteen videos", probabilities, labels)
    row, half = made.fakes(0.81)
    assert (row.low, row.high, row.fakes, row.reals, row.videos) == (0.8, 0.9, 4, 1, 5)
    assert half == pytest.approx((4 / 6) / (4 / 6 + 1 / 10), abs=1e-4)  # of 6 fakes 4 are here, of 10 real ones 1
    assert made.fakes(1.0)[0].fakes == 1  # the last row includes its upper end
    assert made.fakes(0.5) is None
    assert Evidence(of="nothing").fakes(0.5) is None


def test_a_gap_maps_to_the_share_of_wrong_scores_with_such_gaps():
    probabilities = [0.6, 0.4, 0.6, 0.9]
    alone = [[0.3, 0.9], [0.1, 0.7], [0.3, 0.9], [0.88, 0.92]]
    made = evidence("four", probabilities, [1, 1, 0, 1], alone)
    row, wrong = made.wrong(0.61)
    assert (row.low, row.high, row.fakes, row.reals, wrong) == (0.6, 1.0, 2, 1, 2)
    assert made.wrong(0.05)[1] == 0
    assert made.wrong(0.3) is None  # no video had such a gap
    assert sum(row.videos for row in made.apart) == 4


@pytest.mark.parametrize("alone", [None, [[0.1], [0.2]]])
def test_one_network_has_no_gap(alone):
    made = evidence("two", [0.1, 0.9], [0, 1], alone)
    assert made.apart == ()
    assert made.wrong(0.5) is None


@pytest.mark.parametrize(
    ("uniform", "centred", "tells"), [(0.3, 0.5, True), (0.3, 0.6, False), (0.7, 0.5, False), (0.3, 0.7, False)]
)
def test_maps_are_informative_if_they_beat_uniform_and_centred_maps(uniform, centred, tells):
    assert MapCheck(fakes=9, inside=0.6, uniform=uniform, centred=centred).tells is tells


def test_every_probability_belongs_to_exactly_one_row():
    rows = tabulate([], [], TENTHS)
    assert [row_of(rows, number / 10).low for number in range(10)] == list(TENTHS[:-1])
    assert row_of(rows, 1.0).high == 1.0
    assert row_of(tabulate([], [], APART), 0.0).low == 0.0


def test_evidence_round_trips_through_json():
    made = evidence("four", [0.6, 0.4, 0.6, 0.9], [1, 1, 0, 1], [[0.3, 0.9]] * 4)
    assert Evidence.model_validate_json(made.model_dump_json()) == made
