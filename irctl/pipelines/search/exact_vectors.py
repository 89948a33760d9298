"""Candidates scored again by the vectors that codes were made of.

Dimension key: Q queries, D dimensions, K candidates of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl import hashing, paths
from irctl.errors import DataError
from irctl.index.joined_stream import JoinedStream
from irctl.index.rerank import rerank
from irctl.pipelines.search.opened_index import Searched
from irctl.types import Stream


def rescore(
    searched: Searched, queries_QD: NDArray[np.float32], rows_QK: NDArray[np.int64], k: int, root: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """(scores, rows, boundary ties) of the candidates by their exact vectors. DataError if those are gone.

    root: data.root, the folder that stands for hf://.
    """
    stream = open_exact(searched, root)
    return rerank(queries_QD, rows_QK, stream.take, k, searched.metric)


def open_exact(searched: Searched, root: str) -> Stream:
    """The vectors that a bundle was made of, with those appended to it. DataError if they are gone."""
    if searched.stream is not None:
        return searched.stream
    first = _find(searched, searched.about.get("source", {}), root)
    later = [_find(searched, a["source"], root) for a in searched.about.get("appended", ())]
    return JoinedStream([first, *later]) if later else first


def _find(searched: Searched, source: Mapping[str, Any], root: str) -> Stream:
    """One input by name, ledger or cache; the same content, or DataError."""
    from irctl.data.vectors.open import is_remote_name, open_vectors, split_columns
    from irctl.ledger import query
    from irctl.ledger.files import places

    name, expected, key = (str(source.get(k, "")) for k in ("name", "fingerprint", "key"))
    candidates: list[str] = [str(places.here_of(name)) if name.startswith("/") else name]
    if key:
        candidates += map(str, query.outputs("embeddings", key))
        candidates.append(str(paths.cache() / "emb" / key[:16]))
    with hashing.like(expected):
        for candidate in candidates:
            if is_remote_name(candidate) or Path(split_columns(candidate)[0]).exists():
                stream = open_vectors(candidate, root=root)
                if stream.fingerprint == expected:
                    return stream
    raise DataError(
        f"{searched.folder}: the vectors it was made of ({name}) are not here any more, so nothing can be re-scored",
        hint="Search without --rerank, or encode the corpus again",
    )
