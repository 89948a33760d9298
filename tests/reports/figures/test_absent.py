"""What a figure does not show is said, with the reason."""

from __future__ import annotations

from dataclasses import replace

from report_records import record, systems

from irctl.reports.figures.absent import tell_absent
from irctl.reports.figures.figures import pareto


def test_systems_without_a_size_or_without_the_measure_are_named_with_the_reason() -> None:
    named = [replace(r, run_id=r.run_id.replace(" ", "-")) for r in systems()]
    records = [*named, record("another measure", 0.5, "MAP", bytes_per_vector=8)]
    _, data = pareto(records, "nDCG@10")
    assert tell_absent(records, data, "nDCG@10", "of no known size") == (
        "left out, without nDCG@10: another measure",
        "left out, of no known size: bm25",
    )


def test_nothing_is_said_of_what_is_there_under_another_run_or_seed() -> None:
    codes = record("pq", 0.5, bytes_per_vector=8, compression="pq", lineage=("compress",))
    again = replace(codes, run_id="newer", created_at="2026-01-01", value=0.6)
    seed = replace(again, run_id="other-seed", seed=2)
    probe = replace(codes, system="pq of rows", split="probe", measure="probe_recall@10", run_id="compress")
    _, data = pareto([codes, again, seed], "nDCG@10")
    assert tell_absent([codes, again, seed, probe], data, "nDCG@10", "x") == ()
    apart = replace(probe, run_id="another-compress")
    assert tell_absent([codes, again, apart], data, "nDCG@10", "x") == ("left out, without nDCG@10: pq of rows",)
