"""What PATH, RUN and RUN:METHOD mean where a bundle or its quantizer is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irctl import hashing, plugins
from irctl.errors import DataError
from irctl.index import shards
from irctl.index.bundle import QUANTIZER
from irctl.ledger import query
from irctl.ledger.database.store import warn_once
from irctl.ledger.files import run_json

BEFORE_METHOD = tuple(kind for kind in query.NAMED if kind != "method")
"""What latest:METHOD may be before it is a method: a run that wrote several bundles counts for each of theirs."""


def load_quantizer(folder: Path) -> Any:
    """The loader that bundles are opened with."""
    from irctl.quantizers.shared import opening

    return opening.load(folder)


def folder_of(reference: str) -> Path:
    """The folder of a bundle: a path, or a run that wrote one (`latest`: the newest that did).

    `RUN:METHOD` names one of the bundles of a run that wrote several, `latest:METHOD` the newest bundle of a method,
    unless a run has that name, tag or recipe.
    """
    path = Path(reference)
    if path.is_dir() and not run_json.is_run(path):
        return path
    run, method = method_named(reference)
    if run == "latest":
        kinds = BEFORE_METHOD if method else ()
        if named := query.find_newest_named(method, completed=True, kinds=kinds, made=("bundle",)):
            _tell_of_codes(method, named)
            return of_run(named[1])
        newest = newest_run(method)
        if newest is None:
            of = f" of {method} codes" if method else ""
            raise DataError(f"no finished compression{of} in the ledger", hint="irctl compress makes one")
        record = newest
    else:
        record = query.find_run(run, completed=True, made=("bundle",))
    return of_run(record, method)


def list_writers(method: str = "") -> Iterator[query.RunRecord]:
    """Finished runs that wrote a bundle (of this method), newest first: compressions, trainings and encodings."""
    wrote = "SELECT DISTINCT run_id FROM artifacts WHERE role = 'out' AND kind = 'bundle'"
    ids = {str(row["run_id"]) for row in query.rows(wrote)}
    return (r for r in query.list_runs(status="completed") if r.id in ids and written_by(r, method))


def newest_run(method: str = "") -> query.RunRecord | None:
    """The first of them; None where there is none."""
    return next(list_writers(method), None)


def _tell_of_codes(method: str, named: tuple[str, query.RunRecord]) -> None:
    """Say which run latest:METHOD would be by its codes, where it is another by its name, tag or recipe."""
    kind, run = named
    if (other := newest_run(method)) is not None and other.id != run.id:
        warn_once(f"latest:{method}: run {run.id}, by its {kind}; by its method it would be run {other.id}")


def of_run(record: query.RunRecord, method: str = "") -> Path:
    """The bundle that a run wrote; that of `method` if it wrote several. DataError if there is none, or no one."""
    written = written_by(record)
    if not written:
        command = record.columns.get("command")
        raise DataError(f"run {record.id} is a run of 'irctl {command}' and holds no bundle", hint="irctl compress")
    fitting = {name: path for name, path in written.items() if method in ("", name)}
    names = ", ".join(written)
    if not fitting:
        raise DataError(f"run {record.id} wrote no {method} bundle", hint=f"It wrote {names}")
    if len(fitting) > 1:
        raise DataError(
            f"run {record.id} wrote several bundles ({names})", hint=f"Name one: {record.id}:{next(iter(written))}"
        )
    return next(iter(fitting.values()))


def method_named(reference: str) -> tuple[str, str]:
    """(run, method) of RUN:METHOD; method is empty where the reference names none."""
    run, _, method = reference.rpartition(":")
    return (run, method) if run and method in plugins.names("quantizers") else (reference, "")


def written_by(record: query.RunRecord, method: str = "") -> dict[str, Path]:
    """The bundles that a run wrote, by method; only that of `method` if given."""
    found = [Path(a["path"]) for a in query.artifacts(record, role="out", kind="bundle")]
    return {name: p for p in found if method in ("", name := _method_of(p))}


def _method_of(folder: Path) -> str:
    """The method of a bundle; its folder's name if the bundle is gone."""
    return str(shards.read_any_manifest(folder).get("method", folder.name))


def _quantizer_folder_of(reference: str) -> Path:
    folder = folder_of(reference)
    for candidate in (folder, folder / "quantizer", folder / "pq"):
        if (candidate / QUANTIZER).is_file():
            return candidate
    raise DataError(f"{folder}: holds no trained quantizer", hint="irctl compress --train-only writes one")


def quantizer_of(reference: str) -> Any:
    """The trained quantizer of a bundle (finished or not), of a folder, or of a run."""
    return load_quantizer(_quantizer_folder_of(reference))


def read_trained(folder: Path | None) -> dict[str, Any]:
    """{trained: how} of a bundle whose query side was trained, for another that takes its quantizer; else empty."""
    about = shards.read_any_manifest(folder).get("about", {}) if folder is not None else {}
    return {"trained": about["trained"]} if "trained" in about else {}


def quantizer_sha256(reference: str) -> str:
    """The hash that names it."""
    return hashing.compute_sha256(_quantizer_folder_of(reference) / QUANTIZER)
