import pandas as pd
import pytest

from dfd.report.dataset_facts import balance, overview, read_dataset, reasons
from tests.runs import HOSTILE, hostile_faces


@pytest.fixture(scope="module")
def facts(tmp_path_factory, face_video):
    return read_dataset(hostile_faces(tmp_path_factory.mktemp("hostile"), face_video).folder)


def test_the_numbers_match_the_records(facts):
    found = {row["what"]: row["count"] for row in overview(facts)}
    records = facts.store.records()
    assert found["videos"] == len(records) == 7
    assert (found["real"], found["fake"], found["without a label"]) == (3, 4, 0)
    assert found["tracklets"] == sum(len(record.tracklets) for record in records)
    assert found["without a face"] == 3
    assert found["people that the data names"] == 1
    assert found["fakes whose real video is not among them"] == 3 - 2  # two are their own source since they failed


def test_face_sizes_match_the_record(facts):
    row = facts.videos.set_index("video").loc[HOSTILE]
    sides = pd.Series([t.path.side for t in facts.store.named(HOSTILE).tracklets])
    assert row["side"] == pytest.approx(sides.median(), rel=1e-3)
    assert row["most"] == 1
    assert facts.videos.set_index("video").loc["<b>dark.mp4", "most"] == 0


def test_a_set_is_the_folder_in_the_names(facts):
    rows = balance(facts)
    assert [(row["set"], row["videos"], row["real"], row["fake"]) for row in rows] == [
        ("all", 6, 2, 4),
        ("<script>alert(1)<", 1, 1, 0),
    ]
    assert [row["fakes of the labelled"] for row in rows] == ["67 %", "0 %"]
    assert [row["without a face"] for row in rows] == [3, 0]


def test_reasons_differing_only_in_a_number_are_merged(facts):
    table = pd.DataFrame({"status": "no_face", "reason": [f"no face on {n} frames looked at" for n in (5, 8)]})
    changed = facts.__class__(facts.store, table.assign(tracklets=0), facts.disk)
    assert reasons(changed) == [{"videos": 2, "status": "no_face", "reason": "no face on … frames looked at"}]
    assert {row["reason"] for row in reasons(facts)} >= {"<u>no container</u>", "gone"}


def test_every_byte_is_counted_in_one_category(facts):
    files = [path for path in facts.store.folder.rglob("*") if path.is_file()]
    assert sum(facts.disk.values()) == sum(path.stat().st_size for path in files)
    films = [path.stat().st_size for path in files if path.suffix == ".mjpeg"]
    assert facts.disk["films"] == sum(films) > 0
