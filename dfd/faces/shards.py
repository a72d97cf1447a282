"""Images on disk, hundreds in a pair of files: 90,000 images in two files each would be slow to copy.

    pictures/<number>.<hash>.jsonl   a shard's records, one per line, in the format of a video's record
    pictures/<number>.<hash>.mjpeg   its film: the crops of these images, one after the other; hash: of this file

A shard exists once its records do. If an image was processed again, the last record counts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from dfd.errors import StoreError
from dfd.faces.film import SUFFIX
from dfd.faces.records import VideoRecord
from dfd.faces.written import About, Stamp, as_about, corrected, kept, written
from dfd.files import sha256, write_bytes, write_text
from dfd.types import Video

SHARD = 500
"""Images per shard. A killed run repeats one shard, a few seconds' work; its film has a few megabytes."""


class Shards:
    """The shards of the dataset in `folder`, read at first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pictures"

    def about(self, name: str) -> tuple[About, Path] | None:
        """The current record of an image, and the file that holds it; None if it has no record."""
        if name not in self._lines:
            return None
        path, line = self._lines[name]
        return as_about(line, path), path

    def abouts(self) -> Iterator[tuple[About, Path]]:
        """All current records, and the files that hold them."""
        return ((as_about(line, path), path) for path, line in self._lines.values())

    def add(self, rows: Sequence[tuple[VideoRecord, Stamp]]) -> None:
        """Write records of images, whose films are in memory, to a new shard. Does nothing without records.

        Raises StoreError when it cannot be written.
        """
        if not rows:
            return
        codes = [_film(record) for record, _ in rows]
        film = b"".join(codes)
        number = 1 + max((int(path.name.partition(".")[0]) for path in self._files()), default=-1)
        path = self.folder / f"{number:05d}.{sha256(film)[:16]}.jsonl"
        lines, start = {}, 0
        for (record, stamp), code in zip(rows, codes, strict=True):
            place = {"film": path.with_suffix(SUFFIX).name if code else None, "start": start}
            about = kept(written(record, stamp), (self.about(record.video) or (None,))[0])
            lines[record.video] = json.dumps(about | place)
            start += len(code)
        try:
            self.folder.mkdir(exist_ok=True)
            if film:
                write_bytes(path.with_suffix(SUFFIX), film, durable=True)
            self._write(path, lines.values())
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror}): make room and run the same again") from None
        self._lines.update((name, (path, line)) for name, line in lines.items())

    def correct(self, known: Mapping[str, Video]) -> None:
        """Update the labels, sources and people of recorded images, by name, if they are known and differ.

        Rewrites a shard if any of its records changes.
        """
        for path in self._files():
            before = [as_about(line, path) for line in path.read_bytes().splitlines()]
            after = [corrected(a, known[a["video"]]) if a.get("video") in known else a for a in before]
            if after != before:
                self._write(path, map(json.dumps, after))
                vars(self).pop("_lines", None)

    @cached_property
    def _lines(self) -> dict[str, tuple[Path, str | bytes]]:
        """The current record of each image, not parsed, and its file."""
        lines = ((path, line) for path in self._files() for line in path.read_bytes().splitlines())
        return {as_about(line, path).get("video", ""): (path, line) for path, line in lines}

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jsonl") if not path.name.startswith("."))

    @staticmethod
    def _write(path: Path, lines: Iterable[str]) -> None:
        write_text(path, "".join(f"{line}\n" for line in lines), durable=True)


def _film(record: VideoRecord) -> bytes:
    """The encoded crop of an image; empty if it has none."""
    film = record.tracklets[0].film if record.tracklets else b""
    if isinstance(film, Path):
        raise ValueError(f"{record.video} is of a dataset already: {film}")
    return film
