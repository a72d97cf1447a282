import json
import re
from dataclasses import replace

import pytest
import torch

from dfd.clips.sampling import ClipConfig, ScoredClips
from dfd.errors import CheckpointError, ConfigError, StoreError
from dfd.faces.detect import Detector
from dfd.faces.recorder import in_memory
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import Bundle, Fitted, load_bundle, write_bundle
from dfd.inference.info import read_seen
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header, build_model, read_checkpoint, write_checkpoint
from dfd.scoring.aggregate import over_members
from dfd.scoring.calibrate import Calibration, prior_offset
from dfd.scoring.decide import Rule
from dfd.types import Video
from dfd.versions import versions

pytestmark = pytest.mark.slow


def checkpoint(path, seed, faces=None, prior=0.5, videos=(), name="journal_conv3d", **clip):
    torch.manual_seed(seed)
    config = ClipConfig(length=4, size=32, clips=2).replace(**clip)
    header = Header(
        model=ModelConfig(name=name),
        clip=config,
        faces=faces or FacesConfig(size=64),
        prior=prior,
        videos=videos,
    )
    write_checkpoint(path, header, build_model(header.model, config).state_dict())
    return path


@pytest.fixture
def two(tmp_path):
    return [checkpoint(tmp_path / f"{seed}.ckpt", seed) for seed in (1, 2)]


FACES = FacesConfig(size=64, detect_side=320, segment=0.7)


@pytest.fixture(scope="module")
def video(face_video):
    """Three seconds in four segments, a face in each, in memory."""
    made = in_memory(Video(face_video, "face.mp4"), FACES)
    assert made.faced == [0, 1, 2, 3]
    return made


def logits_of(bundle, video, **shares):
    """The logits of a readable video."""
    (made,) = bundle.logits([video], **shares)
    assert not isinstance(made, Exception)
    return made


def test_a_bundle_averages_its_members(two, video, tmp_path):
    write_bundle(tmp_path / "both", two)
    singles = []
    for path in two:
        write_bundle(tmp_path / path.stem, [path])
        singles.append(logits_of(load_bundle(tmp_path / path.stem), video).faces)
    both = logits_of(load_bundle(tmp_path / "both"), video)
    assert both.left_out == ()
    assert [(face.segment, face.face) for face in both.faces] == [(1, 0), (3, 0)]
    for face, a, b, tracklet in zip(both.faces, *singles, (video.tracklets[1], video.tracklets[3]), strict=True):
        assert face.logit == pytest.approx((a.logit + b.logit) / 2, abs=1e-9)
        assert face.logit not in (a.logit, b.logit)
        assert face.confidence == tracklet.confidence


def test_a_member_gives_the_same_bits_alone_and_among_others(tmp_path, video, face_video):
    """Both for a dataset of all segments and for a prediction's in-memory films of some."""
    paths = [
        checkpoint(tmp_path / "a.ckpt", 1),
        checkpoint(tmp_path / "b.ckpt", 2, length=6, size=48, clips=4, margin=1.0),
    ]
    write_bundle(tmp_path / "both", paths)
    both = load_bundle(tmp_path / "both")
    alone = [logits_of(Bundle(both.info, (member,)), video).faces for member in both.members]
    assert [[face.segment for face in faces] for faces in alone] == [[1, 3], [0, 1, 2, 3]]
    made = logits_of(both, video)
    assert made.faces == over_members(alone)
    assert [made.faces[number] for number in (0, 2)] == [alone[1][number] for number in (0, 2)]
    assert made.faces[1].logit == (alone[0][0].logit + alone[1][1].logit) / 2
    for used in ((0,), (1,), (0, 1)):
        wanted = ScoredClips(tuple(both.info.members[number].clip for number in used))
        looked_at = in_memory(Video(face_video, "face.mp4"), FACES, wanted)
        some = Bundle(both.info, tuple(both.members[number] for number in used))
        assert logits_of(some, looked_at).faces == over_members([alone[number] for number in used])


def test_frame_networks_read_the_same_frames_at_any_margin():
    configs = (ClipConfig(length=1, size=128, margin=1.0), ClipConfig(length=1, size=192, margin=1.25, fps=7.5))
    both = ScoredClips(configs)
    assert both.first(9) == ScoredClips(configs[:1]).first(9) == [1, 3, 5, 7]
    assert both.frames(30, 70, 30.0).tolist() == [49]


def test_weights_apply_where_members_overlap(two, video, tmp_path):
    write_bundle(tmp_path / "b", two, Fitted(weights=(3.0, 1.0)))
    bundle = load_bundle(tmp_path / "b")
    alone = [logits_of(Bundle(bundle.info, (member,)), video).faces for member in bundle.members]
    assert logits_of(bundle, video).faces == over_members(alone, [3.0, 1.0])


