"""Inputs for pages: run folders as a cross-validation writes them, with made-up numbers, and a dataset."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from dfd.clips.distort import DISTORTIONS
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.files import write_json
from dfd.inference.oof import write_scores
from dfd.scoring.aggregate import logit
from dfd.scoring.decide import Judged, decide
from dfd.scoring.folds import assign_folds, write_folds
from dfd.scoring.sets import known, score_folds
from dfd.scoring.submission import write_submission
from dfd.training.datasets import NOTED
from dfd.types import FaceLogit, Video, VideoScore
from dfd.videos.encode import write_video
from dfd.videos.workers import Outcome
from tests.conftest import moving_face


def made_up(reals: int, fakes: int = 1, prefix: str = "") -> list[VideoRecord]:
    """Records of this many real videos without faces, and of this many fakes of each."""
    found = []
    for number in range(reals):
        real = f"{prefix}real{number}.mp4"
        found.append(VideoRecord(real, 0, real, "ok"))
        found += [VideoRecord(f"{prefix}fake{number}_{one}.mp4", 1, real, "ok") for one in range(fakes)]
    return found


def write_run(
    folder: Path, videos: list[VideoRecord], folds: int = 3, seed: int = 0, faces: Path | None = None
) -> Path:
    """Write a cross-validation of `videos` to `folder`, with an AUC of about 0.85; broken videos get 0.5."""
    folder.mkdir(parents=True)
    names, labels = [v.video for v in videos], [int(v.label or 0) for v in videos]
    frame = assign_folds(names, labels, [v.source for v in videos], folds)
    rng = np.random.default_rng(seed)
    scores = []
    for video in videos:
        said = float(np.clip(rng.normal(0.35 + 0.3 * (video.label or 0), 0.2), 0.02, 0.98))
        if video.status == "ok":
            scores.append(VideoScore(video.video, said, "ok", faces=(FaceLogit(0, 0, 1.0, logit(said)),)))
        else:
            scores.append(VideoScore(video.video, 0.5, video.status, reason=video.reason))
    write_folds(folder / "folds.csv", frame)
    write_submission(folder / "oof.csv", {score.name: score.probability for score in scores})
    write_scores(folder / "oof.json", scores)
    label_of, fold_of = known(frame)[0], dict(zip(frame["filename"], frame["fold"], strict=True))
    judged = [Judged(s.faces, label_of[s.name], int(fold_of[s.name])) for s in scores if s.status == "ok"]
    decision, score = decide(judged), score_folds(folder / "oof.csv", frame)
    about = {**vars(decision), "rule": decision.rule.model_dump()}
    write_json(folder / "score.json", {"score": {**score, "seen_by_weights": 0}, "decision": about})
    recipe = {"model": {"name": "frame", "weights": None}, "clip": {"length": 1}, "train": {"epochs": 2, "seed": seed}}
    write_json(folder / "config.json", {"recipe": recipe, "folds": folds, "parameters": 1234, "versions": {}})
    steps = [{"step": 10 * n, "loss": 0.7 - 0.1 * n, "accuracy": 0.5 + 0.1 * n, "held_loss": 0.6, "held_auc": 0.7}
             for n in range(1, 4)]  # fmt: skip
    curves = [pd.DataFrame(steps).assign(fold=fold) for fold in range(folds)]
    pd.concat(curves).to_csv(folder / "metrics.csv", index=False)
    if faces:
        write_json(folder / NOTED, {"": str(faces)})
    return folder


def add_distortions(run: Path) -> None:
    """Write a distort.json in which each distortion raises the loss."""
    clean = json.loads((run / "score.json").read_text())["score"]
    worse = {**clean, "balanced_log_loss": 0.9, "against": {"balanced_log_loss": 0.1}}
    found = {name: {"means": kind.means, **worse} for name, kind in DISTORTIONS.items()}
    write_json(run / "distort.json", {"as it is": {"means": "the videos as they are", **clean}, **found})


HOSTILE = "<script>alert(1)</script>.mp4"
"""The name of a video: the file script>.mp4 in a folder, which acts as code unless it is escaped."""


def hostile_faces(folder: Path, face_video: Path) -> FaceStore:
    """Write a dataset of seven videos to `folder`/faces whose every text acts as code unless it is escaped.

    HOSTILE shows a face. So do another real video, of another face, a fake whose face is its source's, and a fake of an
    unknown source with the same picture. One video has no face, one is not a video, and one is missing.
    """
    videos = folder / "videos"
    (videos / HOSTILE).parent.mkdir(parents=True)
    for name in (HOSTILE, "copy&.mp4", "<i>orphan.mp4"):
        shutil.copy(face_video, videos / name)
    write_video(videos / "other.mp4", moving_face(20)[:, :, ::-1] // 2, 15, crf=20, keyframe_every=10)
    write_video(videos / "<b>dark.mp4", np.full((20, 120, 160, 3), 90, np.uint8), 15, crf=20, keyframe_every=10)
    (videos / "text.mp4").write_text("no video")
    config = FacesConfig(size=64, detect_side=320)
    store = FaceStore.create(folder / "faces", config, videos=videos)
    of = {"copy&.mp4": (1, HOSTILE), "<i>orphan.mp4": (1, "<b>nobody.mp4"), "other.mp4": (0, "")}
    for name in (HOSTILE, *of, "<b>dark.mp4"):
        label, source = of.get(name, (0, ""))
        store.write(Video(videos / name, name, label, source, people=("<b>Ada",)))  # type: ignore[arg-type]
    for name, reason in (("text.mp4", "<u>no container</u>"), ("<b>gone.mp4", "gone")):
        store.write_failure(Outcome(Video(videos / name, name, 1), "unreadable", reason))
    store.write_tables()
    return store
