"""Score of a bundle on labelled videos: all, by part, and distorted; as JSON for the bundle's card.

    python -m benchmarks.detector FACES --out FOLDER [--bundle BUNDLE] [--part NAME=REGEX …]

FACES is a dataset of dfd faces with labels; the column "seen" counts its videos that the bundle was trained on. --part
scores only videos whose names match. Writes FOLDER/score.json and FOLDER/distort.json, and prints them as tables.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfd.clips.distort import DISTORTIONS, Distortion
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.files import write_json
from dfd.inference.bundle import Bundle, load_bundle
from dfd.inference.info import shipped
from dfd.inference.judge import narrowed
from dfd.inference.predict import score_videos
from dfd.report import terminal as show
from dfd.scoring.metrics import compare, evaluate
from dfd.scoring.seen import SEEN, seen_before

CLEAN = "as it is"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--part", action="append", default=[], metavar="NAME=REGEX")
    parser.add_argument("--clean", action="store_true", help="leave the distortions out")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle or shipped())
    videos = [v for v in FaceStore.open(arguments.faces).records() if v.label is not None]
    bundle = replace(bundle, members=narrowed(bundle.members, videos))
    parts = dict(part.partition("=")[::2] for part in arguments.part)
    arguments.out.mkdir(parents=True, exist_ok=True)
    clean = _probabilities(videos, bundle, None, CLEAN)
    score = {**_measure(videos, clean, bundle), "parts": _parts(videos, clean, bundle, parts)}
    write_json(arguments.out / "score.json", {"score": score})
    write_json(arguments.out / "probabilities.json", clean)
    rows = [_row("all", score), *(_row(name, measures) for name, measures in score["parts"].items())]
    if not arguments.clean:
        found = _distorted(videos, clean, bundle)
        write_json(arguments.out / "distort.json", found)
        rows += [_row(name, measures) for name, measures in found.items()]
    show.table(rows)


def _probabilities(
    videos: Sequence[VideoRecord], bundle: Bundle, distortion: Distortion | None, what: str
) -> dict[str, float]:
    """Probability of each video, by name; 0.5 if no face was found."""
    changed, found = replace(bundle, distortion=distortion), dict[str, float]()
    with bundle.ready(), show.bar(what) as tell:
        for start in range(0, len(videos), bundle.at_once.videos):
            part = videos[start : start + bundle.at_once.videos]
            found |= {score.name: score.probability for score in score_videos(part, changed)}
            tell(len(found), len(videos), part[-1].video)
    return found


def _measure(videos: Sequence[VideoRecord], found: Mapping[str, float], bundle: Bundle) -> dict[str, Any]:
    """evaluate() with sources resampled as groups, and the number of videos seen by the bundle's networks."""
    names, sources = [v.video for v in videos], [v.source or v.video for v in videos]
    seen = seen_before(names, sources, sources, bundle.seen, {v.video: v.people for v in videos})
    measures = evaluate([int(v.label or 0) for v in videos], [found[name] for name in names], sources)
    return {**measures, SEEN: len(seen)}


def _parts(
    videos: Sequence[VideoRecord], found: Mapping[str, float], bundle: Bundle, parts: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    of = {name: [v for v in videos if re.search(pattern, v.video)] for name, pattern in parts.items()}
    return {name: _measure(some, found, bundle) for name, some in of.items() if some}


def _distorted(videos: Sequence[VideoRecord], clean: Mapping[str, float], bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The metrics under each distortion, and their difference from the clean ones."""
    labels, sources = [int(v.label or 0) for v in videos], [v.source or v.video for v in videos]

    def at(found: Mapping[str, float]) -> list[float]:
        return [found[video.video] for video in videos]

    rows = {CLEAN: {"means": "the videos as they are", **_measure(videos, clean, bundle)}}
    for name, distortion in DISTORTIONS.items():
        found = _probabilities(videos, bundle, distortion, name)
        against = compare(labels, at(clean), at(found), sources)
        rows[name] = {"means": distortion.means, **_measure(videos, found, bundle), "against": against}
    return rows


def _row(name: str, measures: Mapping[str, Any]) -> dict[str, Any]:
    between = measures["balanced_log_loss_interval"], measures["auc_interval"]
    loss, area = (f"{low:.3f} to {high:.3f}" if pair else "" for pair in between for low, high in [pair or (0, 0)])
    return {
        "test": name,
        "videos": measures["videos"],
        "fakes": measures["fakes"],
        "balanced log loss": measures["balanced_log_loss"],
        "95 % interval": loss,
        "AUC": measures["auc"],
        "95 % of AUC": area,
        "seen": measures[SEEN],
    }


if __name__ == "__main__":
    main()
