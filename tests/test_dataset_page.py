import re

import pytest

from dfd.errors import StoreError
from dfd.report.dataset_page import write_dataset_page
from dfd.report.page import MOST
from tests.runs import hostile_faces


@pytest.fixture(scope="module")
def store(tmp_path_factory, face_video):
    return hostile_faces(tmp_path_factory.mktemp("hostile"), face_video)


@pytest.mark.slow
def test_a_page_shows_the_whole_dataset(store, tmp_path):
    out = tmp_path / "page.html"
    assert write_dataset_page(store.folder, out) == out.stat().st_size < MOST
    text = out.read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "Balance", "Sizes, sharpness, faces", "Doubtful labels", "Videos without a face", "Contact sheet",
        "How it was made",
    ]  # fmt: skip
    assert text.count('<svg class="area"') == 4
    assert "7 videos: 3 real, 4 fake; 3 show no face." in text
    assert text.count('alt="Face in ') == 4 + 2 * 2 + 1  # contact sheet, two doubtful pairs, one first frame
    tags = set(re.findall(r"<(\w+)", re.sub(r"<script>.*?</script>", "", text, flags=re.S)))
    assert not tags & {"b", "i", "u"}


def test_a_dataset_without_tables_says_how_to_get_them(store, tmp_path):
    moved = tmp_path / "faces"
    moved.mkdir()
    (moved / "dataset.json").write_bytes((store.folder / "dataset.json").read_bytes())
    with pytest.raises(StoreError, match=r"videos\.csv is not there: `dfd faces` writes it"):
        write_dataset_page(moved, tmp_path / "page.html")
