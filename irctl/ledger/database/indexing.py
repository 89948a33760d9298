"""From a run folder to its rows: the only place that writes rows, so the live ledger and a rebuilt one are equal."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from irctl import paths, tables
from irctl.errors import DataError
from irctl.ledger.database.schema import RUN_TABLES
from irctl.ledger.files import places, run_json
from irctl.ledger.files import run_folder as files
from irctl.ledger.files.run_columns import RUN_COLUMNS

PARTS = ("run", "params", "env", "artifacts", "events", "metrics")
POINTS_A_SERIES = 1000  # a longer series is thinned evenly in the ledger; metrics.jsonl keeps every point
ARTIFACT_COLUMNS = ("role", "kind", "path", "size", "sha256", "mtime_ns", "n_rows", "dim", "format")
NO_ARTIFACT = dict.fromkeys(ARTIFACT_COLUMNS)
METRIC_COLUMNS = ("dataset", "split", "name", "step", "epoch", "value", "at")
SERIES = 3  # of the columns of a metric, those that say which series it is of
EVENT_COLUMNS = ("at", "level", "code", "msg")
_WRONG = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
_NOT_TAKEN = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError)
"""What values of a wrong kind raise here and in SQLite; all else that SQLite raises is about the database."""
IS_AT = "(o.path = {0} OR substr({0}, -length(o.run_id) - length(o.path) - 2) = '/' || o.run_id || '/' || o.path)"
"""SQL: whether the output `o` is what lies at a path; outputs in their run folder are kept relative to it."""


def run_folders(root: Path | None = None) -> list[Path]:
    """Folders among the runs that hold a run.json, sound or not, oldest first; those not named by its id last."""
    folders = (p.parent for p in (root or paths.runs()).glob("*/run.json"))
    return sorted(folders, key=lambda p: (p.name != run_json.claimed_id(p), p))


def index_all(connection: sqlite3.Connection, folders: Iterable[Path]) -> tuple[set[str], list[str]]:
    """(ids indexed, what is wrong with the folders that are left out). Of two folders of one run the first counts."""
    done: dict[str, Path] = {}
    skipped: list[str] = []
    for folder in folders:
        try:
            run_id = str(run_json.read(folder)["id"])
            if run_id not in done:
                done[index_folder(connection, folder)] = folder
            elif folder.parent.resolve() == done[run_id].parent.resolve():
                skipped.append(f"{folder}: holds the same run as {done[run_id]}. Remove one of them")
        except DataError as e:
            skipped.append(str(e))
    return set(done), skipped


def index_folder(connection: sqlite3.Connection, folder: Path, parts: Iterable[str] = PARTS) -> str:
    """Make the ledger's rows of one run equal to its folder; returns the run's id.

    parts: what may have changed. A run that the ledger does not know yet is read whole.
    Call it inside a transaction: the folder is read there, so that of two writers the later one has the newer state.
    Raises DataError, with nothing changed, for files that are not as irctl writes them.
    """
    record = run_json.read(folder)
    connection.execute("SAVEPOINT one_run")
    try:
        _index(connection, paths.RunPaths(folder), record, parts)
    except (*_WRONG, *_NOT_TAKEN) as e:
        connection.execute("ROLLBACK TO one_run")
        connection.execute("RELEASE one_run")
        raise DataError(f"{folder}: its files are not as irctl writes them ({e})", hint=run_json.HINT) from None
    connection.execute("RELEASE one_run")
    return str(record["id"])


def _index(connection: sqlite3.Connection, at: paths.RunPaths, record: Mapping[str, Any], parts: Iterable[str]) -> None:
    run_id = str(record["id"])
    known = connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone()
    wanted = set(parts) if known else set(PARTS)
    if "run" in wanted:
        _index_run(connection, at, record)
    if "params" in wanted:
        _replace(connection, "params", run_id, ("key", "value_text", "value_num"), _params(read_config(at)))
    if "env" in wanted:
        _replace(connection, "env", run_id, tuple(_env(at)), [tuple(_env(at).values())])
    if "events" in wanted:
        _index_events(connection, at, run_id)
    if "metrics" in wanted:
        rows = thin(files.read_lines(at.metrics))
        _replace(connection, "metrics", run_id, METRIC_COLUMNS, rows)
        last = {row[:SERIES]: (*row, place) for place, row in enumerate(rows, 1)}
        _replace(connection, "measures", run_id, (*METRIC_COLUMNS, "row"), last.values())
    if "artifacts" in wanted:
        artifacts = [{**a, "path": places.relative(a["path"], run_id)} for a in record["artifacts"]]
        _replace(
            connection,
            "artifacts",
            run_id,
            ARTIFACT_COLUMNS,
            (tuple(a.get(c) for c in ARTIFACT_COLUMNS) for a in artifacts),
        )
        _link(connection, run_id)


def forget(connection: sqlite3.Connection, run_id: str) -> None:
    """Drop every row of a run whose folder is gone."""
    readers = connection.execute("SELECT dst_run FROM links WHERE src_run = ?", (run_id,)).fetchall()
    for table in RUN_TABLES:
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
    connection.execute("DELETE FROM links WHERE src_run = ? OR dst_run = ?", (run_id, run_id))
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    for (reader,) in readers:
        _link(connection, reader)


def read_config(at: paths.RunPaths) -> dict[str, Any]:
    """{key: {value, origin}} of a run's config.json; empty for a run without one."""
    if not at.config.is_file():
        return {}
    settings = tables.json_object(at.config)
    tables.check(settings, {"*": {"value": object, "origin": str}}, str(at.config))
    return settings


