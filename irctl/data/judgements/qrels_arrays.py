"""What rules over a whole query do to judgements held as arrays: the best or first k, callables, pairs listed twice.

Dimension key: T judgements, ordered by query row, in file order within a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.texts.store import TextPool

Arrays = dict[str, NDArray[Any]]
"""query and document rows, score and label, [T] each."""


def keep_k_of_each(arrays: Arrays, which: str, k: int) -> Arrays:
    """The first, highest- or lowest-scored k of each query; file order stays, and decides between equal scores."""
    score_T = {"top": -arrays["score"], "bottom": arrays["score"], "first": np.zeros_like(arrays["score"])}[which]
    order_T = np.lexsort((np.arange(len(score_T)), score_T, arrays["query"]))
    query_T = arrays["query"][order_T]
    first_T = np.searchsorted(query_T, query_T)
    kept = np.sort(order_T[np.arange(len(query_T)) - first_T < k])
    return {name: values[kept] for name, values in arrays.items()}


def filter_groups(
    arrays: Arrays, queries: TextPool, passages: TextPool, change: Callable[[dict[str, Any]], Any]
) -> Arrays:
    """What `change` leaves of each query; it takes and returns {qid, docid: [...], score: [...]}."""
    kept: list[int] = []
    for span in _spans(arrays["query"]):
        documents = passages.column("id", arrays["document"][span])
        group = {"qid": queries.column("id", arrays["query"][span][:1])[0], "docid": documents}
        wanted = set(change({**group, "score": arrays["score"][span].tolist()})["docid"])
        kept += [span.start + i for i, d in enumerate(documents) if d in wanted]
    return {name: values[np.asarray(kept, dtype=np.int64)] for name, values in arrays.items()}


def _spans(query_T: NDArray[Any]) -> Iterator[slice]:
    edges: Any = np.flatnonzero(np.diff(query_T, prepend=-1, append=-1)) if len(query_T) else []
    return (slice(int(a), int(b)) for a, b in pairwise(edges))


def keep_last_of_each_pair(arrays: Arrays) -> Arrays:
    """A pair listed twice keeps its first place and its last label, as a dictionary would."""
    order_T = np.lexsort((np.arange(len(arrays["query"])), arrays["document"], arrays["query"]))
    query_T, document_T = arrays["query"][order_T], arrays["document"][order_T]
    new_T = np.r_[True, (query_T[1:] != query_T[:-1]) | (document_T[1:] != document_T[:-1])][: len(order_T)]
    if new_T.all():
        return arrays
    firsts = order_T[new_T]
    lasts = order_T[np.r_[np.flatnonzero(new_T)[1:] - 1, len(order_T) - 1]]
    label_T = arrays["label"].copy()
    label_T[firsts] = arrays["label"][lasts]
    kept = np.sort(firsts)
    return {n: (label_T if n == "label" else v)[kept] for n, v in arrays.items()}
