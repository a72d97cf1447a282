"""The page that explains a video's score, and the same as JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

import dfd
from dfd.inference.bundle import Bundle
from dfd.inference.explain import FOUND, Explanation, Look
from dfd.inference.heat import Heat
from dfd.models.checkpoint import Header
from dfd.report.page import render
from dfd.report.pictures import data_uri
from dfd.report.plots import Bar, Lane
from dfd.report.verdict import CAUTION, counted, unscored, words
from dfd.scoring.board import exposure
from dfd.scoring.evidence import FEW
from dfd.types import Rgb
from dfd.versions import versions

DFDC_NAME, MANY = re.compile(r"(?:^|/)[a-z]{10}\.\w+$"), 1000
"""Name of the challenge's videos, and the least number that counts as training on them; the mini-DFDC has 40."""
SIDE = 176
"""Side of an image on the page, in pixels."""
NO_TABLE = "This bundle has no table of what its scores meant for unseen videos: make it again with dfd bundle."


def doubts(about: Explanation) -> list[str]:
    """Reasons why there is no verdict on a video; empty if there is one."""
    score = about.score
    return list(score.doubts) if score.status == "ok" else [unscored(score)]


def meaning(about: Explanation) -> str:
    """Explain in a sentence or two how often unseen videos with such a score were fakes."""
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
        f"(n = {row.videos:,}); had half of all been fakes, {half:.0%}. They are among {table.of}.{few}"
    )


def disagreement(about: Explanation) -> str:
    """Describe in a sentence or two how far the networks disagree, and what that meant for unseen videos."""
    if about.gap is None:
        return "The bundle has one network, so there is no disagreement to measure."
    apart = f"Their probabilities lie {about.gap:.2f} apart."
    found = about.info.evidence.wrong(about.gap) if about.info.evidence else None
    if found is None:
        return f"{apart} What that has meant for unseen videos is not on record in this bundle."
    row, wrong = found
    return (
        f"{apart} Of {row.videos:,} unseen videos with networks {row.low:.1f} to {row.high:.1f} apart, the score was "
        f"on the wrong side of 0.5 for {wrong / row.videos:.0%}."
    )


def knows(header: Header) -> str:
    """Describe the kinds of fakes that a network was trained to detect."""
    blended = float(header.training.get("train", {}).get("self_blend", 0.0))
    challenge = sum(bool(DFDC_NAME.search(name)) for name in header.videos) >= MANY
    fakes = "the fakes of the Deepfake Detection Challenge" if challenge else "the fakes of its training set"
    if blended >= 1:
        return "blending borders: trained on real faces that were blended with themselves, and on no other fake"
    return f"{fakes}, and blending borders" if blended > 0 else fakes


def page(abouts: Sequence[Explanation], bundle: Bundle) -> str:
    """Render the page on one or several videos, all scored by `bundle`."""
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
    """The contents of the page without its images, ready for JSON."""
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
    """Template values for a video. number: its index, which makes element ids unique."""
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
    """Orange for evidence of a fake, blue for the rest, with the same thresholds as the words."""
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


def heated(image: Rgb, heat: Heat) -> Rgb:
    """Overlay a heat map on a greyscale frame, (S,S,3) uint8 RGB. Heat is brightness, readable without colour."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    level = np.round(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = 0.75 * np.clip(heat, 0, 1)[..., None]
    return np.asarray(np.round(grey * (1 - share) + colour * share), np.uint8)


def _quality(about: Explanation) -> list[tuple[str, str, str]]:
    """Rows of (measure, value, meaning)."""
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
    """Name the networks whose heat maps are left out, if any."""
    uninformative = [n["maps"] is not None and not n["maps"]["tells"] for n in networks]
    if all(uninformative):
        return "No map is shown: no network's maps tell more than where the face is."
    return "Only networks whose maps passed the check at the end of this page draw them." if any(uninformative) else ""


def _card(bundle: Bundle) -> dict[str, Any]:
    """A bundle's card in short: how it was evaluated, and what it was trained on."""
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
