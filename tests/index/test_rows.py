"""Rows of floats: what is refused, alone or beside others."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.index.arrays import LONGEST, TooLong, as_rows


@pytest.mark.parametrize("others", [0, 1, 50])
def test_a_row_is_too_long_whatever_stands_beside_it(others: int) -> None:
    rows = np.zeros((1 + others, 4), np.float32)
    rows[others, 2] = 1.5 * LONGEST  # its square is still a float32
    with pytest.raises(TooLong, match=f"row {others}: expected a length of at most 9.0e\\+18, found 1.35e\\+19"):
        as_rows(rows, 4)
    rows[:, 2] = LONGEST / 2  # a sum of squares that overflows says nothing of any row
    assert as_rows(rows, 4) is not None
