"""Which videos there are, and what is known of them: a folder, its metadata.json or its layout, and CSV files."""

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from errno import ENAMETOOLONG
from pathlib import Path, PurePosixPath
from typing import Any

from dfd.errors import ConfigError, ManifestError
from dfd.types import Label, Video
from dfd.videos.people import ACTORS, people_in

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".webm", ".mkv", ".m4v"})
LABELS: dict[str, Label] = {"REAL": 0, "FAKE": 1}
METADATA = "metadata.json"
INDEX = "index.csv"
"""Lists pictures of faces, or videos, with the columns file, label, source, and person where that is known."""
FORGERIES = "manipulated_sequences"
"""FaceForensics++'s folder of fakes, beside original_sequences."""
CELEB_FAKES = "Celeb-synthesis"
CELEB_REALS = ("Celeb-real", "YouTube-real")


def read_videos(path: Path | str) -> list[Video]:
    """The videos of `path`, sorted by name.

    path: one video file or picture; a folder of videos with a metadata.json as DFDC's, or without; a folder of DFDC's
    parts, each with its own, whose name then stands before its videos' names; a folder laid out as FaceForensics++ or
    as Celeb-DF, of which labels, sources and people are read off the names; a folder of pictures with an index.csv. A
    fake's source is the name of its original, there or not. In a metadata.json "original" may be a list, the first
    being the source, and "person" a name or a list; in an index.csv several people stand with spaces between.

    Raises ManifestError: nothing there, no videos, or a metadata.json or index.csv that does not hold.
    """
    path = Path(path)
    if not path.exists():
        raise ManifestError(f"{path} is not there: give a video or a folder of videos")
    if not path.is_dir():
        return [Video(path, path.name)]
    videos = sorted(_of_folder(path), key=lambda video: video.name)
    if not videos:
        raise ManifestError(f"{path} holds no videos ({' '.join(sorted(SUFFIXES))}), nor a layout that is known")
    return videos


def shard_of(videos: Sequence[Video], shard: str | None) -> list[Video]:
    """Part I of N, as in "2/8": every N-th of `videos` from the I-th on; all if None. Raises ConfigError.

    >>> videos = [Video(Path(name), name) for name in "abcde"]
    >>> [video.name for part in ("1/2", "2/2", None) for video in shard_of(videos, part)]
    ['a', 'c', 'e', 'b', 'd', 'a', 'b', 'c', 'd', 'e']
    """
    if shard is None:
        return list(videos)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", shard)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(f"--shard is {shard!r}: give I/N, as in 2/8, with I from 1 to N")
    if part > len(videos):
        raise ConfigError(f"--shard is {shard}, and there are {len(videos)} videos only: split them into fewer parts")
    return list(videos[part - 1 :: parts])


def _of_folder(folder: Path) -> Iterator[Video]:
    parts = sorted(file.parent for file in folder.glob(f"*/{METADATA}"))
    if (folder / METADATA).is_file():
        yield from _of_metadata(folder, "")
    elif (folder / INDEX).is_file():
        yield from _of_index(folder)
    elif parts:
        for part in parts:
            yield from _of_metadata(part, f"{part.name}/")
    elif (folder / FORGERIES).is_dir() or (folder / "original_sequences").is_dir():
        yield from _of_faceforensics(folder)
    elif (folder / CELEB_FAKES).is_dir() or any((folder / name).is_dir() for name in CELEB_REALS):
        yield from _of_celeb_df(folder)
    else:
        yield from (Video(file, file.name) for file in _files(folder, "*"))


def _files(folder: Path, pattern: str) -> list[Path]:
    """What matches and is called a video, less hidden files, such as the ._name.mp4 that macOS leaves.

    Also what is no file, or cannot be read: it is put on record when it is opened.
    """
    found = folder.glob(pattern)
    return [f for f in found if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]


def _of_metadata(folder: Path, prefix: str) -> list[Video]:
    """The videos of one folder with a metadata.json, `prefix` before their names."""
    where = folder / METADATA
    entries = _read_metadata(where)
    videos = []
    for name, entry in entries.items():
        originals = [prefix + original for original in _names(entry, "original", name, where)]
        people = (*originals[1:], *_names(entry, "person", name, where))
        source = originals[0] if originals else ""
        label = _label(entry, name, where)
        videos.append(Video(_inside(folder, name, where), prefix + name, label, source, people=people))
    return _all_there(videos, where)


def _of_index(folder: Path) -> list[Video]:
    """The pictures, or videos, that a folder's index.csv lists."""
    where = folder / INDEX
    videos = []
    for name, row in _rows(where, ["file", "label", "source"]):
        people = tuple((row.get("person") or "").split())
        label = LABELS.get(row["label"])
        if label is None and row["label"]:
            label = _number(row["label"], name, where)
        videos.append(Video(_inside(folder, name, where), name, label, row["source"], people=people))
    return _all_there(videos, where)


def _all_there(videos: list[Video], where: Path) -> list[Video]:
    absent = [video.path.name for video in videos if not os.path.lexists(video.path)]
    if absent:
        raise ManifestError(f"{where} names {len(absent)} of {len(videos)} files that are not there: first {absent[0]}")
    return videos


def _read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a metadata.json: an object of objects, by file name."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise ManifestError(f'{path} is not a JSON object like {{"a.mp4": {{"label": "FAKE"}}}}')
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise ManifestError(f'{path}: {name} is {entry!r}, not an object like {{"label": "FAKE"}}')
    return entries


