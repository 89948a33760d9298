"""What a run and those it stands on measured: quality, bytes a vector, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irctl import slurm
from irctl.pipelines.lineage.codes import manifests_of
from irctl.pipelines.lineage.run_settings import settings

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord


SPEED = ("queries_per_s", "timed_queries", "timed_threads", "latency_ms", "latency_p95_ms")
"""How fast a search was, by how many queries at once and by how many threads."""


def bytes_of(search: Mapping[str, Any], compress: RunRecord | None, compression: str) -> float | None:
    """Bytes stored for a vector, ids not counted."""
    found = search.get("bytes_per_vector") or search.get("code_size")
    if found is None and compress is not None:
        found = measures_of(compress, compression).get("code_size")
    if found is None and not compression and search.get("dim"):
        found = 4 * float(search["dim"])
    return float(found) if found is not None else None


# What a compression measures, and the name of the fact.
MEASURED = {
    **{name: name for name in ("rows", "partial", "ratio", "index_bytes", "bytes_per_row", "train_s")},
    **{name: name for name in (f"{part}_rows_per_cpu_s" for part in ("reader", "encoder", "writer"))},
    "bytes_per_row_with_ids": "bytes_with_ids",
    "relative_mse": "mse",
    "held_out_rows": "held_out_rows",
    "recall@10": "probe_recall@10",
    "recall@100": "probe_recall@100",
}


OF_FILES = ("rows", "partial", "ratio", "index_bytes", "bytes_per_row", "bytes_with_ids")
"""Facts of the files of codes, which a training that keeps the codes keeps, and which rows that are added change."""


# What a training measures, and the name of the fact.
OF_TRAINING = {
    "params": "params",
    "imbalance.average.mean": "imbalance",
    "row_error.mean": "row_error",
}


def facts_of(
    train: RunRecord | None,
    compress: RunRecord | None,
    compression: str,
    *,
    is_trained: bool = False,
    added: Sequence[RunRecord] = (),
) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers of training and compression that tables can show, and the run that each is from.

    is_trained: the codes are that training's, and of the compression they began with only their files are theirs.
    added: runs that added rows to the bundle since, newest first.
    """
    facts: dict[str, float] = {}
    runs: dict[str, str] = {}
    if train is not None:
        for column, name in (("gpu_s", "gpu_hours"), ("cpu_s", "cpu_hours"), ("duration_s", "hours")):
            if train.columns.get(column):
                facts[name] = float(train.columns[column]) / 3600
        if "gpu_hours" in facts and (price := slurm.site().price_per_hour):
            facts["price"] = facts["gpu_hours"] * price
        known = measures_of(train)
        facts |= {short: known[name] for name, short in OF_TRAINING.items() if name in known}
        runs = dict.fromkeys(facts, train.id)
    if compress is not None:
        known = measures_of(compress, compression)
        own = {short: known[name] for name, short in MEASURED.items() if name in known}
        if is_trained:
            own = {name: value for name, value in own.items() if name in OF_FILES}
        own |= _shape(compress, compression)
        facts |= own
        runs |= dict.fromkeys(own, compress.id)
    if is_trained and train is not None and train.columns.get("cpu_s"):
        facts["train_s"], runs["train_s"] = float(train.columns["cpu_s"]), train.id
    for run in reversed(added):
        known = measures_of(run)
        own = {short: known[name] for name, short in MEASURED.items() if name in known and short in OF_FILES}
        facts |= own
        runs |= dict.fromkeys(own, run.id)
    return facts, runs


def speed_of(record: RunRecord, search: Mapping[str, Any], line: Sequence[RunRecord]) -> tuple[dict[str, float], str]:
    """How fast the system's search was, and the run that measured it: the evaluation, or a search before it."""
    from irctl.ledger import query

    place = (search.get("dataset"), search.get("split", ""))
    for run in (record, *(r for r in line if r.columns.get("command") == "search")):
        known = [m for m in query.measures(run.id) if m["name"] in SPEED and m["value"] is not None]
        if mine := {m["name"]: float(m["value"]) for m in known if (m["dataset"], m["split"] or "") == place}:
            return mine, run.id
    return {}, ""


def measures_of(record: RunRecord, part: str = "") -> dict[str, float]:
    """Last values of a run by name; those of one method where it compressed by several."""
    from irctl.ledger import query

    known = [m for m in query.measures(record.id) if m["value"] is not None]
    mine = [m for m in known if m["split"] == part] if part else []
    return {m["name"]: float(m["value"]) for m in mine or known}


def _shape(compress: RunRecord, compression: str) -> dict[str, float]:
    """Slices (m) and bits a slice of product codes, by the bundle that was written; else by the settings."""
    bundles = manifests_of(compress)
    fitting = [b for b in bundles if b.get("method") == compression] or bundles[:1]
    known: dict[str, Any] = next((b["settings"] for b in fitting if b.get("settings")), {})
    if not known and compress.columns.get("command") == "compress":
        known = {k: v for k in ("m", "bits") if (v := settings(compress).get(f"{compression}.{k}")) is not None}
    return {"m": float(known["m"]), "slice_bits": float(known["bits"])} if {"m", "bits"} <= known.keys() else {}
