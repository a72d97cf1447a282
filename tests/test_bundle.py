import json
import re
from dataclasses import replace

import pytest
import torch

from dfd.clips.sampling import ClipConfig
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.detect import Detector
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import Bundle, Earned, load_bundle, write_bundle
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header, build_model, read_checkpoint, versions, write_checkpoint
from dfd.scoring.calibrate import Calibration, prior_offset
from dfd.scoring.decide import Rule


def checkpoint(path, seed, faces=None, prior=0.5, **clip):
    torch.manual_seed(seed)
    config = ClipConfig(length=4, size=32, clips=2).replace(**clip)
    header = Header(
        model=ModelConfig(name="journal_conv3d"), clip=config, faces=faces or FacesConfig(size=64), prior=prior
    )
    write_checkpoint(path, header, build_model(header.model, config).state_dict())
    return path


@pytest.fixture
def two(tmp_path):
    return [checkpoint(tmp_path / f"{seed}.ckpt", seed) for seed in (1, 2)]


@pytest.fixture
def tracks(small_store):
    return next(record.tracks for record in small_store.records() if record.tracks)


def test_a_bundle_averages_its_members(two, tracks, tmp_path):
    write_bundle(tmp_path / "both", two)
    singles = []
    for path in two:
        write_bundle(tmp_path / path.stem, [path])
        singles.append(load_bundle(tmp_path / path.stem).logits(tracks[0]))
    both = load_bundle(tmp_path / "both").logits(tracks[0])
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(*singles, strict=True)], abs=1e-5)
    assert len(both) == 2


def test_members_of_different_clips_agree_on_one_logit(tmp_path, tracks):
    paths = [checkpoint(tmp_path / "a.ckpt", 1), checkpoint(tmp_path / "b.ckpt", 2, clips=5)]
    write_bundle(tmp_path / "bundle", paths)
    singles = []
    for path in paths:
        write_bundle(tmp_path / path.stem, [path])
        logits = load_bundle(tmp_path / path.stem).logits(tracks[0])
        singles.append(sum(logits) / len(logits))
    assert load_bundle(tmp_path / "bundle").logits(tracks[0]) == pytest.approx([sum(singles) / 2], abs=1e-5)


def test_the_rule_is_kept(two, tmp_path):
    rule = Rule(calibration=Calibration(scale=0.5, offset=1.0))
    write_bundle(tmp_path / "b", two, Earned(rule, "fitted", {"log_loss": 0.5}))
    bundle = load_bundle(tmp_path / "b")
    assert bundle.info.rule == rule
    assert bundle.info.score == {"log_loss": 0.5}


def test_the_same_checkpoints_give_the_same_bundle(two, tmp_path):
    infos = [write_bundle(tmp_path / name, two) for name in "ab"]
    assert infos[0] == infos[1]


def test_a_changed_byte_is_noticed(two, tmp_path):
    write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "member-1.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"member-1\.pt has sha256"):
        load_bundle(tmp_path / "b")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"member-1\.pt is missing"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "not of format 1"),
        ({"members": [{"file": "../x.pt", "sha256": "0", "model": "lstm"}]}, "not a file of the bundle's folder"),
        ({"faces": {"margin": 99}}, "margin"),
        ({"wings": 2}, "unknown setting 'wings'"),
    ],
)
def test_a_bundle_json_that_does_not_hold(two, tmp_path, change, message):
    write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load_bundle(tmp_path / "b")


def test_what_is_not_a_bundle(two, tmp_path):
    with pytest.raises(CheckpointError, match="no bundle.json"):
        load_bundle(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        write_bundle(tmp_path / "b", [])
    with pytest.raises(ConfigError, match="not a bundle"):
        write_bundle(tmp_path, two)
    other = checkpoint(tmp_path / "c.ckpt", 3, FacesConfig(size=128))
    with pytest.raises(CheckpointError, match="other face crops"):
        write_bundle(tmp_path / "b", [*two, other])
    assert not (tmp_path / "b").exists()


def test_a_model_of_mostly_fakes_is_moved_to_a_test_of_half_fakes(tmp_path, tracks):
    logits = []
    for prior in (0.5, 0.84):
        write_bundle(tmp_path / f"{prior}", [checkpoint(tmp_path / f"{prior}.ckpt", 1, prior=prior)])
        logits.append(load_bundle(tmp_path / f"{prior}").logits(tracks[0]))
    assert logits[1] == pytest.approx([logit + prior_offset(0.84) for logit in logits[0]], abs=1e-5)


def test_a_network_that_answers_otherwise_than_when_it_was_bundled_is_refused(two, tmp_path):
    info = write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "bundle.json"
    for shift, fine in ((0.0009, True), (0.0011, False)):
        about = info.model_dump(mode="json")
        about["members"][1]["golden"] += shift
        about["versions"]["torch"] = "2.0"
        path.write_text(json.dumps(about))
        if fine:
            load_bundle(tmp_path / "b")
        else:
            with pytest.raises(
                CheckpointError, match=r"member-1\.pt gives its golden clip .* torch 2\.0 \(here .*--force"
            ):
                load_bundle(tmp_path / "b")
    assert len(load_bundle(tmp_path / "b", force=True).members) == 2


@pytest.mark.parametrize(("library", "version"), [("torch", "1.13.1"), ("av", "17.0.0"), ("dfd", "0.0.9")])
def test_another_release_of_a_library_is_refused_though_all_answers_are_the_same(two, tmp_path, library, version):
    info = write_bundle(tmp_path / "b", two)
    about = info.model_dump(mode="json")
    about["versions"][library] = version
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(about))
    here = re.escape(f"b was made with {library} {version} (here {versions()[library]}), which may answer otherwise: ")
    with pytest.raises(CheckpointError, match=here + "install .* or take --force"):
        load_bundle(tmp_path / "b")
    assert len(load_bundle(tmp_path / "b", force=True).members) == 2


