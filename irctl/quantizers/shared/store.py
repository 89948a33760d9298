"""A trained quantizer on disk: one .npy a named array, quantizer.json last. Never pickle.

The sha256 of quantizer.json covers every array, so it names the quantizer: codes remember it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from irctl import hashing, tables
from irctl.errors import DataError
from irctl.files import write_atomic
from irctl.index import shards
from irctl.ledger import damaged
from irctl.paths import check_inside

T = TypeVar("T")
FORMAT, VERSION, FILE = "irctl-quantizer", 1, "quantizer.json"
SHAPE = {
    "name": str,
    "dim": int,
    "metric": str,
    "seed": int,
    "settings": dict,
    "code_size": int,
    "arrays": {"*": {"sha256": str}},
}


def save(folder: Path, name: str, quantizer: Any, arrays: Mapping[str, NDArray[Any]], **more: Any) -> None:
    """Write the arrays and quantizer.json: name, dim, metric, seed, settings, code_size, hashes, and `more`."""
    described = {}
    for key, array in arrays.items():
        written = write_atomic(folder / f"{key}.npy", array)
        described[key] = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": written.sha256}
    shards.write_json(
        folder / FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "name": name,
            "dim": quantizer.dim,
            "metric": quantizer.metric,
            "seed": quantizer.seed,
            "settings": dataclasses.asdict(quantizer.config),
            "code_size": quantizer.code_size,
            "arrays": described,
            **more,
        },
    )


def describe(folder: Path) -> dict[str, Any]:
    """quantizer.json. Raises DataError when it is absent, torn or of another version."""
    path = folder / FILE
    if not path.exists():
        raise DataError(f"{folder}: no {FILE}, so no trained quantizer", hint="irctl compress --train-only writes one")
    described = tables.json_object(path, hint="Train again")
    if (described.get("format"), described.get("version")) != (FORMAT, VERSION):
        raise DataError(f"{path}: expected format {FORMAT} version {VERSION}")
    tables.check(described, SHAPE, str(path), hint="Train again")
    return described


def load(
    folder: Path, name: str, kind: Callable[..., T], config: Callable[..., Any]
) -> tuple[T, dict[str, NDArray[Any]]]:
    """(the quantizer as its settings make it, the arrays that it keeps), hashes checked. Raises DataError.

    kind, config: `Quantizer` and `Config` of the file `name`.
    """
    described = describe(folder)
    if described["name"] != name:
        raise DataError(f"{folder / FILE}: expected a {name} quantizer, found {described['name']}")
    arrays = {
        key: _read_array(folder / check_inside(f"{key}.npy", folder / FILE), spec)
        for key, spec in described["arrays"].items()
    }
    settings = config(**described["settings"])
    return kind(settings, described["dim"], described["metric"], described["seed"]), arrays


def require_trained(name: str, array: NDArray[Any] | None) -> NDArray[Any]:
    """The array, which training makes. Raises DataError before it."""
    if array is None:
        raise DataError(f"{name}: not trained", hint="Call fit, or load a trained one")
    return array


def _read_array(path: Path, spec: Mapping[str, Any]) -> NDArray[Any]:
    again = "Copy the whole folder, or train again"
    if not path.is_file():
        raise DataError(f"{path}: missing, though {FILE} names it", hint=again)
    if (found := hashing.compute_sha256(path)) != spec["sha256"]:
        raise damaged.error(path, spec["sha256"], found, again, path.with_name(FILE))
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array
