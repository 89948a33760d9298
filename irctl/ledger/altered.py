"""Files of a run that are not as it wrote them: their sha256 is not the one that run.json records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from irctl import files, hashing
from irctl.errors import DataError
from irctl.ledger import damaged, query
from irctl.ledger.files import places
from irctl.ledger.query import RunRecord

READ = ("eval", "per_query", "best")
"""Kinds of outputs that reports read from run folders: one file each, and small."""
FILES = (*READ, "comparisons", "run_file")


class AlteredFile(DataError):
    """A file of a run that is not what it wrote."""


def find(run: RunRecord, kinds: Collection[str] = FILES) -> list[str]:
    """Lines on those of one run, and on those that cannot be read; files that are not there, or whose hash was not
    recorded, are none.
    """
    return [line for a in _outputs(run, kinds) if (line := _tell(a))]


def find_all() -> list[str]:
    """The same of all runs of the ledger, of the kinds that reports read."""
    sql = (
        "SELECT a.run_id, a.kind, a.path, a.sha256, r.run_dir FROM artifacts a JOIN runs r ON r.id = a.run_id "
        f"WHERE a.role = 'out' AND a.kind IN ({', '.join('?' * len(READ))}) ORDER BY a.run_id, a.rowid"
    )
    rows = query.rows(sql, READ)
    outputs = (a | {"folder": places.run_folder(a["run_id"], a["run_dir"])} for a in rows)
    return [line for a in outputs if (line := _tell(a))]


def refuse(run: RunRecord, kind: str) -> None:
    """AlteredFile where the run's output of this kind is that."""
    for a in _outputs(run, (kind,)):
        if line := _compare(a):
            raise AlteredFile(line, hint=remedy(run.id))


def remedy(run_id: str) -> str:
    """What to do about a file that is not what its run wrote, whatever its command was."""
    return f"Restore the file, or do it again: irctl runs reproduce {run_id}"


def _outputs(run: RunRecord, kinds: Collection[str]) -> list[dict[str, Any]]:
    made = query.artifacts(run, role="out", located=False)
    return [a | {"folder": run.folder} for a in made if a["kind"] in kinds]


def _tell(a: Mapping[str, Any]) -> str:
    try:
        return _compare(a)
    except DataError as e:  # one file that cannot be read says nothing of the others
        return f"run {a['run_id']}: {e.message}"


def _compare(a: Mapping[str, Any]) -> str:
    """The line on one output; empty where it is what the run wrote, or nothing tells. DataError if it cannot be read.

    What reports read is small and read now; a run file has up to 1 GB, and its hash is remembered.
    """
    path, expected = places.relative(a["path"], a["run_id"]), str(a["sha256"] or "")
    if not expected or hashing.mode_of(expected) != "full":
        return ""
    at = Path(a["folder"], path)
    try:
        found = (hashing.compute_sha256 if a["kind"] in READ else hashing.sha256_file)(at)
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except OSError as e:
        raise files.read_error(at, e) from None
    if found == expected:
        return ""
    return f"run {a['run_id']}: {path} is not what the run wrote: {damaged.show_difference(expected, found)}"
