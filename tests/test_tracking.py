import json
import re

import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.report.tracking import Mirror

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def mlflow():
    """The package, imported for these tests alone: it takes seconds, and every pytest process reads this module."""
    return pytest.importorskip("mlflow")


@pytest.fixture
def run(tmp_path):
    """A run folder with one epoch done."""
    folder = tmp_path / "runs" / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    config = {"recipe": {"train": {"lr": 0.1, "seed": 3}}, "parameters": 1660}
    (folder / "config.json").write_text(json.dumps(config))
    curve(folder, [0.7])
    return folder


def curve(folder, losses):
    rows = [{"epoch": n, "step": 4 * n + 4, "loss": loss, "accuracy": 0.5} for n, loss in enumerate(losses)]
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)


def test_a_run_is_mirrored_live_and_resumes_in_the_same_mlflow_run(mlflow, run, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mirror = Mirror(uri, run)
    mirror.look()
    mirror.look()
    curve(run, [0.7, 0.4])
    (run / "score.json").write_text(json.dumps({"balanced_log_loss": 0.5, "auc": 0.8, "videos": 4, "note": "x"}))
    again = Mirror(uri, run)  # a stopped run resumes
    again.finish()
    assert not again.trouble
    client = mlflow.MlflowClient(tracking_uri=uri)
    (mirrored,) = client.search_runs([client.get_experiment_by_name("dfd").experiment_id])
    assert mirrored.info.status == "FINISHED"
    assert mirrored.data.params | {"train.lr": "0.1", "train.seed": "3", "parameters": "1660"} == mirrored.data.params
    assert mirrored.data.metrics | {"loss": 0.4, "auc": 0.8, "balanced_log_loss": 0.5} == mirrored.data.metrics
    points = client.get_metric_history(mirrored.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(4, 0.7), (8, 0.4)]
    kept = {file.path for file in client.list_artifacts(mirrored.info.run_id)}
    assert kept == {"config.json", "metrics.csv", "curve.png", "last.ckpt"}
    assert (tmp_path / "mlartifacts").is_dir()  # next to the database, for any working directory


def test_folds_of_a_cross_validation_are_nested_runs(mlflow, run, tmp_path):
    for fold in range(2):
        folder = run / f"fold-{fold}"
        folder.mkdir()
        (folder / "config.json").write_text((run / "config.json").read_text())
        curve(folder, [0.7, 0.6 - 0.1 * fold])
    pd.concat([pd.read_csv(run / f"fold-{n}" / "metrics.csv").assign(fold=n) for n in range(2)]).to_csv(
        run / "metrics.csv", index=False
    )
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    Mirror(uri, run).finish()
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("dfd").experiment_id])
    assert {r.info.run_name for r in runs} == {"mine", "mine fold-0", "mine fold-1"}
    whole = next(r for r in runs if r.info.run_name == "mine")
    assert "loss" not in whole.data.metrics
    parents = {r.data.tags.get("mlflow.parentRunId") for r in runs}
    assert parents == {None, whole.info.run_id}


def test_no_tracking_store_is_created_before_a_run(tmp_path):
    mirror = Mirror(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "run")
    mirror.look()
    mirror.finish()
    assert not list(tmp_path.iterdir())


def test_an_unusable_tracking_store_is_a_one_line_error(run):
    uri = f"sqlite:///{run / 'config.json' / 'mlflow.db'}"  # in a file
    with pytest.raises(ConfigError, match=f"no MLflow store at {re.escape(uri)}: .*; or leave out --track"):
        Mirror(uri, run).look()
