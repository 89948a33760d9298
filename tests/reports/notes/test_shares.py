"""Recovery, gap and overlap name the evaluations that they are shares of, in every format."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from report_records import record

from irctl.reports.columns import choose
from irctl.reports.equal_bytes import add_gap, add_overlap
from irctl.reports.formats import csv_json, latex, markdown
from irctl.reports.page import page
from irctl.reports.records import Record
from irctl.reports.table import Table, TableOptions, build

SHAPE = {"m": 24.0, "slice_bits": 4.0}
DENSE = record("MiniLM", 0.5, base="v", bytes_per_vector=1536, run_id="dense")
OPQ = record("MiniLM opq", 0.42, base="v", compression="opq", bytes_per_vector=12, facts=SHAPE, run_id="opq", start="s")
PQ = record("MiniLM pq", 0.34, base="v", compression="pq", bytes_per_vector=12, facts=SHAPE, run_id="pq")
JPQ = record("jpq", 0.46, base="v", compression="jpq", bytes_per_vector=12, facts=SHAPE, run_id="jpq", start="s")
WHITE = record(
    "MiniLM, soft_whiten opq", 0.48, base="v", transform="soft_whiten", compression="opq", bytes_per_vector=12,
    facts=SHAPE, run_id="white",
)  # fmt: skip
KEYS = ("nDCG@10", "kept", "gap", "overlap@10")


def values(r: Record) -> Mapping[str, float]:
    """Alike for every query: the interval is the number."""
    return {str(q): r.value for q in range(20)}


def unsteady(r: Record) -> Mapping[str, float]:
    """What uncompressed vectors gain over OPQ is of the other sign for every second query."""
    return {str(q): r.value + (0.3 if r.run_id == "dense" else 0.0) * (-1) ** q for q in range(20)}


def table(*records: Record, per_query: object = values) -> Table:
    found = add_gap(add_overlap(records, lambda r: {"q": ["d"]}), "nDCG@10")
    options = TableOptions(per_query=per_query)  # type: ignore[arg-type]
    return build(found, choose(found, columns=KEYS), options)


def test_the_notes_name_the_value_and_the_run_of_what_a_share_is_of() -> None:
    notes = table(DENSE, OPQ, PQ, JPQ, WHITE).notes
    assert "Uncompressed vectors: MiniLM (nDCG@10 0.5000, run dense)." in notes
    assert "Compared with the vectors as encoded, not as transformed: MiniLM, soft_whiten opq." in notes
    (gap,) = [n for n in notes if n.startswith("Gap closed")]
    assert "OPQ for MiniLM pq; MiniLM, soft_whiten opq: MiniLM opq (0.4200, 1 start, run opq)." in gap
    assert "OPQ for jpq: MiniLM opq (0.4200, the start that it began with, run opq)." in gap


def test_every_cell_has_them_in_json_and_in_its_panel_and_the_notes_are_in_text() -> None:
    shown = table(DENSE, OPQ, PQ, WHITE)
    cells = {row["system"]: row["cells"] for row in csv_json.to_json(shown)["rows"]}
    dense = {"system": "MiniLM", "measure": "nDCG@10", "value": 0.5, "run": "dense"}
    opq = {"system": "MiniLM opq", "measure": "nDCG@10", "value": 0.42, "run": "opq"}
    over = {key: cell.get("over") for key, cell in cells["MiniLM, soft_whiten opq"].items()}
    assert over == {"nDCG@10": None, "kept": [dense], "overlap@10": [dense], "gap": [dense, opq]}
    assert "over" not in cells["MiniLM"]["kept"]  # it is the whole
    for text in (markdown.render(shown), latex.render(shown), page.render([shown])):
        assert "run dense" in text


@pytest.mark.parametrize(("per_query", "mark"), [(values, "best"), (unsteady, "")])
def test_a_gap_is_marked_best_only_where_no_interval_is_without_bound(per_query: object, mark: str) -> None:
    shown = table(DENSE, OPQ, PQ, JPQ, per_query=per_query)
    marks = {row.label: row.cells[KEYS.index("gap")].mark for row in shown.rows}
    assert marks["jpq"] == mark
    said = "No row is marked best, for these intervals have an end without bound: jpq; MiniLM pq."
    assert any(said in n for n in shown.notes) == (not mark)
    assert ("<td>unbounded</td>" in page.render([shown])) == (not mark)


def test_a_long_list_ends_with_a_count() -> None:
    many = [
        record(f"{i}{kind}", 0.5, base=f"v{i}", compression=kind, bytes_per_vector=12, run_id=f"{i}{kind}")
        for i in range(8)
        for kind in ("", "pq")
    ]
    (said,) = [n for n in build(many, choose(many)).notes if n.startswith("Uncompressed vectors: ")]
    assert said.count("run ") == 6 and said.endswith("and 2 more (--json).")
