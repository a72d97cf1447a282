"""The page that says why a video got its score, and the same as JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import dfd
from dfd.inference.bundle import Bundle
from dfd.inference.explain import FOUND, Explanation, Look
from dfd.inference.heat import Heat
from dfd.models.checkpoint import Header
from dfd.report.page import render
from dfd.report.pictures import data_uri
from dfd.report.plots import Bar, Lane
from dfd.report.verdict import CAUTION, STATUS_MEANS, counted, words
from dfd.scoring.board import exposure
from dfd.scoring.evidence import FEW
from dfd.versions import versions

Picture = NDArray[np.uint8]

DFDC_NAME, MANY = re.compile(r"(?:^|/)[a-z]{10}\.\w+$"), 1000
"""What the challenge's videos are called, and of how many a network has learned from it; the mini-DFDC has 40 such."""
SIDE = 176
"""Pixels of a picture's side on the page."""
NO_TABLE = "This bundle has no table of what its scores meant for unseen videos: make it again with dfd bundle."


def doubts(about: Explanation) -> list[str]:
    """Why there is no verdict on a video, each in words; empty where there is one."""
    score, status = about.score, STATUS_MEANS.get(about.score.status, "")
    if score.status != "ok":
        return [f"{status}: {score.reason}" if score.reason and score.reason != status else status]
    return list(score.doubts)


def meaning(about: Explanation) -> str:
    """What such a score has meant for unseen videos, in a sentence or two."""
    table = about.info.evidence
    found = table.fakes(about.score.probability) if table else None
    if table is None or not table.scores:
        return NO_TABLE
    if found is None:
        return f"No unseen video had such a score ({table.of})."
    row, half = found
    few = f" They are few: {row.videos} say little." if row.videos < FEW else ""
    return (
        f"Of unseen videos that scored {row.low:.1f} to {row.high:.1f}, {row.fakes / row.videos:.0%} were fakes "
        f"(n = {row.videos}); had half of all been fakes, {half:.0%}. They are among {table.of}.{few}"
    )


def disagreement(about: Explanation) -> str:
    """How far the networks are apart, and what that has meant, in a sentence or two."""
    if about.gap is None:
        return "The bundle has one network, so there is no disagreement to measure."
    apart = f"Their probabilities lie {about.gap:.2f} apart."
    found = about.info.evidence.wrong(about.gap) if about.info.evidence else None
    if found is None:
        return f"{apart} What that has meant for unseen videos is not on record in this bundle."
    row, wrong = found
    return (
        f"{apart} Of {row.videos} unseen videos with networks {row.low:.1f} to {row.high:.1f} apart, the score was on "
        f"the wrong side of 0.5 for {wrong / row.videos:.0%}."
    )


def knows(header: Header) -> str:
    """What a network has learned to tell from real faces, in words."""
    blended = float(header.training.get("train", {}).get("self_blend", 0.0))
    challenge = sum(bool(DFDC_NAME.search(name)) for name in header.videos) >= MANY
    fakes = "the fakes of the Deepfake Detection Challenge" if challenge else "the fakes of its training set"
    if blended >= 1:
        return "blending borders: trained on real faces that were blended with themselves, and on no other fake"
    return f"{fakes}, and blending borders" if blended > 0 else fakes


def page(abouts: Sequence[Explanation], bundle: Bundle) -> str:
    """The page on one video or several, all by `bundle`."""
    networks = _networks(bundle)
    return render(
        "explain.html",
        version=dfd.__version__,
        caution=CAUTION,
        videos=[_shown(about, bundle, number) for number, about in enumerate(abouts)],
        networks=networks,
        maps_note=_maps_note(networks),
        card=_card(bundle),
        versions=versions(),
        sha256=bundle.info.sha256(),
    )


def as_json(abouts: Sequence[Explanation], bundle: Bundle) -> dict[str, Any]:
    """All that the page says, without its pictures; ready for JSON."""
    return {
        "caution": CAUTION,
        "bundle": {"sha256": bundle.info.sha256(), "networks": _networks(bundle), **_card(bundle)},
        "versions": versions(),
        "videos": [_numbers(about) for about in abouts],
    }


def _numbers(about: Explanation) -> dict[str, Any]:
    return {
        "video": about.video.name,
        "sha256": about.sha256,
        "verdict": words(about.score),
        "doubts": doubts(about),
        "probability": about.score.probability,
        "meaning": meaning(about),
        "status": about.score.status,
        "reason": about.score.reason,
        "seconds": about.seconds,
        "segments": about.segments,
        "thorough": about.thorough,
        "looked_at": [list(span) for span in about.looked],
        "people": about.people,
        "faces": [look._asdict() for look in about.looks],
        "telling": [{**t.look._asdict(), "network": t.member, "rated": t.rated} for t in about.telling],
        "networks": list(about.opinions),
        "disagreement": disagreement(about),
        "quality": vars(about.quality),
        "after_changes": dict(about.held),
    }