def test_faces_that_are_found_elsewhere_than_where_it_was_bundled_are_refused(two, tmp_path, monkeypatch):
    write_bundle(tmp_path / "b", two)
    load_bundle(tmp_path / "b")
    monkeypatch.setattr(Detector, "detect", shifted(Detector.detect, 4.0))
    said = r"golden\.mp4 shows a face at \(.*, and a face at .* with the same versions: "
    with pytest.raises(CheckpointError, match=said):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def shifted(detect, pixels):
    """A detector whose boxes and landmarks are off."""

    def off(self, *arguments, **settings):
        found = detect(self, *arguments, **settings)
        return [replace(f, boxes=f.boxes + pixels, landmarks=f.landmarks + pixels) for f in found]

    return off


def test_a_golden_video_that_is_broken_or_gone_is_refused(two, tmp_path):
    write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "golden.mp4"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"golden\.mp4 has sha256"):
        load_bundle(tmp_path / "b")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"golden\.mp4 is missing"):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def test_a_bundle_of_before_there_were_golden_faces_is_read(two, tmp_path):
    info = write_bundle(tmp_path / "b", two)
    (tmp_path / "b" / "bundle.json").write_text(info.replace(golden_face=None).text())
    (tmp_path / "b" / "golden.mp4").unlink()
    load_bundle(tmp_path / "b")


def test_force_takes_a_changed_file(two, tmp_path):
    write_bundle(tmp_path / "b", two)
    (tmp_path / "b" / "member-1.pt").write_bytes((tmp_path / "b" / "member-0.pt").read_bytes())
    with pytest.raises(CheckpointError, match="sha256"):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def test_a_network_that_gives_no_number_is_not_bundled(tmp_path):
    path = checkpoint(tmp_path / "m.ckpt", 1)
    header, weights = read_checkpoint(path)
    write_checkpoint(path, header, {name: weight * torch.nan for name, weight in weights.items()})
    with pytest.raises(CheckpointError, match="its weights are broken"):
        write_bundle(tmp_path / "b", [path])
    assert not (tmp_path / "b").exists()


class Failing(torch.nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.answer = answer

    def forward(self, clips):
        return self.answer(clips)


def out_of_memory(clips):
    raise RuntimeError("CUDA out of memory.\nTried to allocate")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (out_of_memory, "member 1 left out: RuntimeError: CUDA out of memory. Tried to allocate"),
        (
            lambda clips: torch.full((len(clips),), torch.nan),
            "member 1 left out: ValueError: its logits are [nan, nan]",
        ),
    ],
)
def test_a_member_that_fails_is_left_out_for_the_video(two, tracks, tmp_path, answer, reason):
    write_bundle(tmp_path / "b", two)
    bundle = load_bundle(tmp_path / "b")
    (first, _), (_, header) = bundle.members
    broken = Bundle(bundle.info, ((first, bundle.members[0][1]), (Failing(answer), header)))
    alone = Bundle(bundle.info, (bundle.members[0],))
    made = broken.video_logits([tracks[0], tracks[0]])
    assert made.tracks == alone.video_logits([tracks[0], tracks[0]]).tracks
    assert made.left_out == (reason,)
    with pytest.raises(CheckpointError, match="every member failed; member 0 left out"):
        Bundle(bundle.info, ((Failing(answer), header),)).logits(tracks[0])


def test_fewer_clips_and_members(tmp_path, tracks):
    paths = [checkpoint(tmp_path / f"{seed}.ckpt", seed, clips=4) for seed in range(3)]
    write_bundle(tmp_path / "b", paths)
    bundle = load_bundle(tmp_path / "b")
    counts = [len(bundle.video_logits([tracks[0]], clips=share).tracks[0]) for share in (1.0, 0.5, 0.0)]
    assert counts == [4, 2, 1]
    one = Bundle(bundle.info, bundle.members[:1])
    for share in (0.0, 0.4):
        assert bundle.video_logits([tracks[0]], members=share) == one.video_logits([tracks[0]])
