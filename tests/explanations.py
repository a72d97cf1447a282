"""Handmade explanations to render pages without a network: two people, three of five segments."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dfd.clips.sampling import ClipConfig
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import Bundle
from dfd.inference.explain import Explanation, Look, Telling
from dfd.inference.info import BundleInfo, MemberEntry
from dfd.inference.quality import Quality
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header
from dfd.scoring.evidence import MapCheck, evidence
from dfd.types import FaceLogit, Video, VideoScore

HOSTILE = '<script>alert(1)</script>"><b>x.mp4'
TOLD = evidence(
    "20 videos, out of fold",
    [0.85] * 8 + [0.15] * 12,
    [1] * 6 + [0] * 2 + [0] * 11 + [1],
    [[0.95, 0.45]] * 8 + [[0.1, 0.2]] * 12,
).replace(maps=(MapCheck(fakes=40, inside=0.64, uniform=0.22, centred=0.41), None))


def header(self_blend, videos=()):
    training = {"train": {"self_blend": self_blend}}
    faces = FacesConfig()
    return Header(
        model=ModelConfig(), clip=ClipConfig(length=1), faces=faces, prior=0.5, training=training, videos=videos
    )


def bundle(tables=TOLD, seen=()):
    """A bundle of two networks that are described but never run."""
    entries = [MemberEntry(file=f"member-{n}.pt", sha256="", model="frame", clip=ClipConfig(length=1)) for n in (0, 1)]
    info = BundleInfo(faces=FacesConfig(), members=tuple(entries), evidence=tables)
    return Bundle(info, ((None, header(0.0)), (None, header(1.0))), seen=seen)


def explanation(of=None, name=HOSTILE, probability=0.83, **changes):
    """Person 1 in three segments; person 2 is in the last of them."""
    rng = np.random.default_rng(0)
    looks = tuple(
        Look(segment, face, face, 2.0 * segment, 2.0 * segment + 2, 2.0 * segment + 1, 50 * segment + 25, p, (p, 0.4))
        for segment, face, p in ((0, 0, 0.9), (2, 0, 0.5), (4, 0, 0.2), (4, 1, 0.75))
    )
    heat = np.zeros((64, 64), np.float32)
    heat[:32, :32] = np.linspace(0, 1, 32)
    pictures = rng.integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)
    telling = tuple(
        Telling(look, 0, look.probability, pictures[n], heat * (look.probability > 0.3)) for n, look in enumerate(looks)
    )
    faces = tuple(FaceLogit(look.segment, look.face, 0.99, 0.0) for look in looks)
    about = Explanation(
        Video(Path("x.mp4"), name), VideoScore(name, probability, "ok", 1.0, "", faces), (of or bundle()).info,
        Quality(640, 360, 25.0, 250, 0.05, 120.0, 0.5, 110.0), "ab" * 32, 10.0, 5,
        ((0.0, 2.0), (4.0, 6.0), (8.0, 10.0)),
        looks, (pictures[4], pictures[5]), telling, (0.95, 0.4),
        {"encoded again as H.264, CRF 35": 0.6, "half of its size, enlarged again": None},
    )  # fmt: skip
    return replace(about, **changes)
