"""A video's score in words: the verdict, and its basis."""

from collections import Counter
from collections.abc import Sequence

from dfd.types import VideoScore

CAUTION = "A score is evidence, never proof."
CANNOT_SAY = "cannot say"
VERDICTS = (
    (0.9, "substantial evidence of manipulation"),
    (0.7, "some evidence of manipulation"),
    (0.3, "unclear"),
    (0.0, "little evidence of manipulation"),
)
"""Lower thresholds of the probability for each verdict. They suit a calibrated detector: at 0.9 or more, nine of ten
such videos are fake in a balanced mix. No verdict says "real", since a fake of a new kind also scores low."""
STATUS_MEANS = {
    "no_face": "no face found",
    "unreadable": "no picture could be read",
    "missing": "not there, or it cannot be fetched",
    "timed_out": "killed at its time limit",
    "out_of_budget": "the time was up before its turn",
    "error": "an unforeseen failure",
}
MOST = 10
"""Number of videos in a table of the most suspicious ones."""


def words(score: VideoScore) -> str:
    """The verdict for a score; CANNOT_SAY if the video could not be scored, or the score is in doubt.

    >>> [words(VideoScore("a.mp4", p, "ok")) for p in (0.95, 0.5)], words(VideoScore("b.mp4", 0.5, "no_face"))
    (['substantial evidence of manipulation', 'unclear'], 'cannot say')
    """
    if score.status != "ok" or score.doubts:
        return CANNOT_SAY
    return next(text for least, text in VERDICTS if score.probability >= least)


def verdict(score: VideoScore) -> str:
    """One line on a video: its probability, the verdict and its basis; or why there is none.

    The number of faces is the largest in any segment.

    >>> verdict(VideoScore("b.mp4", 0.5, "missing", reason="no such file"))
    'b.mp4: cannot say, no such file. A score is evidence, never proof.'
    """
    if score.status != "ok":
        return f"{score.name}: {CANNOT_SAY}, {unscored(score)}. {CAUTION}"
    faces = Counter(face.segment for face in score.faces)
    seen = f"{counted(max(faces.values(), default=0), 'face')}, {counted(len(faces), 'segment')} scored"
    why = "".join(f"; {doubt}" for doubt in score.doubts)
    return f"{score.name}: {score.probability:.2f}, {words(score)} ({seen}){why}. {CAUTION}"


def unscored(score: VideoScore) -> str:
    """Why a video has no score: what its status means, and the reason. That of a missing file stands alone.

    >>> unscored(VideoScore("a.mp4", 0.5, "no_face", reason="no face on 5 frames"))
    'no face found (no face on 5 frames)'
    """
    means, why = STATUS_MEANS[score.status], score.reason
    if not why or why == means:
        return means
    return why if score.status == "missing" else f"{means} ({why})"


def suspects(scores: Sequence[VideoScore]) -> list[dict[str, object]]:
    """Table rows of the most suspicious videos with a verdict, at most MOST."""
    scored = sorted((score for score in scores if words(score) != CANNOT_SAY), key=lambda score: -score.probability)
    return [{"video": s.name, "score": f"{s.probability:.2f}", "verdict": words(s)} for s in scored[:MOST]]


def counts(scores: Sequence[VideoScore]) -> str:
    """Count videos by verdict.

    >>> counts([VideoScore("a.mp4", 0.95, "ok"), VideoScore("b.mp4", 0.5, "ok"), VideoScore("c.mp4", 0.5, "no_face")])
    '3 videos: 1 substantial evidence of manipulation, 1 unclear, 1 cannot say.'
    """
    found = Counter(map(words, scores))
    parts = [f"{found[text]} {text}" for text in (*(text for _, text in VERDICTS), CANNOT_SAY) if found[text]]
    return f"{counted(len(scores), 'video')}: {', '.join(parts)}."


def doubted(scores: Sequence[VideoScore]) -> str:
    """How many of the videos that were scored have no verdict, by the reason; nothing where each has one.

    >>> doubted([VideoScore(f"{i}.mp4", 0.5, "ok", doubts=("the faces are too dark: brightness 9",)) for i in range(2)])
    'No verdict on scored videos: the faces are too dark (2).'
    """
    found = Counter(doubt.partition(":")[0] for score in scores if score.status == "ok" for doubt in score.doubts)
    reasons = ", ".join(f"{reason} ({count})" for reason, count in found.most_common())
    return f"No verdict on scored videos: {reasons}." if reasons else ""


def counted(number: int, what: str) -> str:
    """A number with its noun, in the singular or plural.

    >>> counted(1, "face"), counted(2, "face")
    ('1 face', '2 faces')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
