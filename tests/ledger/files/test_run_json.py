"""A run.json that irctl would not have written is named once and left out; a damaged ledger is only a damaged index."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import finished, start

from irctl import paths
from irctl.errors import DataError
from irctl.ledger import query
from irctl.ledger.database import read_only_sql, reindex
from irctl.ledger.files import run_json
from irctl.ledger.recording import RunHandle
from irctl.ledger.runs import follow, reap, transfer

ODD = [
    ("status", "sleeping", "status: expected one of queued, running"),
    ("status", {"a": 1}, "status: expected a text, found an object"),
    ("id", "../precious", "id: expected one such as"),
    ("id", 5, "id: expected a text, found 5"),
    ("command", "", "command: expected a command of irctl, found ''"),
    ("command", ["a"], "command: expected a text, found a list"),
    ("created_at", None, "created_at: expected a text, found null"),
    ("heartbeat_at", 5, "heartbeat_at: expected a text, found 5"),
    ("ended_at", "yesterday", "ended_at: expected a time with its zone, found 'yesterday'"),
    ("started_at", "2026-01-01T00:00:00", "started_at: expected a time with its zone"),
    ("pid", "x", "pid: expected a whole number, found 'x'"),
    ("seed", 2**70, "seed: expected a whole number"),
    ("cpu_s", [1.0], "cpu_s: expected a number"),
    ("model", {"name": "x"}, "model: expected a text"),
    ("argv", "irctl eval", "argv: expected a list"),
    ("status", ["completed"], "status: expected a text, found a list"),
    ("artifacts", None, "artifacts: expected a list, found null"),
    ("artifacts", {}, "artifacts: expected a list"),
    ("artifacts", [5], "artifacts[0]: expected an object, found 5"),
    ("artifacts", [{"role": None, "kind": "m", "path": "m"}], "artifacts[0]: role: expected a text, found null"),
    ("artifacts", ["out"], "artifacts[0]: expected an object, found 'out'"),
    ("artifacts", [{"role": "by", "kind": "m", "path": "m"}], "artifacts: expected the role in or out, found 'by'"),
    ("artifacts", [{"role": "out", "kind": "m"}], "artifacts[0]: no key 'path'"),
    (
        "artifacts",
        [{"role": "out", "kind": "m", "path": "m", "size": "1"}],
        "artifacts[0]: size: expected a whole number",
    ),
]


def change(run: RunHandle, key: str, value: Any) -> None:
    record = json.loads(run.paths.run_json.read_text())
    run.paths.run_json.write_text(json.dumps({**record, key: value}))


def forget_ledger() -> None:
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()


@pytest.mark.parametrize(("key", "value", "message"), ODD)
def test_an_odd_run_is_named_once_and_left_out(
    key: str, value: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd, sound = finished(), finished()
    change(odd, key, value)
    forget_ledger()
    assert [r.id for r in query.list_runs()] == [sound.id]  # the first look makes the ledger
    assert query.find_run("latest").id == sound.id and reap.reap() == []
    (line,) = [r.message for r in caplog.records]
    assert f"{odd.id}/run.json: {message}" in line
    count, skipped = reindex.reindex()
    assert count == 1 and len(skipped) == 1 and message in skipped[0]
    with pytest.raises(DataError, match=r"run\.json: "):
        query.find_run(str(odd.paths.folder))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", '{"train.lr": 3}'),
        ("config.json", "[]"),
        ("events.jsonl", '{"at": {"a": 1}}\n'),
        ("metrics.jsonl", '{"name": "loss", "value": {"a": 1}}\n'),
        ("metrics.jsonl", '{"name": ["loss"], "value": 1}\n'),
        ("metrics.jsonl", '{"name": "loss", "step": 1' + "0" * 30 + "}\n"),
        ("launch.json", '{"cpu": ["a"]}'),
    ],
)
def test_other_odd_files_of_a_run_leave_it_out_whole(file: str, text: str) -> None:
    odd, sound = finished(), finished()
    (odd.paths.folder / file).write_text(text)
    count, skipped = reindex.reindex()
    assert count == 1 and len(skipped) == 1 and odd.id in skipped[0]
    for table in ("runs", "params", "metrics", "artifacts", "events"):
        name = "id" if table == "runs" else "run_id"
        assert query.rows(f"SELECT 1 FROM {table} WHERE {name} = ?", (odd.id,)) == []
    assert query.find_run("latest").id == sound.id


@pytest.mark.parametrize("value", [5, None, [5], [{"role": None, "kind": "m", "path": "m"}]])
def test_a_run_that_turns_odd_is_known_as_it_was(value: object, caplog: pytest.LogCaptureFixture) -> None:
    run = start("eval")
    run.artifact("in", "model", "m", sha256="ab")
    run.finish("completed")
    change(run, "artifacts", value)
    for _ in range(2):
        assert [a["path"] for a in query.artifacts(query.find_run(run.id))] == ["m"]
    assert len(caplog.records) == 1


def test_a_file_name_alone_makes_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"q_1": {"doc_1": 0.1}}')
    (tmp_path / "out").mkdir()
    assert not run_json.is_run(tmp_path) and run_json.find_above(tmp_path / "out" / "r.trec") is None
    with pytest.raises(DataError, match=r"no run there \(no run.json of irctl\)"):
        query.find_run(str(tmp_path))
    run = finished()
    assert run_json.is_run(run.paths.folder)
    assert run_json.find_above(run.out / "r.trec") == run.paths.folder.resolve()


def test_a_torn_run_json_is_said_by_who_watches_or_names_it() -> None:
    run = finished()
    found = query.find_run(run.id)
    run.paths.run_json.write_text("{")
    with pytest.raises(DataError, match=r"run\.json: not valid JSON"):
        query.find_run(str(run.paths.folder))
    with pytest.raises(DataError, match=r"run\.json: not valid JSON"):
        list(follow.follow(found))


def test_an_odd_run_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished()
    change(run, "status", "sleeping")
    transfer.export_runs([query.find_run(run.id)], tmp_path / "x.jsonl")
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "there"))
    with pytest.raises(DataError, match=r"x\.jsonl:1: run\.json: status: expected one of"):
        transfer.import_runs(tmp_path / "x.jsonl")
    assert not (tmp_path / "there" / run.id).exists()


def scramble(table: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(paths.ledger())) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sql = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        page = connection.execute(sql, (table,)).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with paths.ledger().open("r+b") as f:
        f.seek((page - 1) * size)
        f.write(b"\x07\xff" * (size // 2))


@pytest.mark.parametrize("table", ["runs", "params", "metrics", "artifacts", "events", "tags"])
def test_a_scrambled_page_of_the_ledger_stops_no_run(table: str, caplog: pytest.LogCaptureFixture) -> None:
    first = finished("train")
    scramble(table)
    assert [r.id for r in query.list_runs()] == [first.id]
    run = start("eval")
    run.artifact("in", "model", "m", sha256="ab")
    run.metric("RR@10", 0.5)
    run.finish("completed")
    assert query.find_run("latest:eval").columns["status"] == "completed"
    assert [m["value"] for m in query.measures(run.id) if m["name"] == "RR@10"] == [0.5]
    assert len(query.artifacts(query.find_run(run.id))) == 1
    (line,) = [r.message for r in caplog.records]
    assert "ledger" in line and "irctl runs reindex makes it again" in line
    caplog.clear()
    assert reindex.reindex() == (2, [])
    assert "Moved aside to ledger.db.unreadable-" in caplog.text
    assert {r.id for r in query.list_runs()} == {first.id, run.id}


def test_sql_over_a_scrambled_page_says_how_to_make_it_again() -> None:
    finished("train")
    scramble("runs")
    with pytest.raises(DataError, match=r"ledger\.db: .*malformed") as raised:
        read_only_sql.select("SELECT * FROM runs")
    assert "irctl runs reindex" in raised.value.hint
