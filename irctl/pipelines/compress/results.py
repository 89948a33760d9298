"""The ends of a compression: the finished bundle, its numbers in the ledger and on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing, tables
from irctl.errors import PartlyDone
from irctl.index import shards
from irctl.index.encode_stream import StageTimes
from irctl.index.merge_batches import merge
from irctl.metrics.vectors import efficiency
from irctl.pipelines.compress.manifest import Lines, write

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.compress.work import Work

PROBE = "probe.json"
TRAINED, SPENT = "trained.json", "spent"  # in the journal folder: bundles hold no times


def finish(work: Work, lines: Mapping[str, Lines]) -> dict[str, Any]:
    """Manifest, ledger and payload of a compression that one worker did."""
    rows = []
    for name, folder in work.folders.items():
        if gaps := work.find_missing(name, dict(lines[name])):
            raise PartlyDone(f"{folder}: {len(gaps)} batches are missing, the first is {gaps[0]}")
        manifest = write(folder, work.plans[name], dict(lines[name]))
        if work.config.compress.merge:
            manifest = merge(folder, work.plans[name], manifest, work.reporter)
        rows.append(make_row(manifest, folder, work.train_s.get(name), work.spent))
    _record_input(work)
    record_result(work.run, work.folders, rows, work.dataset)
    return make_payload(work.folders, rows, memory=work.memory.needed)


def make_row(manifest: Mapping[str, Any], folder: Path, train_s: float | None, spent: StageTimes) -> dict[str, Any]:
    """One method's numbers: sizes from the files, quality from the probe, rates from the seconds spent."""
    codes, with_ids = efficiency.bytes_per_row(manifest["parts"])
    dim = int(manifest["dim"])
    row: dict[str, Any] = {
        "method": manifest["method"],
        "rows": manifest["rows"],
        "coverage": manifest["coverage"],
        "code_size": manifest["code_size"],
        "bytes_per_row": codes,
        "bytes_per_row_with_ids": with_ids,
        "index_bytes": round(with_ids * int(manifest["rows"])),
        "ratio": efficiency.ratio(dim, codes),
        "ratio_float16": efficiency.ratio(dim, codes, 2),
        "batches": len(manifest["parts"]),
    }
    if (folder / PROBE).is_file():
        row |= tables.json_object(folder / PROBE)
    if train_s is not None:
        row["train_s"] = train_s
    if spent.rows:
        row |= {
            "reader_rows_per_cpu_s": efficiency.rate(spent.rows, spent.reader_s),
            "encoder_rows_per_cpu_s": efficiency.rate(spent.rows, spent.encoder_s),
            "writer_rows_per_cpu_s": efficiency.rate(spent.rows, spent.writer_s),
        }
    return row


def _record_input(work: Work) -> None:
    """What was read, and what the run is of."""
    stream, folder = work.given.stream, work.given.folder
    if folder is not None:
        work.run.artifact("in", "embeddings", folder, sha256=work.given.key, n_rows=stream.rows, dim=stream.dim)
    note_run(work.run, work.folders, work.dataset, work.given.about, work.given.raw.fingerprint)


def note_run(
    run: RunHandle, folders: Mapping[str, Path], dataset: str, about: Mapping[str, Any], fingerprint: str
) -> None:
    """What was compressed, by which encoder, and how, into the run's row."""
    model = str(about.get("model") or "")
    run.note(dataset=dataset, model=model, dataset_fingerprint=fingerprint, method=",".join(folders))


def record_result(run: RunHandle, folders: Mapping[str, Path], rows: Sequence[Mapping[str, Any]], dataset: str) -> None:
    for (name, folder), row in zip(folders.items(), rows, strict=True):
        split = name if len(folders) > 1 else ""
        for key, value in row.items():
            if isinstance(value, (int, float)):
                run.metric(key, float(value), dataset=dataset, split=split)
        if row["coverage"] == "partial":
            run.metric("partial", 1.0, dataset=dataset, split=split)
        sha256 = hashing.sha256_file(folder / shards.MANIFEST)
        run.artifact("out", "bundle", folder, sha256=sha256, n_rows=int(row["rows"]), format="irctl-bundle")


SHOWN = ("method", "rows", "bytes_per_row", "ratio", "relative_mse", "recall@10", "recall@100")


def make_payload(folders: Mapping[str, Path], rows: Sequence[Mapping[str, Any]], *, memory: int = 0) -> dict[str, Any]:
    paths = {name: str(folder) for name, folder in folders.items()}
    table = [{k: _shorten(row[k]) for k in SHOWN if k in row} for row in rows]
    payload: dict[str, Any] = {"bundle": next(iter(paths.values())), "bundles": paths, "results": list(rows)}
    if memory:
        payload["memory_bytes"] = memory
    lines = [f"bundle: {path}" for path in paths.values()]
    if any(row["coverage"] == "partial" for row in rows):
        lines.append("partial: stopped at --max-batches; the same command without it continues")
    return {**payload, "table": table, "lines": lines, "ids": list(paths.values())}


def _shorten(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def report_training(work: Work) -> dict[str, Any]:
    """Payload of --train-only."""
    _record_input(work)
    rows = []
    for name, folder in work.folders.items():
        row: dict[str, Any] = {"method": name, "code_size": work.quantizers[name].code_size}
        if name in work.train_s:
            row["train_s"] = work.train_s[name]
            shards.write_json(folder / shards.JOURNAL / TRAINED, {"train_s": work.train_s[name]})
        if (folder / PROBE).is_file():
            row |= tables.json_object(folder / PROBE)
        rows.append(row)
    paths = {name: str(folder) for name, folder in work.folders.items()}
    table = [{k: _shorten(row[k]) for k in ("method", "code_size", *SHOWN[4:]) if k in row} for row in rows]
    lines = [f"trained: {path}" for path in paths.values()]
    return {
        "schema": "irctl/compress-train/1",
        "folders": paths,
        "results": rows,
        "table": table,
        "lines": lines,
        "ids": list(paths.values()),
    }


def report_shard(work: Work, worker: int, lines: Mapping[str, Lines]) -> dict[str, Any]:
    """Payload of one worker of an array; the manifest is left to --finalize."""
    plan = next(iter(work.plans.values()))
    mine = {b.index for b in plan.take_share(worker, work.limit)}
    if work.spent.rows:
        for folder in work.folders.values():
            _keep_spent(folder, worker, plan.workers, work.spent)
    done_now = min(len(mine & set(of)) for of in lines.values())
    _record_input(work)
    line = f"shard {worker}/{plan.workers}: {done_now} of {len(mine)} batches are done; --finalize joins the shards"
    return {
        "schema": "irctl/compress-shard/1",
        "shard": worker,
        "workers": plan.workers,
        "batches": done_now,
        "lines": [line],
    }


def _keep_spent(folder: Path, worker: int, workers: int, spent: StageTimes) -> None:
    """What a worker spent, beside its journal: --finalize adds it up, and it goes with the journal."""
    journal = shards.ShardJournal(folder, worker, workers).path
    shards.write_json(journal.with_name(f"{SPENT}{journal.stem.removeprefix('manifest')}.json"), asdict(spent))
