"""Every hint of a quantizer that names settings works when it is typed, however few the rows."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from irctl.errors import ConfigError

SET = re.compile(r"--set (\w+)\.(\w+)=([\w.]+)")


def train(method: str, settings: dict[str, Any], rows: int, dim: int) -> Any:
    module = import_module(f"irctl.quantizers.{method}")
    made = module.Quantizer(module.Config(**settings), dim)
    x_ND = np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)
    made.fit(x_ND)
    assert len(made.encode(x_ND)) == rows
    return made


def hinted(error: ConfigError, method: str) -> list[dict[str, Any]]:
    """The settings that a hint names: one for each alternative of a key, together where the keys differ."""
    found = [(key, float(value) if "." in value else int(value) if value.isdigit() else value)
             for name, key, value in SET.findall(error.hint) if name == method]  # fmt: skip
    assert found, f"no settings in {error}"
    keys = [key for key, _ in found]
    return [dict(found)] if len(set(keys)) == len(keys) else [{key: value} for key, value in found]


@pytest.mark.parametrize(
    ("method", "settings", "rows", "dim"),
    [
        ("pq", {"m": 5}, 300, 16),
        ("pq", {"m": 8}, 10, 16),
        ("pq", {"m": 8}, 2, 16),
        ("opq", {"m": 5}, 300, 16),
        ("opq", {"m": 8, "iterations": 1}, 100, 16),
        *(("opq", {"m": 8, "iterations": 1}, rows, 32) for rows in (2, 3, 7, 9, 10, 17, 31)),
        ("opq", {"m": 8, "dim": 24, "iterations": 1, "bits": 2}, 20, 32),
        ("rabitq", {"rotation": "hadamard"}, 20, 48),
        *(("saq", {"bits": bits}, 100, dim) for bits, dim in ((0.1, 64), (0.5, 48), (0.2, 96))),
    ],
)
def test_a_hint_works_as_it_is_typed(method: str, settings: dict[str, Any], rows: int, dim: int) -> None:
    # opq at 10 rows said `bits 1 to 3`, and then that its rotation needs a row a dimension
    with pytest.raises(ConfigError) as raised:
        train(method, settings, rows, dim)
    for named in hinted(raised.value, method):
        if not settings.keys() & {"iterations"} and method == "opq":
            named = {**named, "iterations": 1}
        train(method, settings | named, rows, dim)


def test_a_single_row_trains_no_product_code_and_that_is_said() -> None:
    for method in ("pq", "opq"):
        with pytest.raises(ConfigError, match=r"Train on more rows$"):
            train(method, {"m": 8}, 1, 16)
