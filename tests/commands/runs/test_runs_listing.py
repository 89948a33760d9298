"""`irctl runs ls`: the columns that tell runs apart, the one number of each, and a table that fits a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from irctl import config, console
from irctl.cli import app
from irctl.commands.runs import listing, view
from irctl.ledger import query
from irctl.ledger.files import run_folder
from irctl.ledger.recording import RunHandle, start_run
from irctl.ledger.runs import reap

WIDTH = 100


def start(command: str, sets: tuple[str, ...] = (), **columns: Any) -> RunHandle:
    settings = config.resolve(config.from_sets(sets))
    given = {"dataset": "cranfield", "seed": 42, "argv": ["irctl", command], **columns}
    return start_run(command=command, config=settings, **given)


def chain() -> dict[str, RunHandle]:
    """train > encode > compress > eval, as the pipelines record them."""
    train = start("train", ("loss.name=ws2",), method="sycl", model="sentence-transformers/all-MiniLM-L6-v2")
    train.artifact("out", "model", "model-of-it", sha256="m1")
    train.finish("completed")
    encode = start("encode", model=train.id)
    encode.artifact("in", "model", "model-of-it", sha256="m1")
    encode.artifact("out", "embeddings", "vectors-of-it", sha256="e1", n_rows=1400, dim=384)
    encode.finish("completed")
    compress = start("compress", ("transform.name=soft_whiten",), method="opq", model=train.id)
    compress.artifact("in", "embeddings", "vectors-of-it", sha256="e1", n_rows=1400)
    compress.artifact("out", "bundle", "codes-of-it", sha256="b1", n_rows=1400)
    compress.metric("code_size", 24.0, dataset="cranfield")
    compress.finish("completed")
    codes = start("eval", ("search.k=100",), method="opq", model=train.id)
    codes.artifact("in", "model", "model-of-it", sha256="m1")
    codes.artifact("in", "bundle", "codes-of-it", sha256="b1", n_rows=1400)
    codes.metric("nDCG@10", 0.25, dataset="cranfield", split="test")
    codes.metric("queries_per_s", 6345.0, dataset="cranfield", split="test")
    codes.finish("completed")
    vectors = start("eval", method="dense", model=train.id)
    vectors.artifact("in", "model", "model-of-it", sha256="m1")
    vectors.metric("nDCG@10", 0.5, dataset="cranfield", split="test")
    vectors.finish("completed")
    failed = start("compress")
    failed.finish("failed", exit_code=3, error_kind="DataError", error_msg="no vectors")
    return {
        "train": train,
        "encode": encode,
        "compress": compress,
        "codes": codes,
        "vectors": vectors,
        "failed": failed,
    }


def listed(*words: str) -> str:
    done = CliRunner().invoke(app, ["runs", "ls", *words], prog_name="irctl")
    assert done.exit_code == 0, done.output + done.stderr
    return done.stdout


def rows_of(text: str) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


def test_a_row_says_model_or_base_run_codes_split_seed_measure_and_duration() -> None:
    runs = chain()
    rows = rows_of(listed("--format", "csv"))
    codes = rows[runs["codes"].id]
    assert (codes["base_run"], codes["codes"], codes["bytes_per_vector"]) == (
        runs["compress"].id,
        "opq soft_whiten",
        "24.0",
    )
    assert (codes["split"], codes["seed"], codes["measure"], codes["value"]) == ("test", "42", "nDCG@10", "0.25")
    assert (rows[runs["compress"].id]["base_run"], rows[runs["vectors"].id]["base_run"]) == (
        runs["encode"].id,
        runs["train"].id,
    )
    assert rows[runs["train"].id]["model"] == "all-MiniLM-L6-v2" and rows[runs["vectors"].id]["codes"] == ""
    assert all(float(row["duration_s"]) >= 0 for row in rows.values())
    shown = {row["id"]: row for row in json.loads(listed("--json"))["runs"]}
    assert shown[runs["codes"].id]["base_run"] == runs["compress"].id and "measures" in shown[runs["codes"].id]
    assert shown[runs["codes"].id]["model"] == runs["train"].id  # what was there before stays as it was


def test_trained_codes_are_codes_though_a_method_wrote_them() -> None:
    trained = start("train", method="jpq", model="m")
    trained.artifact("out", "bundle", "bundle-of-it", sha256="b2", n_rows=1400)
    trained.metric("code_size", 12.0, dataset="cranfield")
    trained.finish("completed")
    codes = start("eval", method="jpq", model="m")
    codes.artifact("in", "bundle", "bundle-of-it", sha256="b2", n_rows=1400)
    codes.finish("completed")
    row = listing.list_rows([query.find_run(codes.id)])[0]
    assert (row["base_run"], row["codes"], row["bytes_per_vector"]) == (trained.id, "jpq", 12.0)


def test_the_table_fits_a_terminal_of_100_columns_and_cuts_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = chain()
    monkeypatch.setattr(console, "_console", lambda **_: Console(width=WIDTH, markup=False, highlight=False))
    text = listed()
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert all(run.id in text for run in runs.values()) and text.count(runs["train"].id) == 3
    assert "sycl ws2" in text and "24 B" in text and "0.2500" in text
    assert [line.split()[-3] for line in text.splitlines() if runs["failed"].id in line] == ["failed"]
    assert text.splitlines()[-1] == "all: data set cranfield, seed 42"


def test_a_narrower_terminal_cuts_no_id_either(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = chain()
    monkeypatch.setattr(console, "_console", lambda **_: Console(width=60, markup=False, highlight=False))
    assert all(run.id in (text := listed()) for run in runs.values()) and "0.2500" in text


def test_columns_that_differ_are_shown_in_each_row() -> None:
    start("eval", method="dense", seed=1).finish("completed")
    start("eval", method="dense", seed=2, dataset="beir/scifact").finish("completed")
    head = listed().splitlines()[0].split()
    assert {"dataset", "seed"} <= set(head) and "all:" not in listed()


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({("cranfield", "test"): {"RR@10": 0.3, "nDCG@10": 0.2}}, ("nDCG@10", "test", 0.2)),  # its card's
        ({("msmarco", "dev"): {"nDCG@10": 0.2, "RR@10": 0.3}}, ("RR@10", "dev", 0.3)),
        ({("mine", "test"): {"AP@100": 0.1, "RR@10": 0.3}}, ("RR@10", "test", 0.3)),
        ({("mine", "test"): {"AP@100": 0.1}}, ("AP@100", "test", 0.1)),
        ({("cranfield", "dev"): {"nDCG@10": 0.1}, ("cranfield", "test"): {"nDCG@10": 0.2}}, ("nDCG@10", "test", 0.2)),
        ({("mine", "a"): {"nDCG@10": 0.1}, ("mine", "b"): {"nDCG@10": 0.2}}, ("", "a, b", None)),
        ({("mine", "a: x"): {"nDCG@10": 0.1}, ("mine", "a: y"): {"nDCG@10": 0.2}}, ("", "a, 2 forms", None)),
        ({("a", "test"): {"nDCG@10": 0.1}, ("b", "test"): {"nDCG@10": 0.2}}, ("", "", None)),
    ],
)
def test_one_number_stands_for_a_run_by_the_card_or_not_at_all(measured: Any, expected: tuple[Any, ...]) -> None:
    name, place, value = listing.main_measure(measured)
    assert (name, place[1] if place else "", value) == expected


def journal(run: RunHandle) -> None:
    """A training whose third step was worse than its second, which it saved."""
    for step, value in ((0, 0.1), (2, 0.5), (3, 0.3)):
        run.metric("nDCG@10", value, dataset="cranfield", split="dev", step=step)
    run_folder.append_lines(
        run.paths.metrics, {"event": "done", "steps": 3, "model_step": 2, "dev_before": 0.1, "dev_after": 0.5}
    )
    run.finish("completed")


def test_a_training_is_listed_and_sorted_by_the_model_that_it_saved() -> None:
    training, other = start("train", method="dense"), start("train", method="dense")
    journal(training)
    other.metric("nDCG@10", 0.4, dataset="cranfield", split="dev", step=1)
    other.finish("completed")
    assert listed("--sort", "-nDCG@10", "--quiet").split() == [training.id, other.id]
    row = rows_of(listed("--format", "csv"))[training.id]
    assert (row["measure"], row["value"], row["split"]) == ("nDCG@10", "0.5", "dev")
    assert [m["value"] for m in query.measures(training.id) if m["split"]] == [0.5]
    assert listed("--where", "metrics.'nDCG@10'>0.45", "--quiet").split() == [training.id]


def test_a_listing_asks_the_ledger_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    chain()
    asked: list[str] = []
    real: Callable[..., Any] = query.rows
    monkeypatch.setattr(query, "rows", lambda sql, values=(): asked.append(sql) or real(sql, values))
    few = listing.list_rows(query.list_runs(limit=1))
    count = len(asked)
    assert len(listing.list_rows(query.list_runs())) > len(few) and len(asked) == 2 * count
    asked.clear()
    view.as_json(query.list_runs())
    assert len(asked) == 1


def test_a_row_is_the_same_of_the_columns_that_a_listing_reads_and_of_all() -> None:
    chain()
    few = listing.list_rows(query.list_runs(columns=listing.COLUMNS))
    assert few == listing.list_rows(query.list_runs()) and len(few) > 3


def test_runs_that_have_not_ended_are_found_without_reading_the_others() -> None:
    """Each run is a page or more of the ledger; an index of a hundredth of that has the states."""
    chain()
    plan = query.rows(f"EXPLAIN QUERY PLAN SELECT * FROM runs WHERE {reap.NOT_ENDED}")
    assert not [
        p["detail"] for p in plan if p["detail"].startswith("SCAN runs") and "COVERING INDEX" not in p["detail"]
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (1.85, "1.9 s"), (14.4, "14 s"), (192.0, "3.2 min"), (18400.0, "5.1 h")]
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert listing.duration(seconds) == text
