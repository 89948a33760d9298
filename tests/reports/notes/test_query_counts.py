"""How many queries a number is the mean over, in every table and format."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from report_records import record, systems

from irctl.reports.columns import choose
from irctl.reports.formats import csv_json, latex, markdown
from irctl.reports.notes import query_counts
from irctl.reports.table import Table, build


def built(table: str) -> Table:
    records = systems()
    return build(records, choose(records, table))


@pytest.mark.parametrize("table", ["main", "losses", "cost", "compression", "beir"])
def test_every_table_says_how_many_queries_it_is_of(table: str) -> None:
    shown = built(table)
    assert any(n.startswith("Data: cranfield test (45 queries).") for n in shown.notes)
    assert "45 queries" in markdown.render(shown) and "45 queries" in latex.render(shown)
    assert {row["queries"] for row in csv.DictReader(io.StringIO(csv_json.render_csv([shown])))} == {"45"}
    cells = [row["cells"] for row in csv_json.to_json(shown)["rows"]]
    assert {cell.get("queries") for row in cells for key, cell in row.items() if "nDCG" in key} == {45}


def test_a_row_of_another_number_of_queries_is_named_with_it() -> None:
    records = [replace(r, n_queries=40) if r.system == "bm25" else r for r in systems()]
    assert query_counts.tell(("cranfield", "test"), records) == "cranfield test (45 queries; bm25 40)"
    assert query_counts.tell(("cranfield", "test"), records[-1:], "question") == "cranfield test (40 questions)"
    assert query_counts.tell(("cranfield", "test"), [replace(records[0], n_queries=1)]) == "cranfield test (1 query)"
    text = csv_json.render_csv([build(records, choose(records))])
    assert [row["queries"] for row in csv.DictReader(io.StringIO(text))] == ["40", "45", "45", "45"]


def test_data_sets_side_by_side_have_a_column_of_their_number_each() -> None:
    records = [record("A", 0.5), record("A", 0.7, dataset="scifact", n_queries=300)]
    (row,) = csv.DictReader(io.StringIO(csv_json.render_csv([build(records, choose(records, "beir"))])))
    assert (row["cranfield nDCG@10 queries"], row["scifact nDCG@10 queries"]) == ("45", "300")
