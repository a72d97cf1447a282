"""Process a video or an image into its record and film."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from dfd.faces.film import STILL_QUALITY, write_crop
from dfd.faces.link import Trajectory
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.faces.stills import look_at_still
from dfd.faces.tracklets import FacesConfig, Looked, video_tracklets
from dfd.types import Film, Tracklet, Video, Wanted
from dfd.videos.remote import at_hand
from dfd.videos.workers import Outcome

CROWDED = "more than {} faces"
"""Start of the caveat of a video that shows more faces at a time than are cut out."""


class Recorder:
    """Collects the results of a video's segments while its crops are written to a film.

    cut: whether an image was cut before; see look_at_still.
    """

    def __init__(self, video: Video, config: FacesConfig, cut: bool = False) -> None:
        self._video, self._config, self._cut = video, config, cut
        self._begun = time.perf_counter()
        self._looked: list[Looked] = []
        self._rows: list[tuple[Looked, Tracklet, Trajectory, list[int]]] = []

    def film(self, wanted: Wanted | None, to: BinaryIO) -> None:
        """Process the video and write its film to a file. Writes nothing if there is no face.

        Raises VideoReadError when no frame can be read.
        """
        with at_hand(self._video) as here:
            for looked in self._looks(here, wanted):
                self._looked.append(replace(looked, tracklets=(), own=b""))
                for tracklet, path in zip(looked.tracklets, looked.trajectories, strict=True):
                    lengths = [to.write(looked.own)] if looked.own else self._written(tracklet, to)
                    bare = replace(tracklet, images=tracklet.images[:, :0, :0])
                    self._rows.append((self._looked[-1], bare, path, lengths))

    def _looks(self, here: Video, wanted: Wanted | None) -> Iterator[Looked]:
        if self._video.still:
            return look_at_still(here, self._config, self._cut)
        return video_tracklets(here, self._config, wanted)

    def _written(self, tracklet: Tracklet, to: BinaryIO) -> list[int]:
        return [write_crop(to, crop, STILL_QUALITY if self._video.still else 0) for crop in tracklet.images]

    def record(self, film: Film) -> VideoRecord:
        """The video's record. Call it after its film is written."""
        usual = [looked for looked in self._looked if not looked.faint]
        ends = np.cumsum([0, *(sum(lengths) for *_, lengths in self._rows)])
        rows = [
            TrackletRecord(
                video=self._video.name, segment=t.segment, face=t.face, label=self._video.label, fps=t.fps,
                size=self._config.size, margin=t.margin, bounds=(looked.segment.start, looked.segment.stop),
                indices=t.indices, edges=start + np.cumsum([0, *lengths]), path=path, film=film,
            )
            for start, (looked, t, path, lengths) in zip(ends.tolist(), self._rows, strict=False)
        ]  # fmt: skip
        return VideoRecord(
            video=self._video.name,
            label=self._video.label,
            source=self._video.source,
            people=self._video.people,
            status="ok" if rows else "no_face",
            reason=self._caveat() if rows else self._reason(),
            seconds=time.perf_counter() - self._begun,
            frames=self._looked[0].shown if self._looked else 0,
            missing=sum(looked.missing for looked in usual),
            looks=sum(looked.looks for looked in usual),
            faces=sum(looked.found for looked in self._looked),
            segments=self._looked[0].total if self._looked else 0,
            tracklets=tuple(sorted(rows, key=lambda row: (row.segment, row.face))),
        )

    def _caveat(self) -> str:
        """Note what is unusual about a video that has faces."""
        crowded = sum(looked.crowded > 0 for looked in self._looked)
        caveats = {
            **dict.fromkeys(self._looked[0].caveats, True),
            "landmarks not found": not all(path.located for *_, path, _ in self._rows),
            "a faint face": any(looked.faint for looked in self._looked if looked.trajectories),
            f"{CROWDED.format(self._config.faces)} in {crowded} segments, the smaller ones left out": crowded,
        }
        return ", ".join(caveat for caveat, holds in caveats.items() if holds)

    def _reason(self) -> str:
        """Explain why there is no face."""
        found, looks = sum(looked.found for looked in self._looked), sum(x.looks for x in self._looked if not x.faint)
        brightness = float(np.mean([looked.brightness for looked in self._looked])) if self._looked else 0.0
        dark = f", and they are dark (mean {brightness:.0f} of 255)" if brightness < 30 else ""
        faces = f"{found} faint or fleeting faces only" if found else "no face"
        looked_at = f" on {looks} frames looked at, of {self._looked[0].shown if self._looked else 0}"
        caveats = "".join(f", {caveat}" for caveat in self._looked[0].caveats) if self._looked else ""
        return f"{faces}{' found' if self._video.still else looked_at}{dark}{caveats}"


def in_memory(video: Video, config: FacesConfig, wanted: Wanted | None = None, cut: bool = False) -> VideoRecord:
    """Process a video and keep its film in memory. cut: as in Recorder.

    Raises VideoReadError when no frame can be read.
    """
    recorder, film = Recorder(video, config, cut), io.BytesIO()
    recorder.film(wanted, film)
    return recorder.record(film.getvalue())


def failure(outcome: Outcome) -> VideoRecord:
    """The record of a video that could not be read, or not in time."""
    video = outcome.video
    return VideoRecord(
        video.name, video.label, video.source, outcome.status, outcome.reason, outcome.seconds, people=video.people
    )
