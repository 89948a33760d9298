"""Rows of codes that a training left, and of bundles to which rows were added: their own numbers, name and lineage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspace import Workspace

PROBED = ("mse", "probe_recall@10", "probe_recall@100", "writer_rows_per_cpu_s")


def rows(place: Workspace) -> dict[str, dict[str, Any]]:
    """System, from its compression on -> column -> cell."""
    (table,) = place.ok("report --table compression --json").json["tables"]
    return {r["system"].partition(" + ")[2]: r["cells"] for r in table["rows"]}


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {}


@pytest.fixture
def trained(place: Workspace, in_process: None, kept: dict[str, Any]) -> dict[str, Any]:
    """What printed the training of codes of 600 rows that were trained and measured, as those they began with were."""
    if not kept:
        kept |= codes_trained(place)
    return kept


def codes_trained(place: Workspace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for name, count in (("x", 600), ("new", 50), ("q", 20)):
        np.save(place.folder / f"{name}.npy", rng.standard_normal((count, 32)).astype(np.float32))
    codes = place.ok("compress --method opq --data x.npy --set opq.m=4 --set opq.bits=4 --set opq.iterations=1 --json")
    place.ok(f"eval --index {codes.json['run']} --recall-against exact --queries q.npy")
    line = f"train --method jpq --loss distill --data x.npy --index {codes.json['run']} --max-steps 4 --batch 16"
    made = place.ok(f"{line} --json").json
    place.ok(f"eval --index {made['run']} --recall-against exact --queries q.npy")
    return made


def test_trained_codes_show_what_was_measured_on_them_and_not_on_those_they_began_with(
    place: Workspace, trained: dict[str, Any]
) -> None:
    shown = rows(place)
    opq, learned = (next(c for s, c in shown.items() if s.startswith(name)) for name in ("opq", "jpq distill"))
    assert all(opq[name]["value"] is not None and learned[name]["value"] is None for name in PROBED)
    spent = place.ok(f"runs show {trained['run']} --json").json["cpu_s"]
    assert learned["train_s"]["value"] == pytest.approx(spent) and learned["train_s"]["runs"] == [trained["run"]]
    assert learned["recall_exact@10"]["value"] is not None
    assert learned["bytes_per_row"]["value"] == opq["bytes_per_row"]["value"]  # the files are the same


def test_a_trained_bundle_with_rows_added_keeps_its_name_and_lineage(place: Workspace, trained: dict[str, Any]) -> None:
    (name,) = (s for s in rows(place) if s.startswith("jpq distill"))
    folder = trained["bundle"]
    added = place.ok(f"compress --append {folder} --data new.npy --json").json["run"]
    place.ok(f"eval --index {folder} --recall-against exact --queries q.npy")
    shown = rows(place)
    assert name in {s.partition(" added=")[0] for s in shown}
    (cells,) = (cells for s, cells in shown.items() if s.startswith(name) and cells["rows"]["value"] == 650)
    assert cells["rows"]["runs"] == [added] and cells["train_s"]["runs"] == [trained["run"]]
    assert cells["recall_exact@10"]["value"] is not None and cells["mse"]["value"] is None
    line = place.ok(f"runs show {added} --json").json
    assert [a["n_rows"] for a in line["artifacts"] if (a["role"], a["kind"]) == ("in", "bundle")] == [600]


def test_recall_by_another_file_of_queries_is_not_put_into_the_same_column(
    place: Workspace, trained: dict[str, Any]
) -> None:
    np.save(place.folder / "other.npy", np.random.default_rng(5).standard_normal((20, 32)).astype(np.float32))
    done = place.ok(f"eval --index {trained['run']} --recall-against exact --queries other.npy --json").json
    refused = place.run("report --table compression")
    assert refused.code == 2 and "cells of different queries: " in refused.err and "other.npy " in refused.err
    (table,) = place.ok(f"report --table compression --run {done['run']} --json").json["tables"]
    assert len(table["rows"]) == 1


def test_an_evaluation_or_search_of_codes_is_listed_by_their_method(place: Workspace, trained: dict[str, Any]) -> None:
    place.ok(f"search --index {trained['run']} --queries q.npy -k 5")
    listed = [(r["command"], r["method"]) for r in place.ok("runs ls --json").json["runs"]]
    assert {method for command, method in listed if command == "eval"} == {"opq", "jpq"}
    assert ("search", "jpq") in listed
