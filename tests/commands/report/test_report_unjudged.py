"""`irctl report` where nothing was evaluated: the three lines of a first day, and ledgers with less."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from workspace import Workspace

pytestmark = pytest.mark.usefixtures("in_process")

SETS = "--set train.max_steps=2 --set batch.global=8 --set data.max_queries=40 --set compress.train_size=1000"


def tables(place: Workspace, line: str = "report --json") -> dict[str, list[dict[str, Any]]]:
    return {t["title"]: t["rows"] for t in place.ok(line).json["tables"]}


def test_an_empty_ledger_names_commands_that_work(place: Workspace) -> None:
    done = place.run("report")
    assert done.code == 3 and done.err.count("\n") == 1
    assert "irctl demo makes some; irctl eval --model sentence-transformers/all-MiniLM-L6-v2 adds one" in done.err
    assert place.run("eval --model sentence-transformers/all-MiniLM-L6-v2 --dry-run").code == 0


def test_the_three_lines_of_an_empty_folder_end_in_a_table(place: Workspace) -> None:
    trained = place.ok(f"train --method sycl --loss ws2 {SETS} --json").json
    (rows,) = tables(place).values()  # after the first line alone
    assert [r["cells"]["loss"]["text"] for r in rows] == ["ws2"]
    compressed = place.ok(f"compress --stream --batch 10000 {SETS} --json").json
    text = place.ok("report").out
    shown = tables(place)
    (row,) = shown["trainings"]
    cells = {k: c["value"] if c["value"] is not None else c["text"] for k, c in row["cells"].items()}
    assert row["system"] == trained["run"] and cells == {
        "method": "sycl",
        "loss": "ws2",
        "model": "all-MiniLM-L6-v2",
        "steps": 2,
        "dev_before": pytest.approx(trained["dev_before"]),
        "dev_after": pytest.approx(trained["dev_after"]),
    }
    (codes,) = shown["cranfield"]
    assert codes["cells"]["probe_recall@10"]["value"] > 0 and "pq" in codes["system"]
    for run, line in (
        (trained["run"], f"irctl eval --model {trained['run']}"),
        (compressed["run"], f"irctl eval --index {compressed['run']}"),
    ):
        assert f"Next, {run}: {line}\n" in text
        place.ok(f"{line} --dry-run")


def test_every_format_has_the_words_of_the_trainings(place: Workspace) -> None:
    rows = list(csv.DictReader(io.StringIO(place.ok("report --format csv").out)))
    assert [r["loss"] for r in rows if r["table"] == "trainings"] == ["ws2"]
    for form in ("markdown", "latex", "html"):
        assert "ws2" in place.ok(f"report --format {form}").out


def test_options_of_evaluations_are_refused_where_there_is_none(place: Workspace) -> None:
    for line in ("--baseline pq", "--measures nDCG@10", "--group-by run", "--dataset cranfield"):
        done = place.run(f"report {line}")
        assert done.code == 3 and "no evaluation to report" in done.err, line


def test_codes_of_no_collection_are_evaluated_with_query_vectors(place: Workspace) -> None:
    run = place.ok("compress --method pq,sq --data synthetic:1500,32,0.5 --set pq.m=4 --json").json["run"]
    text = place.ok("report").out
    assert f"Next, {run}:sq: irctl eval {run}:sq --recall-against exact --queries QUERIES.npy" in text


def test_an_evaluation_takes_their_place(place: Workspace) -> None:
    place.ok("search --retriever bm25 -k 10")
    place.ok("eval")
    assert set(tables(place)) == {"cranfield test"}
