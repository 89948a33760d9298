"""faiss and torch bring their own threads and matrix libraries: both orders of import work in one process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import {0}, {1}
import numpy as np
x = np.random.default_rng(0).standard_normal((2000, 32)).astype("float32")
pq = faiss.IndexPQ(32, 8, 4, faiss.METRIC_INNER_PRODUCT)
pq.train(x); pq.add(x)
found = pq.search(x[:5], 3)[1]
assert (torch.from_numpy(x) @ torch.from_numpy(x).T).isfinite().all() and (found >= 0).all()
print("both")
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", [("faiss", "torch"), ("torch", "faiss")])
def test_either_may_be_imported_first(order: tuple[str, str]) -> None:
    """JPQ, pull request 2: faiss after torch ended the process on some machines."""
    done = subprocess.run([sys.executable, "-c", CODE.format(*order)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "both", done.stderr
