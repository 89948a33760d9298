"""Searching a collection with BM25, to a TREC run file: the lexical baseline."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, stopping
from irctl.data.collections import check
from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import counted
from irctl.index.bm25 import Bm25, Bm25Settings
from irctl.types import Reporter, Run

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.data.texts.corpus import Corpus
    from irctl.ledger.recording import RunHandle
    from irctl.settings import Search

CHUNK = 10_000  # passages read from the mapped corpus at once


def read_settings(search: Search) -> Bm25Settings:
    """The settings of `search.bm25_*`."""
    return Bm25Settings(k1=search.bm25_k1, b=search.bm25_b, stemmer=search.bm25_stemmer)


def build_index(corpus: Corpus, search: Search) -> Bm25:
    """BM25 index of a corpus, with the settings of `search.bm25_*`."""
    texts = (t for start in range(0, len(corpus), CHUNK) for t in corpus.texts(slice(start, start + CHUNK)))
    with stopping.at_once("nothing of a BM25 index is kept"):
        return Bm25(texts, read_settings(search))


class Indexed:
    """A collection and its BM25 index, each made when it is first needed, and once for all splits."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @cached_property
    def collection(self) -> Collection:
        from irctl.data.collections.open import open_for

        return open_for(self._config)

    @cached_property
    def bm25(self) -> Bm25:
        return build_index(self.collection.corpus, self._config.search)


def describe(config: Config) -> dict[str, Any]:
    """What --dry-run prints: collection, queries, and the settings of BM25."""
    from irctl.data.collections.open import open_for

    collection = open_for(config)
    return {
        "search": {
            "in": f"{collection.name}, {counted(len(collection.corpus), 'document')}",
            "split": config.data.split or collection.card.headline_split,
            "by": read_settings(config.search).label(),
            "k": config.search.k,
        }
    }


def search(
    config: Config, run: RunHandle, reporter: Reporter, *, indexed: Indexed | None = None, out: str | None = None
) -> dict[str, Any]:
    """Rank the corpus for every query of the split; k + 1 documents where self-matches are dropped later.

    indexed: from an earlier split of the same settings.
    """
    from irctl.data.collections.self_match import say_self_match
    from irctl.data.judgements.runs import write_run

    target = Path(out) if out else run.out / "run.trec.gz"
    files.check_file(target)
    indexed = indexed or Indexed(config)
    collection = indexed.collection
    split = collection.split_named(config.data.split or collection.card.headline_split)
    queries = collection.queries(split)
    check.refuse_unfit_ids(collection, split)
    bm25 = indexed.bm25
    k = config.search.k + say_self_match(collection, split, config.eval.self_match, reporter).drops
    ranked: Run = {}
    with reporter.bar("bm25", len(queries.ids)) as advance:
        for query_id, text in zip(queries.ids, queries.texts, strict=True):
            stopping.check("nothing of a search is kept")
            rows, scores = bm25.search(text, k)
            ranked[query_id] = {collection.corpus.ids[int(r)]: float(s) for r, s in zip(rows, scores, strict=True)}
            advance()
    write_run(target, ranked, run.id)
    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        method="bm25",
        model=bm25.settings.label(),
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("out", "run_file", target, n_rows=len(ranked))
    return {
        "run_file": str(target),
        "dataset": collection.name,
        "split": split,
        "queries": len(ranked),
        "k": k,
        "method": "bm25",
        "model": bm25.settings.label(),
    }
