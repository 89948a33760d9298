"""Columns that a user names: what none of the rows has is said, with what they have."""

from __future__ import annotations

import pytest
from report_records import record, systems

from irctl.errors import ConfigError
from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports.records import Record
from irctl.reports.table import Table

HAVE = "nDCG@10, RR@10, R@100, bytes, kept, bits, bytes_per_row"


def build(records: list[Record], columns: str) -> list[Table]:
    return build_tables(records, Wanted(columns=columns), lambda _: None)


def test_columns_that_no_row_has_are_refused_with_those_that_have_values() -> None:
    with pytest.raises(ConfigError) as caught:
        build(systems(), "iso,gpu_hours")
    assert str(caught.value) == f"--columns: none of the 4 rows has a value of iso, gpu_hours. With values: {HAVE}"


def test_an_empty_column_beside_others_is_shown_and_said_in_a_note() -> None:
    (table,) = build(systems(), "nDCG@10,iso")
    assert {row.cells[1].text for row in table.rows} == {"--"}
    assert f"No row has a value of iso. With values: {HAVE}." in table.notes
    (table,) = build(systems(), "nDCG@10,bytes")
    assert not any("No row has" in note for note in table.notes)


def test_a_measure_of_one_data_set_is_a_column_of_the_other_tables_too() -> None:
    first, second = build([record("a", 0.5), record("a", 0.4, "AP", dataset="fiqa")], "MAP,nDCG@10")
    assert [[c.text for c in t.rows[0].cells] for t in (first, second)] == [["--", "50.0"], ["40.0", "--"]]
    with pytest.raises(ConfigError, match="no column 'P@3': no evaluation has it"):
        build([record("a", 0.5)], "P@3")
