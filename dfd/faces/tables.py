"""A dataset's records as tables for people: a row a video, and a row a tracklet."""

from collections.abc import Sequence
from pathlib import Path

from dfd.faces.records import VideoRecord
from dfd.faces.written import PLAIN
from dfd.files import whole

VIDEO_COLUMNS = [*PLAIN[:4], "tracklets", *PLAIN[6:], "seconds", "reason", "people"]
TRACKLET_COLUMNS = [
    "video", "segment", "face", "label", "source", "first", "frames", "fps", "size", "margin", "side", "confidence",
]  # fmt: skip


def write_tables(records: Sequence[VideoRecord], folder: Path) -> None:
    """Write videos.csv and tracklets.csv into `folder`."""
    import pandas as pd  # takes as long to load as a clip to score, and a prediction writes no tables

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
            pd.DataFrame(table, columns=columns).to_csv(partial, index=False)
