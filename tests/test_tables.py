"""One table as different programs save it. PLAIN lists the forms that Kaggle accepts directly."""

import codecs

import pandas as pd
import pytest

from dfd.errors import ManifestError, SubmissionError
from dfd.tables import number, read_table
from dfd.videos.labels import read_labels
from dfd.videos.manifest import read_sample

ROWS = {"a.mp4": "0.25", "b.mp4": "0.75"}
TABBED = "filename\tlabel\r\na.mp4\t0.25\r\nb.mp4\t0.75\r\n"
EUROPEAN = "filename;label\r\na.mp4;0,25\r\nb.mp4;0,75\r\n"
INDEXED = pd.DataFrame({"filename": list(ROWS), "label": [0.25, 0.75]})
SAVED = {
    "plain": b"filename,label\na.mp4,0.25\nb.mp4,0.75\n",
    "Windows": b"filename,label\r\na.mp4,0.25\r\nb.mp4,0.75\r\n",
    "quotes, as R": b'"filename","label"\n"a.mp4",0.25\n"b.mp4","0.75"\n',
    "CSV UTF-8 of Excel": codecs.BOM_UTF8 + b"filename,label\r\na.mp4,0.25\r\nb.mp4,0.75\r\n",
    "CSV of Excel in Europe": EUROPEAN.encode(),
    "both": codecs.BOM_UTF8 + EUROPEAN.encode(),
    "Unicode text of Excel": codecs.BOM_UTF16_LE + TABBED.encode("utf-16-le"),
    "the other way round": codecs.BOM_UTF16_BE + TABBED.encode("utf-16-be"),
    "Unicode text in Europe": codecs.BOM_UTF16_LE + TABBED.replace(".2", ",2").replace(".7", ",7").encode("utf-16-le"),
    "text with tabs": TABBED.encode(),
    "decimal commas in quotes": b'filename,label\na.mp4,"0,25"\nb.mp4,"0,75"\n',
    "quotes and semicolons": b'"filename";"label"\n"a.mp4";"0.25"\n"b.mp4";"0.75"\n',
    "Excel's first line": b"sep=;\r\nfilename;label\r\na.mp4;0.25\r\nb.mp4;0.75\r\n",
    "old Macs": b"filename,label\ra.mp4,0.25\rb.mp4,0.75\r",
    "index of pandas": INDEXED.to_csv(lineterminator="\n").encode(),
    "index saved again": b"Unnamed: 0.1,Unnamed: 0,filename,label\n0,0,a.mp4,0.25\n1,1,b.mp4,0.75\n",
    "upper case": b"FILENAME,Label\na.mp4,0.25\nb.mp4,0.75\n",
    "columns turned round": b"label,filename\n0.25,a.mp4\n0.75,b.mp4\n",
    "spaces": b"filename, label\na.mp4, 0.25\n b.mp4 ,0.75 \n",
    "spaces before quotes": b'filename, label\n"a.mp4", "0.25"\n"b.mp4", "0.75"\n',
    "empty rows at the end": b"filename,label\na.mp4,0.25\nb.mp4,0.75\n,\n,\n\n",
    "empty columns at the end": b"filename,label,,\na.mp4,0.25,,\nb.mp4,0.75,,\n",
    "empty columns without a name": b"filename,label\na.mp4,0.25,\nb.mp4,0.75,\n",
    "empty rows before and between": b"\nfilename,label\na.mp4,0.25\n\nb.mp4,0.75\n",
    "no newline at the end": b"filename,label\na.mp4,0.25\nb.mp4,0.75",
}
PLAIN = ("plain", "Windows", "quotes, as R")


@pytest.mark.parametrize("form", SAVED)
def test_one_table_is_read_in_every_form(tmp_path, form):
    path = tmp_path / "t.csv"
    path.write_bytes(SAVED[form])
    table = read_table(path, ["filename", "label"], SubmissionError)
    assert table.columns in (("filename", "label"), ("label", "filename"))
    assert {row["filename"]: number(row["label"]) for _, row in table.rows} == {"a.mp4": 0.25, "b.mp4": 0.75}
    assert [video.name for video in read_sample(path, tmp_path)] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("form", SAVED)
def test_labels_and_sources_are_read_in_every_form(tmp_path, form):
    path = tmp_path / "labels.csv"
    path.write_bytes(SAVED[form].replace(b"25", b"0").replace(b"0.75", b"1.0").replace(b"0,75", b"1,0"))
    if "Unicode" in form or form == "the other way round":
        text = SAVED[form].decode("utf-16").replace("25", "0").replace("0.75", "1").replace("0,75", "1")
        path.write_text(text, encoding="utf-16", newline="")
    assert read_labels(path) == {"a.mp4": 0, "b.mp4": 1}


def test_line_numbers_are_the_files_and_other_columns_are_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\nFile;Person;Source\n"a;\nb.jpg";Ann Bob;x\n\nc.jpg\n')
    table = read_table(path, ["file", "source"], ManifestError)
    assert table.rows == (
        (4, {"file": "a;\nb.jpg", "person": "Ann Bob", "source": "x"}),
        (6, {"file": "c.jpg", "person": "", "source": ""}),
    )


def test_quoted_spaces_belong_to_the_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'filename,label\n" a.mp4 ",1\n b.mp4 ,0\n')
    assert [row["filename"] for _, row in read_table(path, ["filename"], ManifestError).rows] == [" a.mp4 ", "b.mp4"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"filename;label\na.mp4;0.5;1\n", "line 2 has 3 columns; the header has 2"),
        (b"filename,label\na.mp4;0.5\n", ""),  # a name alone: the code that reads its label raises
        (b"filename|label\na.mp4|0.5\n", "has no column filename: it begins with 'filename|label'"),
        (b"filename,label\nvid\xe9o.mp4,0.5\n", "is not UTF-8 at byte 18: save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"f\x00i\x00", "has no column filename: it begins with 'fi'"),
        (codecs.BOM_UTF16_LE + b"f\x00i", "is not UTF-16 at byte 4: save it as UTF-8"),
        (b"filename,label,label\na.mp4,0,1\n", "has 2 column label"),
        (b"filename,label\na.mp4,0\na.mp4 ,1\n", "has twice 'a.mp4' on lines 2 and 3"),
        (b"filename,label\n,0\n", "line 2: no file name"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x00" * 20, "has no column filename"),
        (b"", "has no column filename"),
    ],
)
def test_a_malformed_table_is_a_one_line_error(tmp_path, data, message):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    if not message:
        assert read_table(path, ["filename", "label"], ManifestError).rows[0][1]["label"] == ""
        return
    with pytest.raises(ManifestError) as caught:
        read_table(path, ["filename", "label"], ManifestError)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "no.csv", "No such file")):
        with pytest.raises(ManifestError, match=f"cannot be read: {reason}"):
            read_table(path, ["filename"], ManifestError)


@pytest.mark.parametrize("text", ["", "x", "0_1", "٠", "1,2,3", "50%", "0.5,1"])
def test_text_that_is_not_a_number_gives_none(text):
    assert number(text) is None
