"""Two data sets of one name: known apart by what their evaluations recorded, and never one row."""

from __future__ import annotations

import json
from pathlib import Path

from report_records import record

from irctl.config import resolve
from irctl.ledger.recording import start_run
from irctl.pipelines.evaluate.files import EVAL, PER_QUERY, write_per_query
from irctl.pipelines.report.records import open_per_query
from irctl.pipelines.report.report import Wanted, build_tables, make_tables
from irctl.reports.same_names import tell_apart


def names(*records: object) -> list[str]:
    return [r.dataset for r in tell_apart(records)]  # type: ignore[arg-type]


def test_folders_of_one_name_are_told_apart_by_as_much_of_their_path_as_that_takes() -> None:
    old = record("a", 0.5, dataset="mine", qrels_sha256="1" * 64, data_path="/x/v1/mine")
    new = record("a", 0.6, dataset="mine", qrels_sha256="2" * 64, data_path="/x/v2/mine")
    assert names(old, new) == ["v1/mine", "v2/mine"]
    assert {r.called for r in tell_apart([old, new])} == {"mine"}


def test_what_changed_in_place_is_told_apart_by_the_hash_of_what_changed() -> None:
    shared = {"dataset": "mine", "data_path": "/x/mine"}
    judged = [record("a", 0.5, qrels_sha256=str(n) * 64, **shared) for n in (1, 2)]
    assert names(*judged) == ["mine [11111111]", "mine [22222222]"]
    texts = [record("a", 0.5, qrels_sha256="1" * 64, documents=d * 64, **shared) for d in "ab"]
    assert names(*texts) == ["mine [11111111 aaaaaaaa]", "mine [11111111 bbbbbbbb]"]


def test_the_same_data_elsewhere_keeps_its_name_and_a_newer_evaluation_replaces() -> None:
    alike = [record("a", 0.5, data_path=f"/{where}/cranfield", documents="d", run_id=where) for where in "xy"]
    unread = record("a", 0.5, run_id="z")  # of a ranking: no documents were read
    assert names(*alike, unread) == ["cranfield"] * 3


def test_different_systems_on_different_data_are_left_to_the_refusal_that_names_them() -> None:
    assert names(record("a", 0.5, qrels_sha256="1"), record("b", 0.5, qrels_sha256="2")) == ["cranfield"] * 2


def test_a_named_run_that_a_newer_one_replaces_is_said() -> None:
    both = [record("a", v, run_id=run, created_at=run) for run, v in (("2025-1", 0.5), ("2025-2", 0.6))]
    (table,) = build_tables(both, Wanted(runs=("2025-1", "2025-2")), lambda _: None)
    assert "Left out, replaced by a newer evaluation of the same system on the same data: 2025-1." in table.notes
    (table,) = build_tables(both, Wanted(), lambda _: None)
    assert not any("2025-1" in note for note in table.notes)


def evaluated(version: str, n_queries: int) -> str:
    """A recorded evaluation of one model on a folder called `mine`, with other judgements in each version."""
    run = start_run(command="eval", argv=["irctl", "eval"], config=resolve(), dataset="mine")
    cell = {"dataset": "mine", "split": "test"}
    told = {"n_queries": n_queries, "n_missing": 0, "self_match": "keep", "qrels_sha256": version * 8, "k": 1000}
    results = [{**cell, **told, "measure": "nDCG@10", "value": 0.01 * n_queries}]
    queries = [{**cell, "measure": "nDCG@10", "query_id": str(q), "value": 0.01 * n_queries} for q in range(n_queries)]
    search = {**cell, "method": "dense", "model": "m", "dim": 4, "k": 1000}
    with run:
        run.artifact("in", "collection", run.out.parents[1] / version / "mine", sha256="of the documents", n_rows=9)
        write_per_query(run.out / PER_QUERY, [q | {"n_relevant": 1, "n_retrieved": 1} for q in queries])
        (run.out / EVAL).write_text(json.dumps({"results": results, "searches": [search]}))
    return run.id


def test_a_report_over_both_shows_both_and_says_so(own_folders: Path) -> None:
    """The later once replaced the earlier without a word, also where both were named."""
    runs = [evaluated("v1", 33), evaluated("v2", 10)]
    for asked in (Wanted(), Wanted(runs=runs), Wanted(datasets="mine")):
        tables = make_tables(asked)
        assert [t.title for t in tables] == ["v1/mine test", "v2/mine test"]
        cells = [t.rows[0].cells[0] for t in tables]
        assert [(c.text, c.runs) for c in cells] == [("33.0", (runs[0],)), ("10.0", (runs[1],))]
        (said,) = {n for t in tables for n in t.notes if n.startswith("2 data sets are called mine (test)")}
        assert "v1/mine: 33 queries, judgements v1v1v1v1" in said and "v2/mine: 10 queries" in said
        assert len(open_per_query()(cells[0].records[0]) or ()) == 33
    assert [t.title for t in make_tables(Wanted(datasets="v2/mine"))] == ["v2/mine test"]
