"""The bundle shipped with dfd: its location and its quality."""

import pytest

from dfd.errors import CheckpointError
from dfd.files import sha256
from dfd.inference import info
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.info import SHIPPED, is_shipped, read_seen, shipped
from dfd.inference.run import run
from dfd.scoring.submission import score_submission
from dfd.videos.labels import read_labels
from dfd.videos.manifest import read_videos
from tests.conftest import short_sample
from tests.test_bundle import checkpoint

pytestmark = pytest.mark.slow


def test_without_a_shipped_bundle_the_error_says_what_to_pass(monkeypatch, tmp_path):
    monkeypatch.setattr(info, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match="^this dfd has no shipped detector: give --bundle FOLDER$"):
        shipped()
    assert not is_shipped("")


def test_the_shipped_bundle_is_identified_by_its_sha256(monkeypatch, tmp_path):
    monkeypatch.setattr(info, "SHIPPED", tmp_path / "b")
    written = write_bundle(tmp_path / "b", [checkpoint(tmp_path / "m.ckpt", 1)])
    assert shipped() == tmp_path / "b"
    assert is_shipped(sha256(tmp_path / "b" / "bundle.json"))
    assert is_shipped(written.sha256())  # as named in a prediction's report
    assert not is_shipped("0" * 64)


@pytest.mark.skipif(not (SHIPPED / "bundle.json").is_file(), reason="this checkout has no shipped detector")
def test_the_shipped_bundle_is_small_complete_and_separates_fakes_from_real_videos(tmp_path):
    bundle = load_bundle(shipped())
    assert sum(path.stat().st_size for path in shipped().iterdir()) < 20e6
    assert "never proof" in (shipped() / "CARD.md").read_text(encoding="utf-8")
    assert read_seen(shipped())
    mini = short_sample(tmp_path / "mini")
    run(read_videos(mini / "test_videos"), bundle.info, lambda: bundle, tmp_path / "s.csv")
    assert score_submission(tmp_path / "s.csv", read_labels(mini / "test_labels.csv"))["auc"] >= 0.75
