"""Plots as inline SVG: lines, bars and timelines.

A plot fills its container, and its text keeps its size, because positions are percentages. Interactive elements have a
`tip`, which the page's script shows on hover or keyboard focus, and which screen readers read.
A tone is the index of a colour, from 1; the style sheet defines them for both themes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

__all__ = ["bar_plot", "gauge", "line_plot", "timeline"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis: its title, range from `low` to `high`, and labels at `ticks`; without ticks up to five round ones."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...] = ()

    def percent(self, value: float) -> float:
        """Position of a value, as a percentage of the axis.

        >>> Axis("p", 0.0, 2.0).percent(0.5), Axis("p", 1.0, 1.0).percent(1.0)
        (25.0, 0.0)
        """
        span = self.high - self.low
        return round(float(np.clip((value - self.low) / span * 100, 0, 100)), 2) if span else 0.0

    def labels(self) -> list[tuple[float, str]]:
        """Position (percentage) and text of each tick.

        >>> Axis("p", 0.0, 1.0).labels()
        [(0.0, '0'), (20.0, '0.2'), (40.0, '0.4'), (60.0, '0.6'), (80.0, '0.8'), (100.0, '1')]
        """
        return [(self.percent(tick), f"{tick:.4g}") for tick in self.ticks or _round_ticks(self.low, self.high)]


@dataclass(frozen=True)
class Line:
    """A line through points (x, y). tips: text for each point; empty for a line that is not interactive.

    band: (low, high) at each point, an interval drawn behind it. dashed: for baselines. dots: draw points only.
    """

    name: str
    points: Sequence[Point]
    tone: int = 1
    tips: Sequence[str] = ()
    band: Sequence[Point] = ()
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Bars:
    """One value for each label of a bar plot. tips: one text each."""

    name: str
    values: Sequence[float]
    tips: Sequence[str]
    tone: int = 1


@dataclass(frozen=True)
class Bar:
    """A bar of a timeline; times in seconds. height: in [0,1]. link: id of an element of the page with details."""

    start: float
    stop: float
    height: float
    tip: str
    tone: int = 1
    link: str = ""


@dataclass(frozen=True)
class Lane:
    """A row of a timeline. picture: data URI of an image shown before it; none if empty."""

    name: str
    bars: Sequence[Bar]
    picture: str = ""


def line_plot(lines: Sequence[Line], x: Axis, y: Axis, about: str) -> Markup:
    """Draw lines over common axes. about: a sentence that describes the plot for screen readers."""
    drawn = Markup("").join(_line(line, x, y) for line in lines)
    return _figure(drawn, x, y, about, [(line.name, line.tone, line.dashed) for line in lines])


def bar_plot(labels: Sequence[str], bars: Sequence[Bars], y: Axis, about: str, x_title: str = "") -> Markup:
    """Draw grouped bars, one group for each of `labels`. about: as in line_plot."""
    width = 100 / max(1, len(labels))
    thin = 0.8 * width / max(1, len(bars))
    drawn = Markup("").join(
        _mark(place * width + 0.1 * width + part * thin, y.percent(value), thin, one.tone, tip)
        for place in range(len(labels))
        for part, one in enumerate(bars)
        for value, tip in [(one.values[place], one.tips[place])]
    )
    every = -(-len(labels) // 10)  # more than ten labels would overlap
    named = [((place + 0.5) * width, label) for place, label in enumerate(labels) if place % every == 0]
    legend = [(one.name, one.tone, False) for one in bars]
    return _figure(drawn, Axis(x_title, 0, 1), y, about, legend, named)


def gauge(probability: float) -> Markup:
    """Draw a probability in [0,1] as a mark on a scale from 0 to 1."""
    axis = Axis("", 0, 1)
    mark = Markup('<rect class="bed" width="100%" height="100%"/><rect class="tone1" width="{}%" height="100%"/>')
    drawn = mark.format(axis.percent(probability)) + _x_labels(axis.labels())
    return Markup('<div class="gauge">{}</div>').format(_svg(drawn, "", "scale"))


def timeline(lanes: Sequence[Lane], seconds: float, about: str, looked: Sequence[Point] = ()) -> Markup:
    """Draw lanes one below the other, with bars at their times of `seconds`.

    looked: (start, stop) of the segments that were examined, with or without a bar. The rest is hatched.
    """
    axis = Axis("time, seconds", 0, max(seconds, 1e-6))
    bare = Markup("").join(_looked(start, stop, axis) for start, stop in looked)
    rows = Markup("").join(
        Markup('<div class="lane"><div class="who">{}<span>{}</span></div>{}</div>').format(
            Markup('<img src="{}" alt=""/>').format(lane.picture) if lane.picture else "",
            lane.name,
            _svg(bare + Markup("").join(_stretch(bar, axis) for bar in lane.bars), f"{about} {lane.name}.", "track"),
        )
        for lane in lanes
    )
    ticks = _svg(_x_labels(axis.labels()), "", "ruler")
    below = Markup('<div class="lane"><div class="who"></div>{}</div><p class="axis">{}</p>').format(ticks, axis.title)
    return Markup('<div class="timeline">{}</div>').format(rows + below)


def _looked(start: float, stop: float, axis: Axis) -> Markup:
    rect = Markup('<rect class="looked" x="{0}%" y="0" width="{1:.2f}%" height="100%"/>')
    return rect.format(axis.percent(start), axis.percent(stop) - axis.percent(start))


def _stretch(bar: Bar, axis: Axis) -> Markup:
    left = axis.percent(bar.start)
    width = max(0.4, axis.percent(bar.stop) - left)
    mark = _mark(left, 100 * max(0.03, bar.height), width, bar.tone, bar.tip, bar.link)
    return _looked(bar.start, bar.stop, axis) + mark


def _mark(left: float, height: float, width: float, tone: int, tip: str, link: str = "") -> Markup:
    """An interactive bar, positioned in percentages of the plot."""
    return Markup(
        '<rect class="mark tone{}" x="{:.2f}%" y="{:.2f}%" width="{:.2f}%" height="{:.2f}%" role="img" '
        'tabindex="-1" aria-label="{}" data-tip="{}" data-link="{}"/>'
    ).format(tone, left, 100 - height, width, height, tip, tip, link)


def _line(line: Line, x: Axis, y: Axis) -> Markup:
    places = [(x.percent(a), 100 - y.percent(b)) for a, b in line.points]
    parts = []
    if line.band:
        low = [(at, 100 - y.percent(b)) for (at, _), (b, _) in zip(places, line.band, strict=True)]
        high = [(at, 100 - y.percent(b)) for (at, _), (_, b) in zip(places, line.band, strict=True)]
        parts.append(Markup('<path class="band tone{}" d="{}Z"/>').format(line.tone, _path([*low, *high[::-1]])))
    if not line.dots and places:
        kind = "line dashed" if line.dashed else "line"
        parts.append(Markup('<path class="{} tone{}" d="{}"/>').format(kind, line.tone, _path(places)))
    curves = Markup('<svg viewBox="0 0 100 100" preserveAspectRatio="none">{}</svg>').format(Markup("").join(parts))
    return curves + Markup("").join(_dot(at, line.tone, tip) for at, tip in zip(places, line.tips, strict=False))


def _path(places: Sequence[Point]) -> str:
    """SVG path data through points.

    >>> _path([(0, 10), (5, 0)])
    'M0,10L5,0'
    """
    return "M" + "L".join(f"{a:g},{b:g}" for a, b in places)


def _dot(at: Point, tone: int, tip: str) -> Markup:
    return Markup(
        '<circle class="mark tone{}" cx="{}%" cy="{}%" r="5" role="img" tabindex="-1" aria-label="{}" data-tip="{}"/>'
    ).format(tone, *at, tip, tip)


def _figure(
    drawn: Markup,
    x: Axis,
    y: Axis,
    about: str,
    legend: Sequence[tuple[str, int, bool]],
    named: Sequence[tuple[float, str]] | None = None,
) -> Markup:
    """A plot with axes and legend. named: labels along x instead of the axis' own."""
    inside = _y_labels(y.labels()) + drawn + _x_labels(x.labels() if named is None else named)
    keys = Markup(" ").join(
        Markup('<span class="key tone{}{}">{}</span>').format(tone, " dashed" if dashed else "", name)
        for name, tone, dashed in legend
        if name
    )
    return Markup(
        '<figure class="plot"><p class="axis y">{}</p>{}<p class="axis">{}</p><figcaption>{}</figcaption></figure>'
    ).format(y.title, _svg(inside, about, "area"), x.title, keys)


