"""Trackers get irctl's settings, the run id, dev scores and the best of them; trackio and mlflow for real, offline."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_training as tiny

from irctl import config as settings
from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.origins import SET
from irctl.paths import RunPaths
from irctl.training import trackers
from irctl.training.loop import session, tracking
from irctl.training.loop.step_under_way import StepUnderWay

RUN_ID = "20261128-100000000-abcd"


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where trackers write; what the worker sets for them does not outlive the test."""
    for name in ("WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_DIR", "WANDB_MODE", "WANDB_API_KEY",
                 "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "TENSORBOARD_LOGGING_DIR"):  # fmt: skip
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.chdir(tmp_path)


def trained(folder: Path, report_to: str) -> RunPaths:
    """Three steps of the tiny model with a dev score at each; asked to stop after the first where a stop file lies."""
    paths = RunPaths(folder / RUN_ID)
    paths.folder.mkdir(exist_ok=True)
    config = tiny.configuration(
        train__report_to=report_to, train__max_steps=3, train__save="1", eval__during="candidates", train__lr=0.01
    )
    session.run(config, paths, tiny.build)
    return paths


def test_names_are_a_list_checked_before_a_run_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers.names("none") == [] and trackers.names("trackio, wandb,trackio") == ["trackio", "wandb"]
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    monkeypatch.setattr(trackers, "import_module", lambda name: object())
    trackers.check("trackio,mlflow", SET)
    with pytest.raises(ConfigError, match=r"from --set.*no tracker named 'mlfow'.*Did you mean 'mlflow'"):
        trackers.check("trackio,mlfow", SET)


@pytest.mark.parametrize("name", ["trackio", "wandb", "tensorboard", "mlflow"])
def test_a_package_that_does_not_import_is_said_with_the_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: str) -> None:
        raise ModuleNotFoundError("No module named 'platformdirs'")

    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    monkeypatch.setattr(trackers, "import_module", broken)
    with pytest.raises(
        EnvironmentUnfit, match=rf"train.report_to={name} .*{name} does not import .*platformdirs.*none"
    ):
        trackers.check(name, SET)


def test_wandb_without_a_login_is_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    monkeypatch.setattr(trackers, "import_module", lambda name: object())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    with pytest.raises(EnvironmentUnfit, match=r"report_to=wandb .*no login.*wandb login, or WANDB_MODE=offline"):
        trackers.check("wandb", SET)
    for name, value in {"WANDB_MODE": "offline", "WANDB_API_KEY": "k"}.items():
        with monkeypatch.context() as given:
            given.setenv(name, value)
            trackers.check("wandb", SET)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine api.wandb.ai login user password 0123\n")
    netrc.chmod(0o600)
    trackers.check("wandb", SET)
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.example")
    assert not trackers.has_login(trackers.os.environ)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    assert trackers.has_login(trackers.os.environ)


def test_a_training_that_fails_is_no_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(end_run=ended.append))
    with pytest.raises(KeyError), tracking.marks_failure():
        raise KeyError
    assert ended == ["FAILED"]


def test_places_the_user_set_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://own")
    config = settings.resolve(settings.from_sets(["train.report_to=wandb", "run.name=big"]))
    made = tracking.arguments(config, RunPaths(tmp_path / RUN_ID))
    assert made == {"report_to": ["wandb"], "run_name": f"big {RUN_ID}", "project": "irctl"}
    assert (tracking.os.environ["WANDB_PROJECT"], tracking.os.environ["WANDB_RUN_ID"]) == ("mine", RUN_ID)
    assert tracking.os.environ["MLFLOW_TRACKING_URI"] == "http://own"
    assert tracking.os.environ["WANDB_DIR"] == str(tmp_path / RUN_ID)


def test_wandb_gets_the_flat_settings_and_the_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    stub = SimpleNamespace(config=SimpleNamespace(update=lambda values, **_: given.update(values)))
    monkeypatch.setitem(sys.modules, "wandb", stub)
    config = settings.resolve(settings.from_sets(["train.report_to=wandb", "train.lr=0.25"]))
    (callback,) = tracking.callbacks(config, RunPaths(tmp_path / RUN_ID), lambda: {"temperatures": {"infonce": 0.25}})
    callback.on_train_begin(None, SimpleNamespace(is_world_process_zero=False), None)
    assert given == {}
    callback.on_train_begin(None, SimpleNamespace(is_world_process_zero=True), None)
    assert given["train.lr"] == 0.25 and given["irctl.run_id"] == RUN_ID
    assert given["loss.temperature"] == 0.25  # as it was measured, not as it was asked for


@pytest.mark.slow  # it makes a database of all its tables
def test_mlflow_has_settings_steps_dev_scores_and_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    paths = RunPaths(tmp_path / RUN_ID)
    paths.stop.parent.mkdir(parents=True)
    paths.stop.touch()
    monkeypatch.setattr(StepUnderWay, "_watch", lambda _: None)  # which would end what has not begun
    trained(tmp_path, "mlflow")
    assert sorted(p.name for p in tmp_path.iterdir()) == [RUN_ID]  # nothing in the current folder
    client = mlflow.MlflowClient(f"sqlite:///{paths.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'irctl'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED" and "eval_best_nDCG_10" not in run.data.metrics
    paths.stop.unlink()
    trained(tmp_path, "mlflow")
    (experiment,) = client.search_experiments(filter_string="name = 'irctl'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == RUN_ID
    assert run.data.tags["irctl.run_id"] == RUN_ID and "num_train_epochs" not in run.data.params
    assert run.data.params["train.lr"] == "0.01" and run.data.params["train.max_steps"] == "3"
    tracking.mark_killed(tiny.configuration(train__report_to="mlflow"), paths)
    assert client.get_run(run.info.run_id).info.status == "KILLED"
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


def test_none_beside_a_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match="none goes with no tracker"):
        trackers.check("none,mlflow", SET)
    trackers.check("none", SET)
