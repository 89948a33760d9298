"""Speeds of searches: as many digits as one pass tells, and what they are of."""

from __future__ import annotations

import pytest
from report_records import record

from irctl.reports.columns import FACTS, choose
from irctl.reports.records import Record
from irctl.reports.table import build


def notes_of(*records: Record) -> list[str]:
    return [n for n in build(records, choose(records, "cost")).notes if n.startswith("Quer")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3786.9, "3,790"),
        (952.4, "952"),
        (98.76, "98.8"),
        (99.96, "100"),
        (9.996, "10.0"),
        (0.0999999, "0.100"),
        (0.01234, "0.0123"),
        (0.0, "0"),
        (999.6, "1,000"),
    ],
)
def test_queries_a_second_have_three_digits(value: float, text: str) -> None:
    assert FACTS["queries_per_s"][0].format(value) == text


def test_the_note_says_of_how_many_queries_by_how_many_threads_in_one_pass() -> None:
    known = {"queries_per_s": 952.4, "timed_queries": 45.0, "timed_threads": 2.0}
    (said,) = notes_of(record("A", 0.5, facts=known))
    assert said.startswith(
        "Queries/s: all queries at once, in one pass, by the clock: 45 queries, 2 threads. Runs differ"
    )
    (said,) = notes_of(record("A", 0.5, facts=known | {"timed_queries": 1.0, "timed_threads": 1.0}))
    assert "by the clock: 1 query, 1 thread." in said
    old = record("B", 0.4, facts={"queries_per_s": 900.0})
    (said,) = notes_of(record("A", 0.5, facts=known | {"timed_threads": 4.0}), record("C", 0.5, facts=known), old)
    assert "45 queries or an unknown number of queries, 2 or 4 threads or an unknown number of threads." in said


def test_the_time_of_one_query_has_its_own_note_and_no_speed_none() -> None:
    assert notes_of(record("A", 0.5)) == []
    (said,) = notes_of(record("A", 0.5, facts={"latency_ms": 1.5}))
    assert said == "Query ms: one query at a time, by the clock; median, and 95th percentile."
