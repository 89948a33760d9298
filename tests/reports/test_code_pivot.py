"""Codes by transforms: which value stands where, what is tested against what, and the differences start by start."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from report_records import record

from irctl.errors import ConfigError, DataError
from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports.code_pivot import arrange, build
from irctl.reports.figures.code_sizes import code_points, code_sizes
from irctl.reports.formats import csv_json
from irctl.reports.records import Record
from irctl.reports.table import Table, TableOptions

SOFT = "soft_whiten a=0.25"
SIZES = {"": 1536, "opq m=24": 24, "binary": 48, "rotated": 48}
VALUES = {  # code -> transform -> value of each start
    "": {"": [0.48], SOFT: [0.51]},
    "opq m=24": {"": [0.45, 0.46, 0.47], SOFT: [0.48, 0.47, 0.49]},
    "binary": {"": [0.47], SOFT: [0.44]},
    "rotated": {"": [0.46]},
}


def one(code: str, transform: str, value: float, start: int, base: str = "a", **more: object) -> Record:
    more = {"vectors": "MiniLM", "method": "dense", "bytes_per_vector": SIZES[code], **more}
    system = f"MiniLM{transform and ', ' + transform}{code and ' + ' + code}"
    return record(
        system,
        value,
        run_id=f"{base}-{code}-{transform}-{start}",
        base=base,
        transform=transform,
        variant=f"{base}{code}{transform}",
        compression=code.partition(" ")[0],
        code=f"hash of {code}",
        code_label=code,
        code_seed=start if code else None,
        **more,
    )


def records() -> list[Record]:
    shown = []
    for code, columns in VALUES.items():
        for transform, values in columns.items():
            shown += [one(code, transform, value, start) for start, value in enumerate(values)]
    return shown


def per_query(r: Record) -> dict[str, float]:
    noise = np.random.default_rng(0).normal(size=30) / 10
    own = np.random.default_rng([ord(c) for c in r.run_id]).normal(size=30) / 100
    return {str(q): float(r.value + noise[q] + own[q] - own.mean()) for q in range(30)}


def pivot(shown: list[Record], **more: object) -> Table:
    return build(shown, "nDCG@10", TableOptions(per_query=per_query, **more))


def texts(table: Table) -> dict[str, list[str]]:
    return {r.label: [cell.text for cell in r.cells] for r in table.rows}


def test_a_row_is_a_code_a_column_a_transform_and_a_cell_the_mean_of_its_starts() -> None:
    table = pivot(records())
    assert [c.header for c in table.columns] == ["Bytes a vector", "none", SOFT]
    assert texts(table) == {
        "float": ["1,536", "48.0", "51.0"],
        "binary": ["48", "47.0", "44.0"],
        "rotated": ["48", "46.0", "--"],
        "opq m=24": ["24", "46.0 ± 1.0", "48.0 ± 1.0"],
    }


def test_each_code_is_tested_against_itself_untransformed_and_all_of_it_is_one_family() -> None:
    table = pivot(records())
    assert [(c.system, c.column, c.baseline, round(c.delta, 9), c.family, c.n) for c in table.comparisons] == [
        ("float", SOFT, "none", 0.03, 3, 30),
        ("binary", SOFT, "none", -0.03, 3, 30),
        ("opq m=24", SOFT, "none", 0.02, 3, 30),
    ]
    assert all(row.cells[1].sign == "" for row in table.rows)
    assert next(row for row in table.rows if row.label == "float").cells[2].sign == "††"
    assert any("Differs from the same code in column none" in note and "family of 3" in note for note in table.notes)
    assert table.comparisons[0].line.startswith(f"cranfield test nDCG@10: float, {SOFT} - none = +0.0300")


def test_the_differences_are_told_start_by_start_however_the_starts_are_ordered() -> None:
    noted = f"{SOFT} minus none, start by start: opq m=24 +3.0, +1.0, +2.0 (up in 3 of 3)."
    assert noted in pivot(records()).notes
    unequal = [r for r in records() if r.run_id != "a-opq m=24--1"]  # one start is missing on one side
    assert f"{SOFT} minus none, start by start: opq m=24 +3.0, +2.0 (up in 2 of 2)." in pivot(unequal).notes


def test_vectors_of_another_model_are_a_column_that_is_tested_against_the_first_untransformed_one() -> None:
    trained = [one("", "", 0.5, 0, base="b", vectors="isotropic infonce"),
               one("", SOFT, 0.52, 0, base="b", vectors="isotropic infonce")]  # fmt: skip
    table = pivot([*records(), *trained])
    mine = "isotropic infonce"
    assert [c.header for c in table.columns][1:] == ["MiniLM", f"MiniLM, {SOFT}", mine, f"{mine}, {SOFT}"]
    of_float = {c.column: c.baseline for c in table.comparisons if c.system == "float"}
    assert of_float == {f"MiniLM, {SOFT}": "MiniLM", mine: "MiniLM", f"{mine}, {SOFT}": mine}
    said = f"in column MiniLM (in MiniLM, {SOFT}; {mine}), in column {mine} (in {mine}, {SOFT}): †"
    assert any(note.startswith(f"Differs from the same code {said}") for note in table.notes)


def test_a_trained_model_is_tested_against_the_untrained_one_whichever_was_evaluated_first() -> None:
    """Codes that were trained have a seed too: it is the vectors that nobody trained."""
    early = {"base": "b", "vectors": "isotropic", "created_at": "2024-01-01", "loss": "infonce"}
    trained = [one("", "", 0.5, 0, seed=seed, **early) for seed in (1, 2)]
    codes = one("opq m=24", "", 0.5, 0, seed=1, loss="distill", created_at="2023-01-01")
    table = pivot([*trained, codes, *records()])
    assert [c.header for c in table.columns][1:] == ["MiniLM", f"MiniLM, {SOFT}", "isotropic"]
    assert {c.baseline for c in table.comparisons} == {"MiniLM"}


def test_a_code_of_another_size_is_a_row_of_its_own_and_what_has_no_vectors_is_none() -> None:
    wider = one("opq m=24", "", 0.4, 0, base="b", vectors="wider", bytes_per_vector=48)
    table = pivot([*records(), wider, record("bm25", 0.38, method="bm25")])
    assert [r.label for r in table.rows if r.label.startswith("opq")] == ["opq m=24 [hash of ]"] * 2
    assert "bm25" not in texts(table)
    with pytest.raises(DataError, match="no evaluation of vectors or codes with RR@10"):
        arrange(records(), "RR@10")


def test_cells_of_other_judgements_are_refused_unless_mixed() -> None:
    other = [*records(), one("binary", "centre", 0.4, 0, qrels_sha256="other")]
    with pytest.raises(ConfigError, match="cells of different judgements"):
        pivot(other)
    assert texts(pivot(other, allow_mixed=True))["binary"] == ["48", "47.0", "44.0", "40.0"]


@pytest.mark.parametrize("table, options", [
    ("isotropy-compression", {"baseline": "a", "columns": "iso", "group_by": "method", "marks": "letters"}),
    ("isotropy", {"columns": "nosuch", "group_by": "method", "marks": "letters"}),
])  # fmt: skip
def test_what_has_no_meaning_in_a_table_is_refused_by_the_name_of_its_option(
    table: str, options: dict[str, str]
) -> None:
    for name, value in options.items():
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not with --table {table}"):
            Wanted(table=table, **{name: value}).check()
    with pytest.raises(ConfigError, match=f"expected one with --table {table}, found 2"):
        Wanted(table=table, measures="nDCG@10,R@100").check()
    Wanted(table=table, measures="R@100", test="t", correction="holm").check()


def test_the_table_is_named_by_its_data_and_measure() -> None:
    (table,) = build_tables(records(), Wanted(table="isotropy-compression"), per_query)
    assert table.title == "cranfield test nDCG@10, codes by transform"


def test_the_csv_has_difference_and_p_beside_the_column_that_was_tested() -> None:
    rows = {r["system"]: r for r in csv.DictReader(io.StringIO(csv_json.render_csv([pivot(records())])))}
    assert float(rows["binary"][f"{SOFT} delta"]) == pytest.approx(-0.03)
    assert rows["rotated"][f"{SOFT} p_adj"] == "" and "none delta" not in rows["binary"]


def test_the_line_of_a_figure_goes_through_the_best_code_of_each_size() -> None:
    points = {(p.line, p.code): p for p in code_points(records(), "nDCG@10")}
    assert {key for key, p in points.items() if not p.best} == {("none", "rotated")}
    assert points["none", "opq m=24"].value == pytest.approx(0.46)
    assert points["none", "opq m=24"].sd == pytest.approx(0.01) and points["none", "float"].sd is None
    figure, data = code_sizes(records(), "nDCG@10")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["none", SOFT]
    assert len(data.splitlines()) == 1 + len(points)
    handles = figure.axes[0].get_legend().legend_handles
    for looks in zip(*((h.get_color(), h.get_marker(), h.get_linestyle()) for h in handles), strict=True):
        assert len(set(looks)) == 2 and "None" not in looks  # in grey print too
    assert figure.axes[0].get_ylabel() == "nDCG@10 ×100, ± sd over seeds"
