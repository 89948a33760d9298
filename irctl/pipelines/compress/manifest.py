"""Which batches of a bundle are done, whether its settings are those asked for, and writing its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from irctl import tables
from irctl.errors import ConfigError, DataError
from irctl.index import shards
from irctl.index.bundle import FORMAT, SHAPE, VERSION, BundleIds, locate_quantizer, write_bundle
from irctl.index.distinct_ids import find_repeated
from irctl.index.learned_bundle import describe_encoder
from irctl.index.plan import Plan
from irctl.ledger import damaged
from irctl.pipelines.references import kept_transforms
from irctl.pipelines.references.bundles import load_quantizer, quantizer_sha256

Lines = dict[int, dict[str, Any]]


def check_settings(what: str, method: str, trained: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """ConfigError naming the first setting of a trained quantizer that is not the one asked for."""
    for key, value in asked.items():
        if key in trained and trained[key] != value:
            raise ConfigError(
                f"{what}: was trained with {method}.{key} = {trained[key]}, asked for is {value}",
                hint=f"Leave out {method}.{key}, or train another quantizer",
            )


def read_done(folder: Path, *, verify: bool = False) -> Lines:
    """Finished batches of a folder by number. verify: hash their files again.

    Raises ConfigError for batches of another quantizer, DataError for files that changed.
    """
    lines = shards.find_done(folder)
    if (folder / shards.MANIFEST).is_file():
        manifest = shards.read_manifest(folder, FORMAT, VERSION)
        for part in manifest["parts"]:
            if "index" not in part and "batches" not in part:
                continue  # of --append: not of this plan
            if not shards.is_present(folder, part):
                continue  # vanished or cut short: made again
            first, last = part.get("batches") or (part["index"], part["index"])
            for index in range(int(first), int(last) + 1):
                lines.setdefault(index, {**part, "quantizer": manifest["quantizer"]["sha256"]})
    sha256 = quantizer_sha256(str(folder))
    for index, line in lines.items():
        if line["quantizer"] != sha256:
            raise ConfigError(
                f"{folder}: batch {index} was encoded by another quantizer than the folder's: "
                f"{damaged.show_difference(line['quantizer'], sha256)}",
                hint="Use another --out",
            )
    if verify:
        unique = {str(line["file"]): line for line in lines.values()}
        shards.verify(folder, list(unique.values()))
    return lines


def _parts(lines: Lines) -> list[dict[str, Any]]:
    """Manifest parts in row order; a merged file, which stands for several batches, once."""
    parts: dict[str, dict[str, Any]] = {}
    for index in sorted(lines):
        line = {k: v for k, v in lines[index].items() if k != "quantizer"}
        parts.setdefault(str(line["file"]), line)
    return list(parts.values())


def write(folder: Path, plan: Plan, lines: Lines) -> dict[str, Any]:
    """Write the manifest over the batches that are there, up to the first that is not; returns it.

    Batches after a gap stay in the journal. Raises DataError for ids that repeat, and where appended rows would be
    lost or have lost a file; what was written stays.
    """
    count = len(plan.batches())
    gap = next((i for i in range(count) if i not in lines), count)
    parts = _parts({i: lines[i] for i in range(gap)})
    rows = sum(int(p["rows"]) for p in parts)
    appended, sources = _read_appended(folder)
    if sources and rows != plan.rows:
        raise DataError(
            f"{folder}: rows were appended after row {plan.rows - 1}, but only {rows} of the rows before them are done",
            hint="Run the command without --max-batches: it makes the others again",
        )
    _check_appended(folder, appended, sources)
    _check_ids(plan, BundleIds(folder, [*parts, *appended]))
    quantizer = load_quantizer(locate_quantizer(folder, plan.method))
    write_bundle(
        folder,
        method=plan.method,
        dim=plan.dim,
        code_size=quantizer.code_size,
        metric=plan.metric,
        parts=[*parts, *appended],
        quantizer=locate_quantizer(folder, plan.method),
        coverage="full" if rows == plan.rows else "partial",
        source={"name": plan.source, "fingerprint": plan.fingerprint, "key": plan.key, "rows": plan.rows},
        settings=dict(plan.settings),
        seed=plan.seed,
        plan=plan.sha256,
        about=dict(plan.about),
        **describe_encoder(folder),
        **({"transform": kept_transforms.describe_kept(folder)} if plan.transform else {}),
        **({} if plan.quantizer else {"train_rows": plan.trained_rows}),  # a quantizer that is reused saw other rows
        **({"appended": sources} if sources else {}),
    )
    if later := [lines[i] for i in range(gap, count) if i in lines]:
        journal = shards.ShardJournal(folder)
        for line in later:
            journal.add(line)
    return shards.read_any_manifest(folder)


def _read_appended(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(parts, entries of `appended`) that earlier --append runs added to the bundle in this folder."""
    manifest = shards.read_any_manifest(folder)
    if not manifest:
        return [], []
    tables.check(manifest, SHAPE, str(folder / shards.MANIFEST))
    appended = list(manifest.get("appended", ()))
    names = {str(a["folder"]) for a in appended}
    return [p for p in manifest["parts"] if str(p["file"]).partition("/")[0] in names], appended


def find_lost(folder: Path, parts: Sequence[Mapping[str, Any]]) -> Path | None:
    """The first file of these parts that is missing or cut short."""
    for part in parts:
        for name, size, _ in shards.list_files(part):
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                return path
    return None


def _check_appended(folder: Path, parts: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]) -> None:
    if (path := find_lost(folder, parts)) is None:
        return
    sub = path.relative_to(folder).parts[0]
    name = next((str(a["source"]["name"]) for a in sources if a["folder"] == sub), "SOURCE")
    raise DataError(
        f"{path}: is missing or cut short",
        hint=f"Repeat the command that appended it (irctl compress --append {folder} --data {name} ...): "
        "it writes that file again",
    )


def _check_ids(plan: Plan, ids: BundleIds) -> None:
    if not ids.are_rows and (repeat := find_repeated(ids)):
        _refuse_repeated(plan.source, repeat, "Then use another --out: what was made of these ids stays here")


def check_distinct(source: str, stream: Any, rows: int) -> None:
    """DataError where an id stands in two of the first `rows`, from the ids alone: no vector is read."""
    ids = stream.document_ids() if hasattr(stream, "document_ids") else None
    if ids is not None and (repeat := find_repeated(ids, rows)):
        _refuse_repeated(source, repeat, "Nothing was encoded yet")


def _refuse_repeated(source: str, repeat: tuple[str, int, int], then: str) -> NoReturn:
    document, one, two = repeat
    place = source.partition("#")[0]
    raise DataError(
        f"{source}: rows {one} and {two} have the same id '{document}'",
        hint=f"Give every row an id of its own, or drop the rows that repeat; --data '{place}#VECTORS,IDS' takes "
        f"another column of ids, and .npy files without ids.txt or ids.arrow beside them are numbered. {then}",
    )
