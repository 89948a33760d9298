"""Curves, spectra and what makes a row, on numbers that a person can follow."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from report_records import record

from irctl.errors import ConfigError, DataError
from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports import neighbour_recall
from irctl.reports.columns import choose
from irctl.reports.figures import curves, figures
from irctl.reports.grouping import group
from irctl.reports.records import Record
from irctl.reports.table import build


def test_a_spectrum_says_how_much_the_first_directions_hold() -> None:
    points = curves.spectrum_points("m", "run", [6.0, 3.0, 1.0], 40)
    assert [p.share for p in points] == pytest.approx([0.6, 0.3, 0.1])
    assert [p.cumulative for p in points] == pytest.approx([0.6, 0.9, 1.0])


def test_curves_and_spectra_are_saved_with_their_data_and_equal_bytes(tmp_path: Path) -> None:
    steps = [curves.CurvePoint("a", "loss", s, 1 / s, "r") for s in (1, 2, 4)]
    points = [*steps, curves.CurvePoint("a", "nDCG@10", 4, 0.5, "r"), curves.CurvePoint("b", "loss", 1, 2.0, "q")]
    spectrum = curves.spectrum_points("m", "run", [6.0, 3.0, 0.0], 40)
    for folder in ("one", "two"):
        figures.save(*curves.curves(points), tmp_path / folder, "curves")
        figures.save(*curves.spectrum(spectrum), tmp_path / folder, "spectrum")
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(names) == 8
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    data = list(csv.DictReader(io.StringIO((tmp_path / "one" / "curves.csv").read_text())))
    assert [d["step"] for d in data if d["system"] == "a" and d["measure"] == "loss"] == ["1", "2", "4"]


def test_nothing_to_draw_names_the_command_that_makes_some() -> None:
    with pytest.raises(DataError, match="irctl train"):
        curves.curves([])
    with pytest.raises(DataError, match="irctl encode"):
        curves.spectrum([])


SEEDS = [record("dense infonce", v, seed=s, variant="v", loss="infonce") for s, v in enumerate((0.43, 0.45, 0.47))]
OTHER = record("dense ws2", 0.5, seed=1, variant="w", loss="ws2")


def texts(records: list, by: str, **more: bool) -> dict[str, str]:
    shown = group(records, by, **more)
    return {r.label: r.cells[0].text for r in build(shown, choose(shown, columns=["nDCG@10"])).rows}


def test_seeds_of_a_system_are_one_row_with_mean_and_deviation() -> None:
    assert texts([*SEEDS, OTHER], "") == {"dense infonce": "45.0 ± 2.0", "dense ws2": "50.0"}
    assert texts([*SEEDS, OTHER], "system") == texts([*SEEDS, OTHER], "")


def test_rows_by_loss_are_named_by_it() -> None:
    assert texts([*SEEDS, OTHER], "loss") == {"infonce": "45.0 ± 2.0", "ws2": "50.0"}


def test_rows_by_run_are_not_averaged() -> None:
    assert sorted(texts(SEEDS, "run").values()) == ["43.0", "45.0", "47.0"]


def test_systems_that_differ_in_more_than_the_seed_are_not_averaged_unless_asked() -> None:
    warm = record("dense infonce", 0.6, seed=0, variant="warm", loss="infonce", traits={"train.lr": "0.1"})
    with pytest.raises(ConfigError, match=r"infonce stands for several systems: dense infonce.*--mixed"):
        group([*SEEDS, warm], "loss")
    assert texts([*SEEDS, warm], "loss", allow_mixed=True)["infonce"].startswith("48.8 ±")
    with pytest.raises(ConfigError, match="Did you mean 'loss'"):
        group(SEEDS, "los")


def test_the_recall_of_the_split_at_hand_is_taken_before_another_and_a_newer_before_an_older() -> None:
    codes = {"compression": "pq", "variant": "v"}
    judged = record("pq", 0.3, **codes)
    other = record("pq", 0.7, "recall_exact@10", split="queries", created_at="2026", run_id="other", **codes)
    mine = record("pq", 0.8, "recall_exact@10", run_id="mine", **codes)
    old = record("pq", 0.6, "recall_exact@10", created_at="2020", run_id="old", **codes)
    (found,) = neighbour_recall.fold_recall([judged, other, mine, old])
    assert (found.facts["recall_exact@10"], found.fact_runs["recall_exact@10"]) == (0.8, "mine")


def test_codes_that_nobody_judged_keep_their_numbers_without_a_measure() -> None:
    probe = record("sq", 0.9, "probe_recall@10", split="probe", compression="sq", facts={"mse": 0.1}, run_id="c")
    (found,) = neighbour_recall.fold_recall([probe])
    assert found.measure == "" and found.facts == {"mse": 0.1, "probe_recall@10": 0.9}
    assert found.fact_runs == {"mse": "c", "probe_recall@10": "c"}


def test_recalls_of_different_query_files_are_refused_in_one_column_unless_mixed() -> None:
    def recall(system: str, queries: str, split: str = "queries") -> Record:
        more = {"compression": "pq", "variant": system, "queries": queries, "split": split}
        return record(system, 0.5, "recall_exact@10", base="v", qrels_sha256="", **more)

    wanted = Wanted(table="compression")
    mine, other = recall("a", "q.npy 1234"), recall("b", "r.npy 5678")
    with pytest.raises(
        ConfigError, match=r"recall_exact@10: cells of different queries: q.npy 1234 \(run run-a.*r.npy"
    ):
        build_tables([mine, other], wanted, lambda _: None)
    (table,) = build_tables([mine, other], replace(wanted, mixed=True), lambda _: None)
    assert "Mixed cells in recall_exact@10: queries q.npy 1234, r.npy 5678." in table.notes
    with pytest.raises(ConfigError, match="cells of different queries"):
        build_tables([mine, other], Wanted(measures="recall_exact@10"), lambda _: None)
    with pytest.raises(ConfigError, match=r"cells of different queries: q.npy 1234 .*, test "):  # a collection's
        build_tables([mine, recall("b", "", split="test")], wanted, lambda _: None)
    alike = [mine, recall("b", "q.npy 1234"), recall("of before files were noted", "")]
    assert len(build_tables(alike, wanted, lambda _: None)[0].rows) == 3


def test_trainings_that_differ_in_the_seed_alone_are_one_line_in_a_band() -> None:
    values = [("a", 1, 2.0), ("a", 2, 1.0), ("b", 1, 4.0), ("b", 2, 3.0), ("b", 3, 9.0)]  # step 3: of one alone
    points = [curves.CurvePoint(f"net seed {r}", "loss", step, v, r, "net") for r, step, v in values]
    figure, data = curves.curves([*points, curves.CurvePoint("other", "loss", 1, 1.0, "c")])
    (axes,) = figure.axes
    line, other = axes.lines
    assert list(line.get_xdata()) == [1, 2] and list(line.get_ydata()) == pytest.approx([1, 2 / 3])  # of 3 and 2
    assert line.get_label() == "net: mean of 2 seeds, smallest to largest" and len(axes.collections) == 1
    assert line.get_color() != other.get_color() and line.get_linestyle() != other.get_linestyle()
    assert data.count("\n") == 7 and "net seed b,loss,3,9.0,b,net" in data
