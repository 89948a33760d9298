"""Measures that know the scale of grades, or that take a number, from the command's words to tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_evaluations import collection, ran, values

from irctl.data.collections.convert import convert_collection
from irctl.data.collections.open import open_collection
from irctl.errors import DataError
from irctl.pipelines.evaluate import files
from irctl.pipelines.report import report

NEW = "ERR@10 RBP(p=0.8) RBP(rel=2,p=0.5)@10 Bpref infAP"


@pytest.fixture
def toy_run(tmp_path: Path) -> Path:
    path = tmp_path / "toy.trec"
    path.write_text("q1 Q0 d3 1 3.0 t\nq1 Q0 d1 2 2.0 t\nq2 Q0 d2 1 1.0 t\n")  # grade 1 at rank 2, grade 2 at rank 1
    return path


def graded(folder: Path, top_grades: str) -> Path:
    home = collection(folder)
    card = home / "card.toml"
    card.write_text(f"top_grades = {top_grades}\n" + card.read_text())
    return home


def test_the_top_grade_is_the_cards_else_the_highest_judged_and_that_is_said(tmp_path: Path, toy_run: Path) -> None:
    payload, _ = ran(collection(tmp_path / "none"), toy_run, f"eval.measures={NEW}")
    row = payload["results"][0]
    assert (row["top_grade"], row["top_grade_of"]) == (2, "judgements")
    assert row["value"] == pytest.approx((1 / 4 / 2 + 3 / 4) / 2)
    assert (
        "toy test ERR@10: of a scale up to 2, the highest grade judged; no card says its top_grades" in payload["lines"]
    )
    assert [r["measure"] for r in payload["results"] if "top_grade" in r] == ["ERR@10"]

    home = graded(tmp_path / "four", "{ test = 4 }")
    payload, run = ran(home, toy_run, f"eval.measures={NEW}")
    assert payload["results"][0]["value"] == pytest.approx((1 / 16 / 2 + 3 / 16) / 2)
    assert files.read_json(run.out / "eval.json")["results"][0]["top_grade_of"] == "card"
    assert not any("scale" in line for line in payload["lines"])
    convert_collection(open_collection(str(home)), tmp_path / "again", "beir")
    assert open_collection(str(tmp_path / "again")).top_grade("test") == 4


@pytest.mark.parametrize(
    ("top_grades", "told"),
    [
        ("{ test = 1 }", r"ERR@10: expected grades up to 1 .* found 2 for query q2, document d2"),
        ("{ test = 0 }", r"card.toml: top_grades: expected grades of at least 1, found \{'test': 0\}"),
        ('{ test = "3" }', r"card.toml: top_grades: test: expected a whole number"),
    ],
)
def test_a_card_whose_top_grade_cannot_be_is_one_line(
    tmp_path: Path, toy_run: Path, top_grades: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        ran(graded(tmp_path, top_grades), toy_run, "eval.measures=ERR@10")


def test_a_pool_of_splits_has_a_top_grade_where_each_of_them_has_one(tmp_path: Path) -> None:
    home = graded(tmp_path, "{ test = 4 }")
    (home / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    opened = open_collection(str(home))
    assert (opened.top_grade("test"), opened.top_grade("dev"), opened.top_grade("dev+test")) == (4, None, None)


def test_the_new_measures_stand_in_per_query_files_paired_tests_and_tables(tmp_path: Path, toy_run: Path) -> None:
    home = collection(tmp_path)
    _, first = ran(home, toy_run, f"eval.measures={NEW}")
    other = tmp_path / "other.trec"
    other.write_text("q1 Q0 d1 1 3.0 t\nq2 Q0 d2 1 1.0 t\n")
    payload, run = ran(home, other, f"eval.measures={NEW}", baseline=first.id, export="mteb")
    names = set(values(payload))
    assert names == set(NEW.split())
    assert {r["measure"] for r in files.read_rows(run.out / "per_query.parquet")} == names
    assert {c["measure"] for c in payload["comparisons"]} == names
    wanted = report.Wanted(measures="RBP(rel=2, p=0.5)@10,Bpref")
    assert report.read_measures(wanted) == ["RBP(rel=2,p=0.5)@10", "Bpref"]
    shown = [r for r in report.gather() if r.measure == "ERR@10"]
    assert {r.top_grade for r in shown} == {2}
    (table,) = report.make_tables(report.Wanted(measures="ERR@10 Bpref"))
    assert "Scale of grades: ERR@10 up to 2 (toy test)." in table.notes
