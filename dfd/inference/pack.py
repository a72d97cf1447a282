"""Pack finished runs into a bundle: select checkpoints, weight them, and fit the rule from logits to a probability."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from dfd.clips.blend import BlendConfig
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.build import Progress
from dfd.faces.records import VideoRecord
from dfd.files import read_object
from dfd.inference.bundle import Fitted, load_member, write_bundle
from dfd.inference.heat import check_maps
from dfd.inference.info import BundleInfo
from dfd.inference.judge import judge_sets
from dfd.inference.oof import OutOfFold, read_oof
from dfd.inference.predict import PRIOR
from dfd.scoring.decide import Judged, Rule
from dfd.scoring.ensemble import decide_blend
from dfd.scoring.evidence import Evidence, MapCheck, evidence
from dfd.scoring.seen import SEEN, among
from dfd.scoring.set_blend import ALONE, JudgedSet, blend_sets, left_out_probabilities
from dfd.scoring.submission import score_submission, write_submission


def pack_runs(
    runs: Sequence[Path],
    out: Path,
    half: bool = False,
    sets: Mapping[str, Sequence[VideoRecord]] | None = None,
    progress: Progress | None = None,
) -> BundleInfo:
    """Bundle the models of `runs` into `out`; of a cross-validation those of every fold. half: 16-bit weights.

    sets: unseen videos, by name of their set. Weights and temperature are then fitted on them, and evaluated by
    leaving one set out (set_blend.py).

    Several cross-validations over the same folds are blended. Their weights, and the rule from logits to a
    probability, are evaluated on their joined out-of-fold predictions, which the bundle keeps as oof.csv. If a run is
    not a cross-validation nothing can be fitted: models get equal weights and the plain rule. Raises CheckpointError
    for a folder without a checkpoint; ConfigError for cross-validations over different folds.
    """
    checkpoints = [_checkpoints(run) for run in runs]
    if sets:
        if len(sets) < 2:  # fail before minutes of scoring
            raise ConfigError(ALONE)
        return _pack_sets(checkpoints, judge_sets(checkpoints, sets, progress), sets, out, half)
    found = [read_oof(run) for run in runs]
    if len(runs) == 1:
        return write_bundle(out, checkpoints[0], _fitted_alone(runs[0]), half)
    known = [oof for oof in found if oof is not None]
    if len(known) < len(runs):
        return write_bundle(out, [path for of_run in checkpoints for path in of_run], half=half)
    for run, oof in zip(runs[1:], known[1:], strict=True):
        _check_same_folds(runs[0], known[0], run, oof)
    return _pack_blend(checkpoints, known, out, half)


def _pack_blend(checkpoints: Sequence[Sequence[Path]], runs: Sequence[OutOfFold], out: Path, half: bool) -> BundleInfo:
    """Blend runs over the same folds. Members are interleaved by run, so that a subset represents all runs."""
    made, videos, decision = decide_blend([run.judged() for run in runs])
    plain = Rule()
    names = runs[0].folds["filename"].tolist()
    probabilities = {
        name: plain.probability(video.faces) if video.faces else PRIOR
        for name, video in zip(names, videos, strict=True)
    }
    members = _members(checkpoints, made.weights)
    with TemporaryDirectory(prefix="dfd-bundle-") as folder:
        oof = Path(folder) / "oof.csv"
        write_submission(oof, probabilities)
        score = score_submission(oof, runs[0].labels(), runs[0].groups()) | {SEEN: max(run.seen for run in runs)}
        table = _out_of_fold([video for video in videos if video.faces], decision.rule, decision.probabilities)
        counts = tuple(weight for _, weight in members)
        fitted = Fitted(decision.rule, decision.reason, score, counts, made, evidence=table)
        info = write_bundle(out, [path for path, _ in members], fitted, half)
        shutil.copy(oof, out)
    return info


def _pack_sets(
    checkpoints: Sequence[Sequence[Path]],
    judged: Sequence[JudgedSet],
    sets: Mapping[str, Sequence[VideoRecord]],
    out: Path,
    half: bool,
) -> BundleInfo:
    """Blend runs that were evaluated on sets."""
    made = blend_sets(judged)
    members = _members(checkpoints, made.weights)
    rule, counts = Rule(calibration=made.calibration), tuple(weight for _, weight in members)
    maps = _checked_maps([path for path, _ in members], [record for records in sets.values() for record in records])
    table = left_out(judged, made.way, rule, len(members) == len(checkpoints)).replace(maps=maps)
    fitted = Fitted(rule, made.reason, weights=counts, sets=made, evidence=table)
    return write_bundle(out, [path for path, _ in members], fitted, half)


def _out_of_fold(videos: Sequence[Judged], rule: Rule, nested: Sequence[float]) -> Evidence:
    """What out-of-fold scores mean for videos with faces: the evidence behind a probability.

    nested: probabilities by rules chosen without the video's fold; used if `rule` was chosen that way.
    """
    plain = rule == Rule() or len(nested) < len(videos)
    probabilities = [Rule().probability(video.faces) for video in videos] if plain else nested
    return evidence(f"{len(videos)} videos, out of fold", probabilities, [video.label for video in videos])


def left_out(judged: Sequence[JudgedSet], way: str, rule: Rule, one_each: bool) -> Evidence:
    """The same for sets: each is scored with what the bundle's `way` fits on the others. one_each: one network per run.

    The way itself is not chosen again without each set, since the table describes scores as the bundle gives them.
    """
    probabilities = [p for own in left_out_probabilities(judged, way) for p in own]
    labels = [int(label) for own in judged for label in own.labels]
    alone = [[rule.calibration.probability(x) for x in row] for own in judged for row in own.logits.tolist()]
    of = f"{len(labels):,} videos of {' and '.join(own.name for own in judged)}, each set left out of the fit"
    return evidence(of, probabilities, labels, alone if one_each else None)


def _checked_maps(paths: Sequence[Path], videos: Sequence[VideoRecord]) -> tuple[MapCheck | None, ...]:
    """Measure how far the networks' heat maps can be trusted, on self-blended fakes of real videos unseen by them.

    Uses the blending settings that a network was trained with, if any.
    """
    members = [load_member(path, torch.device("cpu")) for path in paths]
    made = [h.training["blend"] for _, h in members if h.training.get("train", {}).get("self_blend")]
    seen = {name for _, header in members for name in header.videos}
    known = set(among([video.video for video in videos], seen))
    unseen = [video for video in videos if video.video not in known]
    blend = BlendConfig.read(made[0], "the networks' training") if made else BlendConfig()
    if blend.mesh and not blend.mesh.is_file():  # trained elsewhere: use the outlines of five landmarks
        blend = blend.replace(mesh=None)
    return tuple(check_maps(member, unseen, blend) for member in members)


def _members(checkpoints: Sequence[Sequence[Path]], weights: Sequence[float]) -> list[tuple[Path, float]]:
    """Checkpoints and their weights, interleaved by run, so that a subset represents all runs."""
    used = [(of_run, weight) for of_run, weight in zip(checkpoints, weights, strict=True) if weight > 0]
    turns = zip_longest(*([(path, weight / len(of_run)) for path in of_run] for of_run, weight in used))
    return [member for turn in turns for member in turn if member is not None]


def _check_same_folds(first: Path, a: OutOfFold, second: Path, b: OutOfFold) -> None:
    """Raise ConfigError unless every video is in the same fold of both, with the same faces."""
    again = "give both the same dataset, --folds, --groups and --train.seed"
    if a.folds["filename"].tolist() != b.folds["filename"].tolist():
        odd = sorted(set(a.folds["filename"]) ^ set(b.folds["filename"]))[0]
        raise ConfigError(f"{first} and {second} have different videos: {odd!r} is in one of them only; {again}")
    for column in ("label", "fold", "group"):
        differs = (a.folds[column] != b.folds[column]).tolist()
        if any(differs):
            at = differs.index(True)
            name, here, there = a.folds["filename"][at], a.folds[column][at], b.folds[column][at]
            raise ConfigError(
                f"{first} and {second} have different folds: {name!r} has {column} {here} in the first and {there} in "
                f"the second; {again}"
            )
    for x, y in zip(a.scores, b.scores, strict=True):
        shown = [{face[:3] for face in score.faces} for score in (x, y)]
        both = [{place[0] for place in places} for places in shown]
        mine, theirs = (sorted(place for place in places if place[0] in both[0] & both[1]) for places in shown)
        if mine != theirs:
            raise ConfigError(
                f"{first} and {second} have different datasets: {x.name!r} shows {len(mine)} faces in the first and "
                f"{len(theirs)} in the second, in the same segments; {again}"
            )


def _checkpoints(run: Path) -> list[Path]:
    if not run.is_dir():
        raise CheckpointError(f"{run} does not exist: name a run folder of dfd train or dfd crossval")
    found = sorted(run.glob("fold-*/checkpoints/last.ckpt")) or sorted(run.glob("checkpoints/last.ckpt"))
    if not found:
        raise CheckpointError(f"{run} has no checkpoints/last.ckpt: name a run folder of dfd train or dfd crossval")
    for path in found:
        if not (path.parent.parent / "done").exists():
            raise CheckpointError(
                f"{path.parent.parent} is a run that was stopped: give its command again to finish it"
            )
    return found


def _fitted_alone(run: Path) -> Fitted:
    """Rule and score of a cross-validation; the plain rule and no score for other runs."""
    path = run / "score.json"
    if not path.is_file():
        return Fitted()
    judged = read_object(path, CheckpointError, "run the cross-validation again")
    if "decision" not in judged:  # from dfd train --fold: one fold, with the plain rule
        return Fitted()
    decision, oof = judged["decision"], read_oof(run)
    rule = Rule.read(decision["rule"], str(path))
    if oof is None:
        return Fitted(rule, decision["reason"], judged["score"])
    table = _out_of_fold([v for v in oof.judged() if v.faces], rule, decision.get("probabilities", ()))
    return Fitted(rule, decision["reason"], judged["score"], evidence=table)
