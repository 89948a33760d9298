"""Two-query collections and evaluations of them, for the tests of `irctl eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from irctl.config import Config, from_sets, resolve
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.types import Silent

BEIR = {
    "corpus.jsonl": [{"_id": d, "text": f"text {d}"} for d in ("d1", "d2", "d3", "q1")],
    "queries.jsonl": [{"_id": q, "text": f"query {q}"} for q in ("q1", "q2")],
}


def collection(folder: Path, name: str = "toy", self_match: str = "keep") -> Path:
    """A BEIR folder of two queries: d1 answers q1 (q1 is its own twin), d2 answers q2."""
    home = folder / name
    (home / "qrels").mkdir(parents=True)
    for file, rows in BEIR.items():
        (home / file).write_text("".join(json.dumps(r) + "\n" for r in rows))
    (home / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\n")
    (home / "card.toml").write_text(f'name = "{name}"\nself_match = "{self_match}"\nheadline = {{ split = "test" }}\n')
    return home


def settings(source: Path | str, *sets: str) -> Config:
    return resolve(from_sets([*([f"data.source={source}"] if source else []), *sets]))


def started(config: Config | None = None) -> RunHandle:
    return start_run(command="eval", argv=["irctl", "eval"], config=config)


def ran(source: Path | str, run_file: Path | str, *sets: str, **more: Any) -> tuple[dict[str, Any], RunHandle]:
    config = settings(source, *sets)
    run = started(config)
    with run:
        return pipeline.evaluate(config, run, Silent(), EvalRequest(run_files=(str(run_file),), **more)), run


def values(payload: dict[str, Any]) -> dict[str, float]:
    return {r["measure"]: r["value"] for r in payload["results"]}