def _shown(about: Explanation, bundle: Bundle, number: int) -> dict[str, Any]:
    """What the template shows of a video. number: of the video, so that names on the page are its own."""
    lanes = [
        Lane(f"Person {person + 1}", _bars(about, person, number), data_uri(face, 72))
        for person, face in enumerate(about.faces)
    ]
    return {
        "about": about,
        "id": f"video-{number + 1}",
        "verdict": words(about.score),
        "doubts": doubts(about),
        "meaning": meaning(about),
        "disagreement": disagreement(about),
        "lanes": lanes,
        "people": [_person(about, person, number) for person in range(min(FOUND, about.people))],
        "opinions": [
            {"name": f"network {n + 1}", "knows": knows(header), "probability": opinion}
            for n, ((_, header), opinion) in enumerate(zip(bundle.members, about.opinions, strict=False))
        ],
        "quality": _quality(about),
        "unseen": about.seconds - sum(stop - start for start, stop in about.looked),
    }


def _bars(about: Explanation, person: int, number: int) -> list[Bar]:
    shown = {each.look[:2] for each in about.telling}
    return [
        Bar(look.start, look.stop, look.probability, _tip(look), _tone(look.probability), _link(look, number, shown))
        for look in about.looks
        if look.person == person
    ]


def _tip(look: Look) -> str:
    return (
        f"{look.start:.1f} to {look.stop:.1f} s, frame {look.frame} at {look.time:.2f} s: "
        f"{look.probability:.2f} probability of a fake"
    )


def _tone(probability: float) -> int:
    """Orange for what speaks for a fake, blue for the rest, as the words have it."""
    return 2 if probability >= 0.7 else 5 if probability >= 0.3 else 1


def _link(look: Look, number: int, shown: set[tuple[int, int]]) -> str:
    return f"#{_frame_id(look, number)}" if look[:2] in shown else ""


def _frame_id(look: Look, number: int) -> str:
    return f"frame-{number + 1}-{look.segment}-{look.face}"


def _person(about: Explanation, person: int, number: int) -> dict[str, Any]:
    frames = [
        {
            "id": _frame_id(each.look, number),
            "look": each.look,
            "network": each.member + 1,
            "rated": each.rated,
            "blank": each.heat is not None and not each.heat.max() > 0.02,
            "face": data_uri(each.image, SIDE, 85),
            "heat": "" if each.heat is None else data_uri(heated(each.image, each.heat), SIDE),
        }
        for each in about.telling
        if each.look.person == person
    ]
    return {"number": person + 1, "frames": frames}


def heated(image: Picture, heat: Heat) -> Picture:
    """A frame in grey under its heat map, (S,S,3) uint8 RGB: from dark to bright, so that no colour decides."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    level = np.round(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = 0.75 * np.clip(heat, 0, 1)[..., None]
    return np.asarray(np.round(grey * (1 - share) + colour * share), np.uint8)


def _quality(about: Explanation) -> list[tuple[str, str, str]]:
    """What it is, how much, and what that means."""
    q = about.quality
    rows = [
        ("face", q.face, "{:.0f} pixels", "side of its box, the median"),
        ("sharpness", q.sharpness, "{:.2f}", "0 is all blur; 0.3 to 0.7 is usual"),
        ("brightness", q.brightness, "{:.0f} of 255", "of the faces"),
        ("compression", q.bits, "{:.3f} bits a pixel", "of the file; 0.02 to 0.1 is usual"),
        ("frame rate", q.fps, "{:.3g} a second", counted(q.frames, "frame")),
        ("picture", q.width, f"{{}} × {q.height} pixels", ""),
    ]
    return [(name, text.format(value), note) for name, value, text, note in rows if value is not None]


def _networks(bundle: Bundle) -> list[dict[str, Any]]:
    table = bundle.info.evidence
    checks = table.maps if table and table.maps else (None,) * len(bundle.members)
    whole = sum(entry.weight for entry in bundle.info.members)
    return [
        {
            "file": entry.file,
            "knows": knows(header),
            "weight": round(entry.weight / whole, 3),
            "maps": {**check.model_dump(), "tells": check.tells} if check else None,
        }
        for entry, (_, header), check in zip(bundle.info.members, bundle.members, checks, strict=True)
    ]


def _maps_note(networks: Sequence[Mapping[str, Any]]) -> str:
    """Whose heat maps are not on the page, where some are not."""
    untold = [n["maps"] is not None and not n["maps"]["tells"] for n in networks]
    if all(untold):
        return "No map is shown: no network's maps tell more than where the face is."
    return "Only networks whose maps passed the check at the end of this page draw them." if any(untold) else ""


def _card(bundle: Bundle) -> dict[str, Any]:
    """A bundle's card in short: by what it was judged, and what it had seen."""
    info = bundle.info
    judged: Mapping[str, Mapping[str, Any]] = info.sets.sets if info.sets else {}
    if info.score:
        judged = {**judged, "out of fold": info.score}
    keys = ("videos", "fakes", "balanced_log_loss", "auc")
    return {
        "rule": info.rule_reason,
        "judged": {name: {key: measures.get(key) for key in keys} for name, measures in judged.items()},
        "seen": len(bundle.seen),
        "warning": exposure(bundle.seen).warning(),
    }
