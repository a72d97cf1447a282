import json
from itertools import pairwise, product

import cv2
import numpy as np
import pytest

from dfd.report.explain import NO_TABLE, as_json, disagreement, doubts, heated, knows, meaning, page
from dfd.report.verdict import words
from dfd.types import VideoScore
from tests.explanations import HOSTILE, TOLD, bundle, explanation, header
from tests.test_page import Seen

BUNDLE = bundle()


def test_a_score_is_put_into_words_with_its_track_record():
    about = explanation(BUNDLE)
    assert words(about.score) == "some evidence of manipulation"
    assert meaning(about) == (
        "Of unseen videos that scored 0.8 to 0.9, 75% were fakes (n = 8); had half of all been fakes, 85%. "
        "They are among 20 videos, out of fold. They are few: 8 say little."
    )  # 6 of 7 fakes and 2 of 13 real videos
    assert meaning(explanation(BUNDLE, probability=0.5)) == "No unseen video had such a score (20 videos, out of fold)."
    assert meaning(explanation(bundle(None))) == NO_TABLE


def test_the_track_record_of_disagreement_is_stated():
    assert disagreement(explanation(BUNDLE)) == (
        "Their probabilities lie 0.55 apart. Of 8 unseen videos with networks 0.4 to 0.6 apart, the score was on the "
        "wrong side of 0.5 for 25%."
    )
    assert "not on record" in disagreement(explanation(bundle(None)))
    assert "one network" in disagreement(explanation(BUNDLE, opinions=(0.9, None)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"score": VideoScore("a", 0.5, "no_face", reason="no face on 9 frames")},
            "no face found (no face on 9 frames)",
        ),
        ({"score": VideoScore("a", 0.5, "missing", reason="no such file")}, "no such file"),
        ({"score": VideoScore("a", 0.5, "missing", reason="it cannot be fetched: 503")}, "it cannot be fetched: 503"),
        (
            {"score": VideoScore("a", 0.9, "ok", doubts=("the faces are too small: 20 pixels",))},
            "the faces are too small",
        ),
    ],
)
def test_a_page_without_a_verdict_gives_the_reason(changes, says):
    about = explanation(BUNDLE, **changes)
    assert words(about.score) == "cannot say"
    assert doubts(about)[0].startswith(says)
    texts = " ".join(Seen(page([about], BUNDLE)).texts)
    assert "Cannot say" in texts
    assert says in texts


def test_other_caveats_keep_the_verdict():
    score = VideoScore("a", 0.95, "ok", reason="read by decord")
    about = explanation(BUNDLE, score=score)
    assert words(about.score) == "substantial evidence of manipulation"
    assert "Note: read by decord." in " ".join(Seen(page([about], BUNDLE)).texts)


def test_the_page_shows_people_telling_frames_and_omissions():
    seen = Seen(page([explanation(BUNDLE)], BUNDLE))
    text = " ".join(" ".join(seen.texts).split())
    bars = [attributes for _, attributes in seen.tags if attributes.get("data-tip")]
    assert [(bar["x"], bar["height"], bar["data-link"]) for bar in bars] == [
        ("0.00%", "90.00%", "#frame-1-0-0"), ("40.00%", "50.00%", "#frame-1-2-0"), ("80.00%", "20.00%", "#frame-1-4-0"),
        ("80.00%", "75.00%", "#frame-1-4-1"),
    ]  # fmt: skip
    assert bars[1]["data-tip"] == "4.0 to 6.0 s, frame 125 at 5.00 s: 0.50 probability of a fake"
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert {bar["data-link"][1:] for bar in bars} <= set(ids)
    assert len(ids) == len(set(ids))
    images = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(images) == 2 + 2 * 4
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert "2 of 5 segments, 4.0 of 10.0 seconds. dfd explain --thorough scores them too." in text
    assert "and points at nothing" in text  # the frame that scored 0.2
    assert "0.60 (-0.23)" in text
    assert "could not be scored" in text
    assert "64 % of its map lay where the face had been changed; of an even map 22 %" in text
    assert "Network 2 (member-1.pt): not measured for this bundle." in text
    assert text.count("A score is evidence, never proof.") == 2
    assert "ab" * 32 in text


def test_a_hostile_name_stays_text():
    for abouts in ([explanation(BUNDLE)], [explanation(BUNDLE), explanation(BUNDLE, name="b.mp4")]):
        seen = Seen(page(abouts, BUNDLE))
        assert HOSTILE in seen.texts
        assert [tag for tag, _ in seen.tags if tag == "b"] == []
        assert [tag for tag, _ in seen.tags].count("script") == 1


def test_headings_nest_by_one_level_and_several_videos_have_a_table():
    for abouts in ([explanation(BUNDLE)], [explanation(BUNDLE), explanation(BUNDLE, name="b.mp4")]):
        levels = [int(tag[1]) for tag, _ in Seen(page(abouts, BUNDLE)).tags if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a in Seen(page(abouts, BUNDLE)).tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {"video-1", "video-2"} <= set(ids)


def test_the_json_has_everything_but_the_pictures():
    found = json.loads(json.dumps(as_json([explanation(BUNDLE)], BUNDLE)))
    (video,) = found["videos"]
    assert (video["video"], video["probability"], video["people"], video["networks"]) == (HOSTILE, 0.83, 2, [0.95, 0.4])
    assert [face["person"] for face in video["faces"]] == [0, 0, 0, 1]
    assert video["after_changes"] == {"encoded again as H.264, CRF 35": 0.6, "half of its size, enlarged again": None}
    assert found["bundle"]["networks"][0]["maps"]["inside"] == 0.64
    assert found["bundle"]["sha256"] == BUNDLE.info.sha256()
    assert len(json.dumps(found)) < 10_000


def test_what_a_network_knows_is_derived_from_its_training():
    assert knows(header(0.0)) == "the fakes of its training set"
    assert knows(header(1.0)).startswith("blending borders")
    assert knows(header(0.5)) == "the fakes of its training set, and blending borders"
    challenge = tuple(f"abcdefg{a}{b}{c}.mp4" for a, b, c in product("abcdefghijkl", repeat=3))
    assert knows(header(0.0, challenge)) == "the fakes of the Deepfake Detection Challenge"
    assert knows(header(0.0, challenge[:40])) == "the fakes of its training set"  # as many as the mini-DFDC has


def test_a_heat_map_is_coloured_where_high_and_grey_where_low():
    (telling, *_) = explanation(BUNDLE).telling
    flat = telling._replace(image=np.full((64, 64, 3), (90, 60, 30), np.uint8))
    drawn = heated(flat.image, flat.heat).astype(int)
    grey = cv2.cvtColor(flat.image, cv2.COLOR_RGB2GRAY)
    assert (drawn[40:, 40:] == grey[40:, 40:, None]).all()
    assert drawn[16, 31].sum() > drawn[40, 40].sum() + 150


def test_a_bundle_without_evidence_tables_keeps_its_json():
    info = bundle(None).info
    assert "evidence" not in json.loads(info.text())
    assert json.loads(bundle().info.text())["evidence"]["of"] == TOLD.of
