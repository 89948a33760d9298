"""`irctl eval --isotropy`: how evenly documents and queries use their dimensions, as they are compared, held out.

Documents (population corpus): the mean over two halves of the rows, each seen through a transform that was fitted on
the other. Untouched vectors are measured on the same halves, so that N is one for every transform of them. Queries are
no rows of the corpus, and those that gave a transform its mean are left out already.
Dimension key: N rows, n rows of a half, D dimensions, E dimensions as compared, Q queries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.index.arrays import normalize_rows
from irctl.metrics.vectors import held_out, isotropy, moments
from irctl.models.transforms import affine
from irctl.models.transforms.affine import AffineTransform, Statistics
from irctl.pipelines.evaluate.files import split_of
from irctl.settings import Transform

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle

Vectors = NDArray[np.float32]

CORPUS, QUERIES = "corpus", "queries"
MOST = 1 << 16
"""Rows of a corpus that are measured: all up to so many, else so many drawn by the seed."""
SHOWN = ("IsoScore", "1-cos", "erank/d")


class MeasuredDocuments:
    """Vectors of documents as their encoder made them [N, D], to be measured through any number of transforms.

    hashes_N: of their texts (`hash_texts`), a bit of which is a row's half: copies lie in one, and every encoder has
    the same halves; without them the vectors are hashed. rows: of the corpus, of which these are all or a sample.
    left_out: rows that the model was fitted on. The statistics of a half are summed once.
    """

    def __init__(
        self,
        x_ND: Vectors,
        hashes_N: NDArray[np.uint64] | None = None,
        *,
        rows: int = 0,
        left_out: int = 0,
        seed: int = 0,
    ) -> None:
        self.x_ND, self.rows, self.left_out, self.seed = x_ND, rows or len(x_ND), left_out, seed
        self._is_second_N = held_out.halves(x_ND) if hashes_N is None else (hashes_N & np.uint64(1)).astype(bool)
        self._statistics: dict[bytes, Statistics] = {}

    def measure(self, settings: Transform | None, metric: str, *, of_moments: bool = False) -> dict[str, Any]:
        """A row of results. settings: of the transform; None without one. metric: by which rows are compared.

        of_moments: only what sums over rows give, which needs neither torch nor pairs of rows.

        Raises DataError for a half of fewer than three rows, and what fitting raises.
        """

        def fit(x_nD: Vectors) -> AffineTransform | None:
            if settings is None or settings.name == "none":
                return None
            key = hashlib.blake2b(x_nD.tobytes()).digest()
            if key not in self._statistics:
                self._statistics[key] = affine.measure([x_nD])
            return affine.fit(self._statistics[key], settings, metric, None)

        def apply(fitted: AffineTransform | None, x_nD: Vectors) -> Vectors:
            return as_compared(x_nD if fitted is None else fitted.documents(x_nD), metric)

        def measure(x_nE: Vectors) -> dict[str, float]:
            if of_moments:
                return isotropy.of_moments(moments.of_rows(x_nE))
            return isotropy.measure(x_nE, seed=self.seed)

        found = held_out.two_fold(self.x_ND, fit, apply, measure, is_second_N=self._is_second_N)
        is_fitted = settings is not None and settings.name != "none"
        words = "two halves" + (", each through a transform fitted on the other" if is_fitted else "")
        dim = (settings.dim if is_fitted and settings is not None else 0) or self.x_ND.shape[1]
        about = _about(CORPUS, sum(found.rows) // 2, dim, words, self.left_out, self.seed)
        return {**about, "rows": self.rows, "values": found.values}


def of_queries(
    x_QE: Vectors,
    metric: str,
    *,
    left_out: int = 0,
    seed: int = 0,
    reference: Vectors | None = None,
    judged: tuple[Vectors, Vectors] | None = None,
    are_documents_fitted: bool = False,
) -> dict[str, Any]:
    """A row of results of queries after their side of the transform. DataError for fewer than three.

    reference: documents as compared, whose covariance IsoScore* leans to. judged: (queries, documents) of judged pairs
    [P, E], for alignment. are_documents_fitted: a transform of theirs was fitted on them, which is said.
    """
    c0_DD = None if reference is None else moments.of_rows(as_compared(reference, metric)).covariance_DD
    values = isotropy.measure(as_compared(x_QE, metric), seed=seed, reference_DD=c0_DD)
    if judged is not None:
        values["alignment"] = isotropy.alignment(*judged)
    words = "queries that nothing was fitted on"
    if are_documents_fitted and judged is not None:
        words += "; alignment is with documents that their transform was fitted on"
    about = _about(QUERIES, len(x_QE), x_QE.shape[1], words, left_out, seed)
    return {**about, "rows": len(x_QE) + left_out, "values": values}


def as_compared(x_NE: Vectors, metric: str) -> Vectors:
    """Rows of length 1 where they are compared by cosine, as they are elsewhere."""
    return normalize_rows(x_NE) if metric == "cosine" else x_NE


def write_line(dataset: str, split: str, row: Mapping[str, Any]) -> str:
    """What is printed of one population."""
    if "refused" in row:
        return f"isotropy of {dataset}, {row['population']}: not measured: {row['refused']}"
    place = f"{dataset} {split}" if row["population"] == QUERIES else dataset
    values = ", ".join(f"{name} {row['values'][name]:.3f}" for name in SHOWN if name in row["values"])
    out = f"; {row['n_left_out']} that the model was fitted on left out" if row["n_left_out"] else ""
    sample = f" of a sample of {row['rows']}" if row["population"] == CORPUS and row["rows"] > MOST else ""
    return f"{place} {row['population']}: {values} (N={row['N']}{sample}, D={row['D']}, {row['held_out']}{out})"


def record(run: RunHandle, search: Mapping[str, Any]) -> None:
    """The values of one data set and split into the ledger, with N and D; how they were measured as an event."""
    for row in search.get("isotropy", ()):
        split = CORPUS if row["population"] == CORPUS else f"{QUERIES} {search['split']}".strip()
        split = split_of(split, search.get("part", ""))
        values = {**row.get("values", {}), **{name: float(row[name]) for name in ("N", "D") if name in row}}
        for name, value in values.items():
            run.metric(name, value, dataset=search["dataset"], split=split)
        about = {"dataset": search["dataset"], **{k: v for k, v in row.items() if k != "values"}}
        run.event("info", "isotropy", json.dumps(about))


def _about(population: str, rows: int, dim: int, held: str, left_out: int, seed: int) -> dict[str, Any]:
    return {
        "population": population,
        "N": rows,
        "D": dim,
        "held_out": held,
        "n_left_out": left_out,
        "seed": seed,
        "centred": sorted(isotropy.CENTRED),
    }
