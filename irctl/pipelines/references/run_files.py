"""What a name means where a ranking is asked for, and which search wrote a run file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import DataError

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord


def run_file_of(reference: str, dataset: str = "", split: str = "") -> Path:
    """The run file that a run wrote; of several, that of the data set and split. Raises DataError."""
    from irctl.ledger import query

    record = query.find_run(reference, completed=True, made=("run_file",))
    found = [Path(a["path"]) for a in query.artifacts(record, role="out", kind="run_file")]
    if len(found) > 1:
        wanted = (f"{dataset}.{split}".replace("/", "-"), f"run.{split}.trec.gz")
        fits = [p for p in found if p.parent.name == wanted[0] or p.name == wanted[1]]
        if len(fits) != 1:
            shown = ", ".join(
                p.name if p.parent.resolve() == (record.folder / "out").resolve() else p.parent.name for p in found
            )
            raise DataError(
                f"run {record.id} wrote {len(found)} run files ({shown}), {len(fits)} of them for {dataset} {split}",
                hint="Name the file, or give --split",
            )
        return fits[0]
    if found:
        return found[0]
    command = record.columns.get("command")
    holds_codes = query.artifacts(record, role="out", kind="bundle")
    option = "--index" if command in ("compress", "encode") or holds_codes else "--model"
    raise DataError(
        f"run {record.id} is a run of 'irctl {command}' and holds no run file", hint=f"irctl eval {option} {record.id}"
    )


def run_behind(file: str) -> RunRecord | None:
    """The recorded run that wrote a run file, if it lies in a run folder or is named by its run."""
    from irctl.ledger import query

    path = Path(file)
    if path.is_file():
        return search_that_wrote(path)
    return None if "{" in file or path.suffix else query.find_run(file, completed=True, made=("run_file",))


def search_that_wrote(path: Path) -> RunRecord | None:
    """The run in whose folder a run file lies, or that wrote it elsewhere: at this path, or under its own tag.

    Equal bytes alone say nothing: an empty file, or one without tags, may come from anywhere.
    """
    from irctl import hashing
    from irctl.data.judgements.runs import read_tag
    from irctl.ledger import query
    from irctl.ledger.database import indexing
    from irctl.ledger.files import run_json

    folder = run_json.find_above(path)
    if folder is not None:
        return query.find_run(str(folder))
    sql = (
        "SELECT o.run_id FROM artifacts o WHERE o.role = 'out' AND o.kind = 'run_file' AND o.sha256 = ?1"
        f" AND ({indexing.IS_AT.format('?2')} OR o.run_id = ?3) ORDER BY {indexing.IS_AT.format('?2')} DESC, rowid DESC"
    )
    found = query.rows(sql, (hashing.content(path.absolute()), str(path.absolute()), read_tag(path)))
    return query.find_run(str(found[0]["run_id"])) if found else None
