"""Training on pictures of faces: a network of single frames, from which sequence and video networks then start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dfd.clips.balance import both_classes
from dfd.clips.dataset import Points
from dfd.clips.stills import Still, StillDataset, find_landmarks
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.tracklets import FacesConfig
from dfd.files import digest, sha256, whole, write_json
from dfd.models.checkpoint import Header, load_model
from dfd.scoring.folds import read_folds, write_folds
from dfd.scoring.seen import SEEN
from dfd.scoring.submission import score_submission, write_submission
from dfd.training.clock import ALONE, Means
from dfd.training.fit import claim, run, settings
from dfd.training.groups import Grouping, kind, split_stills
from dfd.training.held import HeldStills
from dfd.training.lineage import check_unseen, count_seen, lineage
from dfd.training.loop import seeded_model
from dfd.training.patience import judges
from dfd.training.recipes import Recipe


def pretrain(
    stills: Sequence[Still],
    recipe: Recipe,
    out: Path,
    fold: int | None = None,
    folds: int = 5,
    progress: Progress | None = None,
    means: Means = ALONE,
    allow_seen: bool = False,
    grouping: Grouping | None = None,
) -> dict[str, Any] | None:
    """Train on `stills` in the run folder `out`; with `fold`, without that fold, and return the score on it.

    Landmarks are found once where they are needed, for self-blended fakes and cut-outs, and kept in `out`. A stopped
    run goes on. The pictures of one source, and what `grouping` ties, are in one fold: split.csv. oof.csv has the
    scores of the fold, score.json their measures. allow_seen: go on where the starting weights have seen the fold; the
    score says so. Raises ConfigError when they have, the model reads more than one frame, a class is missing, there is
    no such fold, or `out` holds another run.
    """
    if recipe.clip.length != 1:
        raise ConfigError(f"clip.length is {recipe.clip.length}: a picture is a clip of 1 frame")
    told = digest((s.name, s.label, s.source, sha256(s.path)) for s in stills)
    held: list[Still] = []
    if fold is not None:
        if not 0 <= fold < folds:
            raise ConfigError(f"fold is {fold}: with {folds} folds it is one of 0 to {folds - 1}")
        seed, known = recipe.train.seed, out / "split.csv"
        split = read_folds(known) if known.is_file() else split_stills(stills, folds, seed, grouping, progress)
        frame = split[split["fold"] == fold]
        check_unseen(frame, recipe.model.weights, allow_seen)
        names = set(frame["filename"])
        held = [still for still in stills if still.name in names]
        stills = [still for still in stills if still.name not in names]
    model = seeded_model(recipe)  # before anything is written: a network that cannot be built leaves no folder
    faces = FacesConfig(margin=max(FacesConfig().margin, recipe.clip.margin))
    data = {"stills": len(stills), "fold": fold, "folds": folds, "content": told, **kind(grouping or Grouping())}
    both_classes([still.label for still in stills], recipe.train.self_blend)
    claim(out, settings(recipe, faces, data), model)
    if fold is not None:
        write_folds(known, split)
    landmarks = _landmarks(stills, recipe, out / "landmarks.npz", progress)
    judging = judges(((still.name, still.label, still.source) for still in stills), recipe.train)
    learned = [still for still in stills if still.name not in judging]
    clips = StillDataset(learned, recipe.clip, recipe.train, recipe.augment, recipe.blend, landmarks)
    header = Header(
        model=recipe.model,
        clip=recipe.clip,
        faces=faces,
        prior=0.5,
        training=recipe.model_dump(mode="json", exclude={"model", "clip"}),
        videos=lineage(recipe.model.weights, *((s.name, s.source, *s.people) for s in stills)),
    )
    kept_aside = HeldStills(tuple(held), recipe.clip) if held else None
    judged = HeldStills(tuple(still for still in stills if still.name in judging), recipe.clip) if judging else None
    checkpoint = run(clips, header, recipe, data, out, "pretraining", progress, means, kept_aside, judged)
    if kept_aside is None:
        return None
    again = count_seen(frame, recipe.model.weights, checkpoint)
    score = _score(kept_aside, frame, checkpoint, out, progress) | {SEEN: again}
    write_json(out / "score.json", score)
    return score


def _landmarks(stills: Sequence[Still], recipe: Recipe, kept: Path, progress: Progress | None) -> dict[str, Points]:
    """The landmarks that `recipe` needs: of real pictures to blend, of all to cover parts of faces. Kept in a file."""
    if kept.is_file():
        with np.load(kept) as there:
            return dict(zip(there["names"].tolist(), there["landmarks"], strict=True))
    wanted = [s for s in stills if recipe.augment.cutout or (recipe.train.self_blend and s.label == 0)]
    found = find_landmarks(wanted, progress) if wanted else {}
    with whole(kept) as partial, partial.open("wb") as file:
        np.savez(file, names=np.array(list(found), str), landmarks=np.reshape(list(found.values()), (-1, 5, 2)))
    return found


def _score(
    held: HeldStills, frame: pd.DataFrame, checkpoint: Path, out: Path, progress: Progress | None
) -> dict[str, Any]:
    """The measures of `held`, groups of `frame` resampled whole; its scores are written to oof.csv."""
    model = load_model(checkpoint)[0].to("cuda" if torch.cuda.is_available() else "cpu")
    told = (lambda done, total: progress(done, total, "scoring the fold kept aside")) if progress else None
    write_submission(out / "oof.csv", held.probabilities(model, told))
    return score_submission(out / "oof.csv", held.labels(), dict(zip(frame["filename"], frame["group"], strict=True)))
