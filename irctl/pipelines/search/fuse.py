"""Fusing run files: reciprocal rank fusion, CombSUM after min-max scaling, or a weighted sum of scaled scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, tables
from irctl.errors import ConfigError, DataError
from irctl.index.shards import write_json
from irctl.pipelines.references.run_files import run_behind, run_file_of
from irctl.pipelines.search import splits
from irctl.types import Run

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle

RRF_K = 60
"""Cormack, Clarke and Buettcher, SIGIR 2009."""


def sum_reciprocal_ranks(runs: Sequence[Run]) -> Run:
    """Sum over runs of 1 / (60 + rank), rank from 1, ties by document id descending as trec_eval orders them."""
    fused: Run = {}
    for run in runs:
        for query, documents in run.items():
            target = fused.setdefault(query, {})
            for rank, document in enumerate(sorted(documents, key=lambda d: (documents[d], d), reverse=True), 1):
                target[document] = target.get(document, 0.0) + 1 / (RRF_K + rank)
    return fused


def sum_weighted(runs: Sequence[Run], weights: Sequence[float]) -> Run:
    """Sum of weight x score, each query's scores scaled to 0..1 first; a missing document counts 0."""
    fused: Run = {}
    for run, weight in zip(runs, weights, strict=True):
        for query, documents in run.items():
            target = fused.setdefault(query, {})
            low, high = min(documents.values(), default=0.0), max(documents.values(), default=0.0)
            for document, score in documents.items():
                scaled = (score - low) / (high - low) if high > low else 1.0
                target[document] = target.get(document, 0.0) + weight * scaled
    return fused


def combine(how: str, runs: Sequence[Run]) -> Run:
    """Fuse by name: rrf, combsum, or weighted:0.7,0.3. Raises ConfigError if the name or the weights do not fit."""
    weights = read_weights(how, len(runs))
    return sum_weighted(runs, weights) if weights else sum_reciprocal_ranks(runs)


def read_weights(how: str, count: int) -> list[float]:
    """One weight a run, each 1 for combsum; none for rrf. Raises ConfigError for another name, or unfit weights."""
    if count < 2:
        raise ConfigError(
            f"--fuse {how}: expected at least 2 run files, found {count}", hint="irctl search --fuse rrf A B"
        )
    name, _, text = how.partition(":")
    if name == "rrf":
        return []
    if name == "combsum":
        return [1.0] * count
    if name == "weighted":
        try:
            weights = [float(w) for w in text.split(",")]
        except ValueError:
            weights = []
        if len(weights) != count or not all(map(math.isfinite, weights)):
            raise ConfigError(f"--fuse {how}: expected {count} weights, one a run file", hint="weighted:0.7,0.3")
        return weights
    raise ConfigError(f"--fuse {how}: expected rrf, combsum or weighted:...", hint="irctl search --fuse rrf A B")


def describe(how: str, run_files: Sequence[str]) -> dict[str, Any]:
    """What --dry-run prints: the run files, opened by name, and how they are fused."""
    read_weights(how, len(run_files))
    return {"fusion": {"how": how, "of": ", ".join(str(_open(name).file) for name in run_files)}}


def fuse(run: RunHandle, k: int, *, how: str, run_files: Sequence[str], out: str | None) -> dict[str, Any]:
    """Fuse run files, or those of searches named by their runs, into one of the k best a query."""
    from irctl.data.judgements.runs import read_run, write_run

    target = Path(out) if out else run.out / "run.trec.gz"
    files.check_file(target)
    read_weights(how, len(run_files))
    inputs = [_open(name) for name in run_files]
    fused = combine(how, [read_run(i.file) for i in inputs])
    cut = {q: dict(sorted(d.items(), key=lambda x: (x[1], x[0]), reverse=True)[:k]) for q, d in fused.items()}
    write_run(target, cut, run.id)
    for i in inputs:
        run.artifact("in", "run_file", i.file)
    run.artifact("out", "run_file", target, n_rows=len(cut))
    if gave_mean := sorted({query for i in inputs for query in i.gave_mean}):
        searches = [{"method": how, "gave_mean": gave_mean, "transform": "a transform of what was fused"}]
        write_json(run.out / splits.SEARCH, {"schema": "irctl/search-file/1", "searches": searches})
    run.note(method=f"fuse {how}", model=" + ".join(i.name for i in inputs))
    return {"run_file": str(target), "queries": len(cut), "method": how, "fused": [str(i.file) for i in inputs]}


@dataclass(frozen=True)
class _Input:
    file: Path
    name: str
    """What it is a ranking of: the model of its search, else the file's name and hash."""
    gave_mean: tuple[str, ...] = ()
    """Queries that gave the transform of its search a query mean, and are measured by none of it."""


def _open(name: str) -> _Input:
    """A run file, or that of a search run. Raises DataError where it is neither."""
    from irctl import hashing

    file = Path(name) if Path(name).is_file() else None
    if file is None and (Path(name).suffix or ("/" in name and not Path(name).is_dir())):
        raise DataError(f"{name}: no such run file", hint="irctl search writes one")
    file = file or run_file_of(name)
    maker = run_behind(str(file))
    model = maker and (maker.columns.get("model") or maker.columns.get("method"))
    named = str(model) if model else f"{file.name} {hashing.content(file.absolute())[:8]}"
    return _Input(file, named, tuple(_read_gave_mean(maker.folder)) if maker else ())


def _read_gave_mean(folder: Path) -> list[str]:
    path = folder / "out" / splits.SEARCH
    searches = tables.json_object(path).get("searches", []) if path.is_file() else []
    return [query for search in searches for query in search.get("gave_mean") or ()]
