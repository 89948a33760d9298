"""The ledger file: journal mode by file system, many writers, and what waits in the spool when it cannot be written."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from ledger_runs import dump, finished, start

from irctl import paths
from irctl.errors import ConfigError
from irctl.ledger import query, recording
from irctl.ledger.database import journal_mode, publish, reindex, store
from irctl.ledger.database.store import Ledger

WRITERS, ROWS = 16, 6
MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /home rw - nfs4 server:/home rw
31 30 0:31 / /home/me/local rw shared:5 - xfs /dev/sdb rw
32 22 0:32 / /scratch\\040disk rw - lustre mds@tcp:/x rw
33 22 0:33 / /gpfs rw - gpfs gpfs0 rw
34 22 0:34 / /mnt/x rw - fuse.sshfs host:/ rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "mode"),
    [
        ("/data/runs/ledger.db", "ext4", "wal"),
        ("/home/me/ledger.db", "nfs4", "delete"),
        ("/home/me/local/ledger.db", "xfs", "wal"),
        ("/home/me/localish/ledger.db", "nfs4", "delete"),
        ("/scratch disk/ledger.db", "lustre", "delete"),
        ("/gpfs/ledger.db", "gpfs", "delete"),
        ("/mnt/x/ledger.db", "fuse.sshfs", "delete"),
    ],
)
def test_write_ahead_logging_only_on_local_file_systems(
    path: str, kind: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mode, "MOUNTINFO", tmp_path / "mountinfo")
    journal_mode.MOUNTINFO.write_text(MOUNTS)
    assert (journal_mode.file_system(Path(path)), journal_mode.journal_mode(Path(path))) == (kind, mode)


def test_an_unknown_file_system_gets_a_rollback_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_mode, "MOUNTINFO", tmp_path / "missing")
    assert journal_mode.journal_mode(tmp_path) == "delete"


def test_a_wrong_journal_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_LEDGER_JOURNAL", "walrus")
    with pytest.raises(ConfigError, match="expected wal or delete, found 'walrus'"):
        start()
    assert not paths.runs().exists()


def test_a_file_left_in_wal_mode_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_LEDGER_JOURNAL", "wal")
    finished()
    assert store.is_in_wal_mode(paths.ledger())
    before = dump(paths.ledger())
    monkeypatch.setenv("IRCTL_LEDGER_JOURNAL", "delete")
    Ledger().write(lambda c: None)
    assert not store.is_in_wal_mode(paths.ledger())
    assert dump(paths.ledger()) == before


def _write_rows(writer: int) -> None:
    for i in range(ROWS):
        Ledger().write(lambda c, i=i: c.execute("INSERT INTO events VALUES (?, '', 'info', ?, '')", (str(writer), i)))


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_sixteen_writers_lose_no_row(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_LEDGER_JOURNAL", mode)
    processes = [multiprocessing.get_context("fork").Process(target=_write_rows, args=(i,)) for i in range(WRITERS)]
    for p in processes:
        p.start()
    for p in processes:
        p.join(120)
    assert [p.exitcode for p in processes] == [0] * WRITERS
    rows = query.rows("SELECT run_id, count(*) AS n FROM events GROUP BY run_id")
    assert len(rows) == WRITERS and {r["n"] for r in rows} == {ROWS}
    assert store.is_in_wal_mode(paths.ledger()) == (mode == "wal")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process's transaction that does not end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def test_what_a_locked_ledger_misses_comes_with_the_next_writer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finished()
    monkeypatch.setattr(recording, "PATIENCE_S", 0.2)
    monkeypatch.setattr(recording, "IMPATIENT_S", 0.1)
    with locked(paths.ledger()), start("encode") as run:
        run.artifact("out", "embeddings", run.out)
    assert len([r for r in caplog.records if "ledger not written" in r.message]) == 1
    assert publish.list_waiting()
    later = finished("eval")
    assert publish.list_waiting() == []
    rows = query.rows("SELECT id, status FROM runs ORDER BY created_at DESC LIMIT 2")
    assert rows == [{"id": later.id, "status": "completed"}, {"id": run.id, "status": "completed"}]
    live = dump(paths.ledger())
    reindex.reindex()
    assert dump(paths.ledger()) == live


def test_a_command_that_waits_for_the_ledger_says_so_soon_and_then_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`runs tag` waited a minute in silence."""
    run = finished()
    monkeypatch.setattr(store, "_warned", set())
    monkeypatch.setattr(store, "SAY_AFTER_S", 0.05)
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.1)
    with locked(paths.ledger()):
        assert "locked" in publish.publish(run.paths.folder, patience_s=0.3)
        assert "locked" in publish.publish(run.paths.folder, patience_s=0.04)
    said = [r.message for r in caplog.records]
    assert len(said) == 1 and said[0].startswith(
        f"{paths.ledger()}: another process holds it: waiting, 0 s at most. fuser"
    )


