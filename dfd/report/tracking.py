"""Mirror runs in MLflow. The run folder has all data already, so nothing here can lose a run.

A run folder is logged while it grows: settings and number of parameters at once, points of its curves as they are
written, and at its end measures, curve, settings and checkpoint. Its mlflow.json names the MLflow run, so that a
resumed run continues there.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import pandas as pd

from dfd.errors import ConfigError
from dfd.files import write_text
from dfd.report.curves import draw_curve

EXPERIMENT = "dfd"
SQLITE = "sqlite:///"
NONE = "none"
"""Value of the store's address that disables tracking."""
PLACES = ("epoch", "step")
"""Columns of metrics.csv that are not measures."""
ARTIFACTS = ("config.json", "metrics.csv", "curve.png", "checkpoints/last.ckpt")


class Mirror:
    """Mirrors the run folder `out`, and the folders of its folds, in the MLflow store at `uri`.

    The store is opened at the first look that finds a run. Later errors do not stop a training: `trouble` has the
    message of the first one.
    """

    def __init__(self, uri: str, out: Path) -> None:
        self.uri, self.out, self.trouble = uri, out, ""
        self.client: Any = None
        self._told: dict[Path, float] = {}

    def look(self) -> None:
        """Log what is new. Cheap if nothing is.

        Raises ConfigError when MLflow is not installed or the store cannot be opened.
        """
        if self.client is None:
            if not (self.out / "config.json").is_file():
                return
            self._open()
        for curve in [*sorted(self.out.glob("fold-*/metrics.csv")), self.out / "metrics.csv"]:
            if curve.is_file() and self._told.get(curve) != (changed := curve.stat().st_mtime):
                self._told[curve] = changed
                self._try(self._tell_curve, curve.parent)

    def finish(self) -> None:
        """Log the rest: measures, and config.json, curve and checkpoint as artifacts."""
        self.look()
        if self.client is None:
            return
        for folder in [*sorted(self.out.glob("fold-*")), self.out]:
            if (folder / "metrics.csv").is_file():
                self._try(self._tell_end, folder)

    def _open(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # hides messages about creating a database
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ModuleNotFoundError:
            raise ConfigError("MLflow is not installed: pip install 'dfd[mlflow]', or leave out --track") from None
        self._failures = (MlflowException, OSError)
        try:
            self.client = MlflowClient(tracking_uri=self.uri)
            self.experiment = self._experiment()
        except self._failures as error:
            raise ConfigError(f"no MLflow store at {self.uri}: {_first_line(error)}; or leave out --track") from None

    def _try(self, tell: Any, folder: Path) -> None:
        try:
            tell(folder)
        except self._failures as error:
            self.trouble = self.trouble or f"MLflow did not take {folder}: {_first_line(error)}"

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found:
            return str(found.experiment_id)
        local = self.uri.startswith(SQLITE)
        place = Path(self.uri.removeprefix(SQLITE)).absolute().parent / "mlartifacts"
        return str(self.client.create_experiment(EXPERIMENT, place.as_uri() if local else None))

    def _run(self, folder: Path) -> dict[str, Any]:
        """The MLflow run of a folder, and how far its curve is logged. Starts a run if the folder has none."""
        note = folder / "mlflow.json"
        if note.is_file():
            known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
            return known
        tags = {} if folder == self.out else {"mlflow.parentRunId": self._run(self.out)["run"]}
        name = folder.name if folder == self.out else f"{self.out.name} {folder.name}"
        run = self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        about = {**config.get("recipe", {}), "parameters": config.get("parameters"), "folds": config.get("folds")}
        for key, value in _flat(about).items():
            self.client.log_param(run, key, value)
        begun = {"run": run, "rows": 0}
        _write(note, begun)
        return begun

    def _tell_curve(self, folder: Path) -> None:
        known, table = self._run(folder), pd.read_csv(folder / "metrics.csv")
        if "fold" in table:  # the curves of all folds, which are logged in the folds' own runs
            return
        for row in table.iloc[known["rows"] :].to_dict("records"):
            for name, value in row.items():
                if name not in PLACES and not math.isnan(value):
                    self.client.log_metric(known["run"], str(name), float(value), step=int(row["step"]))
        _write(folder / "mlflow.json", {**known, "rows": len(table)})

    def _tell_end(self, folder: Path) -> None:
        run = self._run(folder)["run"]
        if (folder / "score.json").is_file():
            score = json.loads((folder / "score.json").read_text(encoding="utf-8"))
            for name, value in score.get("score", score).items():
                if isinstance(value, int | float):
                    self.client.log_metric(run, name, float(value))
        draw_curve(folder)
        for file in (folder / name for name in ARTIFACTS):
            if file.is_file():
                self.client.log_artifact(run, str(file))
        self.client.set_terminated(run)


def _flat(settings: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names.

    >>> _flat({"train": {"lr": 0.1}, "seed": None})
    {'train.lr': 0.1, 'seed': None}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return flat


def _write(path: Path, note: dict[str, Any]) -> None:
    write_text(path, json.dumps(note) + "\n")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
