"""What a table says: marks, missing cells, averages, mixed columns, significance, footnotes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_records import record, systems

from irctl.errors import ConfigError, DataError
from irctl.pipelines.report import report
from irctl.reports.columns import choose, is_across
from irctl.reports.records import Record, compute_kept, find_row, index_wholes, keep_newest
from irctl.reports.table import Table, TableOptions, build


def cells(table: Table) -> dict[str, dict[str, str]]:
    return {r.label: {c.key: cell.text for c, cell in zip(table.columns, r.cells, strict=True)} for r in table.rows}


def marks(table: Table, key: str) -> dict[str, str]:
    i = [c.key for c in table.columns].index(key)
    return {r.label: r.cells[i].mark for r in table.rows}


def per_query(r: Record) -> dict[str, float]:
    rng = np.random.default_rng([ord(c) for c in r.dataset])
    noise = np.random.default_rng([ord(c) for c in r.system]).normal(size=45) / 100
    return {str(i): float(r.value + x + e) for i, (x, e) in enumerate(zip(rng.random(45) / 10, noise, strict=True))}


def test_the_main_table_has_measures_bytes_and_the_share_kept() -> None:
    table = build(systems(), choose(systems()))
    assert [c.key for c in table.columns] == ["nDCG@10", "RR@10", "R@100", "bytes", "kept"]
    assert cells(table) == {
        "bm25": {"nDCG@10": "38.0", "RR@10": "58.0", "R@100": "60.0", "bytes": "--", "kept": "--"},
        "MiniLM": {"nDCG@10": "40.0", "RR@10": "60.0", "R@100": "70.0", "bytes": "1,536", "kept": "100.0"},
        "MiniLM sq": {"nDCG@10": "40.0", "RR@10": "60.0", "R@100": "70.0", "bytes": "384", "kept": "99.9"},
        "MiniLM pq": {"nDCG@10": "30.0", "RR@10": "54.0", "R@100": "65.0", "bytes": "48", "kept": "75.0"},
    }


def test_best_and_second_are_decided_on_the_rounded_value_with_all_ties() -> None:
    table = build(systems(), choose(systems()))
    # .40 and .3996 both print as 40.0: both are best, and the next different value is second.
    assert marks(table, "nDCG@10") == {"bm25": "second", "MiniLM": "best", "MiniLM sq": "best", "MiniLM pq": ""}


def test_fewer_bytes_are_better_and_a_share_is_not_a_contest() -> None:
    table = build(systems(), choose(systems()))
    assert marks(table, "bytes") == {"bm25": "", "MiniLM": "", "MiniLM sq": "second", "MiniLM pq": "best"}
    assert set(marks(table, "kept").values()) == {""}


def test_a_single_row_is_not_best_of_anything() -> None:
    one = [record("A", 0.5)]
    assert marks(build(one, choose(one)), "nDCG@10") == {"A": ""}


def test_the_share_kept_needs_the_same_vectors_and_the_same_seed() -> None:
    plain = [record("m", 0.5, base="v1", seed=1), record("m", 0.4, base="v1", seed=2, run_id="b")]
    pq = record("m pq", 0.2, base="v1", compression="pq", seed=2)
    assert compute_kept(pq, index_wholes([*plain, pq])) == 0.5
    assert compute_kept(replace(pq, base="v2"), index_wholes([*plain, pq])) is None
    assert compute_kept(replace(pq, base=""), index_wholes(plain)) is None


def test_evaluating_again_replaces_the_older_value() -> None:
    old = record("A", 0.1, run_id="1", created_at="2025-01-01")
    new = record("A", 0.2, run_id="2", created_at="2025-01-02")
    assert keep_newest([new, old]) == [new]


def test_three_seeds_give_a_mean_and_a_deviation_and_every_run_is_named() -> None:
    three = [record("A", v, seed=s, negatives_per_query=31) for s, v in enumerate((0.3, 0.4, 0.5))]
    table = build(three, choose(three, columns=["nDCG@10", "seeds"]))
    assert cells(table)["A"] == {"nDCG@10": "40.0 ± 10.0", "seeds": "3"}
    assert len(table.rows[0].cells[0].runs) == 3
    assert any("Training seeds a system: 3" in note for note in table.notes)


def test_codes_of_three_seeds_are_a_mean_too() -> None:
    three = [record("m opq", v, code_seed=s, run_id=f"r{s}", facts={"mse": v}) for s, v in enumerate((0.3, 0.4, 0.5))]
    again = record("m opq", 0.6, code_seed=2, run_id="again", created_at="2026", facts={"mse": 0.6})  # replaces r2
    table = build([*three, again], choose(three, columns=["nDCG@10", "seeds", "mse"]))
    (row,) = table.rows
    assert row.cells[0].value == pytest.approx(1.3 / 3) and row.cells[0].sd is not None
    assert [c.text for c in row.cells[1:]] == ["3", "0.43333"] and row.cells[0].runs == ("r0", "r1", "again")
    assert any(note.startswith("Seeds of codes a system: 3; mean") for note in table.notes)


def test_one_seed_says_so() -> None:
    one = [record("A", 0.3, seed=1, negatives_per_query=31)]
    assert any("One training seed" in note for note in build(one, choose(one)).notes)


def test_systems_of_one_name_and_other_settings_stay_apart() -> None:
    two = [record("A", 0.3, variant="aaaaaaaa11"), record("A", 0.4, variant="bbbbbbbb22", run_id="r2")]
    assert {r.label for r in build(two, choose(two)).rows} == {"A [aaaaaaaa]", "A [bbbbbbbb]"}


def beir() -> list[Record]:
    return [record("A", 0.5), record("A", 0.7, dataset="scifact"), record("B", 0.6)]


def test_an_average_exists_only_where_every_cell_does_and_names_its_data_sets() -> None:
    table = build(beir(), choose(beir(), "beir"))
    assert cells(table) == {
        "A": {"avg": "60.0", "cranfield nDCG@10": "50.0", "scifact nDCG@10": "70.0"},
        "B": {"avg": "--", "cranfield nDCG@10": "60.0", "scifact nDCG@10": "--"},
    }
    assert (
        "Data: cranfield test (45 queries), scifact test (45 queries). Avg: mean over these 2, where all are there."
        in table.notes
    )


def test_columns_by_name_as_a_paper_lists_them() -> None:
    records = [replace(r, facts={"iso": 0.183, "iso_n": 500, "iso_d": 384}) for r in beir()]
    wanted = ["avg", "SciFact", "cranfield", "iso"]
    assert is_across("main", wanted, records)
    table = build(records, choose(records, columns=wanted))
    assert [c.header for c in table.columns] == ["Avg", "scifact", "cranfield", "IsoScore (debiased)"]
    assert any(n.startswith("IsoScore (debiased): (PR - 1) / (D - 1)") and "(N=500, D=384)" in n for n in table.notes)


def test_parts_of_cqadupstack_are_not_columns() -> None:
    records = [record("A", 0.4, dataset="cqadupstack"), record("A", 0.1, dataset="cqadupstack/gaming")]
    assert [c.dataset for c in choose(records, "beir") if c.kind == "measure"] == ["cqadupstack"]


def test_a_column_that_nobody_measured_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"no column 'nDCG@1': .*Did you mean 'nDCG@10'"):
        choose(systems(), columns=["nDCG@1"])
    with pytest.raises(ConfigError, match=r"no table named 'mian'\. Did you mean 'main'"):
        choose(systems(), "mian")


@pytest.mark.parametrize(
    ("facet", "value", "said"),
    [
        ("qrels_sha256", "other", "different judgements"),
        ("k", 5, "different depth k"),
        ("similarity", "euclid", "different similarity"),
        ("self_match", "drop", "different self-match rule"),
        ("negatives_per_query", 63, "different negatives a query"),
    ],
)
def test_mixed_columns_are_refused_and_footnoted_when_asked_for(facet: str, value: object, said: str) -> None:
    one, two = record("A", 0.5, negatives_per_query=31), record("B", 0.6, negatives_per_query=31)
    records = [one, replace(two, **{facet: value})]
    with pytest.raises(ConfigError, match=f"column nDCG@10: cells of {said}.*add --mixed"):
        build(records, choose(records))
    table = build(records, choose(records), TableOptions(allow_mixed=True))
    assert any(note.startswith("Mixed cells in nDCG@10") for note in table.notes)


def test_depths_beyond_the_measures_own_do_not_mix_a_column() -> None:
    at_10, at_200 = (
        [record("A", 0.5, measure=m), replace(record("B", 0.6, measure=m), k=100)] for m in ("nDCG@10", "R@200")
    )
    assert build(at_10, choose(at_10)).rows
    with pytest.raises(ConfigError, match="cells of different depth k"):
        build(at_200, choose(at_200))


def test_a_run_without_vectors_or_training_mixes_with_anything() -> None:
    assert build(systems(), choose(systems())).rows


def test_daggers_mark_what_differs_from_the_baseline_after_correction() -> None:
    table = build(
        systems(), choose(systems()), TableOptions(baseline=find_row("MiniLM", systems()), per_query=per_query)
    )
    assert table.rows[0].label == "MiniLM"
    assert len(table.comparisons) == 9
    sign = {row.label: row.cells[0].sign for row in table.rows}
    assert sign["MiniLM"] == "" and sign["MiniLM pq"] == "††"
    assert any("Holm-corrected, family of 9" in note and "Differs from MiniLM" in note for note in table.notes)


@pytest.mark.parametrize(("rule", "word"), [("holm", "Holm-corrected"), ("none", "uncorrected")])
def test_a_corrected_p_names_its_correction(rule: str, word: str) -> None:
    options = TableOptions(baseline=find_row("MiniLM", systems()), per_query=per_query, correction=rule)
    table = build(systems(), choose(systems()), options)
    c = table.comparisons[0]
    after = f" {c.p_adj:.3g}" if rule == "holm" else ""  # else it is the same number
    assert c.correction == rule and f"p {c.p_raw:.3g}, {word}{after} (family of 9), n 45" in c.line


def test_what_was_done_with_documents_of_the_querys_own_id_is_said_once_where_all_agree() -> None:
    records = [record("A", 0.5, dataset=d) for d in ("scifact", "fiqa")]
    rules = lambda found: [n for n in build(found, choose(found)).notes if "own id" in n]  # noqa: E731
    assert rules([replace(r, self_match="keep") for r in records]) == ["Documents with the query's own id: keep."]
    differing = [replace(r, self_match=m) for r, m in zip(records, ("keep", "drop"), strict=True)]
    assert rules(differing) == ["Documents with the query's own id: drop (fiqa); keep (scifact)."]


def test_mse_of_transformed_vectors_is_not_compared_with_that_of_others() -> None:
    records = [replace(record("A", 0.5), facts={"mse": 0.25}), replace(record("B", 0.5), facts={"mse": 0.48})]
    said = lambda found: [n for n in build(found, choose(found, columns=("mse",))).notes if "space" in n]  # noqa: E731
    assert said(records) == []
    records[1] = replace(records[1], transform="soft_whiten")
    assert said(records) == ["MSE of each transform is of a space of its own, not to be compared: B."]


def test_letters_name_the_rows_that_are_beaten() -> None:
    table = build(systems(), choose(systems(), columns=["nDCG@10"]), TableOptions(marks="letters", per_query=per_query))
    letters = {row.label: row.letter for row in table.rows}
    sign = {row.label: row.cells[0].sign for row in table.rows}
    assert letters == {"bm25": "a", "MiniLM": "b", "MiniLM sq": "c", "MiniLM pq": "d"}
    assert "d" in sign["MiniLM"] and sign["MiniLM pq"] == ""
    assert len(table.comparisons) == 6


def test_a_baseline_is_found_by_run_label_or_method_and_a_wrong_one_refused() -> None:
    for name in ("run-MiniLM pq-cranfield-0", "MiniLM pq", "pq"):
        base = find_row(name, systems())
        assert (
            build(systems(), choose(systems()), TableOptions(baseline=base, per_query=per_query)).rows[0].label
            == "MiniLM pq"
        )
    with pytest.raises(ConfigError, match="no row 'dense2'"):
        find_row("dense2", systems())


def test_a_test_without_per_query_values_names_the_run() -> None:
    with pytest.raises(DataError, match="no per-query values of nDCG@10 on cranfield test"):
        build(systems(), choose(systems()), TableOptions(baseline=find_row("MiniLM", systems())))


def test_footnotes_tell_selection_on_the_reported_split_missing_queries_and_seen_data() -> None:
    records = [
        record("A", 0.5, selected_on_eval=True, n_missing=3),
        record("M", 0.4, dataset="quora", model="sentence-transformers/all-mpnet-base-v2"),
    ]
    notes = " ".join(build(records, choose(records, "beir")).notes)
    assert "Selected on the split it is reported on (selected_on_eval): A on cranfield test." in notes
    assert "A: 3 of 45 on cranfield" in notes
    assert "all-mpnet-base-v2 saw quora" in notes


def test_systems_of_one_name_are_told_apart_by_the_settings_in_which_they_differ() -> None:
    two = [
        record("dense", 0.3, variant="a", traits={"train.lr": "1e-5", "train.epochs": "3"}),
        record("dense", 0.4, variant="b", traits={"train.lr": "2e-5", "train.epochs": "3"}, run_id="r2"),
        record("dense", 0.5, variant="c", traits={"train.epochs": "3"}, run_id="r3"),
    ]
    assert {r.label for r in build(two, choose(two)).rows} == {"dense lr=1e-5", "dense lr=2e-5", "dense"}


def test_the_average_is_compared_by_a_bootstrap_within_each_data_set() -> None:
    both = [record(s, v, dataset=d) for s, v in (("A", 0.4), ("B", 0.5)) for d in ("cranfield", "toy")]
    half = [*both, record("C", 0.6, dataset="toy")]
    table = build(half, choose(half, "beir"), TableOptions(baseline=find_row("A", half), per_query=per_query))
    (macro,) = table.macro  # C has one data set alone
    assert macro.system == "B" and macro.delta == pytest.approx(0.1, abs=0.01)
    assert macro.low < macro.delta < macro.high and macro.high - macro.low < 0.02
    assert any(
        n.startswith("Avg minus that of A, 95 % interval") and f"B {100 * macro.delta:+.1f} [" in n for n in table.notes
    )
    assert build(half, choose(half, "beir"), TableOptions(per_query=per_query)).macro == ()


def test_a_data_set_without_the_baseline_is_shown_untested() -> None:
    records = [record("A", 0.4), record("B", 0.5), record("B", 0.6, dataset="toy")]
    cranfield, toy = report.build_tables(records, report.Wanted(baseline="A"), per_query)
    assert cranfield.comparisons and not any("No row" in note for note in cranfield.notes)
    assert not toy.comparisons and "No row 'A' here: nothing is tested." in toy.notes
    with pytest.raises(ConfigError, match=r"--baseline nothing: no row of this report \(--table main\). Rows: A, B"):
        report.build_tables(records, report.Wanted(baseline="nothing"), per_query)


def test_the_table_of_costs_has_hours_sizes_and_speed_that_the_ledger_knows() -> None:
    one = record("a", 0.5, bytes_per_vector=24, facts={"params": 10.0, "hours": 0.04, "cpu_hours": 0.02})
    columns = [c.key for c in choose([one], "cost")]
    assert columns == ["nDCG@10", "params", "hours", "cpu_hours", "bytes"]
