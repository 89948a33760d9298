"""Tables in LaTeX that fit their column: widths, parts, short names with their legend, and numbers as they were."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import paper_tables
import pytest

from irctl.reports.formats import latex
from irctl.reports.formats.computer_modern import WIDTHS, width_of, width_raised
from irctl.reports.formats.latex_layout import COLUMN, HEIGHT, PAGE, SCRIPT, lay_out
from irctl.reports.formats.latex_text import escape, escape_long, escape_number, raise_sign
from irctl.reports.formats.short_names import break_header, shorten_headers, shorten_systems
from irctl.reports.table import Table


@pytest.fixture(params=paper_tables.TABLES)
def table(request: pytest.FixtureRequest) -> Table:
    return paper_tables.make(request.param)


@pytest.mark.parametrize("available", [COLUMN, PAGE])
def test_a_table_takes_no_more_than_its_column_and_loses_no_column_of_its_own(table: Table, available: float) -> None:
    layout = lay_out(table, available)
    assert layout.width <= available
    assert sorted(i for part in layout.parts for i in part.columns) == list(range(len(table.columns)))
    assert all(layout.height(parts) <= HEIGHT for parts in layout.floats)


def test_numbers_are_those_of_the_table(table: Table) -> None:
    cells = [cell for row in paper_tables.read_cells(latex.render(table)) for cell in row[1:]]
    bare = (re.sub(r"\$\^\{.*\}\$$", "", cell) for cell in cells)
    plain = [re.sub(r"\\(?:textbf|underline)\{(.*)\}", r"\1", cell).replace("$-$", "-") for cell in bare]
    plain = [re.sub(r"\$(.*)\\times 10\^\{(.*)\}\$", r"\1e\2", cell) for cell in plain]
    values = [re.sub(r"e-0", "e-", cell.text) for row in table.rows for cell in row.cells]
    assert Counter(plain) == Counter(values)
    for column, cell in ((c, cell) for row in table.rows for c, cell in zip(table.columns, row.cells, strict=True)):
        if cell.value is not None:
            shown = float(cell.text.split(" ")[0].replace(",", ""))
            near = {"rel": 5e-3} if column.digits else {"abs": 0.5001 * 10.0**-column.decimals}
            assert shown == pytest.approx(cell.value * column.scale, **near)


def test_what_is_short_stands_whole_below(table: Table) -> None:
    text = latex.render(table).replace(r"\allowbreak{}", "")
    layout = lay_out(table, COLUMN)
    for name, row in zip(layout.names, table.rows, strict=True):
        assert name == row.label or rf"\emph{{{escape(name)}}}: {escape(row.label)}" in text
    for lines, column in zip(layout.headers, table.columns, strict=True):
        joined = "".join(lines).replace(" ", "")
        assert joined == column.header.replace(" ", "") or f": {escape(column.header)}" in text


def test_a_caption_is_short_and_notes_are_a_block_below_without_a_font_of_bitmaps(table: Table) -> None:
    text = latex.render(table)
    (caption, *_) = re.findall(r"\\caption\{(.*)\}", text)
    assert len(caption) < 60 and r"\textdagger" not in text and "x100" not in text
    after = text[text.rindex(r"\end{tabular}") :]
    assert r"\raggedright" in after and escape_long(table.notes[0]) in after
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_wide_tables_stand_over_both_columns_and_any_width_can_be_asked_for() -> None:
    table = paper_tables.make("compression")
    assert len(lay_out(table, COLUMN).parts) > len(lay_out(table, PAGE).parts) > len(lay_out(table, 469).parts)
    narrow, wide = latex.render(table), latex.render(table, is_wide=True)
    assert r"\begin{table}[t]" in narrow and r"--wide has 345 pt" in narrow
    assert r"\begin{table*}[t]" in wide and r"\end{table*}" in wide and "--wide" not in wide
    assert lay_out(table, 20).width > 20 and "wider than that: --width" in latex.render(table, width=20)


def test_more_rows_than_a_page_has_go_on_a_second_one() -> None:
    table = paper_tables.make("losses")
    long = replace(table, rows=tuple(replace(table.rows[0], label=f"row {i}") for i in range(70)))
    layout = lay_out(long, COLUMN)
    assert [n for part in layout.parts for n in part.rows] == list(range(70)) and len(layout.floats) == 2
    assert [len(part.rows) for part in layout.parts] == [35, 35]
    text = latex.render(long)
    assert "(1 of 2)}" in text and text.count(r"\caption") == text.count(r"\label") == 2


def test_tables_of_one_data_set_have_labels_and_captions_of_their_own() -> None:
    tables = [replace(paper_tables.make(kind), title="cranfield test", kind=kind) for kind in paper_tables.TABLES]
    said = [re.findall(r"\\caption\{(.*)\}\n\\label\{(.*?)\}", latex.render(t))[0] for t in tables]
    assert len({caption for caption, _ in said}) == len({label for _, label in said}) == len(tables)


def test_notes_that_find_no_room_name_their_table() -> None:
    table = replace(paper_tables.make("compression"), kind="compression", title="cranfield test")
    text = latex.render(replace(table, notes=("A note. " * 600,)))
    assert r"\emph{Notes to Table~\ref{tab:compression-cranfield-test}.} A note." in text
    assert r"\label{tab:compression-cranfield-test}" in text


def test_letters_that_need_another_font_are_named_in_a_comment() -> None:
    table = paper_tables.make("losses")
    rows = (replace(table.rows[0], label="中文 é"), *table.rows[1:])
    assert "% pdflatex has no 中 文: lualatex or xelatex" in latex.render(replace(table, rows=rows))
    assert "pdflatex has no" not in latex.render(table)


def test_systems_are_named_by_what_tells_them_apart() -> None:
    labels = [
        "mini",
        "BM25",
        "mini + rabitq bits=1",
        "mini + rabitq bits=4",
        "mini + opq bits=4 m=48",
        "mini, cut + pq",
    ]
    assert shorten_systems(labels) == ["mini", "BM25", "rabitq bits=1", "rabitq bits=4", "opq", "cut + pq"]
    assert shorten_systems(["a + pq", "b + pq"]) == ["a + pq", "b + pq"]
    assert shorten_systems(["pq", "mini + pq"]) == ["pq", "mini + pq"]
    assert shorten_systems(["lr=1", "lr=2"]) == ["lr=1", "lr=2"]
    assert len(set(shorten_systems(["m, a=1, dot", "m, a=2, dot", "m, a=1, cosine", "m"]))) == 4
    assert shorten_headers(["Bytes a vector", "RR@10 recovery %", "Imbalance"]) == ["Bytes", "Kept %", "Imbal."]
    assert shorten_headers(["fever-long-a", "fever-long-b"]) == ["fever-long-a", "fever-long-b"]
    assert break_header("nDCG@10") == ["nDCG", "@10"] and break_header("Kept %") == ["Kept %"]
    assert break_header("climate-fever") == ["climate-", "fever"]


def test_names_that_no_column_can_hold_are_numbers_with_a_legend() -> None:
    table = paper_tables.make("cost")
    rows = tuple(replace(row, label=f"{i} {'long ' * 20}") for i, row in enumerate(table.rows))
    assert lay_out(replace(table, rows=rows), COLUMN).width <= COLUMN
    assert rf"\emph{{S2}}: {rows[1].label.strip()}" in latex.render(replace(table, rows=rows))


def test_cells_are_set_as_numbers() -> None:
    assert escape_number("-0.4 [-1.2, +0.3]") == r"$-$0.4 [$-$1.2, +0.3]"
    assert escape_number("1.2e-05") == r"$1.2\times 10^{-5}$" and escape_number("--") == "--"
    assert escape_number("48.7 ± 0.3") == r"48.7 $\pm$ 0.3"
    assert raise_sign("†", "††") == r"$^{\dagger\hphantom{\dagger}}$" and raise_sign("", "") == ""
    assert raise_sign("ab", "abc") == r"$^{\mathrm{ab}\hphantom{\mathrm{c}}}$"
    assert escape_long("--table " + "a" * 40) == "-{}-table " + "a" * 30 + r"\allowbreak{}" + "a" * 10


def test_a_name_in_brackets_is_no_argument_of_the_line_before() -> None:
    table = paper_tables.make("losses")
    rows = (table.rows[0], replace(table.rows[1], label="[2cm] odd"))
    assert "\n{}[2cm] odd &" in latex.render(replace(table, rows=rows))


def test_widths_are_those_of_computer_modern() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="the extra [report] brings an independent cmr10")
    from fontTools.ttLib import TTFont

    face = TTFont(Path(matplotlib.get_data_path()) / "fonts/ttf/cmr10.ttf")
    names, advances, unit = face.getBestCmap(), face["hmtx"], face["head"].unitsPerEm
    for c in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;()[]@%+=/-!?":
        assert WIDTHS[c] == pytest.approx(1000 * advances[names[ord(c)]][0] / unit, abs=1.5), c
    assert width_of("100.0", 10) == pytest.approx(22.78, abs=0.01)  # four digits of 5 pt and a point
    assert width_raised("†", 10) > 3.6 and width_raised("", 10) == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed: widths are estimates")
@pytest.mark.parametrize("option", ["", "twocolumn"])
def test_every_table_compiles_without_an_overfull_box_or_a_bitmap_font(option: str, tmp_path: Path) -> None:
    tables = [latex.render(paper_tables.make(n), is_wide=w) for n in paper_tables.TABLES for w in (False, True)]
    layouts = [lay_out(paper_tables.make(n), w) for n in paper_tables.TABLES for w in (COLUMN, PAGE)]
    hooked = "\n\\clearpage\n".join(tables).replace(r"\begin{tabular}", r"\setbox0\hbox{\begin{tabular}")
    hooked = hooked.replace(r"\end{tabular}", "\\end{tabular}}\\typeout{WIDTH \\the\\wd0}\\leavevmode\\box0 ")
    start = rf"\documentclass[{option}]{{article}}\usepackage{{booktabs}}\pdfcompresslevel=0 \pdfobjcompresslevel=0"
    (tmp_path / "paper.tex").write_text(f"{start}\n\\begin{{document}}\n{hooked}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "Overfull" not in log and "Float too large" not in log
    assert b"/Type3" not in (tmp_path / "paper.pdf").read_bytes()
    measured = [float(w) for w in re.findall(r"WIDTH ([\d.]+)pt", log)]
    for real, estimate in zip(measured, (part.width for of in layouts for part in of.parts), strict=True):
        assert 0.94 * estimate < real <= estimate
    assert any(of.size is SCRIPT or len(of.parts) > 1 for of in layouts)
