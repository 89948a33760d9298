"""--baseline: why a name is no row of a table, and where nothing can be tested against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from report_records import record, systems

from irctl.errors import ConfigError
from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports.records import Record
from irctl.reports.table import Table


def per_query(r: Record) -> Mapping[str, float]:
    return {str(q): r.value + 0.01 * ((q * 7) % 5) for q in range(20)}


def build(records: list[Record], table: str, baseline: str, **more: str) -> list[Table]:
    return build_tables(records, Wanted(table=table, baseline=baseline, **more), per_query)


def test_what_was_evaluated_but_is_no_row_of_the_table_is_said_to_be_just_that() -> None:
    with pytest.raises(ConfigError) as caught:
        build(systems(), "compression", "bm25")
    assert str(caught.value) == (
        "--baseline bm25: evaluated on cranfield test, but no row of this report (--table compression). "
        "Rows: MiniLM, MiniLM sq, MiniLM pq"
    )
    with pytest.raises(ConfigError, match=r"^--baseline nix: no row of this report \(--table compression\)"):
        build(systems(), "compression", "nix")
    other = record("elsewhere", 0.5, dataset="fiqa")
    with pytest.raises(ConfigError, match="--baseline elsewhere: evaluated on fiqa test, but no row of this report"):
        build([*systems(), other], "main", "elsewhere", datasets="cranfield")


def test_a_table_of_its_own_rows_refuses_a_baseline_that_is_none_of_them() -> None:
    facts = {"iso": 0.2}
    rows = [record("as encoded", 0.4, facts=facts), record("whitened", 0.5, facts=facts, transform="soft_zca:a=1")]
    codes = replace(rows[0], system="codes", compression="pq", run_id="r-codes")
    (table,) = build([*rows, codes], "isotropy", "whitened")
    assert [c.baseline for c in table.comparisons] == ["whitened"]
    for name, why in (("nix", "no row"), ("codes", "evaluated on cranfield test, but no row")):
        with pytest.raises(ConfigError, match=f"--baseline {name}: {why} of this report .--table isotropy."):
            build([*rows, codes], "isotropy", name)


def test_bundles_that_share_no_measure_with_the_baseline_are_said_to_be_untested() -> None:
    probes = [
        record(name, 0.9, "probe_recall@10", split="probe", compression=name, base="v", facts={"mse": 0.1})
        for name in ("pq", "sq")
    ]
    (table,) = build(probes, "compression", "pq")
    note = "Nothing is tested against 'pq': no other row has its measure by the same queries."
    assert not table.comparisons and note in table.notes
    (table,) = build(systems(), "compression", "MiniLM")
    assert table.comparisons and note.replace("pq", "MiniLM") not in table.notes
