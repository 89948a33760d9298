"""A collection as train.json and dev.json, arrays of {query, positive, negative?}, for tools that train on such pairs.

Real judgements, mined negatives. The downloader of ragcun reads MS MARCO v1.1 in their place: its positive is the
first selected passage, its negative the first unselected one of the same ten, which nobody judged; and its dev.json
ranks 1,939 queries against their own positives, which is no measure of MS MARCO.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from irctl.data.collections.collection import Collection
from irctl.data.judgements.negatives import read_negatives
from irctl.errors import ConfigError, DataError

BLOCK = 1000
"""Queries whose passages are looked up at once."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """max_train, max_dev: pairs of each file; 0: all. split_ratio: share of the training queries that train.json keeps,
    the rest being dev.json; 1: dev.json is the split dev. negatives: mined ones, by query; else judged 0, or none."""

    max_train: int = 0
    max_dev: int = 0
    split_ratio: float = 1.0
    negatives: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.split_ratio <= 1:
            raise ConfigError(f"--split-ratio: expected more than 0, up to 1, found {self.split_ratio}")

    @property
    def given(self) -> list[str]:
        """Options that are not as they are by default."""
        named = {"--max-train": self.max_train, "--max-dev": self.max_dev, "--negatives": self.negatives}
        return [k for k, v in named.items() if v] + (["--split-ratio"] if self.split_ratio != 1 else [])


def write_pairs(collection: Collection, folder: Path, options: PairOptions) -> dict[str, Any]:
    """Write train.json and, where a dev split or a ratio below 1 leaves pairs for it, dev.json; returns counts.

    A pair for every judged positive; its negative is the next of the query's, in turn. What a reader of pairs refuses
    (an empty text, a positive that is the query, a negative that is the positive, a query of dev.json whose text is in
    train.json) is left out and counted. DataError where nothing is left to train on.
    """
    if "train" not in collection.splits():
        raise DataError(f"{collection.name}: no judgements of split train", hint="irctl data check lists the splits")
    mined = {n.query_id: n.document_ids for n in read_negatives(Path(options.negatives))} if options.negatives else {}
    queries = list(collection.qrels("train"))
    parts = {"train": ("train", queries)}
    if options.split_ratio < 1:
        # by a hash of the id: a file of judgements may be sorted by something
        drawn = sorted(queries, key=lambda q: hashlib.sha256(q.encode()).hexdigest())
        kept = frozenset(drawn[: max(1, round(options.split_ratio * len(drawn)))])
        parts["train"] = ("train", [q for q in queries if q in kept])
        parts["dev"] = ("train", [q for q in queries if q not in kept])
    elif "dev" in collection.splits():
        parts["dev"] = ("dev", list(collection.qrels("dev")))
    counts: dict[str, Any] = {}
    trained: set[str] = set()  # texts of the queries of train.json
    for name, (split, chosen) in parts.items():
        said: Counter[str] = Counter()
        most = options.max_train if name == "train" else options.max_dev
        refused = trained if name == "dev" else frozenset[str]()
        path = folder / f"{name}.json"
        with path.open("w") as file:
            for i, pair in enumerate(islice(_pairs(collection, split, chosen, mined, refused, said), most or None)):
                said["pairs"] += 1
                said["negatives"] += "negative" in pair
                if name == "train":
                    trained.add(pair["query"])
                file.write(("[\n" if i == 0 else ",\n") + json.dumps(pair, ensure_ascii=False))
            file.write("\n]\n")
        if not said["pairs"]:
            path.unlink()
        counts[name] = dict(said)
    if not counts["train"].get("pairs"):
        raise DataError(
            f"{collection.name}: no pair for train.json: no positive of split train is a text besides its query",
            hint="irctl data check says what the split holds",
        )
    return {"splits": [name for name in parts if counts[name].get("pairs")], "files": counts}


def _pairs(
    collection: Collection,
    split: str,
    chosen: Sequence[str],
    mined: Mapping[str, Sequence[str]],
    refused: Set[str],
    said: Counter[str],
) -> Iterator[dict[str, str]]:
    """Pairs of these queries of a split, in their order; a block of queries at a time. refused: texts of queries
    that are left out."""
    qrels, corpus = collection.qrels(split), collection.corpus
    text_of = {q: text.strip() for q, text in collection.queries(split).items()}
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        wrong = {q: mined.get(q) or [d for d, grade in qrels[q].items() if grade <= 0] for q in block}
        ids = list(dict.fromkeys(d for q in block for d in (*qrels[q], *wrong[q])))
        rows_N = corpus.find(ids)
        if len(rows_N) and rows_N.min() < 0:
            raise DataError(f"{collection.name}: no document '{ids[int(rows_N.argmin())]}' in the corpus")
        texts = {d: t.strip() for d, t in zip(ids, corpus.texts(rows_N.tolist()), strict=True)}
        for q in block:
            positives = [d for d, grade in qrels[q].items() if grade > 0]
            others = [texts[d] for d in wrong[q] if texts[d] and texts[d] not in {texts[p] for p in positives}]
            for i, d in enumerate(positives):
                if not texts[d] or not text_of[q] or texts[d] == text_of[q]:
                    said["left out"] += 1
                    continue
                if text_of[q] in refused:
                    said["left out, of queries in train.json"] += 1
                    continue
                pair = {"query": text_of[q], "positive": texts[d]}
                yield pair | ({"negative": others[i % len(others)]} if others else {})
