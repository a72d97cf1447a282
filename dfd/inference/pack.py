"""From finished runs to a bundle: which checkpoints, what each counts for, and the rule that they have earned."""

import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from dfd.clips.blend import BlendConfig
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.build import Progress
from dfd.faces.records import VideoRecord
from dfd.inference.bundle import Earned, load_member, write_bundle
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
    """Bundle the models of `runs` (of a cross-validation every fold's) into `out`; half: in 16 bits.

    sets: videos, by the name of their set, that no run has seen: weights and temperature are then fitted on them, and
    judged by leaving one set out (set_blend.py).

    Several cross-validations over the same folds are blended: their weights, and the rule from logits to a probability,
    are judged on their joined out-of-fold predictions, which are left in the bundle as oof.csv. Where a run is none
    there is nothing to judge by: every model counts alike, and the rule is the plain one. Raises CheckpointError for a
    folder without a checkpoint; ConfigError for cross-validations over other folds.
    """
    checkpoints = [_checkpoints(run) for run in runs]
    if sets:
        if len(sets) < 2:  # before minutes of scoring
            raise ConfigError(ALONE)
        return _pack_sets(checkpoints, judge_sets(checkpoints, sets, progress), sets, out, half)
    found = [read_oof(run) for run in runs]
    if len(runs) == 1:
        return write_bundle(out, checkpoints[0], _earned_alone(runs[0]), half)
    known = [oof for oof in found if oof is not None]
    if len(known) < len(runs):
        return write_bundle(out, [path for of_run in checkpoints for path in of_run], half=half)
    for run, oof in zip(runs[1:], known[1:], strict=True):
        _check_same_folds(runs[0], known[0], run, oof)
    return _pack_blend(checkpoints, known, out, half)


def _pack_blend(checkpoints: Sequence[Sequence[Path]], runs: Sequence[OutOfFold], out: Path, half: bool) -> BundleInfo:
    """Of runs over the same folds. Members come in turn from each run, so that some of them stand for all."""
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
        earned = Earned(decision.rule, decision.reason, score, counts, made, evidence=table)
        info = write_bundle(out, [path for path, _ in members], earned, half)
        shutil.copy(oof, out)
    return info


def _pack_sets(
    checkpoints: Sequence[Sequence[Path]],
    judged: Sequence[JudgedSet],
    sets: Mapping[str, Sequence[VideoRecord]],
    out: Path,
    half: bool,
) -> BundleInfo:
    """Of runs that were judged on sets."""
    made = blend_sets(judged)
    members = _members(checkpoints, made.weights)
    rule, counts = Rule(calibration=made.calibration), tuple(weight for _, weight in members)
    maps = _checked_maps([path for path, _ in members], [record for records in sets.values() for record in records])
    table = left_out(judged, made.way, rule, len(members) == len(checkpoints)).replace(maps=maps)
    earned = Earned(rule, made.reason, weights=counts, sets=made, evidence=table)
    return write_bundle(out, [path for path, _ in members], earned, half)


def _out_of_fold(videos: Sequence[Judged], rule: Rule, nested: Sequence[float]) -> Evidence:
    """What scores have meant of videos with faces, as models that had not seen them gave them.

    nested: their probabilities by rules that were chosen without their fold, which stand where `rule` was so chosen.
    """
    plain = rule == Rule() or len(nested) < len(videos)
    probabilities = [Rule().probability(video.faces) for video in videos] if plain else nested
    return evidence(f"{len(videos)} videos, out of fold", probabilities, [video.label for video in videos])


def left_out(judged: Sequence[JudgedSet], way: str, rule: Rule, one_each: bool) -> Evidence:
    """The same of sets, each by what the bundle's `way` fits on the others. one_each: whether each run is one network.

    The way is not chosen again without each set: the table is of scores as the bundle gives them.
    """
    probabilities = [p for own in left_out_probabilities(judged, way) for p in own]
    labels = [int(label) for own in judged for label in own.labels]
    alone = [[rule.calibration.probability(x) for x in row] for own in judged for row in own.logits.tolist()]
    of = f"{len(labels)} videos of {' and '.join(own.name for own in judged)}, each set left out of the fit"
    return evidence(of, probabilities, labels, alone if one_each else None)


