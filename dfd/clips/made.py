"""Made fakes for a validation fold that has none: held-out real videos, blended with themselves at scoring time.

They are the same on every run and in every process, since a clip's name seeds the blending. Unlike in training the
surroundings are not changed: outside the face a made fake and its real video have the same pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dfd.clips.blend import BlendConfig, Picture, self_blend
from dfd.faces.records import TrackletRecord, VideoRecord

PREFIX = "blend of "
"""Prefix of a made fake's name. The name of its real video follows."""
MADE = "the fakes are self-blended: made of the real videos that are scored, the same on every run"
"""The caveat printed with every score on made fakes."""


@dataclass(frozen=True)
class MadeFake(VideoRecord):
    """The record of a fake made from a real video: the same faces, blended as `blend` says."""

    blend: BlendConfig = field(default_factory=BlendConfig)

    def blended(self, images: Picture, landmarks: NDArray[np.floating], clip: str) -> Picture:
        """Turn a clip (T,S,S,3) uint8 of the real video, with landmarks (T,5,2), into the fake. clip: its name."""
        rng = np.random.default_rng(crc32(clip.encode("utf-8", "surrogatepass")))
        return self_blend(images, landmarks, rng, self.blend)[1]


def made_fakes(videos: Sequence[VideoRecord], blend: BlendConfig) -> list[MadeFake]:
    """Make one fake of each real video that shows a face with landmarks. Its name is PREFIX plus the real video's."""
    still = blend.replace(change_target=0.0)
    reals = [(video, tuple(located(video))) for video in videos if video.label == 0]
    return [
        MadeFake(**{**vars(r), "video": f"{PREFIX}{r.video}", "label": 1, "tracklets": faces, "blend": still})
        for r, faces in reals
        if faces
    ]


def located(video: VideoRecord) -> list[TrackletRecord]:
    """The tracklets of a video that have landmarks. The others cannot be blended."""
    return [tracklet for tracklet in video.tracklets if tracklet.path.located]
