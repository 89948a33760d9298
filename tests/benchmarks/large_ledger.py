"""A ledger as of a year's work: 10,000 runs and a million metric rows, as run folders that irctl would have written.

500 systems of 5 seeds, each a chain train > encode > compress > eval; five collections of 100 systems. Every run has
its whole settings, artifacts with hashes that link it to the runs before it, and its measures; an evaluation also has
eval.json and values of 50 queries by three measures. Numbers are drawn, not measured.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from irctl.config import resolve
from irctl.ledger.database.store import Ledger

COLLECTIONS = ("cranfield", "scifact", "nfcorpus", "fiqa", "arguana")
LOSSES = ("infonce", "ws2", "kl", "listnet")
RATES = ("1e-5", "2e-5", "5e-5", "1e-4", "2e-4")
SLICES = (8, 16, 24, 32, 48)
SEEDS = (1, 2, 3, 4, 5)
QUERIES = 50
MEASURES = ("nDCG@10", "RR@10", "R@100")
STEPS = (("train", "model"), ("encode", "embeddings"), ("compress", "bundle"), ("eval", "eval"))
EVALUATION = {"eval.json": "eval", "per_query.parquet": "per_query"}
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TRAINING = 390
"""Values that a training logs: with 6 of a compression and 4 of an evaluation, 100 a run."""


def make(runs: Path, *, seeds: int = 5, collections: int = 5, logged: int = TRAINING) -> int:
    """Write the folders and index them; how many runs. Fewer seeds, collections or logged values make a small one."""
    systems = list(itertools.product(COLLECTIONS[:collections], LOSSES, RATES, SLICES, SEEDS[:seeds]))
    rng, clock = random.Random(0), datetime(2026, 1, 1, tzinfo=UTC)
    base = {c: resolve({}).to_json() for c in ("train", "encode", "compress", "eval")}
    for number, (collection, loss, rate, slices, seed) in enumerate(systems):
        before: dict[str, Any] = {"kind": "collection", "path": f"/data/{collection}", "sha256": _hash(collection)}
        for command, kind in STEPS:
            clock += timedelta(seconds=61)
            run = f"{clock:%Y%m%d-%H%M%S}000-{number % 1296:04d}"
            folder = runs / run
            (folder / "out").mkdir(parents=True)
            made = {"role": "out", "kind": kind, "path": "out", "sha256": _hash(f"{run} {kind}"), "size": 9}
            chosen = {"run.seed": seed, "data.source": collection, "data.split": "test"}
            chosen |= {"loss.name": loss, "train.lr": float(rate), "model.name": MODEL} if command == "train" else {}
            chosen |= {"compress.method": "pq", "pq.m": slices} if command == "compress" else {}
            config = base[command] | {k: {"value": v, "origin": "--set"} for k, v in chosen.items()}
            (folder / "config.json").write_text(json.dumps(config))
            value = 0.3 + 0.05 * math.log2(slices) + rng.uniform(-0.03, 0.03)
            means = _evaluate(folder / "out", collection, slices, value, rng) if command == "eval" else {}
            lines = list(_measured(command, collection, slices, means, logged, rng))
            (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
            if command == "compress":
                about = {"about": {"model": MODEL}, "method": "pq", "source": {"name": collection}}
                (folder / "out" / "manifest.json").write_text(json.dumps({"format": "irctl-bundle", **about}))
            files = [made] if command != "eval" else [_file(folder / "out" / n, k) for n, k in EVALUATION.items()]
            record = _record(run, command, clock, collection, seed) | {"artifacts": [{"role": "in", **before}, *files]}
            (folder / "run.json").write_text(json.dumps(record))
            before = {k: v for k, v in made.items() if k != "role"} | {"path": str((folder / "out").absolute())}
    return Ledger().write(lambda c: int(c.execute("SELECT count(*) FROM runs").fetchone()[0]))  # indexes what is there


def _file(path: Path, kind: str) -> dict[str, Any]:
    content = path.read_bytes()
    known = {"path": f"out/{path.name}", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"role": "out", "kind": kind, **known}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _record(run: str, command: str, clock: datetime, collection: str, seed: int) -> dict[str, Any]:
    at = clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    more = {"negatives_per_query": 31, "global_batch": 16} if command == "train" else {}
    return {
        "id": run,
        "command": command,
        "argv": ["irctl", command, "--data", collection, "--set", f"run.seed={seed}"],
        "status": "completed",
        "created_at": at,
        "started_at": at,
        "ended_at": at,
        "duration_s": 60.0,
        "cpu_s": 55.0,
        "method": {"train": "dense", "compress": "pq", "eval": "dense"}.get(command, ""),
        "dataset": collection,
        "dataset_fingerprint": _hash(collection),
        "model": MODEL,
        "model_fingerprint": _hash(run) if command == "train" else None,
        "seed": seed,
        "git_commit": _hash("commit")[:40],
        "exit_code": 0,
        **more,
    }


def _measured(
    command: str, collection: str, slices: int, means: dict[str, float], logged: int, rng: random.Random
) -> Iterator[dict[str, Any]]:
    def row(name: str, number: float, **more: Any) -> dict[str, Any]:
        return {"name": name, "value": number, "dataset": collection, "at": "2026-01-01T00:00:00.000Z", **more}

    if command == "train":
        for i in range(logged // 2):
            yield row("loss", 3 / (i + 1) + rng.random(), step=i + 1, dataset="")
            yield row("lr", 1e-5, step=i + 1, dataset="")
    elif command == "compress":
        own = {"rows": 1e5, "code_size": slices / 2, "bytes_per_row": slices / 2, "ratio": 3072 / slices}
        for name, number in (own | {"relative_mse": 4 / slices, "train_s": 10 * rng.random()}).items():
            yield row(name, number)
    elif command == "eval":
        for name, mean in means.items():
            yield row(name, mean, split="test")
        yield row("queries_per_s", 1000 * rng.random(), split="test")


def _evaluate(out: Path, collection: str, slices: int, value: float, rng: random.Random) -> dict[str, float]:
    """Write the files of an evaluation; its means by measure."""
    from irctl.pipelines.evaluate import files

    place = {"dataset": collection, "split": "test"}
    about = {**place, "n_queries": QUERIES, "n_missing": 0, "self_match": "keep", "k": 1000, "similarity": "dot"}
    about["qrels_sha256"] = _hash(f"qrels {collection}")
    results, rows = [], []
    for i, measure in enumerate(MEASURES):
        drawn = [min(1.0, max(0.0, value * (1 + i / 10) + rng.gauss(0, 0.25))) for _ in range(QUERIES)]
        results.append({**about, "measure": measure, "value": sum(drawn) / QUERIES})
        told = {**place, "measure": measure, "n_relevant": 3, "n_retrieved": 1000}
        rows += [{**told, "query_id": f"q{n}", "value": v} for n, v in enumerate(drawn)]
    search = {**place, "k": 1000, "model": MODEL, "method": "dense", "compression": "pq", "similarity": "dot"}
    search["bytes_per_vector"] = slices / 2
    (out / files.EVAL).write_text(json.dumps({"results": results, "searches": [search]}))
    files.write_per_query(out / files.PER_QUERY, rows)
    return {r["measure"]: r["value"] for r in results}
