"""The card of a bundle, CARD.md: one page on its training data, its tests and its weaknesses.

Every number is read from a file: the bundle's, its networks' runs, or measured scores.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfd.errors import ConfigError
from dfd.files import read_json, read_object, sha256, write_text
from dfd.inference.info import BundleInfo, read_info, read_seen
from dfd.report.verdict import CAUTION, VERDICTS
from dfd.scoring.seen import SEEN
from dfd.types import STILLS
from dfd.videos.files import SUFFIXES

CARD = "CARD.md"
CLEAN = "as it is"
"""Name of the test on undistorted videos, the baseline of distorted ones."""
MEASURES = {"videos", "fakes", "balanced_log_loss", "auc", "confusion"}
"""Keys that identify measures of scoring/metrics.evaluate."""


@dataclass(frozen=True)
class Sources:
    """The inputs of a card.

    runs: run folders of the networks, with config.json and metrics.csv. scores: JSON files by name of the test: from
    dfd score --json, a run's score.json, or one with such measures by set or method. distorted: the same for distorted
    videos, and under CLEAN for undistorted ones; or distort.json of dfd crossval --distort, which has both. terms: text
    on the training data and its licence.
    """

    runs: Sequence[Path] = ()
    scores: Mapping[str, Path] = field(default_factory=dict)
    distorted: Mapping[str, Path] = field(default_factory=dict)
    terms: Path | None = None


def write_card(bundle: Path, name: str, sources: Sources) -> Path:
    """Write CARD.md with the title `name` into the folder `bundle`. Returns its path.

    Raises CheckpointError if the folder is not a bundle, ConfigError if another file cannot be read.
    """
    info = read_info(bundle)
    tests = [row for test, path in sources.scores.items() for row in read_measures(path, test)]
    qualities = [row for what, path in sources.distorted.items() for row in read_measures(path, what)]
    sections = {
        "Terms": [_text(sources.terms) if sources.terms else "None are given."],
        "Networks": _networks(bundle, info),
        "Trained on": _training(bundle, sources.runs),
        "Tested on": _tests(tests),
        "What it misses": _misses(tests),
        "At which quality it fails": _qualities(qualities),
        "Made with": [", ".join(f"{library} {version}" for library, version in info.versions.items())],
    }
    page = [f"# {name}", "", *_caution()]
    for title, lines in sections.items():
        page += ["", f"## {title}", "", *lines]
    write_text(bundle / CARD, "\n".join(page) + "\n")
    return bundle / CARD


Test = tuple[str, Mapping[str, Any]]
"""The name of a test, and its measures."""


def read_measures(path: Path, name: str) -> list[Test]:
    """Collect all measures in a JSON file: of the whole as `name`, of a part as `name` plus the part's own.

    Raises ConfigError if it has none.
    """
    remedy = "give what `dfd score --json` prints, or a run's score.json"
    found = list(_measures(read_json(path, ConfigError, remedy), name))
    if not found:
        raise ConfigError(f"{path} holds no measures: {remedy}")
    return found


def _measures(value: Any, name: str, part: str = "") -> Iterator[Test]:
    if not isinstance(value, dict):
        return
    if value.keys() >= MEASURES:
        yield (f"{name}: {part}" if part else name), value
    for key, inner in value.items():
        yield from _measures(inner, name, "" if key == "score" else key)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _caution() -> list[str]:
    bounds = [f"from {least:g} {text}" for least, text in VERDICTS]
    return [
        f"**{CAUTION}** It says how much the faces of a video look like the fakes that this detector knows, at the "
        f"quality that it knows. In words: {', '.join(bounds)}. A fake of a new kind also scores low, and a harsh "
        "encoding of a real video can score high: look for other evidence before you act."
    ]


def _networks(bundle: Path, info: BundleInfo) -> list[str]:
    rows = [
        {
            "file": member.file,
            "network": member.model,
            "frames": member.clip.length,
            "side, pixels": member.clip.size,
            "margin, widths of the face": f"{member.clip.margin:g}",
            "segments": member.clip.clips,
            "weight": f"{member.weight:g}",
            "MB": f"{(bundle / member.file).stat().st_size / 1e6:.1f}",
            "sha256": f"`{member.sha256}`",
        }
        for member in info.members
    ]
    how, fitted = info.rule.aggregation, info.rule.calibration
    curve = f"{len(fitted.knots)} knots" if fitted.knots else f"scale {fitted.scale:.3f}, offset {fitted.offset:+.3f}"
    rule = f"Faces are joined by {how.faces}, segments by {how.segments}; calibration: {fitted.method}, {curve}."
    whole = f"`bundle.json` has sha256 `{sha256(bundle / 'bundle.json')}`."
    return [*_table(rows), "", f"{rule} Why: {info.rule_reason}.", "", whole]


def _training(bundle: Path, runs: Sequence[Path]) -> list[str]:
    kinds = Counter(_kind(name) for name in read_seen(bundle))
    counts = ", ".join(f"{kind} {kinds[kind]:,}" for kind in ("pictures", "videos", "people"))
    seen = f"`seen.json` names what the networks, and the weights that they began from, have seen: {counts}."
    return [*_table([_run(run) for run in runs]), *([""] if runs else []), seen]


def _kind(name: str) -> str:
    """The kind of a training item, by its name.

    >>> _kind("a.jpg"), _kind("part_0/a.mp4"), _kind("Ada")
    ('pictures', 'videos', 'people')
    """
    suffix = Path(name).suffix.lower()
    return "pictures" if suffix in STILLS else "videos" if suffix in SUFFIXES else "people"


def _run(run: Path) -> dict[str, Any]:
    """A row about a run: training data, duration, and result."""
    paths = (run / "config.json", *sorted(run.glob("fold-*/config.json")))
    configs = [read_object(path, ConfigError, "give the folder of a run") for path in paths]
    curve = list(csv.DictReader(_text(run / "metrics.csv").splitlines()))
    if not curve:
        raise ConfigError(f"{run / 'metrics.csv'} has no row: give a run that has ended")
    last = curve[-1]
    return {
        "run": run.name,
        "network": configs[0]["recipe"]["model"]["name"],
        "learned from": _material(configs),
        "epochs": max(int(row["epoch"]) for row in curve) + 1,
        "hours": f"{sum(float(row['seconds']) for row in curve) / 3600:.2f}",
        "training loss": _number(last["loss"]),
        "kept aside: balanced log loss": _number(last.get("held_loss")),
        "AUC": _number(last.get("held_auc")),
    }


def _material(configs: Sequence[Mapping[str, Any]]) -> str:
    """Describe the training data in the config.json of a run and of its folds.

    >>> _material([{"stills": 1200}]), _material([{"folds": 2}, {"videos": {"a.mp4": 0}}, {"videos": {"b.mp4": 1}}])
    ('1,200 pictures', '2 videos, 1 fake')
    >>> _material([{"videos": {"a.mp4": 0, "b.mp4": 0, "c.png": 1, "d.jpg": 1}}])
    '2 pictures, 2 videos, 2 fake'
    """
    if "stills" in configs[0]:
        return f"{configs[0]['stills']:,} pictures"
    videos = {name: label for config in configs for name, label in config.get("videos", {}).items()}
    pictures = sum(_kind(name) == "pictures" for name in videos)
    counts = {"pictures": pictures, "videos": len(videos) - pictures}
    what = [f"{count:,} {kind}" for kind, count in counts.items() if count]
    return ", ".join([*what, f"{sum(map(bool, videos.values())):,} fake"])


def _tests(tests: Sequence[Test]) -> list[str]:
    if not tests:
        return ["Not tested."]
    rows = [
        {
            "test": name + (f" ({found[SEEN]} seen in training)" if found.get(SEEN) else ""),
            "videos or pictures": found["videos"],
            "fakes": found["fakes"],
            **_brief(found),
        }
        for name, found in tests
    ]
    note = (
        "The balanced log loss is that of a test of half fakes; chance level is 0.693, and an AUC of 0.5. Intervals "
        "resample whole groups, such as a real video with its fakes."
    )
    return [*_table(rows), "", note]


def _misses(tests: Sequence[Test]) -> list[str]:
    """The errors at a threshold of 0.5."""
    rows = []
    for name, found in tests:
        errors, fakes = found["confusion"], found["fakes"]
        rows.append(
            {
                "at a probability of 0.5": name,
                "fakes that pass for real": _of(errors["fake_as_real"], fakes),
                "real ones taken for fakes": _of(errors["real_as_fake"], found["videos"] - fakes),
            }
        )
    return _table(rows) or ["Not measured."]


def _qualities(qualities: Sequence[Test]) -> list[str]:
    clean = dict(qualities).get(CLEAN, {}).get("balanced_log_loss")
    rows = []
    for name, found in qualities:
        against, loss = found.get("against"), found["balanced_log_loss"]
        if against is None and None not in (clean, loss):
            against = {"balanced_log_loss": loss - clean}
        means = f" ({found['means']})" if "means" in found else ""
        worse = _measure(against, "balanced_log_loss") if against and name != CLEAN else "–"
        rows.append({"quality": name + means, **_brief(found), "worse by (95 %)": worse})
    return _table(rows) or ["Not measured."]


def _brief(found: Mapping[str, Any]) -> dict[str, str]:
    """The two measures to compare."""
    return {
        "balanced log loss (95 %)": _measure(found, "balanced_log_loss"),
        "AUC (95 %)": _measure(found, "auc"),
    }


def _measure(found: Mapping[str, Any], key: str) -> str:
    """A measure with its interval.

    >>> _measure({"auc": 0.75, "auc_interval": [0.5, 1.0]}, "auc")
    '0.750 (0.500 to 1.000)'
    """
    interval = found.get(f"{key}_interval")
    return _number(found[key]) + (f" ({_number(interval[0])} to {_number(interval[1])})" if interval else "")


def _number(value: Any) -> str:
    """Format a number; a dash without one.

    >>> _number("0.25"), _number(None), _number("")
    ('0.250', '–', '–')
    """
    return f"{float(value):.3f}" if value not in (None, "") else "–"


def _of(part: int, whole: int) -> str:
    """Format a part of a whole, with its percentage.

    >>> _of(1, 4), _of(0, 0)
    ('1 of 4 (25 %)', '–')
    """
    return f"{part} of {whole} ({part / whole:.0%})".replace("%", " %") if whole else "–"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Format rows with equal keys as a Markdown table; no lines without rows.

    >>> _table([{"a": 1, "b": "x|y"}])
    ['| a | b |', '| --- | --- |', '| 1 | x/y |']
    """
    if not rows:
        return []
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
