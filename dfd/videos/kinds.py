"""The dataset of a video, a fake's method and its compression, as far as its name shows them."""

import re
from typing import NamedTuple

FORENSICS = re.compile(r"(?:^|/)(original|manipulated)_sequences/([^/]+)/([^/]+)/")
CELEB = re.compile(r"(?:^|/)(Celeb-real|YouTube-real|Celeb-synthesis)/")


class Kind(NamedTuple):
    """Parts of a name; empty if unknown. set: the dataset, else the first folder in the name. method: of a fake."""

    set: str
    method: str = ""
    compression: str = ""


def kind_of(name: str) -> Kind:
    """Parse the name of a video.

    >>> kind_of("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4")
    Kind(set='FaceForensics++', method='Deepfakes', compression='c23')
    >>> kind_of("original_sequences/youtube/c40/videos/000.mp4")
    Kind(set='FaceForensics++', method='', compression='c40')
    >>> kind_of("Celeb-synthesis/id0_id16_0009.mp4")[:2], kind_of("dfdc_train_part_7/a.mp4").set, kind_of("a.mp4").set
    (('Celeb-DF', 'Celeb-synthesis'), 'dfdc_train_part_7', '')
    """
    if found := FORENSICS.search(name):
        return Kind("FaceForensics++", found[2] if found[1] == "manipulated" else "", found[3])
    if found := CELEB.search(name):
        return Kind("Celeb-DF", found[1] if found[1] == "Celeb-synthesis" else "")
    return Kind(name.partition("/")[0] if "/" in name else "")
