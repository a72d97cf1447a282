import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

import dfd.clips.meshes
from dfd.clips.balance import DrawConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.dataset import ClipRecipe, EpochSampler, collate, one_thread
from dfd.clips.meshes import ROW, MeshFile
from dfd.clips.pairs import PairDataset
from dfd.clips.sampling import ClipConfig
from dfd.faces.mesh import face_mesh
from dfd.faces.recorder import in_memory
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from tests.conftest import LANDMARKS, moving_face


@pytest.fixture
def computed(monkeypatch):
    """The pictures whose mesh the network has computed, in order."""
    pictures = []

    def counted(image, landmarks, weights):
        pictures.append(image)
        return face_mesh(image, landmarks, weights)

    monkeypatch.setattr(dfd.clips.meshes, "face_mesh", counted)
    return pictures


@pytest.fixture
def file(tmp_path):
    return MeshFile(tmp_path / "meshes")


@pytest.fixture(scope="module")
def picture():
    return moving_face(1)[0]


def test_a_kept_mesh_equals_the_computed_one_bit_for_bit(picture, mesh, file, computed):
    wanted = face_mesh(picture, LANDMARKS, mesh)
    for _ in range(2):
        found = file.mesh(3, picture, LANDMARKS, mesh)
        assert found.dtype == np.float32
        assert np.array_equal(found, wanted)
    assert len(computed) == 1


def test_a_missing_face_is_remembered_too(mesh, file, computed):
    blank = np.full((240, 320, 3), 128, np.uint8)
    assert face_mesh(blank, LANDMARKS, mesh) is None
    assert [file.mesh(0, blank, LANDMARKS, mesh) for _ in range(2)] == [None, None]
    assert len(computed) == 1


def test_a_row_of_another_picture_or_other_landmarks_does_not_count(picture, mesh, file, computed):
    file.mesh(1, picture, LANDMARKS, mesh)
    darker, moved = picture // 2, LANDMARKS + 3
    assert np.array_equal(file.mesh(1, darker, LANDMARKS, mesh), face_mesh(darker, LANDMARKS, mesh))
    assert np.array_equal(file.mesh(1, darker, moved, mesh), face_mesh(darker, moved, mesh))
    assert len(computed) == 3


@pytest.mark.parametrize("left", [ROW, ROW + 2000, ROW + 3747])
def test_a_row_that_was_half_written_is_computed_again(picture, mesh, file, computed, left):
    """A row has 3,748 bytes. It is in the second one's place."""
    wanted = file.mesh(1, picture, LANDMARKS, mesh)
    file.path.write_bytes(file.path.read_bytes()[:left])
    for _ in range(2):
        assert np.array_equal(file.mesh(1, picture, LANDMARKS, mesh), wanted)
    assert len(computed) == 2


def test_a_file_that_cannot_be_written_costs_only_time(picture, mesh, tmp_path, computed):
    file = MeshFile(tmp_path / "no such folder" / "meshes")
    for _ in range(2):
        assert np.array_equal(file.mesh(0, picture, LANDMARKS, mesh), face_mesh(picture, LANDMARKS, mesh))
    assert len(computed) == 2


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Three real photographs of one face, in different tints."""
    folder, found = tmp_path_factory.mktemp("photographs"), []
    for number in range(3):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), moving_face(1, start=number)[0] // (number + 1))
        found.append(in_memory(Video(path, path.name, 0), FacesConfig(size=96, margin=1.6, detect_side=320)))
    return found


def test_training_clips_are_the_same_with_and_without_a_file(photographs, mesh, file):
    """Two processes share the file and draw two epochs."""

    def epochs(meshes, loaders):
        clip, draw = ClipConfig(length=1, size=64, margin=1.25), DrawConfig(per_load=1, slices=2, self_blend=1)
        clips = PairDataset(photographs, ClipRecipe(clip, draw, blend=BlendConfig(mesh=mesh)), meshes=meshes)
        order = EpochSampler(len(clips), seed=0)
        loader = DataLoader(clips, 2, sampler=order, collate_fn=collate, num_workers=loaders, worker_init_fn=one_thread)
        for epoch in range(2):
            order.set_epoch(epoch)
            yield from loader

    for kept, plain in zip(epochs(file, 2), epochs(None, 0), strict=True):
        assert kept.names == plain.names
        assert kept.images.equal(plain.images)
    assert file.path.stat().st_size == 2 * ROW + 3748


def test_frames_of_a_video_are_not_kept(small_store, mesh, file):
    videos = [record for record in small_store.records() if record.tracklets]
    clip, draw = ClipConfig(length=2, size=32), DrawConfig(self_blend=1)
    clips = PairDataset(videos, ClipRecipe(clip, draw, blend=BlendConfig(mesh=mesh)), meshes=file)
    assert clips[0, 0].images.shape == (4, 3, 2, 32, 32)
    assert not file.path.exists()
