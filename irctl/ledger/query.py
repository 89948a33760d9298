"""Asking the ledger: runs by reference or condition, with their artifacts, metrics and lineage.

Where the database cannot be read, the run folders are indexed in memory, so a broken ledger never stops a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from irctl import paths, plugins, shipped_files
from irctl.errors import ConfigError, DataError
from irctl.ledger.database import indexing, publish, schema
from irctl.ledger.database.conditions import Condition, order_by, translate
from irctl.ledger.database.store import FAILURES, Ledger, fill, reason, warn_once
from irctl.ledger.files import identity, places, run_columns, run_json
from irctl.paths import RunPaths

DRAIN_PATIENCE_S = 1.0
SHOWN_CANDIDATES = 5
MEASURE_COLUMNS = "dataset, split, name, step, epoch, value, at"
T = TypeVar("T")
OWNER = ("host", "pid", "pid_start_ticks", "boot_id")


@dataclass(frozen=True)
class RunRecord:
    """One run: its id, its folder, and its row of the table `runs` by column name."""

    id: str
    folder: Path
    columns: dict[str, Any]
    tags: tuple[str, ...] = ()

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.folder)


@dataclass(frozen=True)
class AskedAtOnce:
    """What was asked for many runs at once, by run id: see many_runs.at_once."""

    runs: dict[str, RunRecord]
    measures: dict[str, list[dict[str, Any]]]
    artifacts: dict[str, list[dict[str, Any]]]
    ancestors: dict[str, list[RunRecord]]
    found: dict[Any, Any] = field(default_factory=dict)


known: list[AskedAtOnce] = []
"""The innermost is asked first."""


def once(what: Hashable, find: Callable[[], T]) -> T:
    """What `find` returns; while many runs are asked for at once, by the first call for the same thing alone."""
    if not known:
        return find()
    found: dict[Hashable, T] = known[-1].found
    if what not in found:
        found[what] = find()
    return found[what]


class SeveralRuns(DataError):
    """The beginning of an id that fits several runs."""


def ask(work: Callable[[sqlite3.Connection], T]) -> T:
    """What `work` reads, spool drained; from the folders, in memory, where the file is damaged or cannot be read.

    A file of an earlier version is brought up to date first: reading thousands of folders takes minutes, each time.
    """
    ledger = Ledger()
    try:
        if publish.list_waiting() or not ledger.path.is_file() or ledger.is_older():
            publish.drain(DRAIN_PATIENCE_S)
        with ledger.read() as connection:
            return work(connection)
    except FAILURES as e:
        warn_once(f"{ledger.path}: {reason(e)}. Reading the run folders instead", ledger.path)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        schema.create(memory)
        fill(memory)
        memory.row_factory = sqlite3.Row
        try:
            return work(memory)
        except sqlite3.Error as e:
            raise DataError(f"{ledger.path}: {e}", hint="irctl runs reindex makes it again from the folders") from None


NAMED = {
    "name": "name = ?1",
    "tag": "id IN (SELECT run_id FROM tags WHERE tag = ?1)",
    # of NAME, or of an arm NAME:ARM; the words of the command line, `--recipe NAME` or `--recipe=NAME`
    "recipe": "command <> 'arms' AND EXISTS (SELECT 1 FROM json_each(runs.argv_json) o JOIN json_each(runs.argv_json) v"
    " ON o.value = '--recipe' AND v.key = o.key + 1 AND substr(v.value || ':', 1, length(?1) + 1) = ?1 || ':'"
    " OR v.key = o.key AND substr(v.value || ':', 1, length(?1) + 10) = '--recipe=' || ?1 || ':')",
    "command": "command = ?1",
    "method": "method = ?1",
}
"""What the NAME of `latest:NAME` may be, and the condition of each kind; the first that fits any run is meant.

