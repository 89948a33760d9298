"""A search by another similarity than the vectors were trained to be compared by is said: it may rank nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irctl.index.arrays import UNIT
from irctl.index.scoring import METRIC
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.pipelines.references.vectors import Input

_ROWS = 256  # looked at


def say_other(given: Input, asked: str, reporter: Reporter) -> None:
    """Warn where `asked` (search.similarity) is not the encoder's and ranks otherwise: rows are not of length 1."""
    own = str(given.about.get("similarity", ""))
    if not asked or not own or METRIC[asked] == METRIC[own] or not given.stream.rows:
        return
    rows_ND = given.stream.take(np.arange(min(_ROWS, given.stream.rows)))
    if np.abs(np.linalg.norm(rows_ND, axis=1) - 1).max() > UNIT:
        reporter.warn(f"{given.name}: search.similarity={asked}, but its encoder compares by {own}")
