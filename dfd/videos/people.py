"""People in a video, and its source, parsed from the file names of four public datasets."""

import re

METHODS = frozenset({"deepfakes", "face2face", "faceswap", "faceshifter", "neuraltextures", "deepfakedetection"})
"""FaceForensics++'s folders of fakes, in lower case; the last is DeepFakeDetection's."""
CELEB = frozenset({"celeb-real", "youtube-real", "celeb-synthesis"})
"""Celeb-DF's folders, in lower case."""

_FOLDERS = rf"(?:^|/)(?:original_sequences|manipulated_sequences|original|DFD_\w+[ _]sequences|{'|'.join(METHODS)})/"
_FORENSICS = re.compile(
    rf"{_FOLDERS}(?:[^/]+/)*?(?:(\d{{3}})(?:_(\d{{3}}))?(?=[./])|(\d\d)(?:_(\d\d))?(?=__))[^/]*(?:/[^/]*)?$", re.I
)
"""Optional last part of a name: a frame in a folder with the video's name."""
_CELEB = re.compile(r"(?:^|/)Celeb-(?:real|synthesis)/(id\d+)_(?:(id\d+)_)?[^/]*$", re.I)
_PREVIEW = re.compile(r"(?:^|/)(?:original_videos|method_\w)/(?:[^/]+/)*?(\d+)(?:_(\d+))?_[A-Z][^/]*$", re.I)
_SETS = (
    (_FORENSICS, ("youtube/", "youtube/", "actors/", "actors/")),
    (_CELEB, ("", "")),
    (_PREVIEW, ("preview/", "preview/")),
)
"""For each dataset the pattern of people in a name, and the prefix of a person's name."""
LAYOUTS = {
    "DeepFakeDetection": re.compile(
        r"(?:^|/)(?:original_sequences/actors|(?:manipulated_sequences/)?DeepFakeDetection|DFD_\w+[ _]sequences)/", re.I
    ),
    "FaceForensics++": re.compile(
        rf"(?:^|/)(?:original_sequences|manipulated_sequences|original|{'|'.join(METHODS)})/", re.I
    ),
    "Celeb-DF": re.compile(rf"(?:^|/)(?:{'|'.join(CELEB)})/", re.I),
    "DFDC": re.compile(r"(?:^|/)(?:dfdc_train_part_\d+|original_videos|method_\w)/", re.I),
}
"""Patterns of each dataset's names, possibly after other folders; the first match counts."""


def layout_in(name: str) -> str:
    """The dataset whose layout a video's name matches; empty if none.

    >>> layout_in("original_sequences/actors/c23/videos/01__talking.mp4"), layout_in("celeb/YouTube-real/00001.mp4")
    ('DeepFakeDetection', 'Celeb-DF')
    >>> layout_in("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"), layout_in("a.mp4")
    ('FaceForensics++', '')
    """
    return next((layout for layout, form in LAYOUTS.items() if form.search(name)), "")


def people_in(name: str) -> tuple[str, ...]:
    """Names of the people in a video, face donors included, parsed from its name; empty if the layout is unknown.

    >>> people_in("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"), people_in("kaggle/original/000.mp4")
    (('youtube/000', 'youtube/003'), ('youtube/000',))
    >>> people_in("original_sequences/actors/c23/videos/01__talking.mp4"), people_in("Celeb-real/id0_0001.mp4")
    (('actors/01',), ('id0',))
    >>> people_in("Celeb-synthesis/id0_id16_0009.mp4"), people_in("id0_0001.mp4")
    (('id0', 'id16'), ())
    >>> people_in("method_A/1/2_1_A_001.mp4")
    ('preview/2', 'preview/1')
    """
    for pattern, casts in _SETS:
        if found := pattern.search(name):
            persons = zip(casts, found.groups(), strict=True)
            return tuple(f"{cast}{person}" for cast, person in persons if person)
    return ()


def original_of(name: str) -> str:
    """The name of the video that a fake was made from, parsed from the fake's name; "" if unknown.

    >>> original_of("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"), original_of("ff/Deepfakes/000_003.mp4")
    ('original_sequences/youtube/c23/videos/000.mp4', 'ff/original/000.mp4')
    >>> original_of("DeepFakeDetection/01_02__talking__AB12.mp4"), original_of("Celeb-synthesis/id0_id1_0000.mp4")
    ('original/01__talking.mp4', 'Celeb-real/id0_0000.mp4')
    >>> original_of("method_A/1/2_1_A_001.mp4"), original_of("method_A/1/1_2_A_001.mp4"), original_of("fake/a.mp4")
    ('original_videos/1/1_A_001.mp4', 'original_videos/1/1_A_001.mp4', '')
    """
    if found := _FORENSICS.search(name):
        cast = "youtube" if found[1] else "actors"
        released = re.sub(r"(^|/)manipulated_sequences/[^/]+", rf"\1original_sequences/{cast}", name, flags=re.I)
        moved = released if released != name else _in_originals(name)
        return re.sub(r"/(\d{3})_\d{3}(?=[./])|/(\d\d)_\d\d(__.+?)__\w+(?=[./])", _first_person, moved)
    if _CELEB.search(name):
        return re.sub(r"Celeb-synthesis/(id\d+)_id\d+_", r"Celeb-real/\1_", name, flags=re.I)
    if _PREVIEW.search(name):
        return re.sub(
            r"method_\w/(\d+)/(.*/)?(?:\1_\d+|\d+_\1)_(?=[^/]*$)", r"original_videos/\1/\2\1_", name, flags=re.I
        )
    return ""


def _first_person(found: re.Match[str]) -> str:
    return f"/{found[1]}" if found[1] else f"/{found[2]}{found[3]}"


def _in_originals(name: str) -> str:
    """A name in a mirror, which keeps the originals in a folder next to those of the methods."""
    moved = re.sub(rf"(^|/)(?:{'|'.join(METHODS)})/", r"\1original/", name, flags=re.I)
    return re.sub(r"(?:DFD_manipulated[ _]sequences/)+", "DFD_original sequences/", moved, flags=re.I)