def test_a_ledger_on_another_disk_hands_its_runs_to_the_one_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished("search")
    monkeypatch.setenv("IRCTL_LEDGER", str(tmp_path / "local" / "ledger.db"))
    (tmp_path / "local").mkdir()
    second = finished("search")
    assert second.id in {r.id for r in query.list_runs()}
    assert query.find_run(second.id).columns["status"] == "completed"  # its own reading does not take the note away
    monkeypatch.delenv("IRCTL_LEDGER")
    assert {r.id for r in query.list_runs()} == {first.id, second.id}
    assert not list((paths.runs() / "spool").iterdir())


def test_readers_drain_the_spool_too(monkeypatch: pytest.MonkeyPatch) -> None:
    finished()
    monkeypatch.setattr(recording, "PATIENCE_S", 0.1)
    monkeypatch.setattr(recording, "IMPATIENT_S", 0.1)
    with locked(paths.ledger()):
        run = finished("encode")
    assert query.find_run("latest").id == run.id
    assert publish.list_waiting() == []


def test_a_corrupt_ledger_costs_one_warning_and_no_run(caplog: pytest.LogCaptureFixture) -> None:
    paths.runs().mkdir()
    paths.ledger().write_bytes(b"this is no database" * 100)
    with start() as run:
        run.metric("RR@10", 0.5)
        run.artifact("out", "model", run.out)
        run.note(global_batch=32)
    assert [r.message.split(" (")[0] for r in caplog.records] == ["ledger not written"]
    assert '"status": "completed"' in run.paths.run_json.read_text()
    assert query.find_run("latest").id == run.id  # read from the folders
    count, skipped = reindex.reindex()
    assert (count, skipped) == (1, [])
    assert list(paths.runs().glob("ledger.db.unreadable-*"))
    assert query.measures(run.id)[0]["value"] == 0.5
    assert publish.list_waiting() == []


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_ledger_in_a_read_only_folder_never_stops_a_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    base.chmod(0o755)
    shared, mine = base / "shared", base / "mine"
    shared.mkdir(mode=0o555)
    mine.mkdir()
    mine.chmod(0o777)
    monkeypatch.setenv("IRCTL_RUNS", str(mine))
    monkeypatch.setenv("IRCTL_LEDGER", str(shared / "ledger.db"))
    try:
        with unprivileged():
            with start() as run:
                run.metric("RR@10", 0.5)
            assert [r.message.split(" (")[0] for r in caplog.records] == ["ledger not written"]
            assert query.find_run("latest").columns["status"] == "completed"
            assert query.measures(run.id)[0]["value"] == 0.5
            assert publish.list_waiting()
    finally:
        shared.chmod(0o755)
        shutil.rmtree(base)


def test_a_newer_ledger_never_stops_a_run(caplog: pytest.LogCaptureFixture) -> None:
    finished()
    with closing(sqlite3.connect(paths.ledger())) as connection:
        connection.execute("PRAGMA user_version = 99")
    caplog.clear()
    run = finished("encode")
    assert "Install the irctl that wrote it" in caplog.text
    assert len(caplog.records) == 1
    assert '"status": "completed"' in run.paths.run_json.read_text()


def test_a_ledger_on_a_full_disk_never_stops_a_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finished()
    real = store.Ledger._open

    def full(self: store.Ledger, timeout_s: float) -> sqlite3.Connection:
        connection = real(self, timeout_s)
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(store.Ledger, "_open", full)
        with start("encode", argv=["irctl", "x" * 100_000]) as run:
            run.metric("RR@10", 0.5)
    assert [r.message.split(";")[0] for r in caplog.records] == ["ledger not written (database or disk is full)"]
    assert publish.list_waiting() and '"status": "completed"' in run.paths.run_json.read_text()
    assert query.find_run("latest").columns["status"] == "completed"  # the spool was drained: there is room again
    assert publish.list_waiting() == []
