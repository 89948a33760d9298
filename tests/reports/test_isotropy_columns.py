"""Columns of isotropy: what they say of themselves, and what must not be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_records import record

from irctl.errors import ConfigError
from irctl.reports import isotropy
from irctl.reports.columns import choose
from irctl.reports.records import Record
from irctl.reports.table import Table, TableOptions, build

CORPUS = {"population": "corpus", "N": 700, "D": 384, "values": {"IsoScore": 0.11, "1-cos": 0.71, "erank/d": 0.24}}
QUERIES = {"population": "queries", "N": 90, "D": 384, "values": {"IsoScore": 0.10, "erank/d": 0.12}}


def measured(*systems: tuple[str, int]) -> list[Record]:
    """nDCG@10 and isotropy of systems (name, N)."""
    return [replace(record(name, 0.5), facts=isotropy.facts_of([{**CORPUS, "N": n}, QUERIES])) for name, n in systems]


def show(records: list[Record], *columns: str, mixed: bool = False) -> Table:
    return build(records, choose(records, columns=["nDCG@10", *columns]), TableOptions(allow_mixed=mixed))


def test_documents_and_queries_have_columns_of_their_own() -> None:
    table = show(measured(("A", 700)), "iso", "1-cos", "erank/d", "queries:IsoScore", "queries:erank/d")
    assert [c.text for c in table.rows[0].cells] == ["50.0", "0.110", "0.710", "0.240", "0.100", "0.120"]
    assert [c.header for c in table.columns][4:] == ["IsoScore (debiased), queries", "erank/d, queries"]
    assert any("erank/d, queries" in n and "of queries" in n and "N=90, D=384" in n for n in table.notes)
    assert any("IsoScore (debiased): (PR - 1) / (D - 1)" in n and "N=700, D=384" in n for n in table.notes)


def test_a_population_that_was_refused_has_no_values() -> None:
    assert isotropy.facts_of([{"population": "corpus", "refused": "fitted on all of them"}]) == {}


def test_what_depends_on_n_is_refused_where_n_differs_and_the_debiased_score_is_not() -> None:
    records = measured(("A", 700), ("B", 5000))
    with pytest.raises(ConfigError, match=r"column erank/d: depends on the number of rows.* N = 700 .*, 5000 .*iso"):
        show(records, "erank/d")
    table = show(records, "iso", "1-cos", "queries:erank/d")
    assert any("N=5000, D=384; N=700, D=384" in n for n in table.notes)
    assert show(records, "erank/d", mixed=True)


def test_no_isotropy_is_the_best() -> None:
    low, high = measured(("A", 700), ("B", 700))
    records = [replace(low, facts={**low.facts, "iso": 0.1}), high]
    assert {row.cells[1].mark for row in show(records, "iso").rows} == {""}


def test_over_several_data_sets_a_system_has_the_mean_of_its_isotropy() -> None:
    (one,) = measured(("A", 700))
    other = replace(record("A", 0.7, dataset="scifact"), facts={**one.facts, "iso": 0.31})
    records = [one, other]
    table = build(records, choose(records, columns=["avg", "cranfield", "scifact", "iso"]))
    assert table.rows[0].cells[3].text == "0.210"
