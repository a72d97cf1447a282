"""Fakes for the judge of a training that has none: held-out real videos, blended with themselves when they are scored.

The same on every run and in every process, since a clip's name decides how it is blended. Its surroundings stay as they
are, unlike in training: outside the face a made fake and its real video show the same pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dfd.clips.blend import BlendConfig, Picture, self_blend
from dfd.faces.records import TrackletRecord, VideoRecord

PREFIX = "blend of "
"""What the name of a made fake begins with; the real video's follows."""
MADE = "the fakes are self-blended: made of the real videos that are scored, the same on every run"
"""What a score on made fakes has to say."""


@dataclass(frozen=True)
class MadeFake(VideoRecord):
    """The record of a fake that is made of a real video: the real one's faces, blended as `blend` says."""

    blend: BlendConfig = field(default_factory=BlendConfig)

    def blended(self, images: Picture, landmarks: NDArray[np.floating], clip: str) -> Picture:
        """A clip (T,S,S,3) uint8 of the real video, with landmarks (T,5,2), as the fake. clip: its name."""
        rng = np.random.default_rng(crc32(clip.encode("utf-8", "surrogatepass")))
        return self_blend(images, landmarks, rng, self.blend)[1]


def made_fakes(videos: Sequence[VideoRecord], blend: BlendConfig) -> list[MadeFake]:
    """A fake of each real video that shows a face with landmarks, its source: named PREFIX and the real one's name."""
    still = blend.replace(change_target=0.0)
    reals = [(video, tuple(located(video))) for video in videos if video.label == 0]
    return [
        MadeFake(**{**vars(r), "video": f"{PREFIX}{r.video}", "label": 1, "tracklets": faces, "blend": still})
        for r, faces in reals
        if faces
    ]


def located(video: VideoRecord) -> list[TrackletRecord]:
    """Those of a video's tracklets whose landmarks are known: without, nothing can be blended."""
    return [tracklet for tracklet in video.tracklets if tracklet.path.located]
