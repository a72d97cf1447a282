"""What holds on a GPU. Without one these tests are skipped; `python -m benchmarks.gpu` runs them where there is one."""

import pytest
import torch

from dfd.inference.bundle import load_bundle
from dfd.inference.forward import AT_ONCE, answers
from dfd.inference.info import shipped
from dfd.models.checkpoint import load_model, read_checkpoint
from dfd.training.crossval import score_held
from dfd.training.fit import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]


def test_a_gpu_gives_the_logits_of_a_cpu():
    """In 16 bits, several videos at a time, against 32 bits, each alone."""
    here, there = (load_bundle(shipped(), device).members for device in ("cpu", "cuda"))
    for (slow, header), (fast, _) in zip(here, there, strict=True):
        torch.manual_seed(0)
        clip = header.clip
        videos = [torch.randint(0, 256, (n, 3, clip.length, clip.size, clip.size), dtype=torch.uint8) for n in (1, 3)]
        wanted, found = (answers(model, videos) for model in (slow, fast))
        assert AT_ONCE["cuda"].half
        for one, other in zip(wanted, found, strict=True):
            assert other == pytest.approx(one, abs=0.02)


def test_a_model_trained_on_a_gpu_scores_on_a_cpu(small_store, small_recipe, tmp_path):
    videos = [video for video in small_store.records() if video.tracklets]
    recipe = small_recipe.replace(train=small_recipe.train.replace(precision="bf16-mixed", ema=0.9))
    path = train(videos, small_store, recipe, tmp_path / "run")
    assert all(
        tensor.device.type == "cpu" and torch.isfinite(tensor).all() for tensor in read_checkpoint(path)[1].values()
    )
    assert next(load_model(path)[0].parameters()).device.type == "cpu"
    prediction = score_held(videos, path, tmp_path / "oof")
    assert [score.status for score in prediction.scores] == ["ok"] * len(videos)
