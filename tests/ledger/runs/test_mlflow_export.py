"""Runs copied into MLflow: once each, with settings, measures and status."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import finished, start
from typer.testing import CliRunner

from irctl.commands.runs.runs import app
from irctl.errors import EnvironmentUnfit
from irctl.ledger import query
from irctl.ledger.runs import mlflow_export


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(EnvironmentUnfit, match=r'pip install "irctl\[mlflow\]"'):
        mlflow_export.export_runs([], "sqlite:///x.db")


def test_each_run_is_copied_once(tmp_path: Path) -> None:
    import mlflow

    finished("eval", {"RR@10": 0.25}, sets=("train.lr=1e-5",), name="teacher")
    start("train").finish("lost")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    runs = query.list_runs(sort="created_at")
    assert mlflow_export.export_runs(runs, uri) == ([r.id for r in runs], [])
    assert mlflow_export.export_runs(runs, uri) == ([], [r.id for r in runs])
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("irctl").experiment_id
    there = {r.data.tags["irctl.run_id"]: r for r in client.search_runs([experiment])}
    first = there[runs[0].id]
    assert first.data.metrics["cranfield/test/RR_10"] == 0.25
    assert first.data.params["train.lr"] == "1e-05"
    assert (first.info.run_name, first.info.status) == ("teacher", "FINISHED")
    assert there[runs[1].id].info.status == "KILLED"


class Refused:
    """A client of a server that is not there: it notes how patient MLflow was told to be."""

    seen: dict[str, str | None]

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        Refused.seen = {key: os.environ.get(key) for key in mlflow_export.FIRST_CALL}
        raise MlflowException(f"API request to {self.uri}api failed: connection refused")


@pytest.mark.parametrize("extra", [[], ["--json"], ["--debug"]])
def test_a_wrong_address_fails_fast_and_shows_no_password(monkeypatch: pytest.MonkeyPatch, extra: list[str]) -> None:
    import mlflow

    words = ["export", "--mlflow", "http://u:sesame@localhost:1/", *extra]
    monkeypatch.setattr(mlflow, "MlflowClient", Refused)
    monkeypatch.setattr(sys, "argv", ["irctl", "runs", *words])
    done = CliRunner().invoke(app, words, prog_name="irctl runs")
    assert done.exit_code == 4 and "http://***@localhost:1/" in done.stderr, done.output
    assert "sesame" not in done.output + done.stderr
    assert Refused.seen == mlflow_export.FIRST_CALL
    assert not set(mlflow_export.FIRST_CALL) & set(os.environ)
    assert logging.getLogger("urllib3.connectionpool").level == logging.NOTSET


def test_how_often_mlflow_tries_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    monkeypatch.setattr(mlflow, "MlflowClient", Refused)
    with pytest.raises(EnvironmentUnfit, match="connection refused"):
        mlflow_export.export_runs([], "http://localhost:1/")
    assert Refused.seen["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
