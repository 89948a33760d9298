"""The page to share: its structure, that it needs nothing else, and what stands behind its numbers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter

import pytest
from reading_pages import EVIL, details, make, per_query, read, two_sets

from irctl.reports.page import page, payload


@pytest.fixture(scope="module")
def text() -> str:
    return make()


def test_elements_are_closed_and_ids_are_unique_also_those_of_figures(text: str) -> None:
    ids = Counter(given["id"] for _, given in read(text).elements if "id" in given)
    assert [i for i, n in ids.items() if n > 1] == []
    assert {"f0-m1", "f1-m1", "f0-c", "t0-r0-c0", "t1-r3-c0", "panel", "payload"} <= ids.keys()
    assert 'xlink:href="#f1-m1"' in text and "url(#f0-c)" in text


def test_nothing_is_fetched_and_nothing_runs_but_the_pages_own_script(text: str) -> None:
    assert not re.search(r"https?:|\bsrc=|@import|url\((?!#)", text)
    elements = read(text).elements
    assert not [k for _, given in elements for k in given if k.startswith("on")]
    assert not [given["href"] for tag, given in elements if tag == "a" and re.match(r"/|[a-z]+:", given["href"])]
    policy = next(given["content"] for tag, given in elements if given.get("http-equiv"))
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{own}'" in policy


def test_names_stay_text_wherever_they_stand(text: str) -> None:
    assert EVIL not in text and text.count("<script") == 2
    found = read(text)
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert EVIL in found.payload["tables"][0]["rows"] and EVIL in found.payload["runs"][0]["line"]


def test_every_cell_leads_to_its_runs_their_lineage_and_its_values_by_query(text: str) -> None:
    found, tables = read(text).payload, two_sets()
    runs = found["runs"]
    for t, table in enumerate(tables):
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                known, series, left_out, _, over = found["tables"][t]["cells"][r][c]
                assert over == [other.line for other in cell.over]
                assert [runs[i]["id"] for i in known] == list(cell.runs) and not left_out
                assert [found["series"][i]["values"] for i in series] == [per_query(x) for x in cell.records]
                assert all(runs[a]["id"] == "train-1" for i in known for a in runs[i]["above"])
    assert runs[0]["settings"] == [["data.split", "test", "option --split"]] and runs[0]["model_sha256"] == "e" * 64
    assert found["figures"][0].startswith("line,value") and len(found["queries"]) == 2


def test_p_and_intervals_are_on_hover_in_the_panel_and_in_a_table(text: str) -> None:
    found, (table, _) = read(text), two_sets()
    one = next(c for c in table.comparisons if c.system == "bm25")
    row = [r.label for r in table.rows].index("bm25")
    column = [c.key for c in table.columns].index(one.measure)
    title = text[text.index(f'id="t0-r{row}-c{column}"') :].partition('title="')[2].partition('"')[0]
    assert title == f"{table.rows[row].cells[column].value!r}\n{one.line}"
    assert found.payload["tables"][0]["cells"][row][column][3] == [one.line]
    kept = next(cell for r in table.rows for cell in r.cells if cell.over)
    assert f"{kept.value!r}\n{kept.over[0].line}" in text
    below = text[text.index("Tests and intervals") :].partition("</details>")[0]
    assert f'data-v="{one.p_raw!r}"' in below and f'data-v="{100 * one.ci_low!r}"' in below
    assert below.count("<tr") == 1 + len(table.comparisons)


def test_numbers_carry_their_unrounded_value_to_be_sorted_by_and_missing_ones_none(text: str) -> None:
    cells = {given["id"]: given for tag, given in read(text).elements if tag == "td" and "id" in given}
    for t, table in enumerate(two_sets()):
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                assert cells[f"t{t}-r{r}-c{c}"].get("data-v") == (None if cell.value is None else repr(cell.value))


def test_values_beyond_the_room_of_a_page_are_left_out_and_their_runs_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MOST_VALUES", 100)
    found = read(make()).payload
    assert len(found["series"]) == 2
    left = [cell[2] for table in found["tables"] for row in table["cells"] for cell in row]
    kept = [cell[1] for table in found["tables"] for row in table["cells"] for cell in row]
    assert sum(map(len, kept)) == 2 and all(found["runs"][i]["id"] for of in left for i in of) and any(left)


def test_secrets_are_hidden_before_the_payload_is_packed() -> None:
    tables = two_sets()
    text = page.render(tables, runs=details(tables), mask=lambda t: t.replace("alert", "***"))
    assert "alert" not in str(read(text).payload)


def test_the_same_tables_give_the_same_page(text: str) -> None:
    assert make() == text
