import json

import cv2
import numpy as np
import pytest

from benchmarks import gpu
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.training.recipes import recipe
from dfd.types import Video
from tests.conftest import moving_face


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """A dataset of 12 real crops of a face and a fake of each, with a bright square."""
    folder = tmp_path_factory.mktemp("crops")
    store = FaceStore.create(folder / "faces", FacesConfig(margin=1.0, size=96), cut=True)
    for number in range(12):
        real = np.ascontiguousarray(moving_face(1, start=number)[0][60:180, 60:180])
        fake = real.copy()
        fake[40:70, 40:80] = 255
        for name, label, picture in (("real", 0, real), ("fake", 1, fake)):
            path = folder / f"{name}{number}.png"
            cv2.imwrite(str(path), picture)
            store.write(Video(path, path.name, label, f"real{number}.png"))
    return store.folder


def run(crops, out, minutes, *options):
    gpu.main([str(crops), "--out", str(out), "--device", "cpu", "--minutes", str(minutes), *options])
    return json.loads((out / "gpu.json").read_text())


def smallest(name):
    """A recipe with the smallest backbone."""
    base = recipe(name)
    return base.replace(model=base.model.replace(backbone="test_efficientnet"))


@pytest.mark.slow
def test_every_part_runs_on_the_cpu(crops, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(gpu, "recipe", smallest)
    found = run(crops, tmp_path, 10)  # a limit that it does not reach
    parts = ["tests", "dfdc", "blend", "16 bits", "dfdc-gpu"]
    assert [name for name in parts if "failed" in found[name]] == []
    assert found["pictures"] == 24
    assert found["tests"]["pytest"].startswith("2 skipped")
    assert found["dfdc"]["pictures a second"] > 0
    assert found["blend"]["pictures a second"] > 0
    assert {"network 0", "network 1"} <= set(found["16 bits"])
    trained = found["dfdc-gpu"]
    assert 0 < trained["held_loss"] < 5
    assert trained["epochs"] == 2
    assert (tmp_path / "dfdc-gpu" / "checkpoints" / "last.ckpt").is_file()
    table = capsys.readouterr().out
    assert [name for name in parts if f"\n{name} " not in table] == []


@pytest.mark.slow
def test_a_part_that_fails_is_reported_and_costs_no_other_part(crops, tmp_path, monkeypatch):
    """Without time every part fails: each is in the table and the file, with its reason."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = run(crops, tmp_path, 0, "--weights", str(tmp_path / "none.pt"))
    assert "none.pt" in found["dfdc"]["failed"]
    assert found["dfdc-gpu"]["failed"] == "OutOfTimeError: the time was up before the second step"
    assert found["tests"]["failed"].startswith("TimeoutExpired")


def test_the_pictures_that_fit_the_time_are_trained_on(crops):
    videos = FaceStore.open(crops).records()  # 12 of each class: 24 pictures an epoch
    whole, epochs = gpu.fitting(videos, 24 * 3.9, most=8)
    assert (len(whole), epochs) == (24, 3)
    assert gpu.fitting(videos, 1000, most=8)[1] == 8
    few, epochs = gpu.fitting(videos, 22, most=8)
    assert (len(few), epochs) == (22, 1)
    assert {video.source for video in few if video.label} == {video.source for video in few if not video.label}
