import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch

from dfd.clips.augment import NOTHING, AugmentConfig
from dfd.clips.balance import DrawConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.sampling import ClipConfig
from dfd.clips.stills import StillDataset, find_landmarks, load_still, read_stills, still_clips
from dfd.errors import ConfigError, ManifestError, StoreError
from dfd.faces.detect import Detector

CONFIG = ClipConfig(length=1, size=32, margin=1.0)


@pytest.fixture
def folder(tmp_path):
    """Six people, each real and fake: the fake is the real one with a bright square."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(6):
        real = np.kron(rng.integers(20, 180, (8, 8, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        fake = real.copy()
        fake[16:32, 16:32] = 255
        for name, image, label in ((f"r{person}.png", real, "REAL"), (f"f{person}.png", fake, "FAKE")):
            cv2.imwrite(str(tmp_path / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            rows.append({"file": name, "label": label, "source": f"r{person}.mp4", "place": person})
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


def index(folder, rows):
    (folder / "index.csv").write_text("file,label,source\n" + "".join(f"{row}\n" for row in rows))


def test_the_pictures_with_a_label_are_read(folder):
    index(folder, ["r0.png,0,", "f0.png,1,r0.png", "r1.png,,"])
    found = [(still.name, still.label, still.source) for still in read_stills(folder)]
    assert found == [("f0.png", 1, "r0.png"), ("r0.png", 0, "r0.png")]


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"index\.csv is not there: it lists pictures as file,label,source"):
        read_stills(tmp_path)


def test_the_largest_centred_square_of_a_picture_is_taken(folder):
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 10:50, 0] = 200  # red, and OpenCV writes blue first
    cv2.imwrite(str(folder / "r0.png"), image[:, :, ::-1])
    square = load_still(next(still for still in read_stills(folder) if still.name == "r0.png"))
    assert square.shape == (40, 40, 3)
    assert square.reshape(-1, 3).tolist() == [[200, 0, 0]] * 1600


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_damaged_picture_is_named(folder, content):
    (folder / "f3.png").write_bytes(content)
    with pytest.raises(StoreError, match=r"f3\.png is not a picture that can be read"):
        still_clips(read_stills(folder), CONFIG)


def test_a_fake_goes_beside_its_own_source(folder):
    data = StillDataset(
        read_stills(folder), CONFIG, DrawConfig(slices=1, per_load=1, aligned=1), NOTHING, BlendConfig()
    )
    assert len(data) == 6
    batches = [data[0, n] for n in range(6)]
    assert sorted(batch.names[1] for batch in batches) == [f"f{n}.png" for n in range(6)]
    for batch in batches:
        assert batch.images.shape == (2, 3, 1, 32, 32)
        assert batch.names[0] == batch.names[1].replace("f", "r", 1)
        assert batch.labels.tolist() == [0, 1]
        assert (batch.images[1, :, 0, 13:19, 13:19] == 255).all()
        assert torch.equal(batch.images[0, :, 0, :8], batch.images[1, :, 0, :8])


def test_without_alignment_any_two_go_together(folder):
    data = StillDataset(
        read_stills(folder), CONFIG, DrawConfig(slices=4, per_load=2, aligned=0), NOTHING, BlendConfig()
    )
    batches = [data[0, n] for n in range(len(data))]
    assert len(batches) == 12
    assert all(batch.labels.tolist() == [0, 0, 1, 1] for batch in batches)
    names = [name for batch in batches for name in batch.names]
    assert all(names.count(f"{kind}{n}.png") == 4 for kind in "rf" for n in range(6))


def test_both_of_a_pair_are_changed_alike(folder):
    strong = AugmentConfig(flip=0.5, zoom=0.2, colour=1, noise=1, jpeg=0, reduce=0, codec=0, cutout=1)
    data = StillDataset(read_stills(folder), CONFIG, DrawConfig(per_load=1, aligned=1), strong, BlendConfig())
    plain = StillDataset(read_stills(folder), CONFIG, DrawConfig(per_load=1, aligned=1), NOTHING, BlendConfig())
    for number in range(6):
        batch = data[2, number]
        assert not torch.equal(batch.images, plain[2, number].images)
        real, fake = batch.images[:, :, 0].int()
        outside = torch.cat([(real - fake)[:, :5].flatten(), (real - fake)[:, -5:].flatten()])
        assert outside.abs().max() <= 2  # saturation and resizing touch the square's own pixels, not the border


def test_scored_pictures_are_unchanged_but_in_size(folder):
    clips = still_clips(read_stills(folder)[:3], CONFIG.replace(size=48))
    assert clips.shape == (3, 3, 1, 48, 48)
    assert np.array_equal(clips[1, :, 0].permute(1, 2, 0), load_still(read_stills(folder)[1]))


def test_one_class_is_refused(folder):
    index(folder, ["r0.png,REAL,a", "r1.png,REAL,b"])
    with pytest.raises(ConfigError, match="2 real and 0 fake"):
        StillDataset(read_stills(folder), CONFIG, DrawConfig(), NOTHING, BlendConfig())


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory):
    """A face cut tightly, a picture without one, and a fake of each: the face is of 110 pixels at (180, 60)."""
    folder = tmp_path_factory.mktemp("tight")
    face = skimage.data.astronaut()[60:172, 168:280]
    grey = np.full((64, 64, 3), 128, np.uint8)
    rows = []
    for name, image, label in (("face.png", face, 0), ("grey.png", grey, 0), ("fake.png", 255 - face, 1)):
        cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        rows.append({"file": name, "label": label, "source": name})
    pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
    face, fake, grey = read_stills(folder)
    return [face, grey, fake]


def test_landmarks_are_found_in_pictures_cut_as_tight_as_the_face(astronaut):
    told = []
    found = find_landmarks(astronaut[:2], lambda *args: told.append(args))
    assert list(found) == ["face.png"]
    # The same landmarks as in the whole photograph, to a few pixels.
    whole = Detector().detect([skimage.data.astronaut()])[0]
    assert np.abs(found["face.png"] - (whole.landmarks[0] - (168, 60))).max() < 5
    assert told[-1][:2] == (2, 2)


def test_a_real_picture_is_blended_with_itself_where_its_face_was_found(astronaut):
    draw = DrawConfig(per_load=1, slices=1, self_blend=1)
    config = CONFIG.replace(size=112)
    data = StillDataset(astronaut, config, draw, NOTHING, BlendConfig(), find_landmarks(astronaut))
    assert len(data) == 1  # the picture without a face is left out
    blends = [data[epoch, 0] for epoch in range(3)]
    for clips in blends:
        assert clips.names == ("face.png", "face.png")
        assert clips.labels.tolist() == [0, 1]
        different = (clips.images[0] != clips.images[1]).any(dim=0)[0]
        assert different.any()
        assert not different[:4].any() or not different[:, :4].any()  # not all over: what lies beside the face is equal
    assert not torch.equal(blends[0].images, blends[1].images)
    with pytest.raises(ConfigError, match="no face was found in any real picture"):
        StillDataset(astronaut[1:2], config, draw, NOTHING, BlendConfig(), {})


def test_without_blending_pictures_without_landmarks_serve(astronaut):
    data = StillDataset(astronaut, CONFIG, DrawConfig(per_load=1, slices=1, self_blend=0.5), NOTHING, BlendConfig())
    assert {data[0, number].names for number in range(2)} == {("face.png", "fake.png"), ("grey.png", "fake.png")}
