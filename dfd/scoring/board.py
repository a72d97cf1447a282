"""The competition's leaderboard, to put a log loss in context, and the published labels of its public test set."""

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dfd.scoring.seen import among

PUBLIC_TEST = Path(__file__).with_name("public_test.csv")
PUBLIC_PARTS = (0, 1, 2)
"""Parts of the training set that contain the 400 videos of the public test set."""


class Entry(NamedTuple):
    """Log losses of one entry on the public and the private leaderboard, where known."""

    who: str
    public: float | None
    private: float | None


BOARD = (
    Entry("1st, seven EfficientNet-B7", None, 0.42798),
    Entry("2nd, WS-DAN ensemble", 0.28680, 0.42842),
    Entry("5th, seven 3D networks and one 2D", 0.253, 0.43711),
    Entry("15th, frame models and an LSTM", 0.24397, 0.46099),
    Entry("0.5 in every row", 0.69315, 0.69315),
)
SHIFT = 0.2
"""Typical increase of an entry's loss from the public to the private leaderboard, whose videos are of another kind."""


@cache
def public_test_labels() -> Mapping[str, int]:
    """Labels (1 fake) of the 400 videos of the public test set.

    >>> labels = public_test_labels()
    >>> len(labels), sum(labels.values())
    (400, 200)
    """
    with PUBLIC_TEST.open(encoding="utf-8", newline="") as file:
        return {row["filename"]: int(row["label"]) for row in csv.DictReader(file)}


def compare_with_board(loss: float) -> list[dict[str, Any]]:
    """One row per leaderboard entry and one for `loss`, a balanced log loss, sorted by public score."""
    rows = [{"entry": e.who, "public": e.public, "private": e.private} for e in BOARD]
    rows.append({"entry": "this submission, here", "public": loss, "private": None})
    return sorted(rows, key=lambda row: (row["public"] is None, row["public"] or row["private"]))


def part_of(name: str) -> int | None:
    """The number of a video's DFDC part, from the folder in its name, or None.

    >>> part_of("dfdc_train_part_7/abc.mp4"), part_of("abc.mp4")
    (7, None)
    """
    found = re.search(r"(?:^|/)dfdc_train_part_(\d+)/", name)
    return int(found[1]) if found else None


class Exposure(NamedTuple):
    """What a bundle has seen of the public test set: test videos, and PUBLIC_PARTS that occur in its lineage."""

    videos: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()

    def warning(self) -> str | None:
        """Describe how that affects a score on the public test set; None if it has seen nothing.

        >>> Exposure(parts=(0, 2)).warning()
        'the bundle has seen videos of parts 0 and 2, where the public test is from: it may know its people'
        """
        if self.videos:
            count = f"{len(self.videos)} of the {len(public_test_labels())} videos of the public test"
            trained = "in the training of the bundle or of its starting weights"
            return f"{count} were {trained}: it knows the answers, and their score is worth nothing"
        if not self.parts:
            return None
        parts = f"part{'s' * (len(self.parts) > 1)} {' and '.join(map(str, self.parts))}"
        return f"the bundle has seen videos of {parts}, where the public test is from: it may know its people"


def exposure(names: Sequence[str]) -> Exposure:
    """What a bundle with the lineage `names` has seen of the public test set."""
    parts = {part_of(name) for name in names}
    return Exposure(tuple(seen_in_training(names)), tuple(part for part in PUBLIC_PARTS if part in parts))


def made_by(report: Mapping[str, Any]) -> tuple[str, Exposure]:
    """The sha256 of the bundle in a prediction's report, and its exposure; empty if the report has none."""
    try:
        sha256, seen = str(report["bundle"]["sha256"]), report["bundle"]["public_test_seen"]
        return sha256, Exposure(tuple(seen["videos"]), tuple(seen["parts"]))
    except (KeyError, TypeError):
        return "", Exposure()


def seen_in_training(names: Sequence[str]) -> list[str]:
    """Videos of the public test set among `names`, in any folder.

    >>> seen_in_training(("dfdc_train_part_0/aassnaulhq.mp4", "zzz.mp4"))
    ['aassnaulhq.mp4']
    """
    return sorted(among(public_test_labels(), names))
