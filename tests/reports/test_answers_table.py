"""The table of answers by contexts, and the figure over their tokens."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from irctl.errors import ConfigError, DataError
from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports.answers_table import COMPRESSED, NONE, PRUNED, TRUNCATED, TUNED, WHOLE, build
from irctl.reports.figures.ratios import ratio_points, ratios
from irctl.reports.records import Record
from irctl.reports.table import TableOptions

QUERIES = [f"q{i}" for i in range(40)]
RIGHT = {WHOLE: 36, NONE: 4, f"{COMPRESSED} 4x": 24, f"{TRUNCATED} 4x": 12, f"{PRUNED} 4x": 8}
"""Questions answered right of 40, by context."""


def record(kind: str, ratio: int = 0, tokens: float = 8.0, *, measure: str = "EM", seed: int | None = None) -> Record:
    label = f"{kind} {ratio}x" if ratio else kind
    value = RIGHT[label] / 40
    facts = {"tokens": tokens, "closed EM": 0.1, "open EM": 0.9, "kept EM": (value - 0.1) / 0.8}
    return Record(
        dataset="recall",
        split="all",
        measure=measure,
        value=value,
        run_id=f"run{seed or 0}",
        part=label,
        system=label,
        variant=label,
        traits={"context": kind},
        method="answers",
        seed=seed,
        qrels_sha256="same",
        n_queries=40,
        facts=facts | ({"ratio": ratio} if ratio else {}),
    )


def per_query(r: Record) -> dict[str, float]:
    return {q: float(i < round(40 * r.value)) for i, q in enumerate(QUERIES)}


RECORDS = [
    record(PRUNED, 4),
    record(TRUNCATED, 4),
    record(COMPRESSED, 4),
    record(NONE, tokens=0),
    record(WHOLE, tokens=32),
]


def test_rows_stand_by_ratio_with_what_they_keep_and_what_they_are_compared_with() -> None:
    table = build(RECORDS, "EM", TableOptions(per_query=per_query))
    assert [r.label for r in table.rows] == [WHOLE, TUNED, NONE, *(list(RIGHT)[2:])]
    header = [c.key for c in table.columns]
    cells = {r.label: dict(zip(header, (c.text for c in r.cells), strict=True)) for r in table.rows}
    assert cells["compressed 4x"]["EM"] == "60.0" and cells["compressed 4x"]["kept EM"] == "62.5"
    assert cells["no context"]["kept EM"] == "0.0" and cells["whole context"]["tokens"] == "32.0"
    assert cells["compressed 4x"]["delta"].startswith("+30.0 [")
    assert cells["truncated 4x"]["delta"] == "--"
    assert set(cells[TUNED].values()) == {"--"} and f"{TUNED}: none was named" in " ".join(table.notes)
    (test,) = table.comparisons
    assert (test.system, test.baseline, test.family) == ("compressed 4x", "truncated 4x", 1)
    assert "EM closed 10.0, open 90.0" in " ".join(table.notes)


def test_contexts_of_other_budgets_are_not_compared() -> None:
    longer = [r if r.traits["context"] != COMPRESSED else record(COMPRESSED, 4, tokens=12) for r in RECORDS]
    assert build(longer, "EM", TableOptions(per_query=per_query)).comparisons == ()


def test_a_context_is_compared_with_what_the_same_language_model_made_of_the_truncated_one() -> None:
    """Qwen's compressed contexts stood against Llama's truncated ones, the first of as many tokens."""
    other = [replace(r, model="qwen3", variant=f"{r.variant} qwen3") for r in RECORDS]
    ends = {"closed EM": 0.2, "open EM": 1.0}
    other = [replace(r, facts=r.facts | ends, traits=r.traits | {".model": "qwen3"}) for r in other]
    own = [replace(r, model="llama", traits=r.traits | {".model": "llama"}) for r in RECORDS]
    table = build([*own, *other], "EM", TableOptions(per_query=per_query))
    pairs = {(c.system, c.baseline) for c in table.comparisons}
    assert pairs == {(f"compressed 4x model={m}", f"truncated 4x model={m}") for m in ("llama", "qwen3")}
    assert "llama EM closed 10.0, open 90.0; qwen3 EM closed 20.0, open 100.0" in " ".join(table.notes)


def test_a_row_that_is_named_is_what_the_others_are_tested_against() -> None:
    table = build(RECORDS, "EM", TableOptions(per_query=per_query, baseline=("pruned 4x", "pruned 4x")))
    assert {c.baseline for c in table.comparisons} == {"pruned 4x"} and len(table.comparisons) == 4


def test_questions_of_two_files_are_refused_in_one_column() -> None:
    with pytest.raises(ConfigError, match="EM"):
        build([*RECORDS[:-1], replace(RECORDS[-1], qrels_sha256="other")], "EM")


def test_seeds_of_a_system_are_one_row() -> None:
    seeds = [replace(record(COMPRESSED, 4, seed=s), value=v) for s, v in ((1, 0.5), (2, 0.7))]
    table = build(
        [*(r for r in RECORDS if r.traits["context"] != COMPRESSED), *seeds], "EM", TableOptions(per_query=per_query)
    )
    row = next(r for r in table.rows if r.label == "compressed 4x")
    assert row.cells[1].value == pytest.approx(0.6) and "Training seeds a system: 2." in table.notes


def test_answers_have_a_table_of_their_own_and_other_tables_say_so() -> None:
    ranked = Record(dataset="toy", split="test", measure="nDCG@10", value=0.5, run_id="r", system="dense", variant="d")
    main = build_tables([*RECORDS, ranked], Wanted(), per_query)
    assert [r.label for t in main for r in t.rows] == ["dense"]
    assert any("--table acerag" in note and "isotropy" not in note for t in main for note in t.notes)
    (own,) = build_tables([*RECORDS, ranked], Wanted(table="acerag"), per_query)
    assert len(own.rows) == 6 and own.title == "recall all EM, answers"


def test_the_figure_has_a_point_a_row_and_the_ends_as_lines() -> None:
    points = {p.line: p for p in ratio_points(RECORDS, "EM")}
    assert points["compressed"].tokens == 8 and points["compressed"].ratio == 4
    figure, data = ratios(RECORDS, "EM", title="recall all")
    assert len(list(csv.DictReader(io.StringIO(data)))) == 5
    assert {t.get_text() for t in figure.axes[0].texts} == {"whole context", "no context"}
    with pytest.raises(DataError, match="no answers"):
        ratio_points([], "EM")


def test_a_table_of_its_own_without_a_row_says_what_makes_one_instead_of_printing_nothing() -> None:
    judged = replace(record(WHOLE), method="dense", part="", measure="nDCG@10")
    for name, makes in (("acerag", "--task rag-qa"), ("isotropy", "--transforms front")):
        with pytest.raises(DataError, match=f"--table {name}: nothing to report") as told:
            build_tables([judged], Wanted(table=name), per_query)
        assert makes in str(told.value.hint)
