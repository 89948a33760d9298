"""The ledger's tables, as numbered migrations, and how an older file is brought up to date.

A migration, once released, never changes: a new version is a new entry. `PRAGMA user_version` is its number.
Times are UTC ISO-8601 text. Tables are an index of the run folders; nothing lives here alone.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

from irctl.errors import DataError, EnvironmentUnfit

VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT, command TEXT NOT NULL, method TEXT, argv_json TEXT,
        status TEXT NOT NULL CHECK (status IN
            ('queued', 'running', 'completed', 'failed', 'killed', 'preempted', 'interrupted', 'lost')),
        exit_code INTEGER, signal INTEGER, error_kind TEXT, error_msg TEXT,
        created_at TEXT NOT NULL, started_at TEXT, heartbeat_at TEXT, ended_at TEXT,
        duration_s REAL, cpu_s REAL, gpu_s REAL,
        host TEXT, pid INTEGER, pid_start_ticks INTEGER, boot_id TEXT, user TEXT, cwd TEXT, run_dir TEXT NOT NULL,
        runner TEXT, profile TEXT, world_size INTEGER, nnodes INTEGER,
        global_batch INTEGER, negatives_per_query INTEGER,
        slurm_job_id TEXT, slurm_array_task_id TEXT, slurm_restart_count INTEGER,
        git_commit TEXT, git_branch TEXT, git_dirty INTEGER, git_diff_sha256 TEXT, irctl_version TEXT, python TEXT,
        config_json TEXT, config_sha256 TEXT, dataset TEXT, dataset_fingerprint TEXT,
        model TEXT, model_fingerprint TEXT, seed INTEGER, selected_on_eval INTEGER,
        parent_id TEXT, group_id TEXT, retry_of TEXT, notes TEXT)""",
    "CREATE INDEX runs_dataset_status ON runs (dataset, status)",
    "CREATE INDEX runs_created ON runs (created_at)",
    "CREATE TABLE params (run_id TEXT NOT NULL, key TEXT NOT NULL, value_text TEXT, value_num REAL,"
    " PRIMARY KEY (run_id, key)) WITHOUT ROWID",
    "CREATE INDEX params_key_num ON params (key, value_num)",
    "CREATE INDEX params_key_text ON params (key, value_text)",
    "CREATE TABLE metrics (run_id TEXT NOT NULL, dataset TEXT NOT NULL, split TEXT NOT NULL, name TEXT NOT NULL,"
    " step INTEGER, epoch REAL, value REAL, at TEXT)",
    "CREATE INDEX metrics_name_dataset ON metrics (name, dataset)",
    "CREATE INDEX metrics_run ON metrics (run_id)",
    # The last value of every series, which is what tables and comparisons want.
    "CREATE VIEW measures AS SELECT run_id, dataset, split, name, step, epoch, value, at, max(rowid) AS row"
    " FROM metrics GROUP BY run_id, dataset, split, name",
    "CREATE TABLE artifacts (run_id TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('in', 'out')),"
    " kind TEXT NOT NULL, path TEXT NOT NULL, size INTEGER, sha256 TEXT, mtime_ns INTEGER, n_rows INTEGER,"
    " dim INTEGER, format TEXT)",
    "CREATE INDEX artifacts_sha256 ON artifacts (sha256, role)",
    "CREATE INDEX artifacts_run ON artifacts (run_id)",
    "CREATE TABLE links (src_run TEXT NOT NULL, dst_run TEXT NOT NULL, relation TEXT NOT NULL,"
    " PRIMARY KEY (src_run, dst_run)) WITHOUT ROWID",
    "CREATE INDEX links_dst ON links (dst_run)",
    "CREATE TABLE env (run_id TEXT PRIMARY KEY, packages_json TEXT, gpus_json TEXT, cpu TEXT, ram_gib REAL,"
    " driver TEXT, cuda TEXT, env_json TEXT)",
    "CREATE TABLE tags (run_id TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (run_id, tag)) WITHOUT ROWID",
    "CREATE INDEX tags_tag ON tags (tag)",
    "CREATE TABLE events (run_id TEXT NOT NULL, at TEXT, level TEXT, code TEXT, msg TEXT)",
    "CREATE INDEX events_run ON events (run_id)",
)

VERSION_2 = (
    # The view read every point of a training to find its last one: of a million points seconds, of the last ones none.
    "DROP VIEW measures",
    "CREATE TABLE measures (run_id TEXT NOT NULL, dataset TEXT NOT NULL, split TEXT NOT NULL, name TEXT NOT NULL,"
    " step INTEGER, epoch REAL, value REAL, at TEXT, row INTEGER NOT NULL,"
    " PRIMARY KEY (run_id, dataset, split, name)) WITHOUT ROWID",
    "INSERT INTO measures SELECT run_id, dataset, split, name, step, epoch, value, at, max(place) FROM"
    " (SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY rowid) AS place FROM metrics)"
    " GROUP BY run_id, dataset, split, name",
    "CREATE INDEX measures_name ON measures (name, value)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (VERSION_1, VERSION_2)
RUN_TABLES = (
    "params",
    "metrics",
    "measures",
    "artifacts",
    "env",
    "tags",
    "events",
)  # rows that belong to one run, by run_id


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's version. Raises EnvironmentUnfit if a newer irctl wrote it, DataError if irctl did not."""
    current = version(connection)
    if current > len(MIGRATIONS):
        raise EnvironmentUnfit(
            f"{path}: ledger of version {current}, this irctl reads up to {len(MIGRATIONS)}",
            hint="Install the irctl that wrote it, or name another file in IRCTL_LEDGER",
        )
    if current == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise DataError(f"{path}: an SQLite file, but not an irctl ledger", hint="Name another file in IRCTL_LEDGER")
    return current


def migrate(connection: sqlite3.Connection, path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Bring the file to this version in one transaction; an existing older one is backed up beside it first.

    fill: called inside that transaction when the file is new, to index run folders that are there already.
    """
    current = check_version(connection, path)
    if current == len(MIGRATIONS):
        return
    if current:
        _backup(connection, path.with_name(f"{path.stem}.v{current}.backup{path.suffix}"))
    connection.execute("BEGIN IMMEDIATE")
    current = check_version(connection, path)  # another process may have been faster
    for statements in MIGRATIONS[current:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    if current == 0:
        connection.execute("INSERT INTO meta VALUES ('format', 'irctl-ledger')")
        fill(connection)
    connection.execute("COMMIT")


def create(connection: sqlite3.Connection) -> None:
    """All tables, in an empty database such as one in memory."""
    migrate(connection, Path(":memory:"), lambda _: None)


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    connection.execute("VACUUM INTO ?", (str(partial),))
    partial.replace(target)  # by rename: a backup that exists is whole
