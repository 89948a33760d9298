"""Files of a run that are not as it wrote them: their sha256 is not the one that run.json records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Altered:
    """One output. path: from the run's folder, so that it can be told where folders must not be."""

    run_id: str
    path: str
    expected: str
    found: str

    @property
    def line(self) -> str:
        difference = damaged.show_difference(self.expected, self.found)
        return f"run {self.run_id}: {self.path} is not what the run wrote: {difference}"


def find(run: RunRecord, kinds: Collection[str] = FILES) -> list[Altered]:
    """Those of one run; files that are not there, or whose hash was not recorded, are none."""
    made = query.artifacts(run, role="out", located=False)
    return _compare(a | {"folder": run.folder} for a in made if a["kind"] in kinds)


def find_all() -> list[Altered]:
    """Those of all runs of the ledger, of the kinds that reports read."""
    sql = (
        "SELECT a.run_id, a.path, a.sha256, r.run_dir FROM artifacts a JOIN runs r ON r.id = a.run_id "
        f"WHERE a.role = 'out' AND a.kind IN ({', '.join('?' * len(READ))}) ORDER BY a.run_id, a.rowid"
    )
    rows = query.rows(sql, READ)
    return _compare(a | {"folder": places.run_folder(a["run_id"], a["run_dir"])} for a in rows)


class AlteredFile(DataError):
    """A file of a run that is not what it wrote."""


def refuse(run: RunRecord, kind: str) -> None:
    """AlteredFile where the run's output of this kind is that."""
    for one in find(run, (kind,)):
        raise AlteredFile(one.line, hint=f"Restore the file, or do it again: irctl runs reproduce {run.id}")


def _compare(outputs: Iterable[Mapping[str, Any]]) -> list[Altered]:
    altered = []
    for a in outputs:
        path, expected = places.relative(a["path"], a["run_id"]), str(a["sha256"] or "")
        if expected and hashing.mode_of(expected) == "full":
            at = Path(a["folder"], path)
            try:
                found = hashing.compute_sha256(at)
            except (FileNotFoundError, IsADirectoryError):
                continue
            except OSError as e:
                raise files.read_error(at, e) from None
            if found != expected:
                altered.append(Altered(a["run_id"], path, expected, found))
    return altered
