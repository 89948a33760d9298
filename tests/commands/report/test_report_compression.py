"""`irctl report --table compression`, figures and groups of rows over runs that the commands themselves made."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from workspace import Workspace

SYNTHETIC = "synthetic:1500,64,0.5"
RATES = ("reader_rows_per_cpu_s", "encoder_rows_per_cpu_s", "writer_rows_per_cpu_s")


@pytest.fixture(scope="module", autouse=True)
def made(place: Workspace) -> None:
    """Four bundles of a synthetic set; Cranfield encoded, compressed, and evaluated in every way."""
    from irctl.data.vectors.open import open_vectors

    sets = "--set pq.m=4 --set pq.bits=4"
    place.ok(f"compress --method pq,sq,rabitq,saq --data {SYNTHETIC} --stream --batch 1000 {sets}")
    np.save(place.folder / "q.npy", open_vectors("synthetic:1600,64,0.5").take(np.arange(1500, 1600)))
    place.ok("encode")
    place.ok(f"compress --method pq {sets}")
    place.ok("eval --index latest")
    place.ok("eval --index latest --recall-against exact")
    place.ok("eval --model sentence-transformers/all-MiniLM-L6-v2")


def tables(place: Workspace, line: str = "") -> dict[str, dict[str, dict[str, Any]]]:
    """title -> system -> column -> cell."""
    found = place.ok(f"report --table compression --json {line}").json["tables"]
    return {t["title"]: {r["system"]: r["cells"] for r in t["rows"]} for t in found}


def test_a_bundle_is_in_the_table_before_anybody_evaluates_it(place: Workspace) -> None:
    shown = tables(place)["synthetic"]
    assert [s.removeprefix(f"{SYNTHETIC} + ").split()[0] for s in shown] == ["sq", "rabitq", "saq", "pq"]
    sq = next(cells for system, cells in shown.items() if system.endswith("+ sq"))
    assert 64 < sq["bytes_per_row"]["value"] < 65 and sq["ratio"]["value"] == pytest.approx(4, abs=0.1)
    assert sq["mse"]["value"] < 0.001 and sq["probe_recall@10"]["value"] > 0.9
    assert all(sq[name]["value"] > 0 for name in RATES) and sq["train_s"]["value"] > 0
    pq = next(cells for system, cells in shown.items() if "+ pq" in system)
    assert pq["mse"]["value"] > 100 * sq["mse"]["value"]  # each method its own numbers, of one run


def test_everything_measured_on_a_bundle_is_one_row_and_each_number_names_its_run(place: Workspace) -> None:
    shown = tables(place)["cranfield test"]
    plain, pq = shown["all-MiniLM-L6-v2"], shown["all-MiniLM-L6-v2 + pq bits=4 m=4"]
    assert len(shown) == 2
    assert pq["kept"]["value"] == pytest.approx(pq["nDCG@10"]["value"] / plain["nDCG@10"]["value"])
    assert 0 < pq["recall_exact@10"]["value"] < 1 and plain["recall_exact@10"]["value"] is None
    names = ("bytes_per_row", "probe_recall@10", "recall_exact@10", "nDCG@10")
    runs = {name: pq[name]["runs"] for name in names}
    for name, command in zip(names, ("compress", "compress", "eval", "eval"), strict=True):
        (run,) = runs[name]
        assert place.ok(f"runs show {run} --json").json["command"] == command
    assert runs["recall_exact@10"] != runs["nDCG@10"]


def test_recall_of_query_vectors_joins_the_row_of_its_bundle(place: Workspace) -> None:
    bundle = next((place.folder / "runs").glob("*/out/saq"))
    got = place.ok(f"eval {bundle} --recall-against exact --queries q.npy --json").json
    saq = next(cells for system, cells in tables(place)["synthetic"].items() if system.endswith("+ saq"))
    assert saq["recall_exact@10"]["value"] == got["results"][0]["value"]
    assert saq["recall_exact@10"]["runs"] == [got["run"]] and saq["probe_recall@10"]["runs"] != [got["run"]]


def test_the_table_has_every_format(place: Workspace) -> None:
    for form, said in (
        ("table", "Probe R@10"),
        ("markdown", "| System | Rows | Bytes a row |"),
        ("latex", r"\begin{tabular}"),
        ("html", '<table class="main"'),
    ):
        assert said in place.ok(f"report --table compression --format {form}").out
    rows = list(csv.DictReader(io.StringIO(place.ok("report --table compression --format csv --ids").out)))
    assert {r["table"] for r in rows} == {"synthetic", "cranfield test"} and all(r["runs"] for r in rows)


def test_the_main_table_is_of_judgements(place: Workspace) -> None:
    (table,) = place.ok("report --json").json["tables"]
    assert table["title"] == "cranfield test" and "recall_exact@10" not in table["rows"][0]["cells"]
    (table,) = place.ok("report --json --dataset cranfield --measures recall_exact@10").json["tables"]
    cells = {r["system"]: r["cells"]["recall_exact@10"]["value"] for r in table["rows"]}
    assert cells["all-MiniLM-L6-v2 + pq bits=4 m=4"] > 0


def test_one_compression_can_be_named(place: Workspace) -> None:
    run = next((place.folder / "runs").glob("*/out/saq")).parents[1].name
    assert set(tables(place, f"--run {run}")) == {"synthetic"}
    done = place.run(f"report --run {run}")
    assert done.code == 3 and "--table compression shows compressions" in done.err


def test_the_pareto_figure_is_of_judged_quality_or_else_of_neighbours(place: Workspace) -> None:
    folder = place.folder / "figures"
    assert place.ok(f"report --figure pareto --dataset cranfield -o {folder}").err == ""
    points = list(csv.DictReader((folder / "pareto.csv").open()))
    assert {p["line"] for p in points} == {"pq", "uncompressed"}
    run = next((place.folder / "runs").glob("*/out/saq")).parents[1].name
    place.ok(f"report --figure pareto --run {run} -o {folder}")
    points = list(csv.DictReader((folder / "pareto.csv").open()))
    assert {p["line"] for p in points} == {"pq", "sq", "rabitq", "saq"}
    assert {p["line"] for p in points if p["frontier"] == "True"} >= {"pq", "sq"}
    assert sorted(p.suffix for p in folder.glob("pareto.*")) == [".csv", ".pdf", ".png", ".svg"]


def test_the_speed_figure_has_every_search_that_was_timed(place: Workspace) -> None:
    folder = place.folder / "speed"
    done = place.ok(f"report --figure speed --dataset cranfield -o {folder}")
    assert done.err == "speed: left out, without recall_exact@10: all-MiniLM-L6-v2\n"
    points = list(csv.DictReader((folder / "speed.csv").open()))
    assert [p["line"] for p in points] == ["pq"] and float(points[0]["queries_per_s"]) > 0  # recall of neighbours
    place.ok(f"report --figure speed --dataset cranfield --measures nDCG@10 -o {folder}")
    points = list(csv.DictReader((folder / "speed.csv").open()))
    assert {p["line"] for p in points} == {"pq", "uncompressed"}
    shown = tables(place)["cranfield test"]
    assert all(float(cells["queries_per_s"]["value"]) > 0 for cells in shown.values())


def test_the_spectrum_of_encoded_vectors_sums_to_their_variance(place: Workspace) -> None:
    folder = place.folder / "spectrum"
    place.ok(f"report --figure spectrum -o {folder}")
    points = list(csv.DictReader((folder / "spectrum.csv").open()))
    assert len(points) == 32 and points[0]["rows"] == "1400"
    assert float(points[-1]["cumulative"]) == pytest.approx(1.0)
    shares = [float(p["share"]) for p in points]
    assert shares == sorted(shares, reverse=True)
    done = place.run(
        f"report --figure spectrum --run {next((place.folder / 'runs').glob('*/out/saq')).parents[1].name}"
    )
    assert done.code == 3 and "expected encode" in done.err


def test_a_figure_without_its_runs_is_one_line(place: Workspace) -> None:
    done = place.run("report --figure curves")
    assert done.code == 3 and "irctl train makes one" in done.err
    assert place.run("report --figure spectra").code == 2


def test_recall_measured_on_one_split_is_not_shown_under_another(place: Workspace) -> None:
    runs = [
        place.ok(line).json["run"]
        for line in (
            "compress --method sq --json",
            "eval --index latest:sq --split dev --json",
            "eval --index latest:sq --split test --recall-against exact --json",
        )
    ]
    shown = tables(place, " ".join(f"--run {run}" for run in runs))
    (dev,), (test,) = (shown[f"cranfield {split}"].values() for split in ("dev", "test"))
    assert "recall_exact@10" not in dev and "nDCG@10" not in test
    assert dev["nDCG@10"]["runs"] == [runs[1]] and test["recall_exact@10"]["runs"] == [runs[2]]
    assert dev["probe_recall@10"]["value"] == test["probe_recall@10"]["value"]  # of the bundle, whatever the split


def test_a_bundle_is_one_row_where_the_ledger_does_not_know_who_encoded_its_vectors(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.ok("encode --out vectors")
    monkeypatch.setenv("IRCTL_RUNS", str(place.folder / "other"))
    place.ok("compress --method sq --data vectors")
    place.ok("eval --index latest")
    place.ok("eval --index latest --recall-against exact")
    place.ok("eval --model sentence-transformers/all-MiniLM-L6-v2")
    shown = tables(place)["cranfield test"]
    (sq,) = (cells for system, cells in shown.items() if "sq" in system)
    assert sq["recall_exact@10"]["value"] > 0 and sq["nDCG@10"]["value"] > 0 and sq["kept"]["value"] > 0


def test_runs_that_failed_stand_with_what_they_read_not_with_defaults(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRCTL_RUNS", str(place.folder / "failing"))
    for line in ("compress --data synthetic:10,4 --method faiss", "export nothing", "eval --index nothing"):
        assert place.run(line).code > 0, line
    found = place.ok("runs ls --json").json["runs"]
    for row in found:
        shown = place.ok(f"runs show {row['id']} --json").json
        assert row["status"] == "failed" and not shown["model"] and not shown["dataset"], shown["argv"]
    assert place.run("eval nothing.trec --data cranfield").code > 0
    assert place.ok("runs show latest --json").json["dataset"] == "cranfield"


def test_codes_that_differ_only_in_their_seed_are_one_row(place: Workspace) -> None:
    label = "all-MiniLM-L6-v2 + pq bits=4 m=4"
    before = tables(place)["cranfield test"][label]["nDCG@10"]["value"]
    place.ok("compress --method pq --set pq.m=4 --set pq.bits=4 --seed 7")
    other = place.ok("eval --index latest --json").json
    value = next(r["value"] for r in other["results"] if r["measure"] == "nDCG@10")
    shown = tables(place)["cranfield test"][label]
    assert shown["nDCG@10"]["value"] == pytest.approx((before + value) / 2) and value != before
    assert len(shown["mse"]["runs"]) == 2
