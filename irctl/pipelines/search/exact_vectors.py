"""Candidates scored again by the vectors that codes were made of.

Queries of a trained query encoder are scored by the vector that it makes: the documents' vectors are those of the
document encoder, as in the search itself. A query map is part of the codes' query side: exact vectors need none.
Dimension key: Q queries, D dimensions, K candidates of a query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irctl.index.rerank import rerank
from irctl.pipelines.references.bundle_vectors import open_source
from irctl.pipelines.search.opened_index import Searched
from irctl.types import Stream

if TYPE_CHECKING:
    from irctl.config import Config


def rescore(
    searched: Searched, queries_QD: NDArray[np.float32], rows_QK: NDArray[np.int64], k: int, config: Config
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """(scores, rows, boundary ties) of the candidates by their exact vectors. DataError if those are gone."""
    return rerank(queries_QD, rows_QK, open_exact(searched, config).take, k, searched.metric)


def open_exact(searched: Searched, config: Config) -> Stream:
    """What is searched, as vectors: those that a bundle was made of, and those appended. DataError if they are gone."""
    if searched.stream is not None:
        return searched.stream
    assert searched.bundle is not None
    return open_source(searched.bundle, config)
