"""The ends of a compression: what is done already, the finished bundle, its numbers in the ledger and on the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError, PartlyDone
from irctl.index import shards
from irctl.index.bundle import QUANTIZER, open_bundle, quantizer_folder, write_bundle
from irctl.index.plan import Plan
from irctl.index.plan import read as read_plan
from irctl.metrics import efficiency
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.compress import Work

PROBE = "probe.json"
Lines = dict[int, dict[str, Any]]


def load_quantizer(folder: Path) -> Any:
    """The loader that bundles are opened with."""
    from irctl.quantizers import _open

    return _open.load(folder)


def folder_of(reference: str) -> Path:
    """The folder of a bundle: a path, or a run that wrote one (`latest`: the newest compression)."""
    path = Path(reference)
    if path.is_dir() and not (path / "run.json").is_file():
        return path
    from irctl.ledger import query

    record = query.newest(command="compress") if reference == "latest" else query.find_run(reference)
    if record is None:
        raise DataError("no finished compression in the ledger", hint="irctl compress makes one")
    found = query.artifacts(record.id, role="out", kind="bundle")
    if not found:
        command = record.columns.get("command")
        raise DataError(f"run {record.id} is a run of 'irctl {command}' and holds no bundle", hint="irctl compress")
    if len(found) > 1:
        names = ", ".join(Path(a["path"]).name for a in found)
        raise DataError(f"run {record.id} wrote several bundles ({names})", hint=f"Name one: {found[0]['path']}")
    path = Path(found[0]["path"])
    return path if path.is_absolute() or path.is_dir() else record.folder / path


def _quantizer_folder_of(reference: str) -> Path:
    folder = folder_of(reference)
    for candidate in (folder, folder / "quantizer", folder / "pq"):
        if (candidate / QUANTIZER).is_file():
            return candidate
    raise DataError(f"{folder}: holds no trained quantizer", hint="irctl compress --train-only writes one")


def quantizer_of(reference: str) -> Any:
    """The trained quantizer of a bundle (finished or not), of a folder, or of a run."""
    return load_quantizer(_quantizer_folder_of(reference))


def quantizer_digest(reference: str) -> str:
    """The hash that names it."""
    return shards.file_digest(_quantizer_folder_of(reference) / QUANTIZER)


def done(folder: Path, plan: Plan, *, verify: bool = False) -> Lines:
    """Finished batches of a folder by number. verify: hash their files again.

    Raises ConfigError for batches of another quantizer, DataError for files that changed.
    """
    lines = shards.done_shards(folder)
    if (folder / shards.MANIFEST).is_file():
        manifest = json.loads((folder / shards.MANIFEST).read_text())
        for part in manifest["parts"]:
            if "index" not in part and "batches" not in part:
                continue  # of --append: not of this plan
            if not shards.is_present(folder, part):
                continue  # vanished or cut short: made again
            first, last = part.get("batches") or (part["index"], part["index"])
            for index in range(int(first), int(last) + 1):
                lines.setdefault(index, {**part, "quantizer": manifest["quantizer"]["sha256"]})
    digest = quantizer_digest(str(folder))
    for index, line in lines.items():
        if line["quantizer"] != digest:
            raise ConfigError(
                f"{folder}: batch {index} was encoded by quantizer {line['quantizer'][:12]}, "
                f"the folder's is {digest[:12]}",
                hint="Use another --out",
            )
    if verify:
        unique = {str(line["file"]): line for line in lines.values()}
        shards.verify(folder, list(unique.values()))
    return lines


def _parts(lines: Lines) -> list[dict[str, Any]]:
    """Manifest parts in row order; a merged file, which stands for several batches, once."""
    found: dict[str, dict[str, Any]] = {}
    for index in sorted(lines):
        line = {k: v for k, v in lines[index].items() if k != "quantizer"}
        found.setdefault(str(line["file"]), line)
    return list(found.values())


def write(folder: Path, plan: Plan, lines: Lines) -> dict[str, Any]:
    """Write the manifest of a folder whose batches are all there; returns it."""
    from irctl.pipelines._append import parts_of

    parts = _parts(lines)
    rows = sum(int(p["rows"]) for p in parts)
    appended, sources = parts_of(folder) if rows == plan.rows else ([], [])
    quantizer = load_quantizer(quantizer_folder(folder, plan.method))
    write_bundle(
        folder,
        method=plan.method,
        dim=plan.dim,
        code_size=quantizer.code_size,
        metric=plan.metric,
        parts=[*parts, *appended],
        quantizer=quantizer_folder(folder, plan.method),
        coverage="full" if rows == plan.rows else "partial",
        source={"name": plan.source, "fingerprint": plan.fingerprint, "key": plan.key, "rows": plan.rows},
        settings=dict(plan.settings),
        seed=plan.seed,
        train_rows=plan.train_rows,
        plan=plan.sha256,
        about=dict(plan.about),
        **({"appended": sources} if sources else {}),
    )
    return dict(json.loads((folder / shards.MANIFEST).read_text()))


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
        digest = shards.sha256_file(folder / shards.MANIFEST)
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
            from irctl.index.merging import merge

            manifest = merge(folder, plan, manifest, reporter)
        rows.append(_row(manifest, folder))
    assert plan is not None
    dataset = config.run.dataset or str(plan.about.get("collection", "")) or plan.source.partition(":")[0]
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
