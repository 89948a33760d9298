"""Judgements that contradict each other: refused, or settled as asked, counted and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_evaluations import collection, ran, settings, started, values

from irctl.data.collections.check import check_folder
from irctl.data.collections.open import open_for
from irctl.data.judgements.qrels import read_conflicting
from irctl.errors import ConfigError, DataError
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate import files
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.types import Silent

# q1 d1: 0, then 2, then 1. q2 d2: 2 twice, which is no conflict. q2 d3: 1, then 0.
ROWS = "q1\td1\t0\nq1\td1\t2\nq2\td2\t2\nq2\td3\t1\nq1\td1\t1\nq2\td2\t2\nq2\td3\t0\n"
GRADES = {
    "max": {"q1": {"d1": 2}, "q2": {"d2": 2, "d3": 1}},
    "last": {"q1": {"d1": 1}, "q2": {"d2": 2, "d3": 0}},
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    home = collection(tmp_path)
    (home / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + ROWS)
    return home


@pytest.fixture
def toy_run(tmp_path: Path) -> Path:
    path = tmp_path / "toy.trec"
    path.write_text("q1 Q0 d1 1 3.0 t\nq2 Q0 d3 1 2.0 t\nq2 Q0 d2 2 1.0 t\n")
    return path


@pytest.mark.parametrize("rule", GRADES)
def test_the_highest_or_the_last_grade_counts_in_whatever_form_they_come(tmp_path: Path, rule: str) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    pairs = [line.split("\t") for line in ROWS.splitlines()]
    queries = {q: ", ".join(f'"{d}": {g}' for p, d, g in pairs if p == q) for q in ("q1", "q2")}
    (tmp_path / "a.json").write_text("{" + ", ".join(f'"{q}": {{{docs}}}' for q, docs in queries.items()) + "}")
    for name in ("a.tsv", "a.json"):
        assert read_conflicting(tmp_path / name, rule) == (GRADES[rule], 2), name


def test_without_a_choice_the_first_pair_is_named_with_how_many_there_are(toy: Path, toy_run: Path) -> None:
    told = r"test.tsv:3: expected one grade for query q1, document d1, found 0 and 2 \(the first of 2 such pairs\)"
    with pytest.raises(DataError, match=told) as e:
        ran(toy, toy_run)
    assert "--on-conflict max or last" in e.value.hint
    with pytest.raises(DataError, match=told):
        pipeline.describe(settings(toy), EvalRequest(run_files=(str(toy_run),)))


@pytest.mark.parametrize(("rule", "word", "rr"), [("max", "highest", 1.0), ("last", "last", 0.75)])
@pytest.mark.parametrize("by_file", [False, True])
def test_a_choice_decides_the_number_and_is_said_and_recorded(
    toy: Path, toy_run: Path, rule: str, word: str, rr: float, by_file: bool
) -> None:
    more = {"qrels": str(toy / "qrels" / "test.tsv")} if by_file else {}
    sets = [f"eval.on_conflict={rule}", "eval.measures=RR@10"]
    payload, run = ran("" if by_file else toy, toy_run, *sets, **more)
    assert values(payload) == {"RR@10": rr}
    said = f"2 pairs with other grades, of which the {word} counts"
    assert f"toy test: judged twice: {said}" in payload["lines"]
    row = files.read_json(run.out / "eval.json")["results"][0]
    assert (row["on_conflict"], row["n_conflicts"]) == (rule, 2)
    plan = pipeline.describe(settings("" if by_file else toy, *sets), EvalRequest(run_files=(str(toy_run),), **more))
    assert plan["toy test"]["judged twice"] == said


def test_judgements_without_a_conflict_are_recorded_as_before(tmp_path: Path, toy_run: Path) -> None:
    payload, _ = ran(collection(tmp_path), toy_run, "eval.measures=RR@10")
    assert "n_conflicts" not in payload["results"][0] and not any("judged twice" in line for line in payload["lines"])
    payload, _ = ran(collection(tmp_path / "b"), toy_run, "eval.measures=RR@10", "eval.on_conflict=max")
    assert payload["results"][0]["n_conflicts"] == 0 and not any("judged twice" in line for line in payload["lines"])


def test_data_check_counts_them_and_searches_take_the_choice(toy: Path) -> None:
    report = check_folder(toy)
    assert report.counts["pairs of several grades in test"] == 2
    assert report.kinds()["error: two grades"] == 3  # lines that contradict the one before: 0 2 1, and 1 0
    assert open_for(settings(toy, "eval.on_conflict=max")).qrels("test") == GRADES["max"]
    with pytest.raises(DataError, match="the first of 2 such pairs"):
        open_for(settings(toy)).qrels("test")


def test_a_choice_of_another_name_or_without_judgements_is_refused(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval\.on_conflict"):
        settings(toy, "eval.on_conflict=min")
    config = settings(toy, "eval.on_conflict=max")
    with pytest.raises(ConfigError, match="--on-conflict: goes with judgements"):
        pipeline.evaluate(config, started(config), Silent(), EvalRequest(index="latest", recall_against="exact"))
