from xml.etree import ElementTree

import pytest

from dfd.report.plots import Axis, Bar, Bars, Lane, Line, bar_plot, line_plot, timeline

UNIT = Axis("share", 0.0, 1.0)


def marks(drawn):
    """Attributes of each mark with a tip in a plot; checks that the plot is well-formed."""
    tree = ElementTree.fromstring(drawn)
    return [element.attrib for element in tree.iter() if "data-tip" in element.attrib]


def test_a_line_passes_through_its_points():
    line = Line("model", [(0.0, 0.0), (5.0, 0.25), (10.0, 1.0)], tips=["a", "b", "c"])
    drawn = line_plot([line], Axis("step", 0, 10), UNIT, "It rises.")
    assert 'd="M0,100L50,75L100,0"' in drawn
    found = marks(drawn)
    assert [(mark["cx"], mark["cy"], mark["data-tip"]) for mark in found] == [
        ("0.0%", "100.0%", "a"), ("50.0%", "75.0%", "b"), ("100.0%", "0.0%", "c"),
    ]  # fmt: skip
    assert 'aria-label="It rises."' in drawn
    assert '<span class="key tone1">model</span>' in drawn


def test_an_interval_is_drawn_around_its_line():
    line = Line("m", [(0, 0.5), (1, 0.5)], band=[(0.25, 0.75), (0.0, 1.0)], dashed=True)
    drawn = line_plot([line], Axis("x", 0, 1), UNIT, "about")
    assert 'd="M0,75L100,100L100,0L0,25Z"' in drawn
    assert 'class="line dashed tone1"' in drawn
    assert 'class="line' not in line_plot([Line("m", [(0, 1)], dots=True)], UNIT, UNIT, "dots")


def test_bars_are_drawn_side_by_side():
    drawn = bar_plot(["a", "b"], [Bars("real", [1, 0.5], ["1", "2"]), Bars("fake", [0, 1], ["3", "4"], 2)], UNIT, "x")
    found = marks(drawn)
    assert [(m["x"], m["width"], m["height"]) for m in found] == [
        ("5.00%", "20.00%", "100.00%"), ("25.00%", "20.00%", "0.00%"),
        ("55.00%", "20.00%", "50.00%"), ("75.00%", "20.00%", "100.00%"),
    ]  # fmt: skip
    assert [m["data-tip"] for m in found] == ["1", "3", "2", "4"]
    assert "<text" in bar_plot([], [Bars("none", [], [])], UNIT, "nothing yet")


def test_a_timeline_has_a_lane_per_person_and_bars_at_their_times():
    lanes = [Lane("one", [Bar(2.5, 5.0, 0.5, "tip", 2, "#f")], "data:image/jpeg;base64,x"), Lane("two", [])]
    drawn = timeline(lanes, 10.0, "about")
    (mark,) = marks(drawn)
    assert (mark["x"], mark["width"], mark["y"], mark["data-link"]) == ("25.00%", "25.00%", "50.00%", "#f")
    assert drawn.count('class="lane"') == 3  # and that of the ruler
    assert '<rect class="looked" x="25.0%" y="0" width="25.00%" height="100%"/>' in drawn
    assert timeline(lanes, 10.0, "about", [(0.0, 1.0), (5.0, 6.0)]).count('class="looked"') == 2 * 2 + 1


def test_names_and_tips_stay_text():
    hostile = '"><script>alert(1)</script>'
    plots = [
        line_plot([Line(hostile, [(0, 0)], tips=[hostile])], Axis(hostile, 0, 1), Axis(hostile, 0, 1), hostile),
        bar_plot([hostile], [Bars(hostile, [1], [hostile])], UNIT, hostile, hostile),
        timeline([Lane(hostile, [Bar(0, 1, 1, hostile, 1, hostile)], hostile)], 1, hostile),
    ]
    for drawn in plots:
        assert "<script" not in drawn
        assert marks(drawn)[0]["data-tip"] == hostile


@pytest.mark.parametrize("values", [(0.0, 0.0), (3.0, 3.0)])
def test_a_zero_length_axis_does_not_divide_by_zero(values):
    axis = Axis("x", *values)
    assert [text for _, text in axis.labels()] == [f"{values[0]:g}"]
    assert 'd="M0,0"' in line_plot([Line("m", [(values[0], 1)])], axis, UNIT, "about")
