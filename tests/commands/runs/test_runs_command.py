"""`irctl runs` as it is typed: what each command prints, its JSON, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from typer.testing import CliRunner
from workspace import Workspace

from irctl import config, paths, stopping, tables
from irctl.cli import app
from irctl.ledger import query
from irctl.ledger.files import run_folder, surroundings
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import files as store


def made(
    command: str, measures: dict[str, float] | None = None, sets: tuple[str, ...] = (), **columns: Any
) -> RunHandle:
    settings = config.resolve(config.from_sets(sets))
    run = start_run(command=command, argv=["irctl", command], config=settings, **{"dataset": "cranfield", **columns})
    for name, value in (measures or {}).items():
        run.metric(name, value, dataset="cranfield", split="test")
    run.finish("completed")
    return run


def typed(*words: str, code: int = 0) -> str:
    """stdout of `irctl runs WORDS`, which must end with this exit code."""
    done = CliRunner().invoke(app, ["runs", *words], prog_name="irctl")
    assert done.exit_code == code, done.output + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_ls_filters_sorts_and_prints_every_format() -> None:
    low = made("eval", {"RR@10": 0.34}, ("pq.m=48",))
    high = made("eval", {"RR@10": 0.40}, ("pq.m=48",), name="best")
    made("eval", {"RR@10": 0.50}, ("pq.m=24",))
    made("eval", {"RR@10": 0.60}, ("pq.m=48",), dataset="other")
    words = ["ls", "--dataset", "cranfield", "--where", "params.'pq.m'=48 and metrics.'RR@10'>0.33", "--sort", "-RR@10"]
    assert typed(*words, "--quiet").split() == [high.id, low.id]
    rows = list(csv.DictReader(io.StringIO(typed(*words, "--format", "csv"))))
    assert [(r["id"], r["name"], r["RR@10"]) for r in rows] == [(high.id, "best", "0.4"), (low.id, "", "0.34")]
    table = typed(*words)
    assert table.splitlines()[0].split() == ["id", "name", "command", "split", "RR@10", "time"] and "0.4000" in table
    assert table.splitlines()[-1] == "all: data set cranfield"
    assert typed(*words, "--format", "md").splitlines()[1].startswith("|---|")
    payload = json.loads(typed(*words, "--format", "json"))
    assert payload == json.loads(typed(*words, "--json"))
    assert payload["schema"] == "irctl/runs/1"
    assert [r["measures"][0]["value"] for r in payload["runs"]] == [0.40, 0.34]
    assert typed(*words, "--limit", "1", "--quiet").split() == [high.id]


def test_measures_of_ls_are_those_of_evaluations() -> None:
    training = made("train", {"nDCG@10": 0.9, "loss": 1.0})
    evaluation = made("eval", {"nDCG@10": 0.3})
    rows = {r["id"]: r for r in csv.DictReader(io.StringIO(typed("ls", "--format", "csv")))}
    assert rows[evaluation.id]["nDCG@10"] == "0.3" and rows[training.id]["nDCG@10"] == ""
    assert typed("ls", "--sort", "-nDCG@10", "--quiet").split()[0] == training.id


def test_ls_marks_runs_whose_process_is_gone() -> None:
    run = start_run(command="train", argv=["irctl", "train"], config=None)
    stored = tables.json_object(run.paths.run_json)
    run_folder.write_json(run.paths.run_json, stored | {"pid_start_ticks": 1})
    rows = json.loads(typed("ls", "--json"))["runs"]
    assert [(r["id"], r["status"]) for r in rows] == [(run.id, "lost")]


def test_wrong_words_are_usage_errors_in_one_line() -> None:
    made("eval")
    assert "error: --where, character 1: no field named 'sed'. Did you mean 'seed'?" in typed(
        "ls", "--where", "sed=3", code=2
    )
    assert "--sort nDCQ@10: no run has it" in typed("ls", "--sort", "nDCQ@10", code=2)
    assert "--format xml: expected table, csv, json, md" in typed("ls", "--format", "xml", code=2)
    assert "no run named 'nothing'" in typed("show", "nothing", code=3)
    assert "sql: not authorized" in typed("sql", "DELETE FROM runs", code=2)


def test_show_prints_settings_measures_and_lineage() -> None:
    train = start_run(
        command="train",
        argv=["irctl", "train"],
        config=config.resolve(config.from_sets(["train.lr=1e-5"])),
        name="teacher",
    )
    (train.out / "model").write_text("weights")
    train.artifact("out", "model", train.out / "model")
    train.finish("completed")
    encode = start_run(command="encode", argv=["irctl", "encode"], config=None)
    encode.artifact("in", "model", train.out / "model")
    encode.finish("failed", exit_code=3, error_kind="DataError", error_msg="no corpus")
    page = typed("show", "teacher")
    assert f"\n{train.id}  train  completed" in page
    assert "train.lr" in page and "1e-05" in page and "train>encode" in page
    assert "DataError: no corpus (exit code 3)" in typed("show", "latest")
    payload = json.loads(typed("show", "latest", "--json"))
    assert payload["lineage"]["from"][0]["id"] == train.id
    assert payload["artifacts"][0]["role"] == "in"
    assert "failed: no corpus" in typed("show", "latest", "--follow")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("latest", "means the newest run"),
        ("latest:x", "means the newest run"),
        ("2026", "reads as the beginning of a run's id"),
        ("20261128-200957499-964s", "reads as the beginning of a run's id"),
        ("a b", "expected letters, digits"),
    ],
)
def test_a_tag_by_which_no_run_could_be_found_is_refused_with_the_reason(name: str, why: str) -> None:
    assert f"tag '{name}': {why}" in typed("tag", made("eval").id, name, code=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("runs ls --command evl", "no command named 'evl'. Did you mean 'eval'?"),
        ("runs ls --status complete", "no status named 'complete'. Did you mean 'completed'?"),
        ("runs ls --json --format csv", "--format csv: not with --json. Drop one"),
        ("runs sql 'SELECT 1' --json --format md", "--format md: not with --json. Drop one"),
    ],
)
def test_a_listing_ignores_nothing_that_was_asked_for(line: str, said: str, place: Workspace) -> None:
    done = place.run(line)
    assert done.code == 2 and f"error: {said}" in done.err


def test_a_run_without_a_name_is_none(place: Workspace) -> None:
    done = place.run("runs show ''")
    assert done.code == 2 and "RUN: expected a value, found an empty text" in done.err


def test_sql_without_a_statement_is_refused() -> None:
    assert "expected a SELECT, found nothing" in typed("sql", " ", code=2)
    assert "at a time. Tables" in typed("sql", "select 1; select 2", code=2)


def test_an_empty_ledger_is_called_empty_under_its_path_once() -> None:
    made("eval")
    paths.ledger().unlink()
    for beside in paths.ledger().parent.glob("ledger.db-*"):
        beside.unlink()
    paths.ledger().touch()
    done = CliRunner().invoke(app, ["runs", "sql", "SELECT 1"], prog_name="irctl")
    assert done.stderr.count(str(paths.ledger())) <= 1 and "version 0" not in done.stderr


def test_show_tells_the_code_that_ran_from_the_checkout_that_it_ran_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = made("eval")
    page = typed("show", run.id)
    assert f"code: irctl {surroundings.versions()['irctl_version']}" in page
    assert f"working folder: {tmp_path}, in no git checkout" in page
    monkeypatch.chdir(paths.PACKAGE)
    commit = surroundings.git(paths.PACKAGE).get("git_commit")
    shown = f"commit {commit[:12]}" if commit else "in no git checkout"
    assert f"working folder: {paths.PACKAGE}, {shown}" in typed("show", made("eval").id)


def test_the_command_line_of_a_page_can_be_pasted() -> None:
    run = start_run(
        command="train", argv=["irctl", "train", "--model", "my base (v1) | x", "--set", "run.name=a b"], config=None
    )
    run.finish("completed")
    assert "command line: irctl train --model 'my base (v1) | x' --set 'run.name=a b'" in typed("show", run.id)


def test_diff_shows_settings_with_origins_and_warns_when_negatives_differ() -> None:
    a = made("train", {"RR@10": 0.25}, ("train.lr=1e-5",), negatives_per_query=31)
    b = made("train", {"RR@10": 0.40}, ("train.lr=3e-5",), negatives_per_query=7)
    done = CliRunner().invoke(app, ["runs", "diff", a.id, b.id])
    assert done.exit_code == 0
    assert "train.lr" in done.stdout and "--set" in done.stdout and "0.1500" in done.stdout
    assert "warning: negatives per query differ (31 and 7)" in done.stderr
    payload = json.loads(typed("diff", a.id, b.id, "--json"))
    assert payload["facts"] == [{"name": "negatives_per_query", "a": 31, "b": 7}]


def evaluated(values: dict[str, float]) -> RunHandle:
    """An evaluation with RR@10 of each query."""
    run = start_run(command="eval", argv=["irctl", "eval"], config=config.resolve(), dataset="cranfield")
    cell = {"dataset": "cranfield", "split": "test", "measure": "RR@10", "n_relevant": 1, "n_retrieved": 9}
    store.write_per_query(run.out / store.PER_QUERY, [{**cell, "query_id": q, "value": v} for q, v in values.items()])
    run.metric("RR@10", sum(values.values()) / len(values), dataset="cranfield", split="test")
    run.finish("completed")
    return run


def test_diff_tests_two_evaluations_query_by_query() -> None:
    low = {str(q): 0.2 + 0.01 * (q % 3) for q in range(12)}
    high = {q: v + 0.3 + 0.02 * (int(q) % 5) for q, v in low.items()}
    a, b = evaluated(low), evaluated(high)
    page = typed("diff", a.id, b.id)
    assert "12/0/0" in page and "Holm-corrected, family of 1: " in page and "p, family of 1" in page
    (test,) = json.loads(typed("diff", a.id, b.id, "--json"))["tests"]
    expected = scipy.stats.ttest_rel([high[q] for q in low], list(low.values()))
    assert test["p_raw"] == pytest.approx(expected.pvalue) and test["p_adj"] == test["p_raw"]
    assert test["delta"] == pytest.approx(sum(high.values()) / 12 - sum(low.values()) / 12)
    (same,) = json.loads(typed("diff", a.id, a.id, "--json"))["tests"]
    assert (same["p_raw"], same["ties"]) == (1.0, 12)


def test_diff_says_why_evaluations_over_other_queries_are_not_tested() -> None:
    a, b = evaluated({"1": 0.5, "2": 0.25}), evaluated({"1": 0.5, "3": 0.25})
    done = CliRunner().invoke(app, ["runs", "diff", a.id, b.id])
    assert done.exit_code == 0 and "cranfield test: not tested" in done.stderr and "95% interval" not in done.stdout


def test_sql_answers_the_query_of_the_manual() -> None:
    run = made("compress", dataset="msmarco-streaming")
    line = "SELECT * FROM runs WHERE dataset='msmarco-streaming'"
    payload = json.loads(typed("sql", line, "--json"))
    assert dict(zip(payload["columns"], payload["rows"][0], strict=True))["id"] == run.id
    assert typed("sql", "SELECT command, status FROM runs", "--format", "csv") == "command,status\ncompress,completed\n"


def test_tags_notes_and_their_removal() -> None:
    run = made("eval")
    assert typed("tag", "latest", "paper", "table-2") == f"{run.id}: paper table-2\n"
    assert typed("tag", "paper", "table-2", "--remove") == f"{run.id}: paper\n"
    typed("note", "paper", "the baseline")
    assert query.find_run("paper").columns["notes"] == "the baseline"
    assert typed("ls", "--where", "tag='paper' and notes like 'the%'", "--quiet").split() == [run.id]


def test_export_import_reindex_and_reap(tmp_path: Path) -> None:
    run = made("eval", {"RR@10": 0.5})
    file = tmp_path / "runs.jsonl"
    assert "1 run\n" in typed("export", "--to", str(file))
    assert json.loads(typed("import", str(file), "--json")) == {
        "schema": "irctl/runs-import/1",
        "imported": [],
        "present": [run.id],
    }
    assert typed("reindex") == f"{paths.ledger()}: 1 run\n"
    (paths.runs() / "broken").mkdir()
    (paths.runs() / "broken" / "run.json").write_text("[]")
    assert "1 folder left out" in typed("reindex", code=5)
    assert typed("reap", "--quiet") == ""


def test_reproduce_prints_a_line_that_runs_the_same_settings() -> None:
    run = made("train", sets=("train.lr=1e-5",))
    line = typed("reproduce", "latest").strip()
    assert line.startswith("irctl train --config ")
    stored = config.from_file(Path(line.split()[-1]))
    assert config.resolve(stored).sha256() == query.find_run(run.id).columns["config_sha256"]


def test_gc_says_what_it_would_free_and_frees_it_only_then() -> None:
    run = made("train")
    run.paths.model.mkdir()
    run.paths.checkpoints.mkdir()
    (run.paths.checkpoints / "state").write_bytes(b"x" * 2**20)
    assert "would free 1.0 MiB in 1 place" in typed("gc", "--dry-run")
    assert run.paths.checkpoints.exists()
    assert json.loads(typed("gc", "--json"))["bytes"] == 2**20
    assert not run.paths.checkpoints.exists()


def test_a_broken_ledger_still_lists_the_runs(caplog: pytest.LogCaptureFixture) -> None:
    run = made("eval")
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()
    paths.ledger().write_bytes(b"no database" * 100)
    assert typed("ls", "--quiet").split() == [run.id]
    assert "Reading the run folders instead" in caplog.text
    typed("reindex")
    caplog.clear()
    assert typed("ls", "--quiet").split() == [run.id]
    assert caplog.text == ""


def test_export_goes_to_one_place(tmp_path: Path) -> None:
    made("eval")
    assert "expected either --to FILE or --mlflow URI" in typed("export", code=2)
    assert "expected either" in typed("export", "--to", str(tmp_path / "x"), "--mlflow", "sqlite:///x.db", code=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_long_query_ends_with_a_signal(number: int, code: int, place: Workspace) -> None:
    def stop() -> None:
        while signal.getsignal(signal.SIGTERM) is not stopping._on_signal:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    done = place.run(f'runs sql "{endless}"')
    assert done.code == code and "nothing of a query is kept" in done.err
