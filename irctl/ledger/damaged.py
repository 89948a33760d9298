"""What to say where a file has not the hash that is recorded of it: which of the two is damaged, as far as can be told.

Two sha256 of different contents have hardly a character in common at the same place; a recorded one that is nearly the
file's own was spoilt itself. Otherwise the ledger knows what a bundle's manifest was when its run ended.
"""

from __future__ import annotations

import contextlib
from difflib import SequenceMatcher
from pathlib import Path

from irctl import hashing
from irctl.errors import DataError, IrctlError

_LEVELS = 4  # folders between a file and the manifest that lists it
_NEAR = 0.75  # of two strangers about .35 is alike


def error(path: Path, expected: str, found: str, remedy: str, record: Path | None = None) -> DataError:
    """The error for a file of sha256 `found`. remedy: how to make it again. record: where `expected` stands."""
    record = record or _record_of(path)
    difference = show_difference(expected, found)
    if SequenceMatcher(None, expected, found, autojunk=False).ratio() >= _NEAR:
        return DataError(
            f"{path}: is sound, but its hash in {record} is damaged: {difference}",
            hint=f"Leave the file, and put {found} there",
        )
    recorded = _read_hashes(record)
    if recorded and hashing.compute_sha256(record) in recorded:
        return DataError(f"{path}: is damaged: {difference}", hint=remedy)
    changed = " (which is not as its run recorded it)" if recorded else ""
    restore = f"Restore {record.name} if you have a copy. Else: " if record.is_file() else ""
    return DataError(f"{path}: is damaged, or its hash in {record}{changed}: {difference}", hint=restore + remedy)


def show_difference(expected: str, found: str) -> str:
    """Two hashes, each 16 characters around the first that differs."""
    pairs = zip(expected, found, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(found)))
    start = 0 if at < 16 else at - 8
    dots = "..." if start else ""
    return f"expected sha256 {dots}{expected[start : start + 16]}, found {dots}{found[start : start + 16]}"


def _record_of(path: Path) -> Path:
    """The manifest above a file, else the journal of a folder that is not finished."""
    above = path.parents[:_LEVELS]
    named = [folder / "manifest.json" for folder in above] + [folder / "journal" for folder in above]
    return next((p for p in named if p.exists()), path.parent)


def _read_hashes(manifest: Path) -> set[str]:
    """sha256 of a bundle's manifest at the end of each run that wrote it; empty where no run is known."""
    from irctl.ledger import query
    from irctl.ledger.database import indexing

    if manifest.name != "manifest.json" or not manifest.is_file():
        return set()
    sql = (
        "SELECT o.sha256 FROM artifacts o WHERE o.role = 'out' AND o.kind = 'bundle' AND o.sha256 IS NOT NULL "
        f"AND {indexing.IS_AT.format('?1')}"
    )
    with contextlib.suppress(IrctlError):  # a ledger that cannot be read knows nothing
        return {str(row["sha256"]) for row in query.rows(sql, (str(manifest.parent.absolute()),))}
    return set()
