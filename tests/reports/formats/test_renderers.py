"""LaTeX, Markdown, CSV and JSON of one table."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from report_records import record, systems

from irctl.reports.columns import choose
from irctl.reports.formats import csv_json, latex, markdown
from irctl.reports.records import find_row
from irctl.reports.table import Table, TableOptions, build


@pytest.fixture
def table() -> Table:
    records = [*systems(), record(r"odd_name 50% & #1 ~$^\{x}", 0.2, base="")]
    values = lambda r: {str(i): r.value + (i % 5) * 0.01 * (len(r.system) % 3) for i in range(45)}  # noqa: E731
    options = TableOptions(
        title="cranfield test",
        baseline=find_row("MiniLM", records),
        per_query=values,
        command="irctl report --format latex",
        commit="abc123",
    )
    return build(records, choose(records), options)


def test_latex_environments_are_balanced_and_every_row_has_every_column(table: Table) -> None:
    text = latex.render(table)
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    for line in [text[text.index(r"\toprule") :].splitlines()[1], *body]:
        code = re.split(r"(?<!\\)%", line)[0]
        assert len(re.findall(r"(?<!\\)&", code)) == len(table.columns)
        assert code.rstrip().endswith(r"\\")
        assert code.count("{") - code.count(r"\{") == code.count("}") - code.count(r"\}")
    assert r"\begin{tabular}{@{}l*{5}{r}@{}}" in text and "\\documentclass" not in text


def test_latex_escapes_its_special_characters_and_carries_runs_as_comments(table: Table) -> None:
    text = latex.render(table)
    escaped = r"odd\_name 50\% \& \#1 \textasciitilde{}\$\textasciicircum{}\textbackslash{}\{x\}"
    assert escaped in text
    assert "% run run-MiniLM pq-cranfield-0" in text
    assert "% made by: irctl report --format latex" in text and "% commit of its runs: abc123" in text


def test_latex_marks_best_second_and_significance(table: Table) -> None:
    text = latex.render(table)
    assert r"\textbf{40.0}" in text and r"\underline{38.0}" in text and r"$^{\dagger\dagger}$" in text
    assert r"$^{\hphantom{\dagger\dagger}}$" in text


def test_markdown_has_one_cell_a_column_and_names_runs_when_asked(table: Table) -> None:
    lines = [line for line in markdown.render(table, ids=True).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "**40.0**" in lines[2] and "`run-MiniLM-cranfield-0`" in lines[2]
    assert "`run-MiniLM" not in markdown.render(table)


def test_csv_holds_unrounded_values_and_nothing_for_a_missing_one(table: Table) -> None:
    found = {r["system"]: r for r in csv.DictReader(io.StringIO(csv_json.render_csv([table], ids=True)))}
    assert found["MiniLM sq"]["nDCG@10"] == "0.3996" and found["bm25"]["bytes"] == ""
    assert found["bm25"]["runs"] == "run-bm25-cranfield-0"


def test_json_holds_runs_notes_and_comparisons(table: Table) -> None:
    found = json.loads(json.dumps(csv_json.to_json(table)))
    assert found["rows"][0]["cells"]["nDCG@10"] == {
        "value": 0.4,
        "text": "40.0",
        "runs": ["run-MiniLM-cranfield-0"],
        "mark": "best",
        "queries": 45,
    }
    assert any(c["p_adj"] is not None for c in found["comparisons"]) and found["notes"]
