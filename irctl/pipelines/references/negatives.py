"""What --negatives means: a file, or a run of hardneg."""

from __future__ import annotations

from pathlib import Path

from irctl.errors import DataError


def given_negatives(name: str) -> Path:
    """The negatives that a file name or a run names."""
    from irctl.ledger.files.places import here_of
    from irctl.ledger.query import artifacts, find_run

    if (file := here_of(name)).is_file():
        return file
    try:
        record = find_run(name, completed=True, made=("negatives",))
    except DataError as e:
        raise DataError(f"data.negatives={name}: neither a file nor a run ({e.message})", hint=e.hint) from None
    found = artifacts(record, role="out", kind="negatives")
    if not found:
        raise DataError(f"data.negatives={name}: run {record.id} made no negatives", hint="Name a run of irctl hardneg")
    return Path(found[-1]["path"])
