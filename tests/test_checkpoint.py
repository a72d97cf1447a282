import pytest
import torch

from dfd.clips.sampling import ClipConfig
from dfd.errors import CheckpointError
from dfd.faces.tracklets import FacesConfig
from dfd.models import ModelConfig
from dfd.models.checkpoint import KEY, Header, build_model, load_model, read_checkpoint, seen_by, write_checkpoint
from dfd.versions import versions

CLIP = ClipConfig(length=4, size=32)


@pytest.fixture
def saved(tmp_path):
    header = Header(model=ModelConfig(name="journal_conv3d"), clip=CLIP, faces=FacesConfig(), prior=0.5, videos=("a",))
    model = build_model(header.model, CLIP)
    path = tmp_path / "model.pt"
    write_checkpoint(path, header, model.state_dict())
    return path, model.eval(), header


def test_a_restored_model_gives_the_same_logits(saved):
    path, model, header = saved
    clips = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)
    loaded, about = load_model(path)
    assert about == header
    assert torch.equal(loaded(clips), model(clips))


def test_the_header_has_the_versions(saved):
    assert saved[2].versions == versions()
    assert {"python", "dfd", "torch", "timm"} <= set(versions())


def broken(saved, change):
    path = saved[0]
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def test_a_different_version_is_named(saved):
    path = broken(saved, lambda c: c[KEY].update(format=7))
    with pytest.raises(CheckpointError, match="is of format 7; this version reads 2"):
        read_checkpoint(path)


def test_videos_seen_by_starting_weights_are_listed(saved, tmp_path):
    assert seen_by(saved[0]) == ("a",)
    assert seen_by(None) == ()
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "imagenet.pt")  # a foreign checkpoint: unknown
    assert seen_by(tmp_path / "imagenet.pt") == ()
    with pytest.raises(CheckpointError, match="no such file"):
        seen_by(tmp_path / "none.pt")
    path = broken(saved, lambda c: c[KEY].update(format=1))  # which did not list its ancestors
    with pytest.raises(CheckpointError, match="is of format 1; this version reads 2: train it again"):
        seen_by(path)


def test_an_unknown_setting_is_named(saved):
    path = broken(saved, lambda c: c[KEY]["clip"].update(sise=3))
    with pytest.raises(CheckpointError, match="unknown|sise"):
        read_checkpoint(path)


def test_weights_of_another_shape_are_refused(saved):
    name = next(iter(torch.load(saved[0], weights_only=True)["state_dict"]))
    path = broken(saved, lambda c: c["state_dict"].pop(name))
    with pytest.raises(CheckpointError, match="does not fit journal_conv3d"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 not a zip"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.ckpt"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_foreign_checkpoint_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="no 'dfd' header"):
        read_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "y.ckpt")


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run!",))

    torch.save({KEY: {"format": 2}, "state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"evil\.ckpt"):
        read_checkpoint(tmp_path / "evil.ckpt")


def test_16_bit_checkpoints_keep_small_tensors_exact(tmp_path):
    header = Header(model=ModelConfig(name="frame"), clip=ClipConfig(length=1, size=32), faces=FacesConfig(), prior=0.5)
    torch.manual_seed(0)
    weights = build_model(header.model, header.clip).state_dict()
    write_checkpoint(tmp_path / "whole.pt", header, weights)
    write_checkpoint(tmp_path / "half.pt", header, weights, half=True)
    stored = torch.load(tmp_path / "half.pt", weights_only=True)["state_dict"]
    assert stored["backbone.conv_head.weight"].dtype == torch.bfloat16
    kept = ("mean", "backbone.bn2.running_var", "backbone.bn2.running_mean", "backbone.conv_stem.weight", "head.weight")
    assert {stored[name].dtype for name in kept} == {torch.float32}
    read = read_checkpoint(tmp_path / "half.pt")[1]
    assert [tensor.dtype for tensor in read.values()] == [tensor.dtype for tensor in weights.values()]
    for name, tensor in weights.items():
        wanted = tensor.bfloat16().float() if stored[name].dtype == torch.bfloat16 else tensor
        assert torch.equal(read[name], wanted)
    assert (tmp_path / "half.pt").stat().st_size < 0.45 * (tmp_path / "whole.pt").stat().st_size
    assert not load_model(tmp_path / "half.pt")[0].training


def test_a_member_of_an_earlier_bundle_in_float16_is_read_in_32_bits(tmp_path):
    header = Header(model=ModelConfig(name="frame"), clip=ClipConfig(length=1, size=32), faces=FacesConfig(), prior=0.5)
    weights = build_model(header.model, header.clip).state_dict()
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    write_checkpoint(tmp_path / "old.pt", header, halves)
    read = read_checkpoint(tmp_path / "old.pt")[1]
    assert {tensor.dtype for tensor in read.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(read[name], halves[name].to(read[name].dtype)) for name in halves)
