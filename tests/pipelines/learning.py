"""Bundles as a training leaves them, without a training: an OPQ bundle of small vectors, and its learned child."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from compressing import compressed, new_run, save_vectors, settings

from irctl.index.bundle import Bundle, open_bundle
from irctl.index.learned_bundle import write_learned
from irctl.ledger.recording import RunHandle
from irctl.pipelines.encode import encode
from irctl.pipelines.references.bundles import load_quantizer
from irctl.quantizers import learned
from irctl.types import Silent

TRAINED = {"trained": {"method": "jpq", "run": "r1", "loss": "distill", "query": "adapter"}}


def opened(folder: Path | str) -> Bundle:
    return open_bundle(Path(folder), load_quantizer)


def parent_bundle(folder: Path, n: int = 1200, **keys: Any) -> Bundle:
    """OPQ codes of n vectors with ids d0, d1 ... in batches of 500; the vectors lie in FOLDER/in."""
    given = folder / "in"
    given.mkdir(parents=True)
    save_vectors(given / "x.npy", n)
    (given / "ids.txt").write_text("".join(f"d{i}\n" for i in range(n)))
    return opened(compressed(given, folder / "opq", **{"compress__method": "opq", **keys})["bundle"])


def move_query_side(parent: Bundle, *, mapped: bool = True) -> learned.Quantizer:
    """The parent's quantizer with query centroids, and a query map, that differ from its document side."""
    rng, own = np.random.default_rng(1), learned.Quantizer.from_product(parent.quantizer)
    assert own.centroids_MKd is not None
    moved = own.centroids_MKd + 0.05 * rng.standard_normal(own.centroids_MKd.shape).astype(np.float32)
    return own.replace_query_side(
        moved, np.eye(own.dim) + 0.05 * rng.standard_normal((own.dim, own.dim)) if mapped else None
    )


def child_bundle(folder: Path, parent: Bundle, *, mapped: bool = True, **more: Any) -> Bundle:
    """What the end of a training writes."""
    write_learned(folder, parent, move_query_side(parent, mapped=mapped), **{"about": TRAINED, **more})
    return opened(folder)


def trained_run(parent: Bundle, **keys: Any) -> RunHandle:
    """A finished training with these settings that wrote a learned bundle."""
    run = new_run("train", settings(**keys))
    with run:
        run.note(method="jpq")
        child = child_bundle(run.out / "bundle", parent)
        run.artifact("in", "bundle", parent.folder, sha256=parent.fingerprint, n_rows=parent.rows)
        run.artifact("out", "bundle", child.folder, sha256=child.fingerprint, n_rows=child.rows, format="irctl-bundle")
    return run


def encoded(folder: Path, model: Path | str, **more: Any) -> str:
    """The id of a run that encoded the corpus of a folder."""
    config = settings(data__source=folder, model__name=model, **more)
    run = new_run("encode", config)
    with run:
        encode(config, run, Silent())
    return run.id
