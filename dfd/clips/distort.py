"""Distortions of scored clips, one at a time and at full strength, like those of the private test set.

They use the changes of augment.py with fixed values: a video is changed in the same way on every run.
"""

from dataclasses import dataclass, replace
from zlib import crc32

from dfd.clips.augment import NOISE, REDUCTION, Draw

UNCHANGED = Draw(
    flip=False, zoom=1.0, shift=(0.0, 0.0), curves=None, saturation=1.0, blur=0.0, noise=0.0, seed=0, reduction=1.0,
    quality=None, crf=None, part=None, cover=(0, 0, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Distortion:
    """One distortion. means: its description. draw: the change of the images."""

    means: str
    draw: Draw = UNCHANGED

    def of(self, clip: str) -> Draw:
        """The distortion of one clip. The clip's name seeds the noise.

        >>> noise = DISTORTIONS["noise"]
        >>> noise.of("a.mp4/0/1") == noise.of("a.mp4/0/1"), noise.of("a.mp4/0/1") == noise.of("b.mp4/0/1")
        (True, False)
        """
        return replace(self.draw, seed=crc32(clip.encode("utf-8", "surrogatepass")))


DISTORTIONS = {
    "h264": Distortion("encoded again as H.264, CRF 35", replace(UNCHANGED, crf=35)),
    "quarter": Distortion("a quarter of its size, enlarged again", replace(UNCHANGED, reduction=REDUCTION)),
    "noise": Distortion(f"noise of standard deviation {NOISE[1]:g} of 255", replace(UNCHANGED, noise=NOISE[1])),
    "flip": Distortion("mirrored", replace(UNCHANGED, flip=True)),
}