The recipe of a group (GROUP) means its arms (GROUP:ARM), which hold the models, not the run that started them; a
recipe that is an arm of a group too means those runs as well.
"""
RECIPE = "recipe"


def find_run(ref: str, *, completed: bool = False, made: Sequence[str] = (), command: str = "") -> RunRecord:
    """The run that `ref` names: a folder, `latest`, an id or its beginning, or (the newest of) a name or tag.

    `latest:NAME` is the newest with that name, tag, recipe, command or method, in this order of kinds (NAMED). The run
    that asks is none of them. completed: `latest` and `latest:NAME` skip runs that did not complete, as inputs must.
    made: kinds of artifacts; command: of the run wanted. A name then means one of these runs, where there is any.

    Raises DataError if there is none, or if the beginning of an id fits several.
    """
    if known and ref in known[-1].runs:
        return known[-1].runs[ref]
    path = Path(ref)
    if "/" in ref or path.is_dir():
        if run_json.is_run(path):
            return _from_folder(path)
        if path.is_dir():
            raise DataError(f"{ref!r}: no run there (no run.json of irctl)", hint="irctl runs ls lists runs")
    fits = _fitting(made, command)
    if ref == "latest":
        return _only(*_others(completed), ref, fits)
    if ref.startswith("latest:"):
        name = ref.removeprefix("latest:")
        if named := find_newest_named(name, completed=completed, made=made, command=command):
            return named[1]
        if completed and (other := find_newest_named(name)):
            raise DataError(
                f"no completed run named '{ref}': run {other[1].id} is {other[1].columns['status']}",
                hint="Name its id to use it as it is",
            )
        return _only("0", (), ref)
    starting = select("substr(id, 1, ?) = ?", (len(ref), ref)) if ref else []
    if len(starting) > 1:
        shown = ", ".join(r.id for r in starting[:SHOWN_CANDIDATES])
        more = f" and {len(starting) - SHOWN_CANDIDATES} more" if len(starting) > SHOWN_CANDIDATES else ""
        raise SeveralRuns(f"run '{ref}': several begin so: {shown}{more}", hint="Write more of the id")
    if starting:
        return starting[0]
    return _only("name = ? OR id IN (SELECT run_id FROM tags WHERE tag = ?)", (ref, ref), ref, fits)


def find_newest_named(
    name: str, *, completed: bool = False, kinds: Collection[str] = tuple(NAMED), **wanted: Any
) -> tuple[str, RunRecord] | None:
    """(kind, the newest run of it) of a name, or None. A warning tells of another run that a later kind would mean.

    wanted: `made` and `command` of find_run.
    """
    others, mine = _others(completed)
    for fits in dict.fromkeys((_fitting(**wanted), "1")):
        condition = f"{others} AND {fits}"
        newest_of = {k: r for k in kinds for r in select(f"{NAMED[k]} AND {condition}", (name, *mine), limit=1)}
        if RECIPE in kinds and (of_recipe := _newest_of_recipe(name, condition, mine, newest_of.get(RECIPE))):
            newest_of[RECIPE] = of_recipe
        if found := [(k, newest_of[k]) for k in kinds if k in newest_of]:
            break
    else:
        return None
    kind, run = found[0]
    for other, record in found:
        if record.id != run.id:
            warn_once(f"latest:{name}: run {run.id}, by its {kind}; by its {other} it would be run {record.id}")
    return kind, run


def _newest_of_recipe(name: str, condition: str, values: tuple[Any, ...], own: RunRecord | None) -> RunRecord | None:
    """The newest run of a recipe: `own`, by its name, or one of an arm of a group that it is."""
    from irctl import recipes_index  # which reads the schema of all settings

    arms = recipes_index.arms_of(name)
    found = [r for a in arms for r in select(f"{NAMED[RECIPE]} AND {condition}", (a, *values), limit=1)]
    found += [own] if own else []
    return max(found, key=lambda r: (str(r.columns["created_at"]), r.id), default=None)


def _fitting(made: Sequence[str] = (), command: str = "") -> str:
    """The condition of runs that made such artifacts, and are of this command; all runs where nothing is asked."""
    parts, kinds = [f"command = '{command}'"] if command else [], ", ".join(f"'{kind}'" for kind in made)
    if made:
        parts.append(f"id IN (SELECT run_id FROM artifacts WHERE role = 'out' AND kind IN ({kinds}))")
    return " AND ".join(parts) or "1"


def newest(command: str | None = None, status: str | None = "completed", **columns: Any) -> RunRecord | None:
    """The newest run with these values, or None: `newest('train', method='sycl')`."""
    wanted = {"command": command, "status": status, **columns}
    wanted = {k: v for k, v in wanted.items() if v is not None}
    assert set(wanted) <= set(run_columns.RUN_COLUMNS), wanted
    runs = select(" AND ".join(f"{k} = ?" for k in wanted) or "1", tuple(wanted.values()), limit=1)
    return runs[0] if runs else None


def list_runs(
    *,
    dataset: str = "",
    status: str = "",
    command: str = "",
    where: str = "",
    sort: str = "",
    limit: int = 0,
    columns: Sequence[str] = run_columns.RUN_COLUMNS,
) -> list[RunRecord]:
    """Runs that meet all conditions, newest first unless sorted. ConfigError for a name that there is not.

    columns: what is read of each, id and run_dir among them; config_json alone is of some kB a run.
    """
    for what, name, legal in (("status", status, run_columns.STATUSES), ("command", command, run_columns.COMMANDS)):
        if name and name not in legal:
            raise ConfigError(f"no {what} named '{name}'", hint=plugins.nearest(name, legal))
    given = {"dataset": dataset, "status": status, "command": command}
    given = {k: v for k, v in given.items() if v}
    parts = [f"runs.{k} = ?" for k in given]
    values: list[Any] = list(given.values())
    if where:
        condition = translate(where)
        parts.append(condition.sql)
        values += condition.values
    order = order_by(sort) if sort else None
    if sort:
        _check_sort(sort.lstrip("+-"))
    return select(" AND ".join(parts) or "1", tuple(values), order, limit, columns=columns)


def _check_sort(name: str) -> None:
    """Raise ConfigError for a name that is no column, and that no run has as a measure or setting."""
    if name in run_columns.RUN_COLUMNS:
        return
    if rows("SELECT 1 FROM metrics WHERE name = ?1 UNION ALL SELECT 1 FROM params WHERE key = ?1 LIMIT 1", (name,)):
        return
    known = [str(r["name"]) for r in rows("SELECT DISTINCT name FROM metrics")]
    known += [str(r["key"]) for r in rows("SELECT DISTINCT key FROM params")]
    close = plugins.nearest(name, [*run_columns.RUN_COLUMNS, *known])
    hint = close if "Did you mean" in close else "A column of irctl runs sql, a measure such as RR@10, or a setting"
    raise ConfigError(f"--sort {name}: no run has it", hint=hint)


def artifacts(
    run: RunRecord, role: str | None = None, kind: str | None = None, *, located: bool = True
) -> list[dict[str, Any]]:
    """Artifacts of a run, in the order they were recorded, each with the path where it lies now.

    As its folder has them; as the ledger has them where the folder is gone or spoilt. located: else paths as recorded.
    """
    recorded: list[dict[str, Any]]
    if known and run.id in known[-1].artifacts:
        recorded = known[-1].artifacts[run.id]
    else:
        try:
            recorded = run_json.read(run.folder)["artifacts"]
        except DataError as e:
            if run.folder.is_dir():
                warn_once(str(e))
            recorded = rows("SELECT * FROM artifacts WHERE run_id = ? ORDER BY rowid", (run.id,))
    kept = [a for a in recorded if role in (None, a["role"]) and kind in (None, a["kind"])]
    listed: list[dict[str, Any]] = [{"run_id": run.id, **indexing.NO_ARTIFACT, **a} for a in kept]
    if not located:
        return listed
    return [a | {"path": places.locate(a["path"], run.folder, run.id, a["role"])} for a in listed]


def outputs(kind: str, sha256: str) -> list[Path]:
    """Where outputs of this kind and content lie, of whichever runs."""
    sql = (
        "SELECT o.run_id, o.path, r.run_dir FROM artifacts o JOIN runs r ON r.id = o.run_id"
        " WHERE o.role = 'out' AND o.kind = ? AND o.sha256 = ? ORDER BY o.rowid"
    )
    copies = rows(sql, (kind, sha256))
    return [Path(places.locate(a["path"], places.run_folder(a["run_id"], a["run_dir"]), a["run_id"])) for a in copies]


def metrics(run_id: str) -> list[dict[str, Any]]:
    """Every recorded value of a run, thinned for long series, in file order."""
    return rows("SELECT * FROM metrics WHERE run_id = ? ORDER BY rowid", (run_id,))


def measures(run_id: str) -> list[dict[str, Any]]:
    """The last value of every series of a run, a dict of MEASURE_COLUMNS each."""
    if known and run_id in known[-1].measures:
        return known[-1].measures[run_id]
    sql = f"SELECT {MEASURE_COLUMNS} FROM measures WHERE run_id = ? ORDER BY row"
    return rows(sql, (run_id,))


def events(run_id: str) -> list[dict[str, Any]]:
    return rows("SELECT at, level, code, msg FROM events WHERE run_id = ? ORDER BY rowid", (run_id,))


def lineage(run_id: str) -> dict[str, list[dict[str, Any]]]:
    """{'from': runs whose outputs it read, 'to': runs that read its outputs}, one step each way."""
    sql = (
        "SELECT r.id, r.command, r.name, r.status, l.relation FROM links l JOIN runs r ON r.id = l.{} "
        "WHERE l.{} = ? ORDER BY r.created_at, r.id"
    )
    return {
        "from": rows(sql.format("src_run", "dst_run"), (run_id,)),
        "to": rows(sql.format("dst_run", "src_run"), (run_id,)),
    }


def ancestors(run_id: str) -> list[RunRecord]:
    """Every run that this one stands on, newest first: an evaluation's search, compression, encoding, training."""
    if known and run_id in known[-1].ancestors:
        return known[-1].ancestors[run_id]
    above = (
        "WITH RECURSIVE above(id) AS (SELECT src_run FROM links WHERE dst_run = ?"
        " UNION SELECT l.src_run FROM links l JOIN above a ON l.dst_run = a.id) SELECT id FROM above"
    )
    return select(f"id IN ({above})", (run_id,))


