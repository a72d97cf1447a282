"""Cross-validation and prediction give the same logits for a video, bit for bit.

Cross-validation scores a stored dataset of all segments (score_held in training/crossval.py). `dfd predict` reads only
the segments that it scores, and keeps their crops in memory (inference/run.py).
"""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from dfd.clips.sampling import ClipConfig
from dfd.faces.build import build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.info import read_info
from dfd.inference.oof import read_scores
from dfd.inference.run import Settings, run
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header, build_model, write_checkpoint
from dfd.training.crossval import score_held
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.workers import Limits
from tests.people import crossing, six_people, stage, still

pytestmark = pytest.mark.slow

FACES = FacesConfig(size=64, detect_side=640)
CLIP = ClipConfig(length=8, fps=15, size=48, clips=4)
FPS = 15
MINIBENCH = Path(__file__).parents[2] / "shared" / "data" / "minibench"
REAL = ("abofeumbvv", "celebdf_id13_0011")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return six_people(tmp_path_factory.mktemp("people"))


def damaged(path, packets=10):
    """Flip bits in `packets` packets of the file, but not in the first."""
    rng, data = np.random.default_rng(5), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for number in rng.choice(np.arange(1, len(places)), packets, replace=False):
        position, size = places[number]
        for _ in range(max(2, size // 60)):
            data[position + int(rng.integers(4, max(5, size)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


@pytest.fixture(scope="module")
def videos(people, tmp_path_factory):
    a, b, c, d = people[:4]
    folder = tmp_path_factory.mktemp("videos")
    long = 8 * FPS
    corners = [still(40, 20), still(420, 30), still(60, 190), still(400, 210)]
    four = [(face, 150, 0, long, where) for face, where in zip((a, b, c, d), corners, strict=True)]
    shots = [stage(2 * FPS, (face, 160, 0, 2 * FPS, still(240, 90)), seed=i) for i, face in enumerate(people[:4])]
    one = stage(4 * FPS, (d, 200, 0, 4 * FPS, still(220, 80)), seed=1)
    left, right = (a, 160, 0, long, still(60, 90)), (b, 160, long // 3, long, still(400, 90))
    made = {
        **{f"crosses at {v}": stage(long, (a, 160, 0, long, crossing(v, FPS))) for v in (20, 44, 88)},
        "second at a third": stage(long, left, right),
        "second at two thirds": stage(long, left, (b, 160, 2 * long // 3, long, still(400, 90))),
        "four shots": np.concatenate(shots),
        "three, then one": np.concatenate([stage(4 * FPS, *four[:3]), one]),
        "four people": stage(long, *four[:3], (d, 110, 0, long, still(400, 210))),
        "damaged": stage(4 * FPS, (a, 160, 0, 4 * FPS, crossing(44, FPS)), (b, 150, 0, 4 * FPS, still(430, 20))),
        "comes late": stage(long, (a, 160, long * 5 // 6, long, still(200, 90))),
    }
    for name, images in made.items():
        write_video(folder / f"{name}.mp4", images, FPS, crf=16, keyframe_every=250)
    damaged(folder / "damaged.mp4")
    upright = np.rot90(stage(3 * FPS, (a, 160, 0, 3 * FPS, still(200, 90))), axes=(1, 2))
    write_video(folder / "portrait.mp4", upright, FPS, crf=16, keyframe_every=250, rotation=270)
    for name in REAL if MINIBENCH.is_dir() else ():
        (folder / f"{name}.mp4").symlink_to(MINIBENCH / f"{name}.mp4")
    return [Video(path, path.name, 1) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(3)
    header = Header(model=ModelConfig(name="factorized", size="tiny"), clip=CLIP, faces=FACES, prior=0.6)
    path = tmp_path_factory.mktemp("model") / "m.ckpt"
    write_checkpoint(path, header, build_model(header.model, CLIP).state_dict())
    return path


@pytest.fixture(scope="module")
def out_of_fold(videos, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("oof")
    store = build_store(videos, FaceStore.create(folder / "faces", FACES), Limits(workers=2))
    score_held(store.records(), checkpoint, folder / "oof")
    return {score.name: score for score in read_scores(folder / "oof.json")}


@pytest.fixture(scope="module")
def others(people, tmp_path_factory):
    """Three pairs of videos that differ in one person only, such as "late face 0.mp4" and "late face 1.mp4"."""
    a, b, c, *either = people[:5]
    folder, two, long = tmp_path_factory.mktemp("others"), 2 * FPS, 8 * FPS
    first = (a, 160, 0, long, still(60, 90))
    row = [(face, 150, 0, two, still(20 + 190 * i, 20)) for i, face in enumerate((a, b, c))]
    for number, face in enumerate(either):
        shots = [stage(two, (one, 160, 0, two, still(240, 90)), seed=i) for i, one in enumerate((a, b, c, face))]
        made = {
            "last shot": np.concatenate(shots),
            "late face": stage(long, first, (face, 160, long * 2 // 3, long, still(400, 90))),
            "smallest of four": stage(two, *row, (face, 110, 0, two, still(300, 220))),
        }
        for name, images in made.items():
            write_video(folder / f"{name} {number}.mp4", images, FPS, crf=0, keyframe_every=FPS)
    return [Video(path, path.name) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def predicted(videos, others, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicted")
    write_bundle(folder / "bundle", [checkpoint])
    info, settings = read_info(folder / "bundle"), Settings(limits=Limits(2))
    made = run([*videos, *others], info, lambda: load_bundle(folder / "bundle"), folder / "s.csv", settings)
    return {score.name: score for score in made.scores}


def test_a_prediction_has_the_logits_of_cross_validation_bit_for_bit(videos, out_of_fold, predicted):
    assert out_of_fold.keys() == {video.name for video in videos}
    assert {n: predicted[n].faces for n in out_of_fold} == {n: s.faces for n, s in out_of_fold.items()}
    assert {n: predicted[n].probability for n in out_of_fold} == {n: s.probability for n, s in out_of_fold.items()}
    assert {s.status for s in predicted.values()} == {"ok"}
    assert all(len(predicted[video.name].faces) for video in videos)
    if not MINIBENCH.is_dir():
        pytest.skip("checked on synthetic videos only: this machine has no real clips")


def shown(score):
    """Count the faces in each scored segment."""
    counts = {}
    for face in score.faces:
        counts[face.segment] = counts.get(face.segment, 0) + 1
    return counts


def test_every_visible_face_is_found(predicted):
    counts = {name: list(shown(score).values()) for name, score in predicted.items()}
    for speed in (20, 44, 88):
        assert counts[f"crosses at {speed}.mp4"] == [1, 1, 1, 1]
    assert counts["second at a third.mp4"] == [1, 2, 2, 2]
    assert counts["second at two thirds.mp4"][0] == 1
    assert counts["second at two thirds.mp4"][-1] == 2
    assert counts["four shots.mp4"] == [1, 1, 1, 1]
    assert min(counts["three, then one.mp4"][:2]) >= 3
    assert counts["three, then one.mp4"][2:] == [1, 1]
    assert min(counts["four people.mp4"]) >= 4
    assert list(shown(predicted["comes late.mp4"])) == [5]  # none of the evenly spread segments


@pytest.mark.parametrize("what", ["last shot", "late face", "smallest of four"])
def test_another_person_changes_the_score(what, predicted):
    first, second = (predicted[f"{what} {number}.mp4"] for number in range(2))
    assert [face[:2] for face in first.faces] == [face[:2] for face in second.faces]
    assert first.probability != second.probability
    same = [x.logit == y.logit for x, y in zip(first.faces, second.faces, strict=True)]
    assert any(same)  # the other faces are the same
