"""What reviewers ask for: which systems lack it is said."""

from __future__ import annotations

from dataclasses import replace

from report_records import record

from irctl.reports.checklist import checklist


def test_the_checklist_names_the_systems_that_lack_something() -> None:
    of = lambda name, **facts: replace(record(name, 0.5), facts=facts)  # noqa: E731
    timed, bare = of("a", queries_per_s=9.0), [of(f"b{i}") for i in range(6)]
    (item,) = (i for i in checklist([timed, *bare]) if i.question.startswith("queries a second"))
    assert (item.is_present, item.detail) == (True, "1 of 7 systems, not of b0, b1, b2, b3 and 2 more")
