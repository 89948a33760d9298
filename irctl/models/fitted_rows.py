"""Which texts a model's head was fitted on, or the model trained on: hashes that lie in its folder, as fitted_rows.npy.

What is measured on such rows is not held out: isotropy leaves them out. No part of the model's fingerprint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import DataError
from irctl.files import write_atomic

FILE = "fitted_rows.npy"
TRANSFORM = "transform"
"""Key of irctl.json: {label, ...} of the transform in a model, also of one trained from it. Nothing names its rows."""

Hashes = NDArray[np.uint64]
"""`transforms.files.hash_texts` of texts as the model reads them: titles joined, no prompt."""


def save(folder: Path, *hashes: Hashes) -> None:
    """Write them all, sorted, each once; no file where there is none."""
    found = np.unique(np.concatenate(hashes))
    if len(found):
        write_atomic(folder / FILE, found)


def load(folder: Path) -> Hashes:
    """Sorted hashes; none where the folder has no such file. Raises DataError for another file of that name."""
    path = folder / FILE
    if not path.is_file():
        return np.empty(0, np.uint64)
    try:
        found: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as e:
        raise DataError(f"{path}: cannot be read ({e})", hint="Copy the whole model folder again") from e
    if found.dtype != np.uint64 or found.ndim != 1:
        raise DataError(f"{path}: expected a list of uint64, found {found.dtype} {list(found.shape)}")
    return np.asarray(found)
