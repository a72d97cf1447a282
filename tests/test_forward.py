"""Clips of several videos in one forward call. This is meant for GPUs; here the same code runs on a CPU."""

import threading
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError
from dfd.faces.recorder import in_memory
from dfd.faces.tracklets import FacesConfig
from dfd.inference import forward
from dfd.inference.budget import Budget
from dfd.inference.bundle import Bundle, Logits, load_bundle, write_bundle
from dfd.inference.forward import AT_ONCE, AtOnce, answers, one_core_a_network, read_device
from dfd.inference.predict import predict, score_videos
from dfd.models import REGISTRY, ModelConfig
from dfd.models.checkpoint import build_model
from dfd.scoring.aggregate import over_members
from dfd.types import Video
from tests.test_bundle import Failing, checkpoint


class Mean(torch.nn.Module):
    """A network whose logit is the mean of the clip's first picture; it records the shapes of its inputs."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.shapes = []

    def forward(self, clips):
        self.shapes.append(tuple(clips.shape))
        if (clips == 13).any():
            raise RuntimeError("thirteen")
        return self.weight * clips[:, :, 0].float().mean(dim=(1, 2, 3))


def clips(*values):
    """Clips of two 4x4 pictures, each of one grey level."""
    return torch.stack([torch.full((3, 2, 4, 4), value, dtype=torch.uint8) for value in values])


def test_each_video_gets_its_own_clips_logits():
    videos = [clips(1, 2, 3), clips(4), clips(5, 6, 7)]
    model = Mean()
    assert answers(model, videos, offset=0.5) == [[1.5, 2.5, 3.5], [4.5], [5.5, 6.5, 7.5]]
    assert model.shapes == [(7, 3, 2, 4, 4)]
    assert answers(model, []) == []


def test_joint_calls_have_one_shape_and_padding_clips_give_no_logits():
    model = Mean()
    at_once = AtOnce(videos=2, frames=7)
    assert answers(model, [clips(1, 2), clips(3, 4, 5)], at_once=at_once) == [[1.0, 2.0], [3.0, 4.0, 5.0]]
    assert model.shapes == [(3, 3, 2, 4, 4)] * 2
    model = Mean()
    assert answers(model, [clips(1, 2)], at_once=AtOnce(videos=2, frames=1)) == [[1.0, 2.0]]  # a clip is never cut
    assert model.shapes == [(1, 3, 2, 4, 4)] * 2


def test_a_single_video_is_split_and_never_padded():
    model = Mean()
    assert answers(model, [clips(1, 2, 3, 4, 5)], at_once=AtOnce(frames=4)) == [[1.0, 2.0, 3.0, 4.0, 5.0]]
    assert [shape[0] for shape in model.shapes] == [2, 2, 1]


def test_a_video_that_makes_a_network_raise_affects_no_other():
    model = Mean()
    found = answers(model, [clips(1), clips(13, 2), clips(3)], at_once=AtOnce(videos=3, frames=64))
    assert found[0] == [1.0]
    assert found[2] == [3.0]
    assert isinstance(found[1], RuntimeError)
    assert model.shapes[1:] == [(1, 3, 2, 4, 4), (2, 3, 2, 4, 4), (1, 3, 2, 4, 4)]  # then each alone, without padding


def test_a_nonfinite_logit_affects_only_its_video():
    class Inf(Mean):
        def forward(self, clips):
            logits = clips[:, 0, 0, 0, 0].float()
            return torch.where(logits == 99, torch.nan, logits)

    found = answers(Inf(), [clips(1), clips(2, 99, 3)])
    assert found[0] == [1.0]
    assert str(found[1]) == "its logits are [2.0, nan, 3.0]"


def test_mirrored_clips_are_averaged():
    left = clips(0)
    left[..., 0] = 8

    class Left(Mean):
        def forward(self, clips):
            return clips[:, 0, 0, 0, 0].float()

    assert answers(Left(), [left]) == [[8.0]]
    assert answers(Left(), [left], mirror=True) == [[4.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("banana", "there is no device 'banana': name cpu or cuda"),
        ("mps", "there is no device 'mps': name cpu or cuda"),
        ("cuda:99", r"there is no device 'cuda:99' here: torch sees \d+ GPUs; name cpu"),
    ],
)
def test_an_unavailable_device_is_refused(name, message):
    assert read_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=message):
        read_device(name)


@pytest.mark.parametrize("name", REGISTRY)
def test_16_bit_logits_agree_to_a_hundredth(name):
    """Runs on a CPU, where the same layers compute in 16 bits as on a GPU."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(name=name), ClipConfig(length=4, size=32)).eval()
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)  # heads are initialized to 0
    noise = torch.randint(0, 256, (1, 3, 4, 32, 32), dtype=torch.uint8)
    whole, half = (answers(model, [noise], at_once=AtOnce(half=half))[0] for half in (False, True))
    assert not isinstance(whole, Exception)
    assert not isinstance(half, Exception)
    assert half != whole
    assert half == pytest.approx(whole, abs=0.01)


