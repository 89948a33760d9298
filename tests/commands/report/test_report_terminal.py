"""A table wider than its terminal: every part has the names of its rows, and every column is there once."""

from __future__ import annotations

from irctl.commands.report import terminal
from irctl.reports.columns import fact_column
from irctl.reports.table import Cell, Row, Table

NAMES = ("all-MiniLM-L6-v2 + jpq distill bits=4 m=48", "all-MiniLM-L6-v2 + binary threshold=median")


def wide(columns: int) -> Table:
    headers = [f"Column number {i}" for i in range(columns)]
    cells = tuple(Cell(float(i), f"{i}.00") for i in range(columns))
    rows = tuple(Row((name, ""), name, cells) for name in NAMES)
    return Table("cranfield test", tuple(fact_column(h, h) for h in headers), rows)


def test_columns_that_do_not_fit_stand_below_with_the_names_again() -> None:
    # the names were once squeezed to nothing by 16 columns
    lines = terminal.render(wide(20), ids=False).splitlines()
    parts = [line for line in lines if line.startswith("System")]
    assert len(parts) == 3 and all(len(line) <= terminal.WIDTH for line in lines)
    assert sum(line.startswith(NAMES[0]) for line in lines) == 3
    assert " ".join(parts).count("Column number") == 20 and lines[0] == "cranfield test"


def test_a_table_that_fits_is_one_part() -> None:
    assert terminal.split_columns(wide(3), 200) == [[0, 1, 2]]
    assert terminal.split_columns(wide(3), 20) == [[0], [1], [2]]  # too narrow for any: one at a time
    assert terminal.render(wide(3), ids=False).count("System") == 1
