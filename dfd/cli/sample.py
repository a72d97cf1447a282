"""`dfd sample`."""

from pathlib import Path
from typing import Annotated

from dfd.cli.options import NEW_FOLDER, SEED
from dfd.report import terminal as show
from dfd.sample import write_sample


def sample(out: Annotated[Path, NEW_FOLDER], /, *, seed: Annotated[int, SEED] = 0) -> None:
    """Write the mini-DFDC to OUT: real clips and self-blended fakes, and files that break things.

    It is a smoke test: a score on it does not measure how well deepfakes are detected.

    Args:
        out: Folder to write. A folder with the same sample is kept as it is.
        seed: Seed of names, blends and movement.
    """
    with show.bar("sample") as progress:
        write_sample(out, seed, progress)
    show.say(f"The mini-DFDC is in {out}.")
    show.say(f"Next: dfd faces {out / 'train_sample_videos'} --out FACES")