def rows(sql: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    """Rows of our own SQL as dicts."""
    return ask(lambda connection: list(_dicts(connection, sql, values)))


def _dicts(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Rows by column name, made of plain tuples: of thousands of rows, dict(sqlite3.Row) takes four times as long."""
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def select(
    condition: str,
    values: tuple[Any, ...],
    order: Condition | None = None,
    limit: int = 0,
    *,
    columns: Sequence[str] = run_columns.RUN_COLUMNS,
) -> list[RunRecord]:
    """Runs by a condition of our own SQL, newest first unless ordered."""
    sorted_here = order is None and not limit and "config_json" in columns  # SQLite would sort kilobytes a run, on disk
    order = order or Condition("created_at DESC, id DESC")
    ordered = "" if sorted_here else f" ORDER BY {order.sql}"
    sql = f"SELECT {', '.join(columns)} FROM runs WHERE {condition}{ordered} LIMIT ?"

    def read(connection: sqlite3.Connection) -> list[RunRecord]:
        selected = _dicts(connection, sql, (*values, *order.values, limit or -1))
        tags: dict[str, list[str]] = {}
        here = paths.runs().absolute()  # once: there may be thousands of runs
        for run_id, tag in connection.execute("SELECT run_id, tag FROM tags ORDER BY tag"):
            tags.setdefault(run_id, []).append(tag)
        records = []
        for row in selected:
            at = places.run_folder(row["id"], row["run_dir"], here)
            row["run_dir"] = str(at)
            records.append(RunRecord(row["id"], at, row, tuple(tags.get(row["id"], ()))))
        if sorted_here:
            records.sort(key=lambda r: (r.columns["created_at"], r.id), reverse=True)
        return records

    return ask(read)


def _others(completed: bool = False) -> tuple[str, tuple[Any, ...]]:
    """Condition and values: all runs, or all that completed, but one that this process is running."""
    me = identity.owner()
    same = " AND ".join(f"{k} IS ?" for k in OWNER)
    done = " AND status = 'completed'" if completed else ""
    return f"NOT (status = 'running' AND {same}){done}", tuple(me[k] for k in OWNER)


def _only(condition: str, values: tuple[Any, ...], ref: str, fits: str = "1") -> RunRecord:
    runs = select(f"({condition}) AND {fits}", values, limit=1) or select(condition, values, limit=1)
    if not runs:
        hint = "irctl runs ls lists runs; an id, its beginning, a name or a tag"
        if (name := ref.removeprefix("latest:")) != ref and name in shipped_files.names("recipes"):
            hint = f"irctl recipes run {name} makes one"
        raise DataError(f"no run named '{ref}'", hint=hint)
    return runs[0]


def _from_folder(folder: Path) -> RunRecord:
    """The record of a run in a folder, also of one that the ledger of this project does not know."""
    run_id = str(run_json.read(folder)["id"])
    for run in select("id = ?", (run_id,)):
        if run.folder.resolve() == folder.resolve():
            return run
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        schema.create(memory)
        memory.row_factory = sqlite3.Row
        indexing.index_folder(memory, folder)
        row = memory.execute("SELECT * FROM runs").fetchone()
        tags = tuple(r["tag"] for r in memory.execute("SELECT tag FROM tags ORDER BY tag"))
    return RunRecord(run_id, folder, dict(row), tags)
