"""Two-query collections and evaluations of them, for the tests of `irctl eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_collections import beir_folder

from irctl.config import Config, from_sets, resolve
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.types import Silent

DOCUMENTS = {d: f"text {d}" for d in ("d1", "d2", "d3", "q1")}
QUERIES = {q: f"query {q}" for q in ("q1", "q2")}


def collection(folder: Path, name: str = "toy", self_match: str = "keep") -> Path:
    """A BEIR folder of two queries: d1 answers q1 (q1 is its own twin), d2 answers q2."""
    home = beir_folder(folder / name, DOCUMENTS, QUERIES, test={"q1": {"d1": 1}, "q2": {"d2": 2}})
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
