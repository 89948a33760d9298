"""Rows of codes whose compression, training or vectors are not in the ledger: what their evaluation recorded, alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_here import train_here
from workspace import Workspace

METHODS = ("opq", "pq")


@pytest.fixture(scope="module")
def made(place: Workspace) -> dict[str, str]:
    """Codes of two methods and of one training of the OPQ, of the same vectors, evaluated: name -> the run."""
    rng = np.random.default_rng(0)
    for name, count in (("x", 300), ("q", 10)):
        np.save(place.folder / f"{name}.npy", rng.standard_normal((count, 16)).astype(np.float32))
    runs = {}
    for method in METHODS:
        settings = f"--set {method}.m=4 --set {method}.bits=4 --set {method}.iterations=1"
        runs[method] = place.ok(f"compress --method {method} --data x.npy {settings} --json").json["run"]
        place.ok(f"eval --index {runs[method]} --recall-against exact --queries q.npy")
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        line = f"train --method jpq --loss distill --data x.npy --index {runs['opq']} --max-steps 2 --batch 16 --json"
        runs["jpq"] = place.ok(line).json["run"]
    place.ok(f"eval --index {runs['jpq']} --recall-against exact --queries q.npy")
    return runs


def table(place: Workspace, *lost: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """(cells by system, from its codes on; notes) of the ledger without these runs."""
    runs = Path(os.environ["IRCTL_RUNS"])
    copy = runs.with_name("lighter")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(runs, copy, ignore=shutil.ignore_patterns("ledger.db*"))  # which names the folders of the others
    for run in lost:
        shutil.rmtree(copy / run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRCTL_RUNS", str(copy))
        place.ok("runs reindex")
        (shown,) = place.ok("report --json").json["tables"]
    return {r["system"]: r["cells"] for r in shown["rows"]}, shown["notes"]


def test_codes_without_their_compression_stay_rows_of_their_own_with_the_size_that_was_searched(
    place: Workspace, made: dict[str, str]
) -> None:
    """They were once merged into one row, named like the uncompressed vectors, with recovery 100."""
    whole, _ = table(place)
    assert len(whole) == 3
    lost, notes = table(place, *made.values())
    assert len(lost) == 3
    for method in (*METHODS, "jpq"):
        (cells,) = (c for system, c in lost.items() if f" + {method} codes=" in system)
        (before,) = (c for system, c in whole.items() if f" + {method} " in system)
        assert cells["bytes"]["value"] == 2 and cells.get("kept", {"value": None})["value"] is None
        assert [c["value"] for c in cells.values()] == [c["value"] for n, c in before.items() if n in cells]
    (said,) = (n for n in notes if n.startswith("Codes that no run of this ledger wrote"))
    assert all(system in said for system in lost)


def test_trained_codes_without_the_first_compression_keep_the_name_of_their_training(
    place: Workspace, made: dict[str, str]
) -> None:
    shown, notes = table(place, made["opq"])
    names = sorted(system.partition(" + ")[2].partition("=")[0] for system in shown)
    assert names == ["jpq distill codes", "opq codes", "pq bits"]
    assert {c["bytes"]["value"] for c in shown.values()} == {2}
    assert any(n.startswith("Codes that no run of this ledger wrote") for n in notes)


def test_a_training_that_is_gone_does_not_hand_its_codes_to_the_compression_they_began_with(
    place: Workspace, made: dict[str, str]
) -> None:
    shown, _ = table(place, made["jpq"])
    names = sorted(system.partition(" + ")[2].partition("=")[0] for system in shown)
    assert names == ["jpq codes", "opq bits", "pq bits"]
