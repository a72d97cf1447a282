import pytest

from dfd.report.verdict import MOST, STATUS_MEANS, counts, suspects, verdict, words
from dfd.types import STATUSES, FaceLogit, VideoScore

FACES = (FaceLogit(0, 0, 1.0, 2.0), FaceLogit(0, 1, 1.0, 1.0), FaceLogit(4, 0, 0.9, 3.0), FaceLogit(7, 0, 0.9, 3.0))
"""Two faces in one segment, one in two others."""


@pytest.mark.parametrize(
    ("probability", "wanted"),
    [
        (0.99, "substantial evidence of manipulation"),
        (0.9, "substantial evidence of manipulation"),
        (0.8999, "some evidence of manipulation"),
        (0.7, "some evidence of manipulation"),
        (0.6999, "unclear"),
        (0.3, "unclear"),
        (0.2999, "little evidence of manipulation"),
        (0.0, "little evidence of manipulation"),
    ],
)
def test_each_probability_has_its_wording(probability, wanted):
    assert words(VideoScore("a.mp4", probability, "ok")) == wanted


def test_a_verdict_states_its_basis():
    assert verdict(VideoScore("my.mp4", 0.934, "ok", faces=FACES)) == (
        "my.mp4: 0.93, substantial evidence of manipulation (2 faces, 3 segments scored). "
        "A score is evidence, never proof."
    )
    assert "(1 face, 1 segment scored)" in verdict(VideoScore("my.mp4", 0.1, "ok", faces=FACES[3:]))


def test_an_unscored_video_has_a_reason_and_no_number():
    text = verdict(VideoScore("my.mp4", 0.5, "no_face", reason="no face on 5 frames"))
    assert text == "my.mp4: cannot say, no face found (no face on 5 frames). A score is evidence, never proof."
    assert set(STATUS_MEANS) == set(STATUSES) - {"ok"}


@pytest.mark.parametrize("why", ["no such file", "permission denied", "it cannot be fetched: 503, Unavailable"])
def test_what_cannot_be_fetched_is_not_called_absent(why):
    text = verdict(VideoScore("my.mp4", 0.5, "missing", reason=why))
    assert text == f"my.mp4: cannot say, {why}. A score is evidence, never proof."


def test_a_doubtful_score_gives_no_verdict():
    score = VideoScore("my.mp4", 0.934, "ok", faces=FACES, doubts=("the faces are too small", "it is dark"))
    assert words(score) == "cannot say"
    assert verdict(score) == (
        "my.mp4: 0.93, cannot say (2 faces, 3 segments scored); the faces are too small; it is dark. "
        "A score is evidence, never proof."
    )
    assert suspects([score]) == []
    assert counts([score]) == "1 video: 1 cannot say."


def test_scored_videos_are_listed_from_the_most_suspicious():
    scores = [VideoScore(f"{n}.mp4", n / 20, "ok") for n in range(20)]
    failed = VideoScore("gone.mp4", 1.0, "missing")
    rows = suspects([*scores, failed])
    assert [row["video"] for row in rows] == [f"{n}.mp4" for n in range(19, 9, -1)]
    assert (len(rows), rows[0]["score"]) == (MOST, "0.95")
    assert suspects([failed]) == []
    assert counts([*scores, failed]) == (
        "21 videos: 2 substantial evidence of manipulation, 4 some evidence of manipulation, 8 unclear, "
        "6 little evidence of manipulation, 1 cannot say."
    )
