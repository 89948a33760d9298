"""BM25 over a corpus, by bm25s: the lexical baseline and the first miner of hard negatives.

Ties are cut by row, lowest kept, so a ranking does not depend on the sort that was used.
Dimension key: N documents, k retrieved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Bm25Settings:
    """k1, b as in Robertson and Zaragoza 2009; stemmer: a Snowball language or 'none'."""

    k1: float = 1.5
    b: float = 0.75
    stemmer: str = "english"

    def label(self) -> str:
        return f"bm25s k1={self.k1:g} b={self.b:g} stop words=en stemmer={self.stemmer}"


class Bm25:
    """An index of texts in memory. Queries and documents go through the same stop words and stemmer."""

    def __init__(self, texts: Iterable[str], settings: Bm25Settings) -> None:
        import bm25s

        self.settings = settings
        self._stemmer = _make_stemmer(settings.stemmer)
        tokens = bm25s.tokenize(list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False)
        self._index = bm25s.BM25(k1=settings.k1, b=settings.b)
        self.rows = len(tokens.ids)
        # bm25s cannot index a corpus without a single word; then every score is 0.
        self._is_empty = not tokens.vocab or not any(tokens.ids)
        if not self._is_empty:
            self._index.index(tokens, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 of every document [N]; 0 where no word is shared."""
        import bm25s
        import numpy as np

        words = bm25s.tokenize([query], stopwords="en", stemmer=self._stemmer, show_progress=False, return_ids=False)[0]
        known = [w for w in words if not self._is_empty and w in self._index.vocab_dict]
        if not known:
            return np.zeros(self.rows, dtype=np.float32)
        return np.asarray(self._index.get_scores(known), dtype=np.float32)

    def search(self, query: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(rows, scores) of at most k documents that share a word: score descending, then row ascending."""
        return take_best(self.scores(query), k)


def take_best(scores_N: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best positive scores with their rows, exact on ties."""
    import numpy as np

    rows = np.flatnonzero(scores_N > 0)
    if len(rows) > k:
        kth = np.partition(scores_N[rows], len(rows) - k)[len(rows) - k]
        rows = rows[scores_N[rows] >= kth]
    order = np.lexsort((rows, -scores_N[rows]))[:k]
    return rows[order], scores_N[rows[order]]


def _make_stemmer(language: str) -> Any:
    if language == "none":
        return None
    import Stemmer

    if language not in Stemmer.algorithms():
        legal = ", ".join(Stemmer.algorithms())
        raise ConfigError(f"search.bm25_stemmer: no Snowball stemmer '{language}'", hint=f"Known: none, {legal}")
    return Stemmer.Stemmer(language)
