"""Two processes that share the slices out have the codes of one, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from slices_pair import drawn
from two import run_pair

from irctl.models.codes import sinkhorn
from irctl.training.parallel import split_slices


def test_each_of_two_processes_has_the_codes_and_errors_of_one(tmp_path: Path) -> None:
    vectors_XE, centroids_MKd = drawn()
    run_pair(Path(__file__).with_name("slices_pair.py"), str(tmp_path / "plan"))
    alone = sinkhorn.assign(vectors_XE, centroids_MKd, range(5), eps=0.003, rounds=20)
    assert len(np.unique(alone.codes_XS)) == 16
    for rank in range(2):
        with np.load(tmp_path / f"plan-{rank}.npz") as plan:
            assert np.array_equal(plan["codes"], alone.codes_XS.numpy()), rank
            assert np.allclose(plan["errors"], alone.row_errors_S2.numpy(), rtol=1e-9), rank


def test_one_process_does_every_slice() -> None:
    plan = split_slices.assign(*drawn(), eps=0.003, rounds=20)
    assert plan.codes_XS.shape == (200, 5)
    assert np.array_equal(plan.codes_XS, sinkhorn.assign(*drawn(), range(5), eps=0.003, rounds=20).codes_XS)
