"""A number is the ledger's in every format: unrounded where programs read it, else as near as its decimals allow."""

from __future__ import annotations

import csv
import io
import random
import re
import sys

import pytest
from reading_pages import read
from report_records import record

from irctl.commands.report import terminal
from irctl.reports.columns import choose
from irctl.reports.formats import csv_json, latex, markdown
from irctl.reports.page import page
from irctl.reports.table import Table, build

# not the thousands' comma of a number alone: a deviation stands beside some
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|--")
SHOWN = ("terminal", "latex", "markdown", "html")


def draw(seed: int) -> Table:
    """Twelve systems of three measures and two facts, a third of the cells missing, some of several seeds."""
    rng = random.Random(seed)
    records = []
    for i in range(12):
        size = rng.choice((None, 8.0, 48.0, 1536.0, 12288.5))
        facts = {"mse": rng.random() / 50, "latency_ms": 10 ** rng.uniform(-2, 3), "rows": float(rng.randrange(10**7))}
        for measure in ("nDCG@10", "RR@10", "R@100"):
            for number in range(rng.choice((0, 1, 1, 3))):
                value = rng.choice((rng.random(), rng.randrange(1001) / 1000, 0.0, 1.0))
                shared = {"bytes_per_vector": size, "facts": facts, "seed": number, "similarity": ""}
                records.append(record(f"system {i}", value, measure, **shared))
    return build(records, choose(records, columns=("nDCG@10", "RR@10", "R@100", "bytes", "mse", "latency_ms", "rows")))


def cells(form: str, table: Table, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of the cells by row and column, without the systems' names."""
    if form == "terminal":
        monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
        lines = terminal.render(table, ids=False).splitlines()
        return [re.split(r"\s{2,}", line.strip())[1:] for line in lines if line.startswith("system ")]
    if form == "latex":
        # a table that is too wide is in parts, each with the systems again
        parts = re.findall(r"\\midrule(.*?)\\bottomrule", latex.render(table), re.DOTALL)
        listed = [[line for line in part.splitlines() if r" \\" in line] for part in parts]
        split = [[re.split(r"(?<!\\)&", re.split(r"(?<!\\)%", line)[0])[1:] for line in lines] for lines in listed]
        return [[text for part in rows for text in part] for rows in zip(*split, strict=True)]
    if form == "markdown":
        lines = [line for line in markdown.render(table).splitlines() if line.startswith("| system ")]
        return [line.strip("| ").split(" | ")[1:] for line in lines]
    found = read(page.render([table])).texts
    return [[found[f"t0-r{r}-c{c}"] for c in range(len(table.columns))] for r in range(len(table.rows))]


@pytest.mark.parametrize("form", SHOWN)
def test_a_shown_number_is_the_values_own_to_half_its_last_decimal(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        table = draw(seed)
        found = cells(form, table, monkeypatch)
        assert len(found) == len(table.rows)
        for row, texts in zip(table.rows, found, strict=True):
            for column, cell, text in zip(table.columns, row.cells, texts, strict=True):
                numbers = NUMBER.findall(text)
                wanted = [cell.value, *([cell.sd] if cell.sd is not None else [])]
                assert len(numbers) == len(wanted), (form, text)
                for shown, value in zip(numbers, wanted, strict=True):
                    if value is None:
                        assert shown == "--"
                        continue
                    decimals = len(shown.partition(".")[2])
                    apart = abs(float(shown.replace(",", "")) - column.scale * value)
                    assert apart <= 0.5 * 10**-decimals * (1 + 1e-9), (form, column.key, shown, value)


def test_programs_read_every_value_unrounded() -> None:
    for seed in range(5):
        table = draw(seed)
        of_csv = {r["system"]: r for r in csv.DictReader(io.StringIO(csv_json.render_csv([table])))}
        of_json = {r["system"]: r["cells"] for r in csv_json.to_json(table)["rows"]}
        of_page = {g["id"]: g.get("data-v") for _, g in read(page.render([table])).elements if "id" in g}
        for r, row in enumerate(table.rows):
            for c, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
                assert of_csv[row.label][column.key] == ("" if cell.value is None else repr(cell.value))
                assert of_json[row.label][column.key]["value"] == cell.value
                assert of_page[f"t0-r{r}-c{c}"] == (None if cell.value is None else repr(cell.value))


def test_a_cells_value_is_the_mean_of_the_ledgers() -> None:
    for row in draw(0).rows:
        for cell in row.cells:
            if cell.records:
                assert cell.value == pytest.approx(sum(r.value for r in cell.records) / len(cell.records), abs=1e-12)
