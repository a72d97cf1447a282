"""A dataset's records as tables: one row per video, one row per tracklet.

For people, and for queries over a hundred thousand videos, whose records would take minutes to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfd.errors import StoreError
from dfd.faces.records import VideoRecord
from dfd.faces.written import PLAIN
from dfd.files import whole

if TYPE_CHECKING:
    import pandas as pd

VIDEO_COLUMNS = [*PLAIN[:4], "tracklets", *PLAIN[6:], "seconds", "reason", "people"]
TRACKLET_COLUMNS = [
    "video", "segment", "face", "label", "source", "first", "frames", "fps", "size", "margin", "side", "confidence",
]  # fmt: skip


def write_tables(records: Sequence[VideoRecord], folder: Path) -> None:
    """Write videos.csv and tracklets.csv into `folder`."""
    import pandas as pd  # takes as long to import as scoring a clip, and predicting writes no tables

    videos = [
        {**vars(r), "people": " ".join(r.people), "tracklets": len(r.tracklets), "seconds": round(r.seconds, 3)}
        for r in records
    ]
    rows = [
        {**vars(t), "source": r.source, "first": t.indices[0], "frames": t.frames, "confidence": t.confidence,
         "side": t.path.side}
        for r in records for t in r.tracklets
    ]  # fmt: skip
    for name, columns, table in (("videos", VIDEO_COLUMNS, videos), ("tracklets", TRACKLET_COLUMNS, rows)):
        with whole(folder / f"{name}.csv") as partial:
            pd.DataFrame(table, columns=columns).to_csv(partial, index=False, lineterminator="\n")


def read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read videos.csv, and the columns video, segment, face, frames, fps, side and confidence of tracklets.csv.

    label is a number, NaN if unknown; other missing fields are empty strings. A million tracklets take 100 MB. Raises
    StoreError when a table is missing or malformed.
    """
    counts = ("label", "tracklets", "frames", "missing", "looks", "faces", "segments", "seconds")
    about = dict.fromkeys(VIDEO_COLUMNS, "str") | dict.fromkeys(counts, "float64")
    small = dict.fromkeys(("segment", "face", "frames"), "int32") | dict.fromkeys(("fps", "side", "confidence"), "f4")
    return _read(folder / "videos.csv", about), _read(folder / "tracklets.csv", {"video": "category", **small})


def _read(path: Path, types: dict[str, str]) -> pd.DataFrame:
    """Read the columns of a table that `types` names."""
    import pandas as pd

    again = "`dfd faces` writes it at its end, so give its command again"
    try:
        return pd.read_csv(
            path, usecols=list(types), dtype=types, keep_default_na=False, na_values={"label": [""]},
            encoding="utf-8", lineterminator="\n",
        )  # fmt: skip
    except FileNotFoundError:
        raise StoreError(f"{path} is not there: {again}") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} does not hold ({error}): {again}") from None
