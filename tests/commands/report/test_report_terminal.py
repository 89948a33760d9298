"""A table wider than its terminal: every part has the names of its rows, and every column is there once."""

from __future__ import annotations

import random
import sys

import pytest

from irctl import console
from irctl.commands.report import terminal
from irctl.reports.columns import fact_column
from irctl.reports.notes.footnotes import BEST
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


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_one_line_are_drawn_as_rich_draws_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs beside numbers, letters, marks, ids, a title, names longer than most, and a character of two places."""
    rng = random.Random(seed)
    names = ["BM25", "dense ws2 + pq m=48 lr=0.0001", "x" * rng.choice([3, 70]), "日本" if seed == 3 else "MiniLM"]
    signs = ["", "†", "abc"] if seed % 2 else [""]

    def cell() -> Cell:
        text = rng.choice(["--", "58.8 ± 3.8", "0.4321", "1,400", ""])
        return Cell(1.0, text, rng.choice(["best", ""]), rng.choice(signs), (f"run-{rng.random()}",))

    heads = rng.sample(["nDCG@10", "R@100", "Bytes a vector", "Δ", "Kept"], rng.randint(1, 5))
    letter = rng.choice(["", "a"])
    rows = tuple(Row((n, ""), n, tuple(cell() for _ in heads), letter) for n in names[: rng.randint(0, 4)])
    title = rng.choice(["", "cranfield test", "a title that is wider than a narrow table of two columns", "± test"])
    table = Table(title, tuple(fact_column(h, h) for h in heads), rows, ("A note.",))
    ours = [terminal.render(table, ids=ids) for ids in (False, True)]
    monkeypatch.setattr(terminal, "_align", lambda *_, **__: [])
    assert ours == [terminal.render(table, ids=ids) for ids in (False, True)]


def test_a_wide_report_draws_its_rows_itself() -> None:
    """500 rows took rich a third of a second."""
    assert terminal._align(wide(3), [0, 1, 2], ids=False, title="cranfield test", width=200)


def of_two(note: str) -> Table:
    """One column whose second row is the best."""
    rows = [
        Row((n, ""), n, (Cell(v, str(v), mark),)) for n, v, mark in zip("ab", (4.0, 5.0), ("", "best"), strict=True)
    ]
    return Table("", (fact_column("x", "X"),), tuple(rows), (note,) if note else ())


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_best_has_a_star_where_nothing_can_be_bold(monkeypatch, is_terminal: bool, term: str) -> None:
    """The note spoke of bold in text that had none. A file of a terminal's report has no weights either."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", "1")  # bold is no colour
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    table = of_two(f"Measures ×100; {BEST}.")
    shown = terminal.render(table, ids=False)
    if is_terminal and term != "dumb":
        assert "\x1b[1m5.0\x1b[0m" in shown and BEST in shown
        with console.display(no_color=True):
            shown = terminal.render(table, ids=False)
    plain = ["System     X", "a       4.0", "b       5.0*", "Measures ×100; * best."]
    assert shown.splitlines() == plain
    assert terminal.render(table, ids=False, for_file=True).splitlines() == plain


def test_a_star_is_explained_in_tables_whose_notes_name_no_marks() -> None:
    assert terminal.render(of_two(""), ids=False).splitlines()[-1] == "* best of its column."
