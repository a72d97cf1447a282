import csv
import json

import pytest

from benchmarks.reals import copy_reals


def folder(path, names):
    path.mkdir()
    with (path / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "source"])
        for name, label in names.items():
            (path / name).write_bytes(name.encode())
            table.writerow([name, label, f"{name}.mp4"])
    return path


def test_only_the_real_pictures_of_the_run_are_copied(tmp_path):
    crops = folder(tmp_path / "crops", {"a.jpg": "REAL", "b.jpg": "FAKE", "held.jpg": "REAL"})
    (tmp_path / "config.json").write_text(json.dumps({"videos": {"a.jpg": 0, "b.jpg": 1}}))
    for _ in range(2):  # a second time changes nothing
        assert copy_reals(tmp_path, crops, tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "index.csv"]
    assert (tmp_path / "out" / "index.csv").read_text().splitlines() == ["file,label,source", "a.jpg,REAL,a.jpg.mp4"]
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"a.jpg"


def test_another_folder_of_crops_is_refused(tmp_path):
    crops = folder(tmp_path / "crops", {"x.jpg": "REAL"})
    (tmp_path / "config.json").write_text(json.dumps({"videos": {"a.jpg": 0}}))
    with pytest.raises(SystemExit, match="no real picture of"):
        copy_reals(tmp_path, crops, tmp_path / "out")
