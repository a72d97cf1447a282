import re
import shutil

import pytest

from dfd.errors import ConfigError
from dfd.faces.store import file_name
from dfd.report.page import MOST
from dfd.report.run_page import WORST, write_run_page
from tests.runs import HOSTILE, add_distortions, hostile_faces, made_up, write_run


@pytest.fixture(scope="module")
def store(tmp_path_factory, face_video):
    return hostile_faces(tmp_path_factory.mktemp("hostile"), face_video)


@pytest.fixture(scope="module")
def made(tmp_path_factory, store):
    """A run with a hostile name, on the hostile videos and some others."""
    folder = tmp_path_factory.mktemp("runs") / "<b>run"
    videos = [record for record in store.records() if record.source != "<b>nobody.mp4"]
    return write_run(folder, [*videos, *made_up(10)], faces=store.folder)


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def page(tmp_path, runs, **options):
    out = tmp_path / "page.html"
    assert write_run_page(runs, out, **options) == out.stat().st_size < MOST
    return out.read_text(encoding="utf-8")


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_a_page_has_every_section_with_available_numbers(run, tmp_path):
    add_distortions(run)
    text = page(tmp_path, [run])
    assert headings(text) == [
        "Score", "Are fakes separated from real videos?", "Can the probabilities be believed?", "What was learned",
        "Folds", "Where it is good, and where not", "When videos are distorted", f"The {WORST} worst videos",
        "How it was made",
    ]  # fmt: skip
    assert text.count('<svg class="area"') == 5
    assert "1st, seven EfficientNet-B7" in text
    assert 'class="own"' in text


def test_names_reasons_and_folders_are_escaped(run, tmp_path):
    text = page(tmp_path, [run])
    tags = set(re.findall(r"<(\w+)", re.sub(r"<script>.*?</script>", "", text, flags=re.S)))
    assert not tags & {"b", "i", "u"}
    assert text.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in text
    assert "&lt;u&gt;no container&lt;/u&gt;" in text


def test_the_worst_videos_are_listed_first_with_their_faces(run, tmp_path):
    text = page(tmp_path, [run])
    losses = [float(loss) for loss in re.findall(r"; loss (\d+\.\d+)", text)]
    assert len(losses) == WORST
    assert losses == sorted(losses, reverse=True)
    shown = len(re.findall(r'<img src="data:image/jpeg[^"]*" alt="Face in ', text))
    assert 0 < shown < WORST  # the made-up videos have no faces


def test_the_worst_videos_link_to_their_own_pages(run, tmp_path):
    pages = tmp_path / "pages of <videos>"
    pages.mkdir()
    (pages / f"{file_name(HOSTILE)}.html").write_text("")
    text = page(tmp_path, [run], pages=pages)
    (link,) = re.findall(r'<a href="(pages[^"]*)">', text)
    assert link == "pages%20of%20%3Cvideos%3E/%253Cscript%253Ealert%25281%2529%253C%252Fscript%253E.mp4.html"


def test_two_runs_are_shown_side_by_side(run, tmp_path):
    other = write_run(tmp_path / "other", made_up(10), seed=3)
    text = page(tmp_path, [run, other])
    assert headings(text)[0] == "Both together"
    assert "On the 20 videos that both have scored:" in text
    assert re.search(r"<td[^>]*>train.seed</td><td[^>]*>0</td><td[^>]*>3</td>", text)
    assert text.count('<svg class="area"') == 1 + 2 * 5
    assert text.count("<h3>A, ") == text.count("<h3>B, ") == 8


def test_a_run_without_a_score_is_compared_with_a_scored_one(run, tmp_path):
    other = tmp_path / "plain"
    other.mkdir()
    (other / "metrics.csv").write_text("step,loss,accuracy\n1,0.7,0.5\n")
    text = page(tmp_path, [other, run])
    assert "One of them has no score to compare." in text
    assert "kept aside, so there is no score" in page(tmp_path, [other])


def test_one_or_two_runs_make_a_page(run, tmp_path):
    with pytest.raises(ConfigError, match="3 runs"):
        write_run_page([run] * 3, tmp_path / "page.html")
    with pytest.raises(ConfigError, match=r"name it \.html"):
        write_run_page([run], tmp_path / "page.pdf")
