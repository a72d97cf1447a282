"""Controls for a score: runs with nothing to learn must stay at chance level, and a trivial baseline must lose."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfd.clips.dataset import ClipRecipe
from dfd.clips.pairs import PairDataset
from dfd.faces.records import TrackletRecord, VideoRecord, load_crops
from dfd.faces.store import FaceStore
from dfd.models.checkpoint import load_model
from dfd.scoring.metrics import balanced_log_loss
from dfd.training.crossval import crossval
from dfd.training.datasets import labelled
from dfd.training.fit import train
from dfd.training.groups import split
from dfd.training.recipes import Recipe, recipe

FOLDS, SEED = 5, 0
LOOKS = 8
"""Frames per tracklet that the trivial baseline reads."""
PAIRS = 4
"""Self-blended pairs per held-out real video."""


def measure(faces: Path, videos: Path, weights: Path, out: Path) -> list[dict[str, Any]]:
    """A row per control: name, expected result and score. Each row is saved to OUT/controls.json immediately."""
    store, kept = FaceStore.open(faces), out / "controls.json"
    done: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    controls: list[tuple[str, str, Callable[[], tuple[float, float | None]]]] = [
        ("labels shuffled among videos", "chance level: 0.5", lambda: shuffled(store, weights, out)),
        ("self-blended with ratio 0, held-out people", "chance level: 0.5", lambda: blended(store, weights, out, 0.0)),
        ("self-blended with ratio 1, held-out people", "above chance level", lambda: blended(store, weights, out, 1.0)),
        (
            "logistic regression: bytes a frame, colour, sharpness",
            "to be beaten",
            lambda: trivial(store, videos),
        ),
    ]
    for name, expected, control in controls[len(done) :]:
        print(f"control: {name}", flush=True)
        auc, loss = control()
        done.append({"control": name, "expected": expected, "auc": auc, "balanced_log_loss": loss})
        kept.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    return done


def small(weights: Path) -> Recipe:
    """The recipe of a frame network from ImageNet weights, as in the table."""
    base = recipe("cpu")
    return Recipe(
        model=base.model.replace(name="frame", weights=weights),
        clip=base.clip.replace(length=1, clips=16),
        train=base.train.replace(slices=3, batch=32, epochs=4, self_blend=0.0),
    )


class Shuffled(FaceStore):
    """A dataset with its labels shuffled among the videos."""

    def records(self) -> list[VideoRecord]:
        """Return the records with shuffled labels."""
        records = super().records()
        labels = [record.label for record in records]
        known = [place for place, record in enumerate(records) if record.label is not None]
        for place, other in zip(known, np.random.default_rng(SEED).permutation(known).tolist(), strict=True):
            label = labels[other]
            rows = tuple(replace(row, label=label) for row in records[place].tracklets)
            records[place] = replace(records[place], label=label, tracklets=rows)
        return records


def shuffled(store: FaceStore, weights: Path, out: Path) -> tuple[float, float]:
    """Score out of fold against the shuffled labels: above chance level means a leak."""
    made = crossval(Shuffled(store.folder, store.config), small(weights), FOLDS, out / "shuffled")
    return made.score["auc"], made.score["balanced_log_loss"]


def blended(store: FaceStore, weights: Path, out: Path, ratio: float) -> tuple[float, None]:
    """Train on self-blended fakes of some people and score on those of others."""
    records = [record for record in labelled(store) if record.label == 0 and record.tracklets]
    half = len(records) // 2
    settings = small(weights)
    settings = settings.replace(
        train=settings.train.replace(self_blend=1.0, slices=15), blend=settings.blend.replace(ratios=(ratio,))
    )
    model, header = load_model(train(records[:half], store, settings, out / f"blended-{ratio:g}"))
    drawn = settings.train.replace(slices=PAIRS)
    pairs = PairDataset(records[half:], ClipRecipe(header.clip, drawn, settings.augment, settings.blend))
    logits: list[float] = []
    labels: list[float] = []
    for number in range(len(pairs)):
        clips = pairs[0, number]
        with torch.inference_mode():
            logits += model(clips.images).tolist()
        labels += clips.labels.tolist()
    return float(roc_auc_score(labels, logits)), None


def trivial(store: FaceStore, videos: Path) -> tuple[float, float]:
    """Score a baseline without a network: file size, and colour and sharpness of the face."""
    records = [record for record in labelled(store) if record.tracklets]
    folds = split(records, FOLDS, SEED)["fold"].to_numpy()  # one row per record, in order
    labels = np.array([record.label for record in records])
    features = np.array([_features(record, videos) for record in records])
    probabilities = np.empty(len(records))
    for fold in range(FOLDS):
        line = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        line.fit(features[folds != fold], labels[folds != fold])
        probabilities[folds == fold] = line.predict_proba(features[folds == fold])[:, 1]
    return float(roc_auc_score(labels, probabilities)), balanced_log_loss(labels, probabilities)


def _features(record: VideoRecord, videos: Path) -> list[float]:
    size = (videos / record.video).stat().st_size / max(1, record.frames)
    crops = _looks(record.tracklets[len(record.tracklets) // 2])
    sharpness = [cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var() for crop in crops]
    colour: Sequence[float] = crops.mean(axis=(0, 1, 2)).tolist()
    return [float(np.log(size)), *colour, float(np.log(np.mean(sharpness) + 1))]


def _looks(face: TrackletRecord) -> np.ndarray:
    return load_crops(face, np.linspace(0, face.frames - 1, LOOKS).astype(int))