def _svg(inside: Markup, about: str, kind: str) -> Markup:
    """An SVG element, hidden from screen readers if it has no description."""
    said = Markup('role="group" aria-label="{}" data-marks=""').format(about) if about else Markup('aria-hidden="true"')
    return Markup('<svg class="{}" {}>{}</svg>').format(kind, said, inside)


def _y_labels(labels: Sequence[tuple[float, str]]) -> Markup:
    row = Markup(
        '<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>'
        '<text x="0" y="{0}%" dx="-6" dy="4" class="end">{1}</text>'
    )
    return Markup("").join(row.format(round(100 - at, 2), text) for at, text in labels)


def _x_labels(labels: Sequence[tuple[float, str]]) -> Markup:
    row = Markup('<text x="{}%" y="100%" dy="16" class="middle">{}</text>')
    return Markup("").join(row.format(round(at, 2), text) for at, text in labels)


def _round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round tick values from `low` to `high`, in at most `most` steps.

    >>> _round_ticks(0, 10), _round_ticks(0.3, 0.72)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [0.3, 0.4, 0.5, 0.6, 0.7])
    """
    span = high - low
    if not span > 0:
        return [low]
    rough = span / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough * (1 - 1e-9))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(float(number * step), 12) for number in range(first, last + 1)]
