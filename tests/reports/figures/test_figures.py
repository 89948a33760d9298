"""Figures: what is on the frontier, and that the same data gives the same bytes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from report_records import record, systems

from irctl.errors import DataError
from irctl.reports.figures import figures
from irctl.reports.significance import compare


def test_the_frontier_holds_what_nothing_smaller_beats() -> None:
    records = [
        record("a", 0.5, bytes_per_vector=100),
        record("b", 0.4, bytes_per_vector=200),
        record("c", 0.6, bytes_per_vector=400),
        record("d", 0.6, bytes_per_vector=800),
        record("no vectors", 0.9),
    ]
    assert {p.system: p.frontier for p in figures.pareto_points(records, "nDCG@10")} == {
        "a": True,
        "b": False,
        "c": True,
        "d": False,
    }


def test_two_systems_of_the_same_size_and_quality_are_both_on_the_frontier() -> None:
    records = [record("a", 0.5, bytes_per_vector=8), record("b", 0.5, bytes_per_vector=8)]
    assert all(p.frontier for p in figures.pareto_points(records, "nDCG@10"))


def test_what_reads_exact_vectors_too_is_off_the_frontier_and_on_a_line_of_its_own() -> None:
    records = [
        record("codes", 0.4, bytes_per_vector=8, compression="pq"),
        record("codes, reranked 100", 0.9, bytes_per_vector=8, compression="pq", rerank=100),
        record("more", 0.6, bytes_per_vector=64, compression="sq"),
    ]
    points = {p.system: (p.line, p.frontier) for p in figures.pareto_points(records, "nDCG@10")}
    assert points == {"codes": ("pq", True), "codes, reranked 100": ("pq, re-ranked", False), "more": ("sq", True)}


def test_a_system_is_one_point_in_the_mean_of_its_seeds() -> None:
    two = [record("opq", v, bytes_per_vector=8, code_seed=s, run_id=f"r{s}") for s, v in enumerate((0.4, 0.6))]
    (point,) = figures.pareto_points(two, "nDCG@10")
    assert point.value == pytest.approx(0.5) and point.run_id == "r0 r1"
    timed = [record("opq", 0.5, code_seed=s, facts={"queries_per_s": v}) for s, v in enumerate((10.0, 30.0))]
    assert [p.queries_per_s for p in figures.speed_points(timed, "nDCG@10")] == [20.0]


def test_whiskers_are_the_deviation_of_seeds_and_the_axis_says_so() -> None:
    seeds = [record("opq", v, bytes_per_vector=8, code_seed=s) for s, v in enumerate((0.4, 0.5, 0.6))]
    figure, data = figures.pareto([*seeds, record("sq", 0.7, bytes_per_vector=9)], "nDCG@10")
    opq, sq = csv.DictReader(io.StringIO(data))
    assert float(opq["sd"]) == pytest.approx(0.1) and sq["sd"] == ""
    (axes,) = figure.axes
    ends = [path.vertices[:, 1].tolist() for c in axes.collections for path in c.get_paths() if len(path) == 2]
    assert ends == [pytest.approx([40, 60])] and axes.get_ylabel() == "nDCG@10 ×100, ± sd over seeds"
    alone, _ = figures.pareto(seeds[:1], "nDCG@10")
    assert alone.axes[0].get_ylabel() == "nDCG@10 ×100"


def test_seeds_of_one_size_have_that_size_to_the_last_digit() -> None:
    size = {"bytes_per_row": 24.091428571428573}  # the mean of three is another float
    three = [record("opq", 0.5, code_seed=s, compression="opq", facts=size) for s in range(3)]
    points = figures.pareto_points([*three, record("cut", 0.2, compression="cut", facts=size)], "nDCG@10")
    assert {p.system: p.frontier for p in points} == {"opq": True, "cut": False}


def test_measured_bytes_of_files_come_before_those_of_a_code() -> None:
    one = record("a", 0.5, bytes_per_vector=8, facts={"bytes_per_row": 8.5})
    assert figures.pareto_points([one], "nDCG@10")[0].bytes_per_row == 8.5


def test_nothing_to_draw_is_an_error_that_says_what_to_run() -> None:
    with pytest.raises(DataError, match="Run irctl compress"):
        figures.pareto([record("a", 0.5)], "nDCG@10")


def test_the_speed_plot_has_what_was_timed_fastest_first() -> None:
    records = [
        record("slow", 0.9, facts={"queries_per_s": 10.0, "latency_ms": 120.0}),
        record("fast", 0.4, compression="pq", facts={"queries_per_s": 1000.0}),
        record("untimed", 0.5),
    ]
    points = figures.speed_points(records, "nDCG@10")
    assert [(p.system, p.line, p.latency_ms) for p in points] == [("fast", "pq", None), ("slow", "uncompressed", 120.0)]
    with pytest.raises(DataError, match="irctl eval --index BUNDLE times its search"):
        figures.speed([record("untimed", 0.5)], "nDCG@10")


def test_a_figure_is_saved_in_three_formats_with_its_data_and_equal_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        figures.save(*figures.pareto(systems(), "nDCG@10", title="cranfield"), tmp_path / folder, "pareto")
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == ["pareto.csv", "pareto.pdf", "pareto.png", "pareto.svg"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    data = list(csv.DictReader(io.StringIO((tmp_path / "one" / "pareto.csv").read_text())))
    assert [d["system"] for d in data if d["frontier"] == "True"] == ["MiniLM pq", "MiniLM sq", "MiniLM"]


def test_deltas_are_drawn_with_their_intervals(tmp_path: Path) -> None:
    one = compare({str(i): 0.5 + i / 100 for i in range(10)}, {str(i): 0.5 for i in range(10)})
    assert len(figures.save(*figures.delta([one]), tmp_path, "delta")) == 4
    with pytest.raises(DataError, match="--baseline"):
        figures.delta([])


def test_names_of_differences_leave_room_for_their_intervals() -> None:
    one = compare({str(i): 0.5 + i / 100 for i in range(10)}, {str(i): 0.5 for i in range(10)})
    long = [replace(one, system=f"encoder of a long name + {code} bits=4 m=48", measure="RR") for code in ("pq", "opq")]
    figure, _ = figures.delta([*long, replace(long[0], measure="nDCG@10")])
    (axes,) = figure.axes
    figure.canvas.draw()
    assert not any("encoder" in text.get_text() for text in axes.get_yticklabels())
    assert axes.get_window_extent().width > 0.4 * figure.bbox.width