def test_the_decision_rule_is_stored(two, tmp_path):
    rule = Rule(calibration=Calibration(scale=0.5, offset=1.0))
    write_bundle(tmp_path / "b", two, Fitted(rule, "fitted", {"log_loss": 0.5}))
    bundle = load_bundle(tmp_path / "b")
    assert bundle.info.rule == rule
    assert bundle.info.score == {"log_loss": 0.5}


def test_the_same_checkpoints_give_the_same_bundle(two, tmp_path):
    infos = [write_bundle(tmp_path / name, two) for name in "ab"]
    assert infos[0] == infos[1]


def test_a_16_bit_bundle_has_golden_logits_of_the_rounded_weights(video, tmp_path):
    path = checkpoint(tmp_path / "frame.ckpt", 1, name="frame", length=1)
    whole = write_bundle(tmp_path / "whole", [path])
    half = write_bundle(tmp_path / "half", [path], half=True)
    for before, after in zip(whole.members, half.members, strict=True):
        assert before.golden is not None
        assert after.golden != before.golden
        assert after.golden == pytest.approx(before.golden, abs=0.01)
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).glob("*.pt")) for name in ("whole", "half")]
    assert sizes[1] < 0.53 * sizes[0]
    bundle = load_bundle(tmp_path / "half")
    assert {tensor.dtype for tensor in bundle.members[0][0].parameters()} == {torch.float32}
    logits = [[face.logit for face in logits_of(b, video).faces] for b in (load_bundle(tmp_path / "whole"), bundle)]
    assert logits[1] == pytest.approx(logits[0], abs=0.01)


def test_seen_videos_are_stored_in_a_separate_file(tmp_path):
    """100,000 names in bundle.json would slow down everything that reads it."""
    paths = [checkpoint(tmp_path / f"{n}.ckpt", n, videos=(f"{n}.mp4", "both,\n.mp4")) for n in (1, 2)]
    wanted = ("1.mp4", "2.mp4", "both,\n.mp4")
    write_bundle(tmp_path / "b", paths)
    assert load_bundle(tmp_path / "b").seen == read_seen(tmp_path / "b") == wanted
    assert "1.mp4" not in (tmp_path / "b" / "bundle.json").read_text()
    (tmp_path / "b" / "seen.json").write_text("[]\n")
    with pytest.raises(CheckpointError, match=r"seen\.json has sha256 .*: copy the bundle again"):
        load_bundle(tmp_path / "b")
    (tmp_path / "b" / "seen.json").unlink()
    with pytest.raises(CheckpointError, match=r"seen\.json is missing"):
        load_bundle(tmp_path / "b")


def test_a_changed_byte_is_detected(two, tmp_path):
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
        ({"format": 1}, r"bundle\.json is not of format 3, the one that this version reads: bundle the run again$"),
        ({"format": 9}, "not of format 3"),
        (
            {"members": [{"file": "../x.pt", "sha256": "0", "model": "lstm", "clip": {}}]},
            "not a file of the bundle's folder",
        ),
        ({"faces": {"margin": 99}}, "margin"),
        ({"wings": 2}, "unknown setting 'wings'"),
    ],
)
def test_an_inconsistent_bundle_json_is_refused(two, tmp_path, change, message):
    write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_bundle(tmp_path / "b")
    assert "\n" not in str(caught.value)


def test_folders_that_are_not_bundles_are_refused(two, tmp_path):
    with pytest.raises(CheckpointError, match="no bundle.json"):
        load_bundle(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        write_bundle(tmp_path / "b", [])
    with pytest.raises(ConfigError, match="not a bundle"):
        write_bundle(tmp_path, two)
    other = checkpoint(tmp_path / "c.ckpt", 3, FACES.replace(detect_side=640))
    with pytest.raises(CheckpointError, match=r"c\.ckpt has other settings of faces than .*: make two bundles"):
        write_bundle(tmp_path / "b", [*two, other])
    assert not (tmp_path / "b").exists()


def test_the_prior_moves_a_model_to_a_balanced_test(tmp_path, video):
    logits = []
    for prior in (0.5, 0.84):
        write_bundle(tmp_path / f"{prior}", [checkpoint(tmp_path / f"{prior}.ckpt", 1, prior=prior)])
        logits.append([face.logit for face in logits_of(load_bundle(tmp_path / f"{prior}"), video).faces])
    assert logits[1] == pytest.approx([logit + prior_offset(0.84) for logit in logits[0]], abs=1e-5)


def test_a_network_whose_golden_logits_changed_is_refused(two, tmp_path):
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
def test_another_library_release_is_refused_even_with_equal_outputs(two, tmp_path, library, version):
    info = write_bundle(tmp_path / "b", two)
    about = info.model_dump(mode="json")
    about["versions"][library] = version
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(about))
    here = re.escape(f"b was made with {library} {version} (here {versions()[library]}), which may give other scores: ")
    with pytest.raises(CheckpointError, match=here + "install .* or take --force"):
        load_bundle(tmp_path / "b")
    assert len(load_bundle(tmp_path / "b", force=True).members) == 2


