"""Two data sets of one name: known apart by what their evaluations recorded, and never one row."""

from __future__ import annotations

import pytest
from report_records import record
from toy_collections import JUDGED, two_splits
from workspace import Workspace

from irctl.pipelines.report.report import Wanted, build_tables
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


@pytest.fixture
def evaluated(place: Workspace) -> list[str]:
    """One run file evaluated on two folders called `mine`, of one and of two judged queries."""
    (place.folder / "their.trec").write_text("b Q0 d2 1 9 them\nc Q0 d1 1 9 them\n")
    two_splits(place.folder / "v1" / "mine")
    two_splits(place.folder / "v2" / "mine", JUDGED | {"test": {"b": {"d2": 1}}})
    line = "eval their.trec --split test --data {}/mine --json"
    return [place.ok(line.format(version)).json["run"] for version in ("v1", "v2")]


def test_a_report_over_both_shows_both_and_says_so(place: Workspace, evaluated: list[str]) -> None:
    """The later once replaced the earlier without a word, also where both were named."""
    for options in ("", " ".join(f"--run {run}" for run in evaluated), "--dataset mine"):
        tables = place.ok(f"report --json {options}").json["tables"]
        cells = [t["rows"][0]["cells"]["R@100"] for t in tables]
        assert [(c["value"], c["runs"]) for c in cells] == [(0.5, [evaluated[0]]), (1.0, [evaluated[1]])]
        said = [n for t in tables for n in t["notes"] if n.startswith("2 data sets are called mine (test)")]
        assert len(said) == 2 and "2 queries" in said[0] and "1 query," in said[0]
