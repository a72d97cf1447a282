from dataclasses import replace

import numpy as np
import pytest

from dfd.faces.recorder import in_memory
from dfd.inference.bundle import load_bundle
from dfd.inference.explain import HALVED, Explanation, explain, halved
from dfd.inference.info import read_info, shipped
from dfd.inference.looking import explained, wanted
from dfd.inference.predict import score_videos
from dfd.report.explain import page
from dfd.scoring.evidence import MapCheck
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.workers import Limits


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(shipped(), force=True)  # tests/test_golden.py covers golden outputs


@pytest.fixture(scope="module")
def record(bundle, face_video):
    return in_memory(Video(face_video, "face.mp4"), bundle.info.faces, wanted(bundle.info))


@pytest.fixture(scope="module")
def about(bundle, record, face_video):
    return explain(Video(face_video, "face.mp4"), record, bundle)


def test_the_explained_score_equals_the_predicted_one(bundle, record, about):
    (scored,) = score_videos([record], bundle)
    assert (about.score.probability, about.score.faces) == (scored.probability, scored.faces)
    assert about.score.status == "ok"


def test_each_face_has_its_time_person_and_logit_per_network(bundle, record, about):
    assert (about.seconds, about.segments, about.people) == (3.0, 2, 1)
    assert [(look.segment, look.start, look.stop, look.person) for look in about.looks] == [
        (0, 0.0, 22 / 15, 0), (1, 22 / 15, 3.0, 0),
    ] or [round(look.start, 2) for look in about.looks] == [0.0, 1.47]  # fmt: skip
    assert about.looked == ((0.0, pytest.approx(22 / 15, abs=1e-3)), (pytest.approx(22 / 15, abs=1e-3), 3.0))
    for look, face in zip(about.looks, about.score.faces, strict=True):
        assert look.probability == bundle.info.rule.probability([face])
        assert look.start <= look.time <= look.stop
        assert look.time == pytest.approx(look.frame / 15, abs=1e-3)
    low, high = sorted(about.opinions)
    assert low <= about.score.probability <= high
    assert about.gap == pytest.approx(high - low)


def test_telling_frames_are_network_inputs_with_their_maps(bundle, about):
    assert len(about.telling) == 2
    checks = bundle.info.evidence.maps
    assert [check.tells for check in checks] == [False, True]  # so every map is of the second network
    assert {telling.member for telling in about.telling} == {1}
    assert max(float(telling.heat.max()) for telling in about.telling) <= 1.0
    for telling in about.telling:
        side = bundle.members[telling.member][1].clip.size
        assert telling.image.shape == (side, side, 3)
        assert telling.heat.shape == (side, side)
        assert telling.rated == telling.look.members[1]
    assert [telling.look.time for telling in about.telling] == sorted(telling.look.time for telling in about.telling)


def test_no_map_is_drawn_without_an_informative_network(bundle, record, face_video):
    even = MapCheck(fakes=9, inside=0.4, uniform=0.3, centred=0.5)
    info = bundle.info.replace(evidence=bundle.info.evidence.replace(maps=(even, even)))
    found = explain(Video(face_video, "face.mp4"), record, replace(bundle, info=info))
    assert [telling.heat for telling in found.telling] == [None, None]
    assert all(telling.rated == max(telling.look.members) for telling in found.telling)
    html = page([found], replace(bundle, info=info))
    assert "with what speaks for a fake lit up" not in html
    assert "No map is shown" in html


def test_fewer_frames_can_be_drawn_without_changing_the_score(bundle, record, face_video, about):
    video = Video(face_video, "face.mp4")
    one, none = (explain(video, record, bundle, frames=frames) for frames in (1, 0))
    assert [telling.look for telling in one.telling] == [max(about.looks, key=lambda look: look.probability)]
    assert (none.telling, dict(none.held)) == ((), {})
    assert none.score.probability == one.score.probability == about.score.probability


def test_the_score_is_recomputed_on_distorted_crops(bundle, record, about):
    assert list(about.held) == ["encoded again as H.264, CRF 35", HALVED]
    assert all(0 < probability < 1 for probability in about.held.values())
    real = record.tracklets[0].path.side * 1.7 / 256  # the part of a stored crop's side that the video resolved
    assert halved(record.tracklets).draw.reduction == pytest.approx(min(1.0, real) / 2, rel=0.05)


def test_thorough_means_every_segment(bundle):
    assert wanted(bundle.info).first(40) == wanted(bundle.info).first(40)
    assert len(wanted(bundle.info).first(40)) == 12
    assert wanted(bundle.info, thorough=True).first(300) == list(range(300))


@pytest.mark.slow
def test_an_unscorable_video_is_explained_as_far_as_possible(bundle, tmp_path, face_video):
    write_video(tmp_path / "grey.mp4", np.full((20, 96, 128, 3), 90, np.uint8), 20, crf=20, keyframe_every=10)
    (tmp_path / "torn.mp4").write_bytes(b"nothing")
    paths = [tmp_path / "gone.mp4", tmp_path / "grey.mp4", tmp_path / "torn.mp4"]
    videos = [Video(path, path.name) for path in paths]
    abouts = explained(videos, read_info(shipped()), lambda: bundle, limits=Limits(workers=1))
    assert [about.video.name for about in abouts] == ["gone.mp4", "grey.mp4", "torn.mp4"]
    assert [about.score.status for about in abouts] == ["missing", "no_face", "unreadable"]
    assert [(about.quality.width, about.quality.height) for about in abouts] == [(None, None), (128, 96), (None, None)]
    assert all(about.score.probability == 0.5 and not about.looks for about in abouts)


def test_a_training_video_is_recognized_by_name(bundle, record, face_video, about):
    known = next(name for name in bundle.seen if name.endswith(".jpg"))
    seen = explain(Video(face_video, known), replace(record, video=known), bundle, frames=0)
    assert seen.score.doubts == ("seen in training: the networks were trained on a video of this name",)
    assert about.score.doubts == ()


def test_one_network_gives_no_gap():
    info = read_info(shipped())
    alone = Explanation(Video(shipped(), "a"), None, info, opinions=(0.4, None))
    assert alone.gap is None
