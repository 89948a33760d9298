"""Mining hard negatives: rank the corpus for the training queries, drop what is judged, keep what misleads.

Dimension key: Q queries, D vector width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, paths
from irctl.data.self_match import self_match
from irctl.errors import ConfigError, DataError
from irctl.index.mining import Rules, rules, select
from irctl.pipelines._left_out import LeftOut
from irctl.types import Qrels, Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle

RELEVANT = 1
"""Grade from which a judged document is a positive of its query."""

Ranked = list[tuple[str, float]]


@dataclass(frozen=True)
class Ranker:
    """Where candidates come from.

    ranked(query row, k): the k best documents with scores. score(query row, ids): scores of named documents, or None
    where only a finished run is known. provenance: what made the ranking, for the file beside the negatives.
    """

    ranked: Callable[[int, int], Ranked]
    score: Callable[[int, list[str]], list[float]] | None
    provenance: dict[str, Any]


@dataclass
class Counts:
    """What mining did, by query. short: fewer negatives than asked."""

    queries: int = 0
    negatives: int = 0
    no_positive: int = 0
    short: int = 0
    empty: int = 0


def mine(
    queries: Queries, qrels: Qrels, ranker: Ranker, config: Config, advance: Callable[[int], Any], left_out: LeftOut
) -> tuple[dict[str, Ranked], Counts]:
    """Negatives of every query that has a positive, in query order, and the counts."""
    chosen = rules(config.hardneg)
    mined: dict[str, Ranked] = {}
    counts = Counts()
    for row, query_id in enumerate(queries.ids):
        advance(1)
        judged = qrels.get(query_id, {})
        positives = [d for d, grade in judged.items() if grade >= RELEVANT]
        if not positives:
            counts.no_positive += 1
            continue
        excluded = left_out.of(row)
        # They may fill the top: search as many more.
        ranked = ranker.ranked(row, config.hardneg.depth + len(excluded))
        best = _best_positive(row, positives, ranked, ranker, chosen)
        if chosen.need_positive and best is None:
            counts.no_positive += 1
            continue
        found = select(left_out.distinct(ranked), excluded, best, chosen, seed=config.run.seed, query_id=query_id)
        mined[query_id] = found
        counts.queries += 1
        counts.negatives += len(found)
        counts.short += 0 < len(found) < chosen.num
        counts.empty += not found
    return mined, counts


def _best_positive(row: int, positives: list[str], ranked: Ranked, ranker: Ranker, chosen: Rules) -> float | None:
    if not chosen.need_positive:
        return None
    if ranker.score is not None:
        return max(ranker.score(row, positives))
    wanted = set(positives)
    return max((s for d, s in ranked if d in wanted), default=None)


def bm25_ranker(collection: Collection, queries: Queries, config: Config) -> Ranker:
    """Candidates by BM25."""
    from irctl.index.bm25 import best
    from irctl.pipelines.bm25 import index

    bm25 = index(collection.corpus, config)
    ids = collection.corpus.ids

    def ranked(row: int, k: int) -> Ranked:
        rows, scores = best(bm25.scores(queries.texts[row]), k)
        return [(ids[int(r)], float(s)) for r, s in zip(rows, scores, strict=True)]

    def score(row: int, documents: list[str]) -> list[float]:
        all_N = bm25.scores(queries.texts[row])
        return [float(all_N[collection.corpus.row(d)]) for d in documents]

    return Ranker(ranked, score, {"retriever": "bm25", "model": bm25.settings.label()})


def run_ranker(path: Path, queries: Queries) -> Ranker:
    """Candidates from a finished run file. Raises DataError if it has none of the queries."""
    from irctl.data.trec import read_run
    from irctl.hashing import sha256_file

    run = read_run(path)
    if not any(q in run for q in queries.ids):
        raise DataError(f"{path}: has none of the {len(queries.ids)} queries", hint="Give the run of the same --split")

    def ranked(row: int, k: int) -> Ranked:
        found = run.get(queries.ids[row], {})
        return sorted(found.items(), key=lambda x: (x[1], x[0]), reverse=True)[:k]

    return Ranker(ranked, None, {"retriever": "run", "run_file": str(path), "run_sha256": sha256_file(path)})


def hardneg(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    retriever: str = "bm25",
    index: str | None = None,
    run_file: str | None = None,
    out: str | None = None,
) -> dict[str, Any]:
    """Mine negatives for one split into a grouped JSONL (or tsv) file with its provenance beside it."""
    from irctl.data.collection import open_for

    collection = open_for(config)
    split = config.data.split or "train"
    rules(config.hardneg)  # before an index is built or a model loaded
    suffix = _suffix(config, out)
    queries, qrels = collection.queries(split), collection.qrels(split)
    left_out = LeftOut(collection, split, config)
    ranker = _ranker(config, collection, queries, left_out, run, reporter, retriever, index, run_file)
    if config.hardneg.rescore:
        from irctl.pipelines._dense import rescored

        ranker = rescored(ranker, collection, queries, config, reporter)
    target = Path(out) if out else run.out / f"negatives.{suffix}"
    counts = _write(config, collection, split, queries, qrels, ranker, left_out, target, reporter)
    from irctl.hashing import sha256_file

    run.note(
        dataset=config.run.dataset or collection.name,
        dataset_fingerprint=collection.fingerprint,
        method=ranker.provenance["retriever"],
        model=str(ranker.provenance.get("model", "")),
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("out", "negatives", target, sha256=sha256_file(target), n_rows=counts.negatives)
    if counts.no_positive:
        reporter.warn(f"{counts.no_positive} of {len(queries.ids)} queries have no positive to compare with: skipped")
    return {"negatives_file": str(target), "split": split, "retriever": retriever, **asdict(counts)}


def _suffix(config: Config, out: str | None) -> str:
    """The ending of the file. Raises ConfigError where --out has one and hardneg.format another."""
    from irctl.data.lines import suffix

    if out:
        files.check_file(Path(out))
    wanted, origin = config.hardneg.format, config.origins.get("hardneg.format")
    if out and origin and (suffix(Path(out)) == ".tsv") != (wanted == "tsv"):
        raise ConfigError(
            f"--out {out}: hardneg.format={wanted} (from {origin}) needs a file that ends in .{wanted}",
            hint="Rename it, or drop hardneg.format: the ending of --out decides",
        )
    return wanted


def _ranker(
    config: Config,
    collection: Collection,
    queries: Queries,
    left_out: LeftOut,
    run: RunHandle,
    reporter: Reporter,
    retriever: str,
    index: str | None,
    run_file: str | None,
) -> Ranker:
    if retriever == "run":
        if not run_file:
            raise ConfigError("--retriever run: no run file given", hint="Add --run FILE")
        return run_ranker(Path(run_file), queries)
    if retriever == "bm25":
        return bm25_ranker(collection, queries, config)
    from irctl.pipelines._dense import dense_ranker, index_ranker

    if retriever == "index":
        return index_ranker(str(index), queries, config, reporter, left_out.most())
    return dense_ranker(collection, queries, config, run, reporter, left_out.most())


def _write(
    config: Config,
    collection: Collection,
    split: str,
    queries: Queries,
    qrels: Qrels,
    ranker: Ranker,
    left_out: LeftOut,
    target: Path,
    reporter: Reporter,
) -> Counts:
    from irctl.data.negatives import write_negatives

    with reporter.bar("mining", len(queries.ids)) as advance:
        mined, counts = mine(queries, qrels, ranker, config, advance, left_out)
    provenance = {
        **ranker.provenance,
        "collection": collection.name,
        "collection_fingerprint": collection.fingerprint,
        "split": split,
        "qrels_sha256": collection.qrels_sha256(split),
        "settings": asdict(config.hardneg),
        "seed": config.run.seed,
        "counts": asdict(counts),
    }
    write_negatives(target, mined, provenance)
    if counts.queries and counts.empty == counts.queries:
        reporter.warn(f"none of the {counts.queries} queries has a negative left: look at the bounds and margins")
    return counts


def refuse_rescore(config: Config) -> None:
    """Training mines by BM25 alone: its candidates meet no cross-encoder. Raises ConfigError where one is asked for."""
    if config.hardneg.rescore:
        raise ConfigError(
            f"hardneg.rescore={config.hardneg.rescore} (from {config.origins.get('hardneg.rescore', 'default')}): "
            "irctl train mines by BM25 alone",
            hint="Mine with irctl hardneg and this setting, then train with --negatives FILE and without it",
        )


def default_file(config: Config, collection: Collection) -> Path:
    """Where BM25 negatives of the training split are, once mined: keyed by corpus, judgements and settings."""
    import hashlib
    import json

    refuse_rescore(config)
    split = config.data.split or "train"
    key = {
        "corpus": collection.fingerprint,
        "queries": collection.query_store(split).fingerprint,
        "qrels": collection.qrels_sha256(split),
        "self_match": self_match(collection, split, config.eval.self_match).rule,
        "hardneg": {k: v for k, v in asdict(config.hardneg).items() if k != "every"},
        "bm25": [config.search.bm25_k1, config.search.bm25_b, config.search.bm25_stemmer],
        "seed": config.run.seed,
        "format": 3,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return paths.cache() / "negatives" / f"{digest}.jsonl"


def default_negatives(config: Config, collection: Collection, reporter: Reporter) -> Path:
    """BM25 negatives of the training split, mined once."""
    target = default_file(config, collection)
    split = config.data.split or "train"
    if not target.is_file():
        reporter.say(f"mining {config.hardneg.num} BM25 negatives a query for {collection.name}/{split}, once")
        target.parent.mkdir(parents=True, exist_ok=True)
        queries, qrels = collection.queries(split), collection.qrels(split)
        ranker, left_out = bm25_ranker(collection, queries, config), LeftOut(collection, split, config)
        _write(config, collection, split, queries, qrels, ranker, left_out, target, reporter)
    return target


def mine_again(config: Config, model: Path, target: Path, run: RunHandle, reporter: Reporter) -> None:
    """Negatives of the training split by a model in training, at `target`. Its vectors are left beside the model."""
    from irctl.data.collection import open_for
    from irctl.pipelines._dense import dense_ranker

    as_it_is = {"model.name": str(model), "model.revision": "", "model.lora_r": 0, "model.freeze_base": False}
    config = config.replace(as_it_is, "the model in training")
    collection = open_for(config)
    split = config.data.split or "train"
    queries, qrels = collection.queries(split), collection.qrels(split)
    vectors = model.with_name(f"{model.name}-vectors")
    left_out = LeftOut(collection, split, config)
    ranker = dense_ranker(collection, queries, config, run, reporter, left_out.most(), out=str(vectors))
    _write(config, collection, split, queries, qrels, ranker, left_out, target, reporter)


def describe(config: Config, *, retriever: str) -> dict[str, Any]:
    """What --dry-run prints: which queries, which documents, where from."""
    from irctl.data.collection import open_for

    collection = open_for(config)
    split = config.data.split or "train"
    chosen = rules(config.hardneg)
    queries = collection.queries(split)
    return {
        "mining": {
            "collection": f"{collection.name}, {len(collection.corpus)} documents",
            "queries": f"{len(queries.ids)} of {split}",
            "retriever": retriever if retriever != "dense" else f"dense, {config.model.name}",
            "negatives a query": f"{chosen.num}, {chosen.pick}, from ranks {chosen.first} to {chosen.last - 1}",
        }
    }
