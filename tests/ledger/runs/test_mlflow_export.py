"""Runs copied into MLflow: once each, with settings, measures and status."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ledger_runs import finished, start

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
