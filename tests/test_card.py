"""The card of a real bundle: its numbers match the files that it is written from."""

import csv
import json

import pytest

from dfd.errors import CheckpointError, ConfigError
from dfd.files import sha256
from dfd.inference.info import read_seen
from dfd.inference.pack import pack_runs
from dfd.report.card import CARD, Sources, read_measures, write_card
from dfd.scoring.metrics import evaluate
from dfd.training.crossval import crossval
from dfd.training.robustness import distort


@pytest.fixture(scope="module")
def run(small_store, small_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "cv"
    crossval(small_store, small_recipe.replace(train=small_recipe.train.replace(epochs=1)), 2, folder)
    distort(small_store, folder)
    return folder


@pytest.fixture(scope="module")
def bundle(run):
    pack_runs([run], run.with_name("bundle"))
    return run.with_name("bundle")


def cells(page, title):
    """Rows of the table under a title, each a list of cells; the first is the header."""
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shown(found, key):
    low, high = found[f"{key}_interval"]
    return f"{found[key]:.3f} ({low:.3f} to {high:.3f})"


def test_every_number_comes_from_a_file(run, bundle, tmp_path):
    (tmp_path / "terms.txt").write_text("Photographs of LFW.\nFor research only.\n")
    methods = {
        "Deepfakes": evaluate([1, 1, 1, 1], [0.9, 0.8, 0.4, 0.2]),
        "Face2Face": evaluate([0, 0, 1, 1], [0.2, 0.6, 0.7, 0.9]),
    }
    (tmp_path / "methods.json").write_text(json.dumps(methods))
    scores = {"clips": run / "score.json", "FF++": tmp_path / "methods.json"}
    distorted = {"clips": run / "distort.json"}
    path = write_card(bundle, "A detector", Sources([run], scores, distorted, tmp_path / "terms.txt"))
    page = path.read_text()
    assert path == bundle / CARD
    assert page.startswith("# A detector\n\n**A score is evidence, never proof.**")
    assert "Photographs of LFW.\nFor research only.\n" in page

    about, score = (
        json.loads((bundle / "bundle.json").read_text()),
        json.loads((run / "score.json").read_text())["score"],
    )
    assert [row[0] for row in cells(page, "Networks")[1:]] == ["member-0.pt", "member-1.pt"]
    for row, member in zip(cells(page, "Networks")[1:], about["members"], strict=True):
        assert row[-1] == f"`{member['sha256']}`" == f"`{sha256(bundle / member['file'])}`"
    assert f"`{sha256(bundle / 'bundle.json')}`" in page
    assert f"videos {len(read_seen(bundle))}, people 0" in page
    assert ", ".join(f"{name} {version}" for name, version in about["versions"].items()) in page

    with (run / "metrics.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    hours = sum(float(row["seconds"]) for row in curve) / 3600
    last = [f"{float(curve[-1][name]):.3f}" for name in ("loss", "held_loss", "held_auc")]
    assert cells(page, "Trained on")[1] == ["cv", "journal_conv3d", "8 videos, 4 fake", "1", f"{hours:.2f}", *last]

    tests = cells(page, "Tested on")
    assert tests[1] == ["clips", "9", "5", shown(score, "balanced_log_loss"), shown(score, "auc")]
    assert tests[2] == ["FF++: Deepfakes", "4", "4", "–", "–"]
    assert tests[3][:2] == ["FF++: Face2Face", "4"]
    errors = score["confusion"]
    assert cells(page, "What it misses")[1][1:] == [
        f"{errors['fake_as_real']} of 5 ({errors['fake_as_real'] / 5:.0%})".replace("%", " %"),
        f"{errors['real_as_fake']} of 4 ({errors['real_as_fake'] / 4:.0%})".replace("%", " %"),
    ]
    assert cells(page, "What it misses")[2:] == [
        ["FF++: Deepfakes", "2 of 4 (50 %)", "–"],
        ["FF++: Face2Face", "0 of 2 (0 %)", "1 of 2 (50 %)"],
    ]
    found = json.loads((run / "distort.json").read_text())
    rows = cells(page, "At which quality it fails")[1:]
    assert [row[0].split(" (")[0] for row in rows] == [f"clips: {name}" for name in found]
    for row, (name, measures) in zip(rows, found.items(), strict=True):
        worse = shown(measures["against"], "balanced_log_loss") if name != "as it is" else "–"
        assert row[1:] == [shown(measures, "balanced_log_loss"), shown(measures, "auc"), worse]


def test_distortion_scores_are_compared_with_the_clean_score(bundle, tmp_path):
    for name, probabilities in (("clean", [0.2, 0.8]), ("noise", [0.5, 0.5])):
        (tmp_path / f"{name}.json").write_text(json.dumps(evaluate([0, 1], probabilities)))
    distorted = {"as it is": tmp_path / "clean.json", "noise": tmp_path / "noise.json"}
    page = write_card(bundle, "A", Sources(distorted=distorted)).read_text()
    rows = cells(page, "At which quality it fails")[1:]
    assert [(row[0], row[1].split()[0], row[3]) for row in rows] == [
        ("as it is", "0.223", "–"),  # -ln 0.8
        ("noise", "0.693", "0.470"),  # -ln 0.5, and the difference
    ]


def test_without_sources_it_claims_nothing(bundle):
    page = write_card(bundle, "A", Sources()).read_text()
    assert "None are given." in page
    assert "Not tested." in page
    assert page.count("Not measured.") == 2


def test_an_unreadable_file_is_named(bundle, tmp_path):
    (tmp_path / "empty.json").write_text('{"by_status": {"ok": {"videos": 1, "log_loss": 0.5}}}')
    with pytest.raises(ConfigError, match=r"empty\.json holds no measures: give what `dfd score --json` prints"):
        read_measures(tmp_path / "empty.json", "x")
    (tmp_path / "cut.json").write_text('{"videos"')
    with pytest.raises(ConfigError, match=r"cut\.json is not JSON"):
        read_measures(tmp_path / "cut.json", "x")
    with pytest.raises(ConfigError, match=r"none/config\.json cannot be read"):
        write_card(bundle, "A", Sources([tmp_path / "none"]))
    with pytest.raises(CheckpointError, match=r"no bundle\.json"):
        write_card(tmp_path, "A", Sources())
