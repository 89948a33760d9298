"""Two runs side by side: settings with their origins, packages, code, and measures with their difference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from irctl.ledger import altered, query
from irctl.ledger.database import indexing
from irctl.ledger.query import RunRecord

FACTS = (
    "command", "method", "dataset", "dataset_fingerprint", "model", "model_fingerprint", "profile", "world_size",
    "global_batch", "negatives_per_query", "seed", "git_commit", "git_dirty", "git_diff_sha256", "irctl_version",
    "python", "host",
)  # fmt: skip


def diff(a: RunRecord, b: RunRecord) -> dict[str, Any]:
    """{facts, config, packages, measures, warnings}: rows {name, a, b, ...} of what differs; every common measure."""
    return {
        "a": a.id,
        "b": b.id,
        "facts": _differing({k: a.columns[k] for k in FACTS}, {k: b.columns[k] for k in FACTS}),
        "config": _config(a, b),
        "packages": _differing(_packages(a), _packages(b)),
        "measures": _measures(a, b),
        "warnings": _warnings(a, b),
    }


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = dict.fromkeys((*a, *b))
    return [{"name": k, "a": a.get(k), "b": b.get(k)} for k in names if a.get(k) != b.get(k)]


def _config(a: RunRecord, b: RunRecord) -> list[dict[str, Any]]:
    left, right = indexing.read_config(a.paths), indexing.read_config(b.paths)
    settings = _differing({k: v["value"] for k, v in left.items()}, {k: v["value"] for k, v in right.items()})
    for row in settings:
        row["a_origin"] = left.get(row["name"], {}).get("origin", "not set")
        row["b_origin"] = right.get(row["name"], {}).get("origin", "not set")
    return settings


def _packages(run: RunRecord) -> dict[str, str]:
    kept = query.rows("SELECT packages_json FROM env WHERE run_id = ?", (run.id,))
    return json.loads(kept[0]["packages_json"]) if kept else {}


def _measures(a: RunRecord, b: RunRecord) -> list[dict[str, Any]]:
    def by_series(run: RunRecord) -> dict[tuple[str, str, str], float | None]:
        return {(m["dataset"], m["split"], m["name"]): m["value"] for m in query.measures(run.id)}

    left, right = by_series(a), by_series(b)
    differences = []
    for key in dict.fromkeys((*left, *right)):
        x, y = left.get(key), right.get(key)
        delta = y - x if x is not None and y is not None else None
        differences.append({"dataset": key[0], "split": key[1], "name": key[2], "a": x, "b": y, "delta": delta})
    return differences


def _warnings(a: RunRecord, b: RunRecord) -> list[str]:
    warnings = []
    x, y = a.columns["negatives_per_query"], b.columns["negatives_per_query"]
    if None not in (x, y) and x != y:  # BM25, for one, was trained with none
        warnings.append(f"negatives per query differ ({x} and {y}): losses and measures are not comparable as they are")
    data = [run.columns["dataset_fingerprint"] for run in (a, b)]
    if all(data) and data[0] != data[1]:  # an export, for one, reads none
        warnings.append("the data sets differ in content")
    for run in (a, b):
        warnings += altered.find(run, ("eval",))
        if run.columns["selected_on_eval"]:
            warnings.append(f"{run.id} was selected on the split it is measured on")
        if run.columns["status"] != "completed":
            warnings.append(f"{run.id} is {run.columns['status']}")
    return warnings