def overflowing(model):
    """A network that overflows 16 bits except on the mean colour, and is finite in 32 bits."""
    first = next(module for module in model.modules() if isinstance(module, torch.nn.Conv3d))
    with torch.no_grad():
        first.weight.mul_(1e5)
    return model


@pytest.fixture
def loud():
    torch.manual_seed(0)
    return overflowing(build_model(ModelConfig(name="journal_conv3d"), ClipConfig(length=4, size=32)).eval())


NOISE = torch.randint(1, 256, (2, 3, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
HALF = AtOnce(videos=3, frames=28, half=True)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_16_bit_overflow_is_retried_in_32_bits(loud, mirror):
    with torch.inference_mode(), torch.autocast("cpu", torch.float16):
        assert not torch.isfinite(loud(NOISE)).any()
    plain = (255 * loud.mean).round().to(torch.uint8).reshape(1, 3, 1, 1, 1).repeat(1, 1, 4, 32, 32)
    quiet, noise, again = answers(loud, [plain, NOISE, NOISE], 0.5, mirror, HALF)
    whole = [answers(loud, [video], 0.5, mirror, replace(HALF, half=False))[0] for video in (plain, NOISE)]
    assert noise == again == whole[1]
    assert quiet == pytest.approx(whole[0], abs=0.01)
    assert quiet != whole[0]  # not retried: 16 bits suffice for it


def test_a_nonfinite_logit_in_32_bits_is_left_out(loud):
    for weight in loud.parameters():
        weight.data *= torch.nan
    (found,) = answers(loud, [NOISE], at_once=HALF)
    assert str(found) == "its logits are [nan, nan]"


FACES = FacesConfig(size=64, detect_side=320, segment=0.7)


@pytest.fixture(scope="module")
def records(small_store, face_video):
    """Eight videos of one segment, an unreadable one, and one of four segments."""
    return [*small_store.records(), in_memory(Video(face_video, "long.mp4"), FACES)]


@pytest.fixture
def faced(records):
    return [record for record in records if record.tracklets]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, small_store):
    folder = tmp_path_factory.mktemp("members")
    paths = [
        checkpoint(folder / "a.ckpt", 5, small_store.config),
        checkpoint(folder / "b.ckpt", 6, small_store.config, clips=3),
    ]
    write_bundle(folder / "bundle", paths)
    return load_bundle(folder / "bundle")


def test_a_member_is_left_out_only_if_32_bits_fail_too(faced, bundle, monkeypatch):
    monkeypatch.setitem(AT_ONCE, "cpu", HALF)
    (model, header), second = bundle.members
    weights = overflowing(deepcopy(model))
    loud = Bundle(bundle.info, ((weights, header), second))
    for made in loud.logits(faced):
        assert isinstance(made, Logits)
        assert made.left_out == ()
    for weight in weights.parameters():
        weight.data *= torch.nan
    rest = Bundle(bundle.info, (second,)).logits(faced)
    for made, wanted in zip(loud.logits(faced), rest, strict=True):
        assert made.faces == wanted.faces
        assert made.left_out[0].startswith("member 0 left out: ValueError: its logits are [nan")


@pytest.fixture
def together(monkeypatch):
    """Score three videos at a time, with seven clips of four frames per call."""
    monkeypatch.setitem(AT_ONCE, "cpu", AtOnce(videos=3, frames=28))


def test_parallel_members_give_the_same_digits_as_sequential_ones(faced, bundle, monkeypatch):
    monkeypatch.setattr(forward, "available_cores", lambda: 2)
    (first, header), second = bundle.members
    barrier = threading.Barrier(2, timeout=100)

    class Waits(torch.nn.Module):
        """A member that proceeds only once another runs in parallel."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, clips):
            barrier.wait()
            assert torch.get_num_threads() == 1
            return self.inner(clips)

    def fails(clips):
        raise RuntimeError("not this one")

    waiting = Bundle(bundle.info, ((Waits(first), header), (Waits(second[0]), second[1]), (Failing(fails), header)))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_core_a_network():
            one_by_one = [
                [Bundle(bundle.info, (m,)).logits([record])[0].faces for m in bundle.members] for record in faced
            ]
            together = [waiting.logits([record])[0] for record in faced]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for logits, alone in zip(together, one_by_one, strict=True):
        assert isinstance(logits, Logits)
        assert logits.faces == over_members(alone, [1.0, 1.0])
        assert logits.left_out == ("member 2 left out: RuntimeError: not this one",)


def close(scores, others):
    assert [replace(s, seconds=0, probability=0, faces=()) for s in scores] == [
        replace(s, seconds=0, probability=0, faces=()) for s in others
    ]
    for one, other in zip(scores, others, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
        assert [face[:3] for face in one.faces] == [face[:3] for face in other.faces]


def test_videos_scored_together_get_the_same_scores_as_alone(records, bundle, tmp_path, request):
    names = [record.video for record in records]
    alone = [score for record in records for score in score_videos([record], bundle)]
    request.getfixturevalue("together")
    assert bundle.at_once == AtOnce(3, 28)
    close(score_videos(records, bundle), alone)
    steps = []
    budget = Budget(10, 3600)
    made = predict(
        names, [records[:5], [], records[5:]], bundle, tmp_path / "s.csv", lambda *step: steps.append(step), budget
    )
    close(made.scores, alone)
    assert [done for done, _, _ in steps] == [3, 5, 8, 10]
    assert sum(budget.used.values()) == 10
    assert not budget.changes


@pytest.mark.usefixtures("together")
def test_a_damaged_film_affects_only_its_video(faced, bundle, tmp_path):
    records = faced[-3:]
    whole = score_videos(records, bundle)
    gone = replace(records[1].tracklets[0], film=tmp_path / "gone.mp4")
    damaged = [records[0], replace(records[1], tracklets=(gone,)), records[2]]
    scores = score_videos(damaged, bundle)
    assert [score.status for score in scores] == ["ok", "error", "ok"]
    assert str(tmp_path / "gone") in scores[1].reason
    close([scores[0], scores[2]], [whole[0], whole[2]])


@pytest.mark.usefixtures("together")
def test_a_member_that_fails_on_a_video_is_left_out_for_it(faced, bundle):
    records = faced[-3:]
    whole = score_videos(records, bundle)
    (first, header), second = bundle.members

    class Choosy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = first, 0

        def forward(self, clips):
            self.calls += 1
            if self.calls in (1, 3):  # all together; then, each alone, the second
                raise RuntimeError("not this one")
            return self.inner(clips)

    scores = score_videos(records, Bundle(bundle.info, ((Choosy(), header), second)))
    assert [score.reason for score in scores] == ["", "member 0 left out: RuntimeError: not this one", ""]
    close([scores[0], scores[2]], [whole[0], whole[2]])
    (lone,) = score_videos([records[1]], Bundle(bundle.info, (second,)))
    assert scores[1].probability == pytest.approx(lone.probability, abs=1e-6)
