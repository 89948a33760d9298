"""The large ledger of the benchmarks is what irctl would have written: nothing of it looks edited."""

from __future__ import annotations

from pathlib import Path

import large_ledger
import pytest

from irctl.ledger import altered, query
from irctl.pipelines.evaluate import written


def test_both_files_of_its_evaluations_have_the_same_means(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOSSES", "RATES", "SLICES"):
        monkeypatch.setattr(large_ledger, name, getattr(large_ledger, name)[:1])
    assert large_ledger.make(own_folders / "runs", seeds=1, collections=1, logged=2) == 4
    (run,) = query.list_runs(command="eval")
    assert len(written.read_means(run)["results"]) == len(large_ledger.MEASURES)
    assert [*altered.find_all(), *written.list_edited([run])] == []