def test_shifted_golden_faces_are_refused(two, tmp_path, monkeypatch):
    write_bundle(tmp_path / "b", two)
    load_bundle(tmp_path / "b")
    monkeypatch.setattr(Detector, "detect", shifted(Detector.detect, 4.0))
    shown = r"golden\.mp4 shows a face at \(.*, and a face at .* with the same versions: "
    with pytest.raises(CheckpointError, match=shown):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def shifted(detect, pixels):
    """Make a detector whose boxes and landmarks are shifted."""

    def off(self, *arguments, **settings):
        found = detect(self, *arguments, **settings)
        return [replace(f, boxes=f.boxes + pixels, landmarks=f.landmarks + pixels) for f in found]

    return off


def test_a_broken_or_missing_golden_video_is_refused(two, tmp_path):
    write_bundle(tmp_path / "b", two)
    path = tmp_path / "b" / "golden.mp4"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"golden\.mp4 has sha256"):
        load_bundle(tmp_path / "b")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"golden\.mp4 is missing"):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def test_an_old_bundle_without_golden_faces_is_read(two, tmp_path):
    info = write_bundle(tmp_path / "b", two)
    (tmp_path / "b" / "bundle.json").write_text(info.replace(golden_face=None).text())
    (tmp_path / "b" / "golden.mp4").unlink()
    load_bundle(tmp_path / "b")


def test_force_accepts_a_changed_file(two, tmp_path):
    write_bundle(tmp_path / "b", two)
    (tmp_path / "b" / "member-1.pt").write_bytes((tmp_path / "b" / "member-0.pt").read_bytes())
    with pytest.raises(CheckpointError, match="sha256"):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", force=True)


def test_a_network_with_nonfinite_logits_is_not_bundled(tmp_path):
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
def test_a_failing_member_is_skipped_for_that_video(two, video, tmp_path, answer, reason):
    write_bundle(tmp_path / "b", two)
    bundle = load_bundle(tmp_path / "b")
    (first, _), (_, header) = bundle.members
    broken = Bundle(bundle.info, ((first, bundle.members[0][1]), (Failing(answer), header)))
    alone = Bundle(bundle.info, (bundle.members[0],))
    made = logits_of(broken, video)
    assert made.faces == logits_of(alone, video).faces
    assert made.left_out == (reason,)
    (failed,) = Bundle(bundle.info, ((Failing(answer), header),)).logits([video])
    assert isinstance(failed, CheckpointError)
    assert str(failed).startswith("every member failed; member 0 left out")


def test_an_unreadable_video_does_not_affect_others(two, video, tmp_path):
    write_bundle(tmp_path / "b", two)
    bundle = load_bundle(tmp_path / "b")
    gone = replace(video, tracklets=tuple(replace(t, film=tmp_path / "gone.mp4") for t in video.tracklets))
    made = bundle.logits([gone, video, gone])
    assert [isinstance(each, StoreError) for each in made] == [True, False, True]
    assert made[1] == logits_of(bundle, video)
    assert bundle.logits([]) == []


def test_shares_of_segments_and_members_are_scored(tmp_path, video):
    paths = [checkpoint(tmp_path / f"{seed}.ckpt", seed, clips=4) for seed in range(3)]
    write_bundle(tmp_path / "b", paths)
    bundle = load_bundle(tmp_path / "b")
    found = [[face.segment for face in logits_of(bundle, video, segments=share).faces] for share in (1.0, 0.5, 0.0)]
    assert found == [[0, 1, 2, 3], [1, 3], [2]]
    for share, used in ((0.0, 1), (0.4, 1), (0.7, 2), (1.0, 3)):
        some = Bundle(bundle.info, bundle.members[:used])
        assert logits_of(bundle, video, members=share) == logits_of(some, video)


def test_crops_are_cut_for_the_most_demanding_member(two, tmp_path, face_video):
    """Each member gets its own margin and size from the same crops."""
    narrow = checkpoint(tmp_path / "narrow.ckpt", 3, FACES.replace(margin=1.0, size=96), margin=1.0, size=48)
    wide = checkpoint(tmp_path / "wide.ckpt", 4, FACES.replace(margin=1.8))
    info = write_bundle(tmp_path / "b", [narrow, wide])
    assert info.faces == FACES.replace(margin=1.8, size=96)
    bundle = load_bundle(tmp_path / "b")
    made = logits_of(bundle, in_memory(Video(face_video, "face.mp4"), info.faces))
    assert [face.segment for face in made.faces] == [1, 3]
    assert made.left_out == ()
