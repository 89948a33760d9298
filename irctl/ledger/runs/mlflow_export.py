"""Copying runs into MLflow, for people who look at them there. One way only: irctl never reads from it.

A run is recognised by its tag `irctl.run_id`, so exporting again adds only what is new.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from irctl.errors import EnvironmentUnfit
from irctl.ledger import query
from irctl.ledger.query import RunRecord

EXPERIMENT = "irctl"
TAG = "irctl.run_id"
BATCH = 100  # parameters and metrics that MLflow takes in one call
LONGEST_VALUE = 6000
FIRST_CALL = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""Whether a server is there shows at once; by MLflow's own settings a wrong address takes four minutes."""
STATUS = {"completed": "FINISHED", "running": "RUNNING", "queued": "SCHEDULED", "failed": "FAILED"}


def export_runs(runs: Sequence[RunRecord], uri: str) -> tuple[list[str], list[str]]:
    """(ids exported, ids that were there already). Raises EnvironmentUnfit without MLflow or if it refuses the URI."""
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise EnvironmentUnfit("--mlflow: MLflow is not installed", hint='pip install "irctl[mlflow]"') from None
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        with _impatient():
            known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
        new, present = [], []
        for run in runs:
            if client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'", max_results=1):
                present.append(run.id)
            else:
                _copy(client, experiment, run)
                new.append(run.id)
    except (MlflowException, ImportError) as e:
        raise EnvironmentUnfit(f"--mlflow {uri}: {e}", hint="Check the URI, such as sqlite:///mlflow.db") from None
    return new, present


@contextmanager
def _impatient() -> Iterator[None]:
    """Ask a server once more at most, unless the user has set how often; later calls have MLflow's patience."""
    given = {name: value for name, value in FIRST_CALL.items() if name not in os.environ}
    log = logging.getLogger("urllib3.connectionpool")
    level = log.level
    os.environ.update(given)
    log.setLevel(logging.ERROR)  # it warns of each try; the error at the end says all
    try:
        yield
    finally:
        log.setLevel(level)
        for name in given:
            del os.environ[name]


def _copy(client: Any, experiment: str, run: RunRecord) -> None:
    from mlflow.entities import Metric, Param

    c = run.columns
    columns = ("command", "method", "dataset", "model", "status", "profile", "git_commit", "irctl_version", "notes")
    tags = {TAG: run.id, **{f"irctl.{k}": str(c[k]) for k in columns if c[k]}, "irctl.tags": " ".join(run.tags)}
    copy = client.create_run(experiment, start_time=_ms(c["created_at"]), tags=tags, run_name=c["name"] or run.id)
    settings = query.rows("SELECT key, value_text FROM params WHERE run_id = ? ORDER BY key", (run.id,))
    params = [Param(row["key"], (row["value_text"] or "")[:LONGEST_VALUE]) for row in settings]
    metrics = [
        Metric(_name(m), m["value"], _ms(m["at"]), m["step"] or 0)
        for m in query.metrics(run.id)
        if m["value"] is not None
    ]
    for i in range(0, max(len(params), len(metrics)), BATCH):
        client.log_batch(copy.info.run_id, metrics=metrics[i : i + BATCH], params=params[i : i + BATCH])
    if c["status"] not in ("running", "queued"):
        status = STATUS.get(c["status"], "KILLED")
        client.set_terminated(copy.info.run_id, status, _ms(c["ended_at"] or c["created_at"]))


def _name(metric: dict[str, Any]) -> str:
    """A metric's name with its data set and split, in the characters that MLflow allows ('@' is not one of them)."""
    parts = [p for p in (metric["dataset"], metric["split"], metric["name"]) if p]
    return "".join(ch if ch.isalnum() or ch in "_-. /" else "_" for ch in "/".join(parts))


def _ms(at: str | None) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000) if at else 0
