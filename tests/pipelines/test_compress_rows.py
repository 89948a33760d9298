"""What the rows of a compression bring up: values that do not fit, repeated ids, and which rows are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, vectors

from irctl.types import Silent


@pytest.mark.parametrize("workers", [1, 2])
def test_values_that_a_later_row_has_beyond_half_precision_are_told(tmp_path: Path, workers: int) -> None:
    # training looked at a thousand rows, and what encoding found was told to nobody
    x = vectors(2600)
    x[2500, 0] = 1e6
    np.save(tmp_path / "x.npy", x)
    keys = {"compress__method": "faiss", "faiss__factory": "SQfp16", "compress__workers": workers}
    reporter = Silent()
    compressed(tmp_path / "x.npy", tmp_path / "b", reporter, **keys, compress__train_size=100, compress__probe=0)
    assert sum("beyond 65504 are kept as 65504" in line for line in reporter.lines) == 1
