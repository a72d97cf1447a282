import cv2
import numpy as np
import pytest

from dfd.clips.augment import NOTHING
from dfd.errors import ConfigError
from dfd.report.sheet import GAP, LINE, write_sheet
from dfd.training.recipes import recipe


@pytest.fixture(scope="module")
def blending(mesh):
    """The recipe with visible changes, on pictures of 48 pixels."""
    base = recipe("blend")
    return base.replace(
        clip=base.clip.replace(size=48), blend=base.blend.replace(mesh=mesh, ratios=(1.0,), change_target=0.0)
    )


def tiles(path, size=48):
    """Split a sheet into pictures (rows, columns, 3, size, size, 3) RGB."""
    sheet = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    high, wide = LINE + size + GAP, 3 * size + GAP
    rows, across = sheet.shape[0] // high, sheet.shape[1] // wide
    assert sheet.shape == (rows * high, across * wide, 3)
    found = sheet.reshape(rows, high, across, wide, 3)[:, LINE:-GAP, :, :-GAP].transpose(0, 2, 1, 3, 4)
    return found.reshape(rows, across, size, 3, size, 3).transpose(0, 1, 3, 2, 4, 5)


def test_a_sheet_shows_faces_fakes_and_masks_where_they_differ(small_store, blending, tmp_path):
    plain = blending.replace(augment=NOTHING)
    assert write_sheet(small_store, plain, tmp_path / "new" / "sheet.png", 50) == 4  # one of each real video
    for real, fake, mask in tiles(tmp_path / "new" / "sheet.png")[0, :4]:
        differ = np.abs(real.astype(int) - fake).max(axis=2)
        assert differ[mask[..., 0] > 200].mean() > 3
        assert differ[mask[..., 0] == 0].max() <= 2  # up to resizing and rounding
        assert 0.03 < (mask[..., 0] > 128).mean() < 0.6
        assert np.ptp(mask, axis=2).max() == 0


def test_a_mask_is_cropped_and_mirrored_like_its_faces(small_store, blending, tmp_path):
    cut = blending.replace(augment=NOTHING.replace(flip=0.5, zoom=0.2, shift=0.1))
    write_sheet(small_store, cut, tmp_path / "sheet.png", 4)
    for real, fake, mask in tiles(tmp_path / "sheet.png")[0, :4]:
        differ = np.abs(real.astype(int) - fake).max(axis=2)
        assert differ[mask[..., 0] == 0].max() <= 2
        assert differ[mask[..., 0] > 200].mean() > 3


def test_a_sheet_shows_the_network_inputs(small_store, blending, tmp_path):
    """Sheets with the same seed are equal, others differ; compressed pairs are shown compressed."""
    one, again, other = (tmp_path / f"{name}.png" for name in ("one", "again", "other"))
    write_sheet(small_store, blending, one, 3)
    write_sheet(small_store, blending, again, 3)
    write_sheet(small_store, blending.replace(train=blending.train.replace(seed=1)), other, 3)
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()
    grey = blending.replace(augment=blending.augment.replace(grey=1.0))
    write_sheet(small_store, grey, one, 3)
    assert np.ptp(tiles(one)[0, :3, :2], axis=-1).max() == 0


def test_a_dataset_fake_has_no_mask(small_store, small_recipe, tmp_path):
    assert write_sheet(small_store, small_recipe, tmp_path / "sheet.png", 2) == 2
    assert (tiles(tmp_path / "sheet.png")[0, :2, 2] == 255).all()


def test_a_sheet_that_cannot_be_drawn_is_refused(small_store, blending, tmp_path):
    with pytest.raises(ConfigError, match=r"sheet\.txt has no ending of a picture: name it \.jpg or \.png"):
        write_sheet(small_store, blending, tmp_path / "sheet.txt", 4)
    wide = blending.replace(clip=blending.clip.replace(margin=2.0))
    with pytest.raises(ConfigError, match=r"clip.margin is 2.0, wider than the stored crops' 1.6"):
        write_sheet(small_store, wide, tmp_path / "sheet.png", 4)
    assert list(tmp_path.iterdir()) == []