def _names(entry: Mapping[str, Any], key: str, name: str, where: Path) -> list[str]:
    """What an entry has under `key`: one name, several, or none."""
    value = entry.get(key)
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ManifestError(f"{where}: {key} of {name} is {value!r}: give a name, a list of names or null")
    return [one for one in names if one]


def _label(entry: Mapping[str, Any], name: str, where: Path) -> Label | None:
    label = entry.get("label")
    if label is None:
        return None
    if label not in ("REAL", "FAKE"):
        raise ManifestError(f"{where}: label of {name} is {label!r}: give FAKE or REAL")
    return LABELS[label]


def _inside(folder: Path, name: str, where: Path) -> Path:
    """The path of `name` in `folder`. A link there is a file like any other, wherever it leads, if anywhere.

    Raises ManifestError where the name itself leads out of the folder, or no file can have it.
    """
    path, parts = folder / name, PurePosixPath(name)
    if not name or "\\" in name or parts.is_absolute() or ".." in parts.parts:
        raise ManifestError(f"{where} names {name!r}, which lies outside {folder}: give a name within the folder")
    try:
        path.lstat()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == ENAMETOOLONG:
            raise ManifestError(f"{where} names {name[:80]!r}, which no file can be called: {error}") from None
    return path


def _of_faceforensics(folder: Path) -> Iterator[Video]:
    """original_sequences/youtube/c23/videos/000.mp4 is the source of manipulated_sequences/*/c23/videos/000_003.mp4.

    The person in 003.mp4 gave the face or the expression. DeepFakeDetection's are actors': 01__talking.mp4, of
    DeepFakeDetection's 01_02__talking__AB12.mp4 with the face of actor 02.
    """
    for file in _files(folder, "*_sequences/*/*/videos/*"):
        kind, method, compression, _, name = file.relative_to(folder).parts
        if compression == "masks":  # videos too, of where the picture was changed
            continue
        cast = "actors" if method in ACTORS else "youtube"
        original = re.sub(r"^(\d+)_\d+(?:(__.+?)__\w+)?(?=\.)", r"\1\2", name)
        yield _made(file, folder, kind == FORGERIES, f"original_sequences/{cast}/{compression}/videos/{original}")


def _of_celeb_df(folder: Path) -> Iterator[Video]:
    """Celeb-real/id0_0000.mp4 is the source of Celeb-synthesis/id0_id1_0000.mp4, with the face of id1."""
    for kind in (*CELEB_REALS, CELEB_FAKES):
        for file in _files(folder, f"{kind}/*"):
            original = re.sub(r"^(id\d+)_id\d+_", r"\1_", file.name)
            yield _made(file, folder, kind == CELEB_FAKES, f"Celeb-real/{original}")


def _made(file: Path, folder: Path, fake: bool, original: str) -> Video:
    name = file.relative_to(folder).as_posix()
    people = people_in(name)
    return Video(file, name, 1, original, people=people) if fake else Video(file, name, 0, people=people)


def read_sample(path: Path | str, folder: Path | str) -> list[Video]:
    """The videos that a sample_submission.csv asks for, in its order, unlabelled; files of `folder` may be missing.

    Raises ManifestError: no such CSV or folder, no column filename, no rows, a name twice or one that leaves `folder`.
    """
    path, folder = Path(path), Path(folder)
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder: give the one with the videos of {path}")
    return [Video(_inside(folder, name, path), name) for name, _ in _rows(path, ["filename"])]


def read_labels(path: Path | str) -> dict[str, Label]:
    """Label (1 fake, 0 real) by file name, of a CSV `filename,label` or of a metadata.json, less its unlabelled videos.

    Raises ManifestError, which names the row: no such file, a column missing, no labels, a name twice, another label.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        known = {name: _label(entry, name, path) for name, entry in _read_metadata(path).items()}
        labels = {name: label for name, label in known.items() if label is not None}
    else:
        labels = {name: _number(row["label"], name, path) for name, row in _rows(path, ["filename", "label"])}
    if not labels:
        raise ManifestError(f"{path} has no labels")
    return labels


def read_sources(path: Path | str) -> dict[str, str]:
    """The source of each video by file name, of a CSV with a column `source` or of a metadata.json; else its own name.

    Raises ManifestError as read_labels does.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return {name: str(entry.get("original") or name) for name, entry in _read_metadata(path).items()}
    return {name: row.get("source") or name for name, row in _rows(path, ["filename"])}


def _number(text: str, name: str, path: Path) -> Label:
    try:
        return {0.0: LABELS["REAL"], 1.0: LABELS["FAKE"]}[float(text)]
    except (ValueError, KeyError):
        raise ManifestError(f"{path}: label of {name} is {text!r}: give 1 (fake) or 0 (real)") from None


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(file name, row) of a CSV with `columns`, of which the first has the names, each once."""
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            lacking = [column for column in columns if column not in (reader.fieldnames or [])]
            if lacking:
                raise ManifestError(f"{path} has no column {lacking[0]}; its first line should be {','.join(columns)}")
            for row in reader:
                name = row[columns[0]]
                if not name or name in seen:
                    fault = f"{name} again" if name else "no file name"
                    raise ManifestError(f"{path}, line {reader.line_num}: {fault}; give each file one row")
                seen.add(name)
                yield name, row
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} is not a CSV: {error}") from None
    if not seen:
        raise ManifestError(f"{path} has no rows")