def labels(events: Iterable[Mapping[str, Any]]) -> tuple[list[str], str]:
    """(tags, notes) of a run: what its events 'tag', 'untag' and 'note' add up to.

    They are events because anyone may append a line, while run.json belongs to the run's own process.
    """
    tags: dict[str, None] = {}
    notes = ""
    for event in events:
        code, text = event.get("code"), str(event.get("msg", ""))
        if code == "tag":
            tags[text] = None
        elif code == "untag":
            tags.pop(text, None)
        elif code == "note":
            notes = text
    return list(tags), notes


def thin(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Metric rows for the ledger: of a series above POINTS_A_SERIES every so many, always the last.

    The last of a training's dev scores is that of the model it saved, whatever was measured after it.
    """
    series: dict[tuple[str, str, str], list[tuple[Any, ...]]] = defaultdict(list)
    saved = None
    for row in rows:
        if row.get("event") == "done":
            saved = row.get("model_step")
        if "name" in row:
            values = {"dataset": "", "split": "", **row}
            series[values["dataset"], values["split"], values["name"]].append(
                tuple(values.get(c) for c in METRIC_COLUMNS)
            )
    kept = []
    step = METRIC_COLUMNS.index("step")
    for (_, split, _), points in series.items():
        if split and saved is not None:
            points.sort(key=lambda point: point[step] == saved)  # stable: the others stay in order
        every = -(-len(points) // POINTS_A_SERIES)
        kept += points[(len(points) - 1) % every :: every]
    return kept


def _index_run(connection: sqlite3.Connection, at: paths.RunPaths, record: Mapping[str, Any]) -> None:
    row = {c: record.get(c) for c in RUN_COLUMNS if c != "notes"}  # notes come with the events
    config = read_config(at)
    row["config_json"] = json.dumps(config, ensure_ascii=False, separators=(",", ":")) if config else None
    row["argv_json"] = json.dumps(record.get("argv", []), ensure_ascii=False)
    row["run_dir"] = str(at.folder.resolve())
    names = ", ".join(row)
    changes = ", ".join(f"{c} = excluded.{c}" for c in row if c != "id")
    connection.execute(
        f"INSERT INTO runs ({names}) VALUES ({_marks(len(row))}) ON CONFLICT (id) DO UPDATE SET {changes}",
        tuple(row.values()),
    )


def _index_events(connection: sqlite3.Connection, at: paths.RunPaths, run_id: str) -> None:
    events = files.read_lines(at.events)
    tags, notes = labels(events)
    _replace(connection, "events", run_id, EVENT_COLUMNS, [tuple(e.get(c) for c in EVENT_COLUMNS) for e in events])
    _replace(connection, "tags", run_id, ("tag",), [(tag,) for tag in tags])
    connection.execute("UPDATE runs SET notes = ? WHERE id = ?", (notes or None, run_id))


def _params(config: Mapping[str, Any]) -> Iterator[tuple[str, str | None, float | None]]:
    for key, entry in config.items():
        value = entry["value"]
        text = str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
        yield key, text, _number(value)


def _number(value: Any) -> float | None:
    """The value as a number, also where a setting keeps numbers as words (`train.save = '0.25'`)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _env(at: paths.RunPaths) -> dict[str, Any]:
    launch = tables.json_object(at.launch) if at.launch.is_file() else {}
    return {
        "packages_json": json.dumps(launch.get("packages", {})),
        "gpus_json": json.dumps(launch.get("gpus", [])),
        "cpu": launch.get("cpu"),
        "ram_gib": launch.get("ram_gib"),
        "driver": launch.get("driver"),
        "cuda": launch.get("cuda"),
        "env_json": json.dumps(launch.get("env", {}), ensure_ascii=False),
    }


def _link(connection: sqlite3.Connection, run_id: str) -> None:
    """Recompute links into this run, and into runs that read something it made."""
    readers = connection.execute(
        "SELECT DISTINCT i.run_id FROM artifacts o JOIN artifacts i ON i.sha256 = o.sha256 AND i.role = 'in'"
        " WHERE o.run_id = ? AND o.role = 'out' UNION SELECT dst_run FROM links WHERE src_run = ?",
        (run_id, run_id),
    ).fetchall()
    for reader in sorted({run_id, *(row[0] for row in readers)}):
        connection.execute("DELETE FROM links WHERE dst_run = ?", (reader,))
        connection.execute(
            # Of several runs that made the same bytes, the one at the path that was read, else the newest before it.
            # Files of no bytes are all alike and link nothing.
            f"""INSERT OR IGNORE INTO links
               SELECT src, dst, relation FROM (
                 SELECT s.id AS src, d.id AS dst, s.command || '>' || d.command AS relation,
                        row_number() OVER (PARTITION BY i.rowid
                                           ORDER BY {IS_AT.format("i.path")} DESC,
                                                    s.created_at DESC, s.id DESC) AS place
                 FROM artifacts i
                 JOIN artifacts o ON o.sha256 = i.sha256 AND o.role = 'out' AND o.run_id != i.run_id
                 JOIN runs d ON d.id = i.run_id
                 JOIN runs s ON s.id = o.run_id
                   AND (s.created_at < d.created_at OR (s.created_at = d.created_at AND s.id < d.id))
                 WHERE i.run_id = ? AND i.role = 'in' AND i.sha256 IS NOT NULL AND i.size IS NOT 0)
               WHERE place = 1""",
            (reader,),
        )


def _replace(
    connection: sqlite3.Connection,
    table: str,
    run_id: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
    connection.executemany(
        f"INSERT INTO {table} (run_id, {', '.join(columns)}) VALUES ({_marks(len(columns) + 1)})",
        ((run_id, *row) for row in rows),
    )


def _marks(n: int) -> str:
    return ", ".join("?" * n)
