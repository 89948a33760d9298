"""Recorded runs for `irctl report`: steps whose outputs are named after them, and evaluations of known means."""

from __future__ import annotations

import json
from typing import Any

import typer
from typer.testing import CliRunner, Result

from irctl.commands.report.report import report
from irctl.config import from_sets, resolve
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import files as store
from irctl.pipelines.evaluate import written

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
QUERIES = 20


def irctl(*argv: str) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, list(argv))


def step(
    command: str,
    *sets: str,
    parents: tuple[RunHandle, ...] = (),
    kind: str = "",
    measured_on: str = "",
    **columns: Any,
) -> RunHandle:
    """A finished run whose output is named after it, and which read the outputs of its parents.

    measured_on: the split by which a training chose its checkpoint.
    """
    run = start_run(command=command, argv=["irctl", command], config=resolve(from_sets(sets)), **columns)
    with run:
        if measured_on:
            run.metric("nDCG@10", 0.5, dataset="cranfield", split=measured_on, step=1)
        for parent in parents:
            for path in parent.out.iterdir():
                run.artifact("in", path.name, path, sha256=f"content of {parent.id} {path.name}")
        if kind:
            (run.out / kind).write_text(run.id)
            run.artifact("out", kind, run.out / kind, sha256=f"content of {run.id} {kind}")
    return run


def evaluation(
    parent: RunHandle | None, value: float, *, split: str = "test", k: int = 1000, **search: Any
) -> RunHandle:
    """An eval run of one measure whose per-query values average to `value`."""
    config = resolve(from_sets([f"data.split={split}"]))
    run = start_run(command="eval", argv=["irctl", "eval"], config=config, dataset="cranfield")
    told = {"dataset": "cranfield", "split": split, "k": k, "model": MODEL, "method": "dense", **search}
    cell = {"dataset": "cranfield", "split": split}
    rows = []
    results = []
    for measure, mean in (("nDCG@10", value), ("R@100", min(1.0, value * 1.5))):
        found = {
            "n_queries": QUERIES,
            "n_missing": 0,
            "self_match": "keep",
            "qrels_sha256": "q",
            "k": k,
            "similarity": "",
        }
        results.append({**cell, **found, "measure": measure, "value": mean})
        for q in range(QUERIES):
            wave = 0.01 * ((q * 7) % 5 - 2) * (1 + value)
            row = {**cell, "query_id": str(q), "measure": measure, "value": mean + wave}
            rows.append({**row, "n_relevant": 1, "n_retrieved": 9})
    with run:
        if parent is not None:
            for path in parent.out.iterdir():
                run.artifact("in", path.name, path, sha256=f"content of {parent.id} {path.name}")
        for r in results:
            run.metric(r["measure"], r["value"], **cell)
        store.write_per_query(run.out / store.PER_QUERY, rows)
        (run.out / store.EVAL).write_text(json.dumps({"results": results, "searches": [told]}))
        written.record(run)
    return run
