"""The ledger's tables: the columns promised, migration of older files, refusal of newer and foreign ones."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger_runs import dump, finished

from irctl import paths
from irctl.errors import DataError, EnvironmentUnfit
from irctl.ledger import query
from irctl.ledger.database import schema
from irctl.ledger.database.store import Ledger
from irctl.ledger.files import run_columns

VERSION_1 = Path(__file__).with_name("version_1.sql")


@pytest.fixture
def old_ledger() -> Path:
    """A file as version 1 wrote it."""
    path = paths.ledger()
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return path


def columns(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


def test_tables_have_the_documented_columns() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.create(connection)
        assert columns(connection, "runs") == run_columns.RUN_COLUMNS
        assert columns(connection, "params") == ("run_id", "key", "value_text", "value_num")
        assert columns(connection, "metrics") == ("run_id", "dataset", "split", "name", "step", "epoch", "value", "at")
        assert columns(connection, "measures") == (*columns(connection, "metrics"), "row")
        assert columns(connection, "artifacts") == (
            *("run_id", "role", "kind", "path", "size", "sha256", "mtime_ns", "n_rows", "dim", "format"),
        )
        assert columns(connection, "links") == ("src_run", "dst_run", "relation")
        assert columns(connection, "env") == (
            *("run_id", "packages_json", "gpus_json", "cpu", "ram_gib", "driver", "cuda", "env_json"),
        )
        assert columns(connection, "tags") == ("run_id", "tag")
        assert columns(connection, "events") == ("run_id", "at", "level", "code", "msg")
        assert columns(connection, "meta") == ("key", "value")


def test_a_status_outside_the_list_is_refused_by_the_database() -> None:
    finished()
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        Ledger().write(lambda c: c.execute("UPDATE runs SET status = 'done'"))


def test_the_first_version_still_opens(old_ledger: Path) -> None:
    before = dump(old_ledger)
    Ledger().write(lambda c: None)
    assert dump(old_ledger) == before
    assert query.find_run("paper").id == "20260101-120000000-aaaa"
    assert [(m["name"], m["value"]) for m in query.measures("20260101-130000000-bbbb")] == [("RR@10", 0.25)]
    assert query.newest("eval", status="lost", dataset="msmarco-streaming") is not None


def test_an_older_file_is_backed_up_then_migrated(old_ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(old_ledger)
    newer = (*schema.MIGRATIONS, ("ALTER TABLE tags ADD COLUMN at TEXT", "UPDATE tags SET at = 'unknown'"))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    Ledger().write(lambda c: None)
    with Ledger().read() as connection:
        assert schema.version(connection) == len(newer)
        assert [tuple(r) for r in connection.execute("SELECT * FROM tags")] == [
            ("20260101-120000000-aaaa", "paper", "unknown")
        ]
    backup = old_ledger.with_name("ledger.v1.backup.db")
    assert dump(backup) == before
    assert not list(old_ledger.parent.glob("*.tmp"))


def test_who_asks_an_older_file_brings_it_up_to_date(old_ledger: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert query.find_run("paper").id == "20260101-120000000-aaaa"  # from the file: there are no folders
    assert not Ledger().is_older() and old_ledger.with_name("ledger.v1.backup.db").is_file()
    assert not caplog.records


def test_a_migration_that_fails_leaves_the_old_file(old_ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(old_ledger)
    broken = (*schema.MIGRATIONS, ("ALTER TABLE tags ADD COLUMN at TEXT", "UPDATE nothing SET at = 1"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError, match="nothing"):
        Ledger().write(lambda c: None)
    assert dump(old_ledger) == before


def test_a_newer_file_is_refused_with_what_to_do(old_ledger: Path) -> None:
    with closing(sqlite3.connect(old_ledger)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(EnvironmentUnfit, match=rf"version 99.*up to {len(schema.MIGRATIONS)}\. Install the irctl"):
        Ledger().write(lambda c: None)
    with pytest.raises(EnvironmentUnfit), Ledger().read():
        pass


def test_somebody_elses_database_is_left_alone() -> None:
    paths.ledger().parent.mkdir()
    with closing(sqlite3.connect(paths.ledger())) as connection:
        connection.execute("CREATE TABLE holiday (photo)")
    with pytest.raises(DataError, match="not an irctl ledger"):
        Ledger().write(lambda c: None)


def test_a_deleted_ledger_comes_back_with_the_next_writer() -> None:
    run = finished(measures={"RR@10": 0.5})
    before = dump(paths.ledger())
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()
    assert query.find_run("latest").id == run.id
    assert dump(paths.ledger()) == before
