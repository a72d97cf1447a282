"""The journal of a prediction: one line per finished video, so that a killed run can resume.

A line is valid only for the same bundle, settings and file; a file that has changed is scored again. A row scored in
haste is valid only for a run with the same time limit. The journal is deleted at the end of the run. A line that was
truncated by a kill is ignored.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dfd.errors import SubmissionError
from dfd.faces.written import file_stamp
from dfd.types import UNDONE, Video, VideoScore

HASTE = "in haste"
"""Prefix of the reason of a row that was scored at less than full speed; it may follow other reasons."""


class Journal:
    """An open journal, used by one run at a time. scores: rows finished by earlier runs, by name."""

    def __init__(
        self,
        path: Path,
        key: Mapping[str, Any],
        videos: Iterable[Video],
        seconds: float = 0.0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Open the journal at `path`, or create it.

        key: the bundle and the settings that affect scores. seconds: time limit of the run. tell: called when lines
        with other settings are ignored. Raises SubmissionError while another run uses it.
        """
        self.path = path
        self._key, self._seconds = dict(key), seconds
        self.other: list[str] = []  # settings whose value differs in some lines
        self._videos = {video.name: video for video in videos}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise SubmissionError(f"folder {path.parent} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise SubmissionError(f"{path} is in use: another run writes the same submission; wait for it") from None
        self.scores = self._read()
        if tell and self.other:
            tell(f"{path} is from a run with another {' and '.join(self.other)}: its videos are scored again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Delete the journal if all went well or it is empty; else keep it for the next run."""
        if kind is None or not os.fstat(self._file.fileno()).st_size:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def add(self, score: VideoScore) -> None:
        """Append a finished video. Temporary failures are not recorded, so that a later run repeats them."""
        if score.status in UNDONE:
            return
        about = {
            **self._key,
            "file": file_stamp(self._videos[score.name].path),
            "seconds": self._seconds if HASTE in score.reason else None,
            "score": vars(score),
        }
        self._file.write(json.dumps(about) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> dict[str, VideoScore]:
        self._file.seek(0)
        text = self._file.read()
        if text and not text.endswith("\n"):
            self._file.write("\n")
        scores: dict[str, VideoScore] = {}
        for line in text.splitlines():
            score = self._score(line)
            if score is not None:
                scores[score.name] = score
        return scores

    def _score(self, line: str) -> VideoScore | None:
        """Parse a line. None if it is incomplete or no longer valid."""
        try:
            about: dict[str, Any] = json.loads(line)
            video = self._videos.get(about["score"]["name"])
            changed = [name for name, value in self._key.items() if about[name] != value]
            if changed:
                self.other += [name for name in changed if name not in self.other]
            elif (
                video is not None
                and about["file"] == file_stamp(video.path)
                and about["seconds"] in (None, self._seconds)
            ):
                return VideoScore(**about["score"])
        except (ValueError, KeyError, TypeError):
            pass
        return None
