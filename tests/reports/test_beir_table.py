"""The table of BEIR: an average over all of its sets or over none, the columns of ragcun, LaTeX."""

from __future__ import annotations

import pytest
from report_records import record

from irctl.data.collections import cards
from irctl.errors import ConfigError, DataError
from irctl.pipelines.report import report
from irctl.reports.formats import latex
from irctl.reports.notes.footnotes import GROUPS
from irctl.reports.records import Record
from irctl.reports.table import Table

COLUMNS = "avg,msmarco,scifact,fiqa,iso"


def scores(system: str, **values: float) -> list[Record]:
    names = {"msmarco": "beir/msmarco"}
    splits = {"msmarco": "dev"}
    return [record(system, v, dataset=names.get(d, d), split=splits.get(d, "test")) for d, v in values.items()]


def sets() -> list[Record]:
    a = scores("A", msmarco=0.4, scifact=0.6, fiqa=0.5, nfcorpus=0.3)
    return [*a, *scores("B", msmarco=0.5, scifact=0.7, fiqa=0.6)]


def table(**wanted: str) -> Table:
    (built,) = report.build_tables(sets(), report.Wanted(table="beir", **wanted), lambda _: None)
    return built


def test_the_columns_of_ragcun_average_over_every_set_that_was_evaluated_not_over_the_three_shown() -> None:
    built = table(columns=COLUMNS)
    assert [c.header for c in built.columns] == ["Avg", "beir/msmarco", "scifact", "fiqa", "IsoScore (debiased)"]
    # (40 + 60 + 50 + 30) / 4; B lacks nfcorpus
    assert [row.cells[0].text for row in built.rows] == ["45.0", "--"]
    (said,) = [n for n in built.notes if n.startswith("Avg: mean over 4, where all are there: beir/msmarco dev")]
    assert said.endswith("(45 queries), nfcorpus test (45 queries).")


def test_a_group_that_was_asked_for_has_no_average_before_all_of_it_is_there() -> None:
    built = table(columns=COLUMNS, datasets="beir-15")
    assert {row.cells[0].text for row in built.rows} == {"--"}
    (blank,) = (n for n in built.notes if n.startswith("Avg is blank"))
    assert "arguana" in blank and "webis-touche2020" in blank and "scifact" not in blank
    with pytest.raises(DataError, match="no evaluation on beir-18"):
        report.build_tables([record("A", 0.5)], report.Wanted(table="beir", datasets="beir-18"), lambda _: None)


def test_what_an_average_hides_is_not_mixed_either() -> None:
    mixed = [*sets(), record("B", 0.4, dataset="nfcorpus", qrels_sha256="another")]
    with pytest.raises(ConfigError, match="column nfcorpus test nDCG@10: cells of different judgements"):
        report.build_tables(mixed, report.Wanted(table="beir", columns=COLUMNS), lambda _: None)


def test_the_table_is_valid_latex_where_that_of_the_source_has_no_tabular() -> None:
    text = latex.render(table(columns=COLUMNS))
    assert r"\begin{tabular}{@{}l*{5}{r}@{}}" in text and text.count(r"\begin{") == text.count(r"\end{")
    rows = [line.partition(r" \\")[0] for line in text.splitlines() if r" & " in line]
    assert len(rows) == 3 and {row.count("&") for row in rows} == {5}


def test_the_groups_of_footnotes_are_those_of_the_cards() -> None:
    for name, members in GROUPS.items():
        # irctl has another msmarco: the passages as Microsoft publishes them
        theirs = {n if n == "beir/msmarco" else n.removeprefix("beir/") for n in cards.groups()[name]}
        assert members == theirs, name


def test_models_that_compare_by_different_similarities_stand_in_one_table_which_says_so() -> None:
    both = [
        *scores("A", scifact=0.6, fiqa=0.5),
        *(record("B", 0.7, dataset=d, similarity="euclid") for d in ("scifact", "fiqa")),
    ]
    (built,) = report.build_tables(both, report.Wanted(table="beir"), lambda _: None)
    assert "Compared by: dot (A); euclid (B)." in built.notes and not any("Mixed" in note for note in built.notes)
    with pytest.raises(ConfigError, match="different similarity"):
        report.build_tables(both, report.Wanted(), lambda _: None)
