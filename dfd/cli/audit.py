"""`dfd audit`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.cli.options import FOLDER, FOLDS, SEED, SHARE
from dfd.clips.blend import BlendConfig
from dfd.errors import ConfigError
from dfd.report import terminal as show
from dfd.training.audit import audit as audit_folds
from dfd.training.datasets import Datasets, labelled
from dfd.training.groups import Grouping, people, split


def audit(
    faces: Annotated[list[Path], Parameter(negative=()), FOLDER],
    /,
    *,
    folds: Annotated[int, FOLDS] = 5,
    seed: Annotated[int, SEED] = 0,
    threshold: Annotated[float, SHARE] = 0.995,
    groups: Annotated[Grouping, Parameter(name="*")] = Grouping(),
) -> None:
    """Prove that no group, source or near-duplicate face of FACES crosses folds.

    With --identity-weights, no person either; with --folds-of, in the folds of that run.

    Args:
        faces: A dataset of dfd faces, or several.
        folds: Parts that the videos are split into.
        seed: Seed of the split: the recipe's train.seed.
        threshold: Correlation from which the images of two faces count as near-duplicates.
        groups: What else is kept in one fold.
    """
    data = Datasets.open(faces, blend=BlendConfig())  # with real videos alone, the same folds as in a training
    records = labelled(data)
    with show.bar("audit") as progress:
        frame = split(records, folds, seed, groups, progress)
        shown = people(records, groups, progress) if groups.identity_weights else None
        found = audit_folds(data, frame, threshold, progress, shown)
    show.table(found.checks)
    show.table(found.duplicates, "Near-duplicates in different folds")
    show.table(found.people, "Videos of one person in different folds")
    show.table(found.unchanged, "Fakes whose face is their source's: are they labelled right?")
    if found.people:
        raise ConfigError(f"{len(found.people)} videos show a person of another fold: take --groups people or identity")
    if found.duplicates:
        raise ConfigError(
            f"{len(found.duplicates)} pairs of near-duplicate faces cross folds: give them one source in metadata.json"
        )
    show.say("Nothing crosses folds.")
