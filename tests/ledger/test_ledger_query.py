"""Finding runs: references, conditions, order, lineage, and SQL that cannot write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ledger_runs import finished, start

import irctl
from irctl import paths
from irctl.errors import ConfigError, DataError
from irctl.ledger import query
from irctl.ledger.database import conditions, read_only_sql, reindex
from irctl.ledger.files import run_columns
from irctl.ledger.runs import tags_and_notes


def ids(condition: str) -> list[str]:
    return [r.id for r in query.list_runs(where=condition)]


def test_a_run_is_found_by_id_beginning_name_tag_folder_and_latest() -> None:
    first = finished("train", name="teacher")
    tags_and_notes.tag(query.find_run(first.id), "paper")
    second = finished("encode")
    assert query.find_run("latest").id == second.id
    assert query.find_run("latest:train").id == first.id
    assert query.find_run("latest:teacher").id == first.id
    for ref in (first.id, first.id[:-1], "teacher", "paper", str(first.paths.folder), f"{paths.runs()}/{first.id}"):
        assert query.find_run(ref).id == first.id
    assert query.find_run("paper").tags == ("paper",)


def test_the_beginning_of_several_ids_is_refused_with_their_names() -> None:
    first, second = finished(), finished()
    with pytest.raises(DataError, match=f"several begin so: {second.id}, {first.id}"):
        query.find_run(first.id[:8])


@pytest.mark.parametrize("ref", ["nothing", "latest:nothing", "runs/nothing", "%", "_", ""])
def test_a_run_that_is_not_there_is_named(ref: str) -> None:
    finished()
    with pytest.raises(DataError, match="no run"):
        query.find_run(ref)


def test_a_run_folder_from_elsewhere_is_read_in_place(tmp_path, monkeypatch) -> None:
    run = finished("train", {"RR@10": 0.25})
    elsewhere = tmp_path / "elsewhere"
    run.paths.folder.rename(elsewhere)
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "other"))
    found = query.find_run(str(elsewhere))
    assert (found.id, found.columns["status"], found.folder) == (run.id, "completed", elsewhere)


def test_newest_takes_only_what_fits() -> None:
    old = finished("train", method="sycl")
    finished("train", method="dense")
    start("train", method="sycl").finish("failed", exit_code=1)
    found = query.newest("train", method="sycl")
    assert found is not None and found.id == old.id
    assert query.newest("compress") is None


def test_conditions_on_settings_measures_columns_and_tags() -> None:
    low = finished("search", {"RR@10": 0.30}, sets=("pq.m=48", "loss.temperature=0.05"), seed=1)
    high = finished("search", {"RR@10": 0.36}, sets=("pq.m=48", "data.binary=true"), seed=2, name="it's")
    other = finished("search", {"RR@10": 0.40}, sets=("pq.m=24",), seed=3)
    tags_and_notes.tag(query.find_run(other.id), "paper")
    assert ids("params.'pq.m'=48 and metrics.'RR@10'>0.33") == [high.id]
    assert ids("params.pq.m = 48 AND NOT metrics.RR@10 >= 0.33") == [low.id]
    assert ids("seed=1 or seed=3") == [other.id, low.id]
    assert ids("(seed=1 or seed=3) and params.pq.m<40") == [other.id]
    assert ids("seed in (1, 2) and command='search'") == [high.id, low.id]
    assert ids("seed not in (1, 2)") == [other.id]
    assert ids("params.'data.binary'=true") == [high.id]
    assert ids("params.'loss.temperature'=0.05") == [low.id]
    assert ids("params.'loss.temperature'='auto'") == [other.id, high.id]
    assert ids("tag='paper'") == [other.id]
    assert ids("not tag='paper' and name is null") == [low.id]
    assert ids("name='it''s'") == [high.id]
    assert ids("name like 'it%'") == [high.id]
    assert ids("metrics.'RR@100' is null") == [other.id, high.id, low.id]
    assert ids("metrics.'RR@10' is not null and seed!=3") == [high.id, low.id]


def test_a_measure_means_the_last_value_of_its_series() -> None:
    run = start()
    for step, value in enumerate((0.9, 0.5, 0.1)):
        run.metric("loss", value, step=step)
    run.finish("completed")
    assert ids("metrics.'loss'<0.2") == [run.id]
    assert ids("metrics.'loss'>0.8") == []
    assert [m["value"] for m in query.measures(run.id) if m["name"] == "loss"] == [0.1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede=3", "no field named 'sede'. Did you mean 'seed'?"),
        ("seed", "expected a comparison after seed"),
        ("seed=", "character 6: expected a value"),
        ("seed=3 seed=4", "character 8: unexpected 'seed'"),
        ("(seed=3", r"expected \)"),
        ("seed=other", "expected a number, true, false or 'text', found 'other'"),
        ("seed=3; DROP TABLE runs", "unexpected ';'"),
        ("seed is 3", "expected null"),
        ("", "expected a field"),
    ],
)
def test_a_condition_that_makes_no_sense_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        conditions.translate(text)


def test_values_never_become_sql() -> None:
    condition = conditions.translate("""name='x'' OR 1=1' and params."a') OR (1=1"='b'""")
    assert "1=1" not in condition.sql
    assert condition.values == ["x' OR 1=1", "a') OR (1=1", "b"]


def test_runs_sort_by_column_measure_or_setting_and_empty_values_come_last() -> None:
    a = finished("eval", {"RR@10": 0.2}, seed=2, sets=("search.k=30",))
    b = finished("eval", {"RR@10": 0.4}, seed=1, sets=("search.k=10",))
    c = finished("eval", seed=3, sets=("search.k=20",))
    assert [r.id for r in query.list_runs(sort="-RR@10")] == [b.id, a.id, c.id]
    assert [r.id for r in query.list_runs(sort="RR@10")] == [a.id, b.id, c.id]
    assert [r.id for r in query.list_runs(sort="seed")] == [b.id, a.id, c.id]
    assert [r.id for r in query.list_runs(sort="-search.k", limit=2)] == [a.id, c.id]


def test_what_a_run_reads_links_it_to_the_run_that_made_it() -> None:
    train = start("train")
    (train.out / "model").write_text("weights")
    train.artifact("out", "model", train.out / "model")
    train.finish("completed")
    encode = start("encode")
    encode.artifact("in", "model", train.out / "model")
    encode.artifact("out", "embeddings", "vectors", sha256="ee", n_rows=10, dim=4)
    encode.finish("completed")
    search = start("search")
    search.artifact("in", "embeddings", "vectors", sha256="ee")
    search.finish("completed")
    assert [(r["id"], r["relation"]) for r in query.lineage(encode.id)["from"]] == [(train.id, "train>encode")]
    assert [(r["id"], r["relation"]) for r in query.lineage(encode.id)["to"]] == [(search.id, "encode>search")]
    assert [r.id for r in query.ancestors(search.id)] == [encode.id, train.id]
    assert query.artifacts(query.find_run(encode.id), role="out", kind="embeddings")[0]["dim"] == 4


def test_a_model_overwritten_in_place_is_not_the_one_that_was_trained() -> None:
    train = start("train")
    (train.out / "model").write_text("weights")
    train.artifact("out", "model", train.out / "model")
    train.finish("completed")
    (train.out / "model").write_text("other weights")
    encode = start("encode")
    encode.artifact("in", "model", train.out / "model")
    encode.finish("completed")
    assert query.lineage(encode.id)["from"] == []


def test_of_two_runs_with_the_same_output_the_one_that_was_read_is_linked() -> None:
    made = []
    for _ in range(2):
        run = start("train")
        (run.out / "model").write_text("same weights")
        run.artifact("out", "model", run.out / "model")
        run.finish("completed")
        made.append(run)
    encode = start("encode")
    encode.artifact("in", "model", made[0].out / "model")
    encode.finish("completed")
    copy = start("encode")
    copy.artifact("in", "model", "a copy", sha256=query.artifacts(query.find_run(made[0].id))[0]["sha256"])
    copy.finish("completed")
    assert [r["id"] for r in query.lineage(encode.id)["from"]] == [made[0].id]
    assert [r["id"] for r in query.lineage(copy.id)["from"]] == [made[1].id]


def test_an_artifact_that_is_not_there_needs_a_hash() -> None:
    run = start()
    with pytest.raises(DataError, match="no such file or folder"):
        run.artifact("in", "model", "nowhere/model")
    run.finish("completed")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM runs",
        "UPDATE runs SET status = 'completed'",
        "DROP TABLE runs",
        "CREATE TABLE x (y)",
        "ATTACH '/tmp/x.db' AS x",
        "PRAGMA user_version = 3",
        "PRAGMA writable_schema = 1",
        "BEGIN IMMEDIATE",
        "VACUUM INTO '/tmp/x.db'",
        "INSERT INTO tags VALUES ('a', 'b') RETURNING *",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM runs",
        "",
    ],
)
def test_sql_that_does_more_than_read_is_refused(statement: str) -> None:
    run = finished()
    if statement:
        with pytest.raises(ConfigError, match="sql: "):
            read_only_sql.select(statement)
    else:
        assert read_only_sql.select(statement) == ([], [], False)
    assert query.find_run("latest").id == run.id


def test_sql_reads_and_stops_at_ten_thousand_rows() -> None:
    finished("eval", {"RR@10": 0.5})
    assert read_only_sql.select("SELECT command, 1 AS one FROM runs") == (["command", "one"], [("eval", 1)], False)
    names, rows, cut = read_only_sql.select(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    )
    assert (names, len(rows), cut) == (["i"], 10_000, True)


def test_sql_names_the_tables_when_one_is_wrong() -> None:
    finished()
    with pytest.raises(ConfigError, match=r"no such table: run\. Tables: artifacts, env, events"):
        read_only_sql.select("SELECT * FROM run")


def test_runs_are_newest_first_whoever_sorts_them() -> None:
    """Two of one moment by id, the later first; SQLite sorts narrow rows and a few, irctl itself rows with settings."""
    runs = [finished() for _ in range(4)]
    for run in runs[:2]:
        record = json.loads(run.paths.run_json.read_text())
        run.paths.run_json.write_text(json.dumps(record | {"created_at": "2030-01-01T00:00:00.000Z"}))
    reindex.reindex()
    expected = [runs[i].id for i in (1, 0, 3, 2)]
    assert [r.id for r in query.list_runs()] == expected
    assert [r.id for r in query.list_runs(limit=4)] == expected
    assert [r.id for r in query.list_runs(columns=("id", "run_dir"))] == expected


def test_commands_that_make_runs_are_those_that_the_ledger_can_be_asked_for() -> None:
    """Read from the sources: `execute` is where a command begins a run."""
    files = (Path(irctl.__file__).parent / "commands").rglob("*.py")
    begun = {name for file in files for name in re.findall(r"\bexecute\(\s*\"(\w+)\"", file.read_text())}
    assert begun == set(run_columns.COMMANDS)
