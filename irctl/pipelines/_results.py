"""The ends of a compression: the finished bundle, its numbers in the ledger and on the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing
from irctl.errors import PartlyDone
from irctl.index import shards
from irctl.index.bundle import open_bundle
from irctl.index.merging import merge
from irctl.index.plan import Plan
from irctl.index.plan import read as read_plan
from irctl.metrics import efficiency
from irctl.pipelines._bundles import Lines, done, load_quantizer, write
from irctl.pipelines._vectors import dataset_of
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines._compression import Work

PROBE = "probe.json"


def finished(work: Work, lines: Mapping[str, Lines]) -> dict[str, Any]:
    """Manifest, ledger and payload of a compression that one worker did."""
    rows = []
    for name, folder in work.folders.items():
        if gaps := work.missing(name, dict(lines[name])):
            raise PartlyDone(f"{folder}: {len(gaps)} batches are missing, the first is {gaps[0]}")
        manifest = write(folder, work.plans[name], dict(lines[name]))
        rows.append(_row(manifest, folder, work))
    _record_input(work)
    _record(work.run, work.folders, rows, dataset=work.dataset, fingerprint=work.given.stream.fingerprint)
    return _payload(work.folders, rows, memory=work.memory)


def _row(manifest: Mapping[str, Any], folder: Path, work: Work | None = None) -> dict[str, Any]:
    """One method's numbers: sizes from the files, quality from the probe, rates from this run."""
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
        row |= json.loads((folder / PROBE).read_text())
    if work is not None and str(manifest["method"]) in work.train_s:
        row["train_s"] = work.train_s[str(manifest["method"])]
    if work is not None and work.spent.rows:
        spent = work.spent
        row |= {
            "reader_rows_per_cpu_s": efficiency.rate(spent.rows, spent.reader_s),
            "encoder_rows_per_cpu_s": efficiency.rate(spent.rows, spent.encoder_s),
            "writer_rows_per_cpu_s": efficiency.rate(spent.rows, spent.writer_s),
        }
    return row


def _record_input(work: Work) -> None:
    stream, folder = work.given.stream, work.given.folder
    if folder is not None:
        work.run.artifact("in", "embeddings", folder, sha256=work.given.key, n_rows=stream.rows, dim=stream.dim)


def _record(
    run: RunHandle, folders: Mapping[str, Path], rows: Sequence[Mapping[str, Any]], *, dataset: str, fingerprint: str
) -> None:
    run.note(dataset=dataset, dataset_fingerprint=fingerprint, method=",".join(folders))
    for (name, folder), row in zip(folders.items(), rows, strict=True):
        split = name if len(folders) > 1 else ""
        for key, value in row.items():
            if isinstance(value, (int, float)):
                run.metric(key, float(value), dataset=dataset, split=split)
        digest = hashing.sha256_file(folder / shards.MANIFEST)
        run.artifact("out", "bundle", folder, sha256=digest, n_rows=int(row["rows"]), format="irctl-bundle")


SHOWN = ("method", "rows", "bytes_per_row", "ratio", "relative_mse", "recall@10", "recall@100")


def _payload(folders: Mapping[str, Path], rows: Sequence[Mapping[str, Any]], *, memory: int = 0) -> dict[str, Any]:
    paths = {name: str(folder) for name, folder in folders.items()}
    table = [{k: _short(row[k]) for k in SHOWN if k in row} for row in rows]
    payload: dict[str, Any] = {"bundle": next(iter(paths.values())), "bundles": paths, "results": list(rows)}
    if memory:
        payload["memory_bytes"] = memory
    lines = [f"bundle: {path}" for path in paths.values()]
    if any(row["coverage"] == "partial" for row in rows):
        lines.append("partial: stopped at --max-batches; the same command without it continues")
    return {**payload, "table": table, "lines": lines, "ids": list(paths.values())}


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def trained(work: Work) -> dict[str, Any]:
    """Payload of --train-only."""
    _record_input(work)
    work.run.note(
        dataset=work.dataset, dataset_fingerprint=work.given.stream.fingerprint, method=",".join(work.folders)
    )
    rows = []
    for name, folder in work.folders.items():
        row: dict[str, Any] = {"method": name, "code_size": work.quantizers[name].code_size}
        if (folder / PROBE).is_file():
            row |= json.loads((folder / PROBE).read_text())
        rows.append(row)
    paths = {name: str(folder) for name, folder in work.folders.items()}
    table = [{k: _short(row[k]) for k in ("method", "code_size", *SHOWN[4:]) if k in row} for row in rows]
    lines = [f"trained: {path}" for path in paths.values()]
    return {"folders": paths, "results": rows, "table": table, "lines": lines, "ids": list(paths.values())}


def shard_done(work: Work, worker: int, lines: Mapping[str, Lines]) -> dict[str, Any]:
    """Payload of one worker of an array; the manifest is left to --finalize."""
    plan = next(iter(work.plans.values()))
    mine = {b.index for b in plan.mine(worker)}
    done_now = min(len(mine & set(of)) for of in lines.values())
    _record_input(work)
    work.run.note(
        dataset=work.dataset, dataset_fingerprint=work.given.stream.fingerprint, method=",".join(work.folders)
    )
    line = f"shard {worker}/{plan.workers}: {done_now} of {len(mine)} batches are done; --finalize joins the shards"
    return {"shard": worker, "workers": plan.workers, "batches": done_now, "lines": [line]}


def finalized(
    folders: Mapping[str, Path], config: Config, run: RunHandle, reporter: Reporter, *, verify: bool
) -> dict[str, Any]:
    """Check that the workers covered the plan without a gap, and write the manifests. PartlyDone names what to redo."""
    rows = []
    plan: Plan | None = None
    for folder in folders.values():
        plan = read_plan(folder)
        lines = done(folder, plan, verify=verify)
        gaps = [b.index for b in plan.batches() if b.index not in lines]
        if gaps:
            count = len(plan.batches())
            again = sorted({w for w in range(plan.workers) for b in plan.mine(w) if b.index in set(gaps)})
            raise PartlyDone(
                f"{folder}: {len(gaps)} of {count} batches are missing, the first is {gaps[0]}",
                hint=f"Redo --array={','.join(map(str, again))} (or --shard {again[0]}/{plan.workers})",
            )
        manifest = write(folder, plan, lines)
        if config.compress.merge:
            manifest = merge(folder, plan, manifest, reporter)
        rows.append(_row(manifest, folder))
    assert plan is not None
    dataset = config.run.dataset or str(plan.about.get("collection", "")) or dataset_of(plan.source, plan.key)
    _record(run, folders, rows, dataset=dataset, fingerprint=plan.fingerprint)
    return _payload(folders, rows)


def verified(folders: Mapping[str, Path], reporter: Reporter) -> dict[str, Any]:
    """Hash every file of finished bundles again."""
    counts = {}
    for name, folder in folders.items():
        reporter.say(f"hashing {folder}")
        counts[name] = open_bundle(folder, load_quantizer).verify()
    lines = [f"{folders[name]}: {count} files are as the manifest says" for name, count in counts.items()]
    return {"verified": counts, "lines": lines, "ids": [str(f) for f in folders.values()]}
