"""What the ledger calls a trained model, whatever lengths and prompts it is used with afterwards."""

from __future__ import annotations

from pathlib import Path


def hash_of_training(folder: Path) -> str:
    """The hash under which the training that made a model's folder recorded it; empty for any other folder."""
    from irctl.ledger import query
    from irctl.ledger.database import indexing

    sql = f"SELECT sha256 FROM artifacts o WHERE role = 'out' AND kind = 'model' AND {indexing.IS_AT.format('?1')}"
    return next((str(row["sha256"]) for row in query.rows(sql, (str(folder.absolute()),))), "")