def _checked_maps(paths: Sequence[Path], videos: Sequence[VideoRecord]) -> tuple[MapCheck | None, ...]:
    """How far the networks' heat maps can be trusted, by self-blended fakes of the real videos that they had not seen.

    By the blending that one of them was trained on, if one was.
    """
    members = [load_member(path, torch.device("cpu")) for path in paths]
    made = [h.training["blend"] for _, h in members if h.training.get("train", {}).get("self_blend")]
    seen = {name for _, header in members for name in header.videos}
    known = set(among([video.video for video in videos], seen))
    unseen = [video for video in videos if video.video not in known]
    blend = BlendConfig.read(made[0], "the networks' training") if made else BlendConfig()
    if blend.mesh and not blend.mesh.is_file():  # trained elsewhere: the outlines of five landmarks will do
        blend = blend.replace(mesh=None)
    return tuple(check_maps(member, unseen, blend) for member in members)


def _members(checkpoints: Sequence[Sequence[Path]], weights: Sequence[float]) -> list[tuple[Path, float]]:
    """Checkpoints and what each counts for: in turn from each run, so that some of them stand for all."""
    used = [(of_run, weight) for of_run, weight in zip(checkpoints, weights, strict=True) if weight > 0]
    turns = zip_longest(*([(path, weight / len(of_run)) for path in of_run] for of_run, weight in used))
    return [member for turn in turns for member in turn if member is not None]


def _check_same_folds(first: Path, a: OutOfFold, second: Path, b: OutOfFold) -> None:
    """Raise ConfigError unless every video is in the same fold of both, and shows the same faces."""
    again = "give both the same dataset, --folds, --groups and --train.seed"
    if a.folds["filename"].tolist() != b.folds["filename"].tolist():
        odd = sorted(set(a.folds["filename"]) ^ set(b.folds["filename"]))[0]
        raise ConfigError(f"{first} and {second} are over other videos: {odd!r} is in one of them only; {again}")
    for column in ("label", "fold", "group"):
        differs = (a.folds[column] != b.folds[column]).tolist()
        if any(differs):
            at = differs.index(True)
            name, here, there = a.folds["filename"][at], a.folds[column][at], b.folds[column][at]
            raise ConfigError(
                f"{first} and {second} are over other folds: {name!r} has {column} {here} in the first and {there} in "
                f"the second; {again}"
            )
    for x, y in zip(a.scores, b.scores, strict=True):
        shown = [{face[:3] for face in score.faces} for score in (x, y)]
        both = [{place[0] for place in places} for places in shown]
        mine, theirs = (sorted(place for place in places if place[0] in both[0] & both[1]) for places in shown)
        if mine != theirs:
            raise ConfigError(
                f"{first} and {second} are over other datasets: {x.name!r} shows {len(mine)} faces in the first and "
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


def _earned_alone(run: Path) -> Earned:
    """What a single run has earned: the rule and score of a cross-validation, of another nothing."""
    path = run / "score.json"
    if not path.is_file():
        return Earned()
    try:
        judged: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): run the cross-validation again") from None
    if "decision" not in judged:  # of dfd train --fold: of one fold, by the plain rule
        return Earned()
    decision, oof = judged["decision"], read_oof(run)
    rule = Rule.read(decision["rule"], str(path))
    if oof is None:
        return Earned(rule, decision["reason"], judged["score"])
    table = _out_of_fold([v for v in oof.judged() if v.faces], rule, decision.get("probabilities", ()))
    return Earned(rule, decision["reason"], judged["score"], evidence=table)
