"""The page in a real browser: sorting, filters, the panel, its download; nothing in the console, nothing too wide."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from chromium import Tab
from reading_pages import EVIL, make, per_query, two_sets

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium: name one in IRCTL_CHROMIUM or put it on the PATH"),
]
ROWS = "[...document.querySelectorAll('#t0 table.main tbody tr')]"
NAMES = f"{ROWS}.filter((r) => r.checkVisibility()).map((r) => r.cells[0].textContent)"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tab, Path]]:
    folder = tmp_path_factory.mktemp("chromium")
    (folder / "report.html").write_text(make(), "utf-8")
    with chromium.browser(str(chromium.find()), folder / "profile") as tab:
        yield tab, folder


@pytest.fixture
def tab(started: tuple[Tab, Path]) -> Iterator[Tab]:
    """The page, newly opened; whatever is done to it must leave no error."""
    found, folder = started
    found.open(folder / "report.html")
    yield found
    assert found.problems == []


def test_a_column_sorts_by_its_numbers_best_first_missing_ones_last(tab: Tab) -> None:
    column = [c.key for c in two_sets()[0].columns].index("bytes") + 1
    head = f"#t0 table.main thead th:nth-child({column + 1}) button"
    missing = [n for n in tab.run(NAMES) if not n.startswith("MiniLM")]
    assert len(missing) == 2
    tab.click(head)  # lower is better there
    assert tab.run(NAMES) == ["MiniLM pq", "MiniLM sq", "MiniLM", *missing]
    assert tab.run("document.querySelector('th[aria-sort]').ariaSort") == "ascending"
    tab.click(head)
    assert tab.run(NAMES) == ["MiniLM", "MiniLM sq", "MiniLM pq", *missing]
    tab.click("#t0 table.main thead th:nth-child(2) button")
    values = tab.run(f"{ROWS}.map((r) => Number(r.cells[1].dataset.v))")
    assert values == sorted(values, reverse=True) and len(values) == 5


def test_words_and_data_sets_filter_rows_and_tables(tab: Tab) -> None:
    tab.click("#systems")
    tab.call("Input.insertText", text="minilm PQ")
    assert tab.run(NAMES) == ["MiniLM pq"]
    assert tab.run("document.getElementById('count').value") == "2 of 9 rows"
    tab.run("document.getElementById('systems').value = ''")
    tab.click("#datasets input[value=cranfield]")
    assert tab.run("[...document.querySelectorAll('section[data-datasets]')].map((s) => s.checkVisibility())") == [
        False,
        True,
    ]


def test_a_number_opens_its_run_and_escape_closes_it(tab: Tab, started: tuple[Tab, Path]) -> None:
    table = two_sets()[0]
    row = [r.label for r in table.rows].index(EVIL)
    tab.click(f"#t0-r{row}-c0 a")
    tab.wait("document.getElementById('panel').open")
    text = tab.run("document.getElementById('panel').textContent")
    runs = table.rows[row].cells[0].runs
    for said in (
        f"{EVIL}: nDCG@10",
        "Mean of 3 runs",
        *runs,
        "d" * 64,
        "e" * 64,
        "option --split",
        "Stands on",
        "train-1",
    ):
        assert said in text, said
    assert tab.run("document.querySelectorAll('#panel script').length") == 0
    assert tab.run("document.querySelector('#panel dd a').getAttribute('href')").startswith("runs/")
    tab.press("Escape")
    assert not tab.run("document.getElementById('panel').open")
    tab.run("document.querySelector('#t0-r0-c1 a').focus()")
    tab.press("Enter")
    tab.wait("document.getElementById('panel').open")
    assert tab.run("document.getElementById('panel-title').textContent") == "MiniLM: RR@10"


def test_values_by_query_come_as_csv_unrounded(tab: Tab, started: tuple[Tab, Path]) -> None:
    kept = "const keep = URL.createObjectURL; URL.createObjectURL = (b) => { window.kept = b; return keep(b); };"
    tab.run(kept + "document.querySelector('#t0-r0-c0 a').click()")
    tab.wait("document.getElementById('panel').open")
    tab.run("HTMLAnchorElement.prototype.click = function () {}")  # what is saved is looked at, not saved
    tab.run("document.querySelector('#panel-body > button').click()")
    tab.wait("window.kept")
    rows = list(csv.DictReader(io.StringIO(tab.run("window.kept.text()"))))
    (record,) = two_sets()[0].rows[0].cells[0].records
    assert {r["query_id"]: float(r["value"]) for r in rows} == per_query(record)
    assert {r["run"] for r in rows} == {record.run_id}


@pytest.mark.parametrize("width", [1200, 600])
def test_no_page_is_wider_than_its_window(tab: Tab, started: tuple[Tab, Path], width: int) -> None:
    tab.open(started[1] / "report.html", width)
    tab.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.run("document.querySelector('.scroll').scrollLeft = 9999")
    apart = "document.querySelector('#t0 tbody th').getBoundingClientRect().x"
    assert tab.run(f"{apart} - document.querySelector('.scroll').getBoundingClientRect().x") == 0


def test_on_paper_the_tests_are_open_and_controls_are_gone(tab: Tab) -> None:
    tab.call("Emulation.setEmulatedMedia", media="print")
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("[...document.querySelectorAll('main details')].every((d) => d.open)")
    assert not tab.run("document.getElementById('filters').checkVisibility()")
    assert not tab.run("[...document.querySelectorAll('main button')].some((b) => b.checkVisibility())")
    # Chromium repeats no head that holds a button on the next page
    assert tab.run("getComputedStyle(document.querySelector('#t0 thead button')).display") == "contents"
    system = "[...document.querySelectorAll('#t0 details tbody th')].map((h) => h.getBoundingClientRect().width)"
    assert min(tab.run(system)) >= 150
    tab.call("Emulation.setEmulatedMedia", media="")
