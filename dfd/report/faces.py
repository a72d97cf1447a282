"""Faces on a page: the middle crop of a video with a caption."""

from dataclasses import dataclass

from dfd.errors import StoreError
from dfd.faces.records import VideoRecord, load_crops
from dfd.report.pictures import data_uri

SIDE = 112
"""Side of a thumbnail in pixels."""


@dataclass(frozen=True)
class Face:
    """title: the video's name. picture: a data URI; none if empty. link: address of the video's page; none if empty."""

    title: str
    picture: str
    lines: tuple[str, ...] = ()
    link: str = ""


def face_picture(record: VideoRecord | None, side: int = SIDE) -> str:
    """The largest face in the middle of a video as a data URI; empty if it has no face, or its film is damaged."""
    faces = record.middle() if record else ()
    try:
        return data_uri(load_crops(faces[0], [faces[0].frames // 2])[0], side) if faces else ""
    except StoreError:
        return ""
