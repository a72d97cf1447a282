"""Who is in a video, and of which data set it is, where its name says so, as in FaceForensics++ and Celeb-DF."""

import re

FORENSICS = re.compile(r"(?:^|/)(?:original|manipulated)_sequences/([^/]+)/[^/]+/videos/(\d+)(?:_(\d+))?(?=[_.])[^/]*$")
ACTORS = ("actors", "DeepFakeDetection")
CELEB = re.compile(r"(?:^|/)Celeb-(?:real|synthesis)/(id\d+)_(?:(id\d+)_)?[^/]*$")
LAYOUTS = {
    "DeepFakeDetection": re.compile(r"(?:^|/)(?:original_sequences/actors|manipulated_sequences/DeepFakeDetection)/"),
    "FaceForensics++": re.compile(r"(?:^|/)(?:original|manipulated)_sequences/"),
    "Celeb-DF": re.compile(r"(?:^|/)(?:Celeb-real|Celeb-synthesis|YouTube-real)/"),
    "DFDC": re.compile(r"(?:^|/)dfdc_train_part_\d+/"),
}
"""How a name begins, or goes on after other folders, in each data set; the first that fits."""


def layout_in(name: str) -> str:
    """The data set in whose layout a video has that name; empty where it is of no known one.

    >>> layout_in("original_sequences/actors/c23/videos/01__talking.mp4"), layout_in("celeb/YouTube-real/00001.mp4")
    ('DeepFakeDetection', 'Celeb-DF')
    >>> layout_in("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4"), layout_in("a.mp4")
    ('FaceForensics++', '')
    """
    return next((layout for layout, form in LAYOUTS.items() if form.search(name)), "")


def people_in(name: str) -> tuple[str, ...]:
    """Who is in the video of that name, or gave a face to it; nobody where the name is of no known layout.

    >>> people_in("manipulated_sequences/Deepfakes/c23/videos/000_003.mp4")
    ('youtube/000', 'youtube/003')
    >>> people_in("original_sequences/actors/c23/videos/01__talking.mp4"), people_in("Celeb-real/id0_0001.mp4")
    (('actors/01',), ('id0',))
    >>> people_in("Celeb-synthesis/id0_id16_0009.mp4"), people_in("id0_0001.mp4")
    (('id0', 'id16'), ())
    """
    if found := FORENSICS.search(name):
        cast = "actors" if found[1] in ACTORS else "youtube"
        return tuple(f"{cast}/{number}" for number in found.groups()[1:] if number)
    found = CELEB.search(name)
    return tuple(person for person in found.groups() if person) if found else ()
