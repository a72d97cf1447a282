"""One or several face datasets for a training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dfd.clips.blend import BlendConfig
from dfd.clips.made import made_fakes
from dfd.errors import ConfigError
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig, widest
from dfd.files import digest, write_json

NOTED = "datasets.json"
"""File in a run folder: paths of the datasets, by short name."""


class Datasets:
    """Datasets to train on and score together. With several, each record names its dataset.

    mix: sampling rate of each, by short name. 1: each video of the larger class `slices` times per epoch; 0.5: half of
    them, and the other half in the next epoch. config: face settings for predictions of a model trained on them. blend:
    settings for fakes made of the real videos, for scoring, when no dataset has a fake; None for no such fakes.
    """

    def __init__(
        self, stores: Sequence[FaceStore], mix: Sequence[float] = (), blend: BlendConfig | None = None
    ) -> None:
        names = short_names([store.folder for store in stores])
        if len(mix or stores) != len(stores):
            counts = f"{len(mix)} number{'s' * (len(mix) != 1)} for {len(stores)} dataset{'s' * (len(stores) != 1)}"
            raise ConfigError(f"--mix gives {counts}: give each dataset one, as in 1,0.5")
        self.stores = dict(zip(names, stores, strict=True))
        self.mix: Mapping[str, float] = dict(zip(names, mix or [1.0] * len(names), strict=True))
        self.config = prediction_faces(stores)
        self.blend = blend

    @classmethod
    def of(cls, data: "FaceStore | Datasets") -> "Datasets":
        """`data` itself, or one dataset wrapped."""
        return data if isinstance(data, Datasets) else cls([data])

    @classmethod
    def open(cls, folders: Sequence[Path], mix: str | None = None, blend: BlendConfig | None = None) -> "Datasets":
        """Open the datasets in `folders`. mix: the text of --mix.

        Raises StoreError for a folder that is not a dataset; ConfigError for a folder named twice, or a mix that is not
        one number above 0 per dataset.
        """
        return cls([FaceStore.open(folder) for folder in folders], read_mix(mix), blend)

    def note(self, run: Path) -> None:
        """Write the datasets' paths into a run folder, for pages that show faces."""
        folders = {name: str(store.folder.resolve()) for name, store in self.stores.items()}
        write_json(run / NOTED, folders)

    def __str__(self) -> str:
        return ", ".join(str(store.folder) for store in self.stores.values())

    def records(self) -> list[VideoRecord]:
        """All videos, by dataset and name, then the fakes made for scoring.

        Raises ConfigError for a name that occurs in two datasets.
        """
        found: dict[str, VideoRecord] = {}
        for name, store in self.stores.items():
            for record in store.records():
                if record.video in found:
                    first = self.stores[found[record.video].dataset].folder
                    raise ConfigError(
                        f"{record.video!r} is in {first} and in {store.folder}, and folds go by names: build one of "
                        "them from the folder above its videos, whose name then begins theirs"
                    )
                found[record.video] = replace(record, dataset=name)
        if self.blend is not None and not any(record.label == 1 for record in found.values()):
            return [*found.values(), *made_fakes(list(found.values()), self.blend)]
        return list(found.values())


Data = FaceStore | Datasets
"""One dataset, or several."""


def labelled(store: Data) -> list[VideoRecord]:
    """The videos of a dataset that have a label, with or without faces. Raises ConfigError when there is none."""
    data = Datasets.of(store)
    records = [record for record in data.records() if record.label is not None]
    if not records:
        raise ConfigError(
            f"{data} has no video with a label: build it from a folder that has them; dfd faces --help lists how"
        )
    return records


def usable(videos: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The videos that can be used for training: with a label and a face."""
    return [video for video in videos if video.label is not None and video.tracklets]


def content(videos: Sequence[VideoRecord]) -> str:
    """Digest of a dataset: names, labels, sources, and names of the films, which contain a digest of their content."""
    return digest(
        (v.video, v.label, v.source, *sorted({getattr(t.film, "name", "") for t in v.tracklets})) for v in videos
    )


def read_mix(text: str | None) -> tuple[float, ...]:
    """Parse the numbers of --mix; empty if it is not given.

    >>> read_mix("1,0.5")
    (1.0, 0.5)
    """
    try:
        numbers = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        numbers = (0.0,)
    if not all(0 < number <= 100 for number in numbers):
        raise ConfigError(f"--mix is {text!r}: give each dataset a number above 0 and up to 100, as in 1,0.5")
    return numbers


def short_names(folders: Sequence[Path]) -> list[str]:
    """Short names: the fewest last parts of each path that are unique; "" for a single dataset.

    >>> short_names([Path("dfdc/faces"), Path("celeb/faces")])
    ['dfdc/faces', 'celeb/faces']
    >>> short_names([Path("dfdc"), Path("celeb")]), short_names([Path("dfdc")])
    (['dfdc', 'celeb'], [''])
    """
    paths = [folder.resolve() for folder in folders]
    twice = [folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is named twice: name each dataset once")
    if len(paths) == 1:
        return [""]
    for count in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def prediction_faces(stores: Sequence[FaceStore]) -> FacesConfig:
    """Face settings for predictions of a model trained on these datasets.

    Those of the datasets; if only margin and size differ, the largest. Default settings if more differs, or if all
    datasets are of ready-made crops. The margin is always the widest of all.
    """
    found = [store.config for store in stores if not store.cut]
    faces = (widest(found) if found else None) or FacesConfig()
    return faces.replace(margin=max(faces.margin, *(store.config.margin for store in stores)))
