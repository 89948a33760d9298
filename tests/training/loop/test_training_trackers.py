"""Trackers get irctl's settings, the run id, dev scores and the best of them; trackio and mlflow for real, offline."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_training as tiny

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.origins import SET
from irctl.paths import RunPaths
from irctl.training import trackers
from irctl.training.loop import session, tracking

RUN_ID = "20261128-100000000-abcd"


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where trackers write; what the worker sets for them does not outlive the test."""
    for name in ("WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RESUME", "MLFLOW_EXPERIMENT_NAME", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def trained(folder: Path, report_to: str) -> RunPaths:
    """Three steps of the tiny model with a dev score at each."""
    paths = RunPaths(folder / RUN_ID)
    paths.folder.mkdir()
    config = tiny.configuration(
        train__report_to=report_to, train__max_steps=3, train__save="1", eval__during="candidates", train__lr=0.01
    )
    session.run(config, paths, tiny.build)
    return paths


def test_names_are_a_list_checked_before_a_run_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers.names("none") == [] and trackers.names("trackio, wandb,trackio") == ["trackio", "wandb"]
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    trackers.check("trackio,mlflow", SET)
    with pytest.raises(ConfigError, match=r"from --set.*no tracker named 'mlfow'.*Did you mean 'mlflow'"):
        trackers.check("trackio,mlfow", SET)


def test_places_the_user_set_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    config = settings.resolve(settings.from_sets(["train.report_to=wandb", "run.name=big"]))
    made = tracking.arguments(config, RunPaths(tmp_path / RUN_ID))
    assert made == {"report_to": ["wandb"], "run_name": f"big {RUN_ID}", "project": "irctl"}
    assert (tracking.os.environ["WANDB_PROJECT"], tracking.os.environ["WANDB_RUN_ID"]) == ("mine", RUN_ID)


def test_wandb_gets_the_flat_settings_and_the_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    stub = SimpleNamespace(config=SimpleNamespace(update=lambda values, **_: given.update(values)))
    monkeypatch.setitem(sys.modules, "wandb", stub)
    config = settings.resolve(settings.from_sets(["train.report_to=wandb", "train.lr=0.25"]))
    (callback,) = tracking.callbacks(config, RunPaths(tmp_path / RUN_ID))
    callback.on_train_begin(None, SimpleNamespace(is_world_process_zero=False), None)
    assert given == {}
    callback.on_train_begin(None, SimpleNamespace(is_world_process_zero=True), None)
    assert given["train.lr"] == 0.25 and given["irctl.run_id"] == RUN_ID


@pytest.mark.slow  # it makes a database of all its tables
def test_mlflow_has_settings_steps_dev_scores_and_the_best(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    trained(tmp_path, "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'irctl'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["irctl.run_id"] == RUN_ID and run.info.run_name == RUN_ID
    assert run.data.params["train.lr"] == "0.01" and run.data.params["train.max_steps"] == "3"
    dev = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "eval_nDCG_10")}
    assert sorted(dev) == [0, 1, 2, 3] and len(client.get_metric_history(run.info.run_id, "loss")) == 3
    best = max((1, 2, 3), key=lambda step: dev[step])
    assert run.data.metrics["eval_best_nDCG_10"] == pytest.approx(dev[best])
    assert run.data.metrics["eval_best_step"] == best
    assert run.data.metrics["eval_untrained_nDCG_10"] == pytest.approx(dev[0])


def test_trackio_has_settings_steps_dev_scores_and_the_best_without_a_network(tmp_path: Path) -> None:
    trackio = pytest.importorskip("trackio")
    trained(tmp_path, "trackio")
    (run,) = trackio.Api().runs("irctl")
    assert run.name == RUN_ID
    assert run.config["train.lr"] == 0.01 and run.config["irctl.run_id"] == RUN_ID
    logs = trackio.sqlite_storage.SQLiteStorage.get_logs("irctl", RUN_ID)
    dev = [row["eval/nDCG@10"] for row in logs if "eval/nDCG@10" in row]
    assert len(dev) == 4 and len([row for row in logs if "train/loss" in row]) == 3
    (best,) = [row["eval/best_nDCG@10"] for row in logs if "eval/best_nDCG@10" in row]
    assert best == max(dev[1:])


def test_tensorboard_has_settings_steps_and_dev_scores(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    paths = trained(tmp_path, "tensorboard")
    seen = EventAccumulator(str(paths.folder / "tensorboard"))
    seen.Reload()
    assert [e.step for e in seen.Scalars("eval/nDCG@10")] == [0, 1, 2, 3] and len(seen.Scalars("train/loss")) == 3
    assert any("irctl" in tag for tag in seen.Tags()["tensors"])
