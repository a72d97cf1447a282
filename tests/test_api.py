import subprocess
import sys
import typing

import numpy as np
import pytest

import dfd
from dfd.errors import CheckpointError, ConfigError
from dfd.inference.info import shipped
from dfd.inference.looking import explained
from dfd.inference.run import Settings, run
from dfd.report.verdict import verdict, words
from dfd.videos.encode import write_video
from dfd.videos.manifest import named
from dfd.videos.workers import Limits
from tests.conftest import moving_face

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector():
    return dfd.load(force=True)


def test_importing_dfd_is_fast():
    code = "import time; t = time.process_time(); import dfd; print(time.process_time() - t)"
    took = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(took) < 0.3


def test_the_package_exports_exactly_these_names():
    assert dfd.__all__ == ["Detector", "Result", "__version__", "load"]
    assert dfd.load.__module__ == "dfd.api"
    assert typing.get_type_hints(dfd.load)["return"] is dfd.Detector
    with pytest.raises(AttributeError, match="module 'dfd' has no attribute 'lode'"):
        _ = dfd.lode


def test_a_result_has_the_values_of_a_prediction(detector, face_video):
    result = detector.score(str(face_video))
    assert (result.name, result.status) == ("face.mp4", "ok")
    assert 0 < result.probability < 1
    assert [segment.start for segment in result.segments] == sorted({face.start for face in result.faces})
    assert all(0 < segment.probability < 1 for segment in result.segments)
    (mean,) = {face.person for face in result.faces}
    assert mean == 0
    with pytest.raises(AttributeError):  # frozen
        result.probability = 0.0
    html = result._repr_html_()
    assert html.startswith("<iframe srcdoc=")
    assert "face.mp4" in html
    assert "data:image/jpeg;base64" in html


@pytest.fixture(scope="module")
def clips(face_video, tmp_path_factory):
    """One face, two faces side by side, and a face in the dark."""
    folder = tmp_path_factory.mktemp("clips")
    frames = moving_face(20)
    made = {
        "two.mp4": np.concatenate([frames, frames[:, :, ::-1]], axis=2),
        "dark.mp4": (frames * 0.1).astype(np.uint8),
    }
    for name, images in made.items():
        write_video(folder / name, images, 15, crf=20, keyframe_every=10)
    return [face_video, folder / "two.mp4", folder / "dark.mp4"]


def test_predict_explain_and_score_agree_on_a_file(detector, clips, tmp_path):
    bundle, rows = detector.bundle, named(clips)
    made = run(rows, bundle.info, lambda: bundle, tmp_path / "s.csv", Settings(limits=Limits(1)))
    abouts = explained(rows, bundle.info, lambda: bundle, frames=0, limits=Limits(1))
    results = detector.score_many(clips, workers=1)
    for score, about, result in zip(made.scores, abouts, results, strict=True):
        assert score.status == "ok"
        assert (about.score.probability, result.probability) == (score.probability, score.probability)
        assert about.score.doubts == score.doubts
        assert result.verdict == words(score)
        assert verdict(about.score) == verdict(score)
    one, two, dark = made.scores
    assert max(face.face for face in two.faces) == 1
    assert (one.doubts, words(dark)) == ((), "cannot say")
    assert "too dark" in dark.doubts[0]
    assert made.report()["caveats"] == [{"filename": "dark.mp4", "reason": dark.doubts[0]}]


def test_failures_are_returned_as_results_in_order(detector, face_video, tmp_path):
    torn = tmp_path / "<b>.mp4"
    torn.write_bytes(b"nothing")
    results = detector.score_many([torn, face_video, tmp_path / "gone.mp4", torn], workers=1)
    assert [result.status for result in results] == ["unreadable", "ok", "missing", "unreadable"]
    assert [result.name for result in results] == ["<b>.mp4", "face.mp4", "gone.mp4", "<b>.mp4"]
    assert results[0].verdict == "cannot say"
    assert results[0].probability == 0.5
    assert results[0].reason
    assert "&amp;lt;b&amp;gt;.mp4" in results[0]._repr_html_()
    assert detector.score_many([]) == []


def test_score_many_refuses_a_single_path(detector, face_video):
    for path in (face_video, str(face_video)):
        with pytest.raises(ConfigError, match="score_many takes a list"):
            detector.score_many(path)


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is not a bundle"):
        dfd.load(tmp_path)


def test_a_detector_describes_itself(detector):
    assert repr(detector) == f"<Detector {shipped()}: 2 networks on cpu>"
