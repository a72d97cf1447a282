"""The journal of a prediction: a line for each finished video, so that a killed run goes on where it was.

A line counts only for the same bundle and the same file: one that changed is scored anew. It is removed when the run
has ended. A line that was cut off, by a kill in the middle of writing it, is passed over.
"""

import fcntl
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dfd.errors import SubmissionError
from dfd.faces.store import file_stamp
from dfd.types import Video, VideoScore

UNFINISHED = ("out_of_budget",)
"""Statuses of videos that a later run does."""


class Journal:
    """An open journal, of one run at a time. scores: what earlier runs have finished, by name."""

    def __init__(self, path: Path, bundle: str, videos: Iterable[Video]) -> None:
        """Open the journal at `path`, or begin it. bundle: sha256. Raises SubmissionError while another run has it."""
        self.path = path
        self._bundle = bundle
        self._videos = {video.name: video for video in videos}
        try:
            self._file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise SubmissionError(f"{path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise SubmissionError(f"{path} is in use: another run writes the same submission; wait for it") from None
        self.scores = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Remove it if all went well; else it stays for the next run."""
        if kind is None:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def add(self, score: VideoScore) -> None:
        """Put a finished video on record; one for which the time was too short is left to a later run."""
        if score.status in UNFINISHED:
            return
        about = {"bundle": self._bundle, "file": file_stamp(self._videos[score.name].path), "score": vars(score)}
        self._file.write(json.dumps(about) + "\n")
        self._file.flush()  # with the operating system, which a kill of this process does not touch

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
        """A line's score, if it is whole and still holds."""
        try:
            about: dict[str, Any] = json.loads(line)
            score = about["score"]
            video = self._videos.get(score["name"])
            if video is None or about["bundle"] != self._bundle or about["file"] != file_stamp(video.path):
                return None
            tracks = tuple(tuple(logits) for logits in score["tracks"])
            return VideoScore(**{**score, "tracks": tracks, "confidences": tuple(score["confidences"])})
        except (ValueError, KeyError, TypeError):
            return None
