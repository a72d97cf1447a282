"""How many small and turned faces are found in a segment, and what detection costs: `python -m benchmarks.detection`.

A face's place is known because it was put there: faces of real clips are reduced, turned and pasted on real 1080p
clips, most of which show another person. A face counts as found when it is detected on at least two frames.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.faces import WANTED
from benchmarks.subject import REAL, find_videos, mean_cost
from dfd.faces.crops import cut
from dfd.faces.tracklets import FacesConfig, Looked, look_at, video_tracklets
from dfd.report import terminal as show
from dfd.types import Video
from dfd.videos.decode import stream_pictures
from dfd.videos.manifest import read_videos
from dfd.videos.pictures import Picture, Pictures
from dfd.videos.segments import Segment, looks

KINDS = ((160, 0), (80, 0), (60, 0), (50, 0), (40, 0), (160, 30), (160, 45), (160, 60), (160, 90), (60, 45))
"""Side of a face's box in pixels of a 1080p picture, and its rotation in degrees."""
PLACES = ((260, 260), (1640, 260))
"""Position (x, y) of the pasted face: left or right of a person in the middle."""
AROUND = 3.0
"""Width of the pasted region, in widths of the face's box: with hair, neck and a blurred border."""
LEAST = 120
"""Least size in pixels of a face before downscaling, so that the pasted face is sharp."""
SEGMENT = Segment(0, 60, 99)


class Still:
    """A picture (H,W,3) uint8 RGB, as dfd.videos.pictures.Picture shows one."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image, self.shape = image, image.shape

    def __getitem__(self, area: tuple[slice, slice]) -> NDArray[np.uint8]:
        return self._image[area]

    def reduced(self, long_side: int | None) -> NDArray[np.uint8]:
        """Reduce the picture so that its longer side is at most `long_side` pixels."""
        scale = (long_side or max(self.shape)) / max(self.shape)
        return np.asarray(cv2.resize(self._image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


class Face(NamedTuple):
    """The largest face of a clip: the frames searched, its centre on each (T,2) and the side of its box."""

    looks: Pictures
    centres: NDArray[np.float64]
    side: float

    def reduced(self, side: int) -> list[NDArray[np.uint8]]:
        """The face with its surroundings on each frame, its box scaled to `side` pixels: (S,S,3) each."""
        pairs = zip(self.looks, self.centres, strict=True)
        return [cut(picture, centre, self.side, AROUND, round(AROUND * side))[0] for picture, centre in pairs]


def read(path: Path) -> Pictures:
    """Read the clip's frames to search in SEGMENT."""
    return next(iter(stream_pictures(path, lambda _, fps: [looks(SEGMENT, fps, FacesConfig().detect_every)])))


def large_faces(paths: Sequence[Path]) -> Iterator[Face]:
    """The largest face of each clip, if it has at least LEAST pixels."""
    for path in paths:
        pictures = read(path)
        found = look_at(SEGMENT, pictures.fps, pictures, FacesConfig()).trajectories
        if found and found[0].side >= LEAST:
            yield Face(pictures, found[0].place(pictures.indices)[0], found[0].side)


def put(back: NDArray[np.uint8], face: NDArray[np.uint8], at: tuple[int, int], degrees: float) -> NDArray[np.uint8]:
    """Paste a rotated face into a picture, centred at `at`."""
    side = len(face)
    middle, reach = (side - 1) / 2, side / 2
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1.0)
    turned = cv2.warpAffine(face, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    y, x = np.mgrid[:side, :side] - middle
    share = np.clip((reach - np.hypot(x, y)) / (0.2 * reach), 0, 1)[..., None]
    made, (left, top) = back.copy(), (at[0] - side // 2, at[1] - side // 2)
    part = made[top : top + side, left : left + side]
    part[:] = np.round(share * turned + (1 - share) * part).astype(np.uint8)
    return made


def shows(looked: Looked, at: tuple[int, int], side: int) -> bool:
    """Whether a trajectory matches the face in position and roughly in size."""
    for path in looked.trajectories:
        centre = path.place(np.array(path.looks[:1]))[0][0]
        if np.linalg.norm(centre - at) < 0.4 * side and 0.6 < path.side / side < 1.7:
            return True
    return False


def recall(faces: Sequence[Face], backs: Sequence[Pictures], config: FacesConfig) -> dict[str, object]:
    """Faces found and faces pasted, per kind; and the tracklets that are neither pasted faces nor the clips' own."""
    own = [len(look_at(SEGMENT, back.fps, back, config).tracklets) for back in backs]
    wide = [[picture[0 : picture.shape[0], 0 : picture.shape[1]] for picture in back] for back in backs]
    row: dict[str, object] = {"min_face": config.min_face}
    others = 0
    for side, degrees in KINDS:
        found = 0
        for number, face in enumerate(faces):
            which, at, sign = number % len(backs), PLACES[number % 2], (1, -1)[number // 2 % 2]
            pairs = zip(wide[which], face.reduced(side), strict=False)
            stills = [cast(Picture, Still(put(back, one, at, sign * degrees))) for back, one in pairs]
            pictures = Pictures(stills, backs[which].indices[: len(stills)], backs[which].fps, 300)
            looked = look_at(SEGMENT, pictures.fps, pictures, config)
            there = shows(looked, at, side)
            found += there
            others += len(looked.tracklets) - there - own[which]
        row[f"{side} px" + (f", {degrees}°" if degrees else "")] = f"{found}/{len(faces)}"
    return {**row, "others": others}


def cost(videos: Sequence[Path], config: FacesConfig) -> float:
    """CPU seconds to decode, detect and crop a prediction's faces in a 1080p clip of ten seconds."""

    def found(video: Path) -> None:
        list(video_tracklets(Video(video, video.name), config, WANTED))

    found(videos[0])  # a warm-up run loads networks
    return mean_cost(videos, 3, found).cpu


def main() -> None:
    """`python -m benchmarks.detection [--min-face N …] [--only recall]`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--min-face", type=int, nargs="+", default=[FacesConfig().min_face], help="settings to compare")
    parser.add_argument("--only", choices=("recall", "cost"), help="measure one of the two")
    arguments = parser.parse_args()
    if not REAL.is_dir():
        parser.error(f"{REAL} is not there: this takes real clips")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    configs = [FacesConfig(min_face=size) for size in arguments.min_face]
    large = find_videos(REAL)
    if arguments.only != "cost":
        reals = [video.path for video in read_videos(REAL) if video.label == 0]
        faces, backs = list(large_faces(reals)), [read(path) for path in large]
        show.table([recall(faces, backs, config) for config in configs])
    if arguments.only != "recall":
        show.table([{"min_face": config.min_face, "CPU s a prediction": cost(large, config)} for config in configs])


if __name__ == "__main__":
    main()
