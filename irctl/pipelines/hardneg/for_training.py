"""Negatives that a training asks for: mined before it where none are given, and again while it goes on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import files, paths
from irctl.data.collections.self_match import decide_self_match
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.hardneg.left_out import LeftOut
from irctl.pipelines.hardneg.mine import write_negatives
from irctl.pipelines.hardneg.rankers import bm25_ranker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle


def refuse_rescore(config: Config) -> None:
    """Training mines by BM25 alone: its candidates meet no cross-encoder. Raises ConfigError where one is asked for."""
    if config.hardneg.rescore:
        raise ConfigError(
            f"hardneg.rescore={config.hardneg.rescore} (from {config.origin('hardneg.rescore')}): "
            "irctl train mines by BM25 alone",
            hint="Mine with irctl hardneg and this setting, then train with --negatives FILE and without it",
        )


def default_file(config: Config, collection: Collection) -> Path:
    """Where BM25 negatives of the training split are, once mined: keyed by corpus, judgements and settings."""
    import hashlib
    import json

    refuse_rescore(config)
    split = train_split(config)
    key = {
        "corpus": collection.fingerprint,
        "queries": collection.query_store(split).fingerprint,
        "qrels": collection.qrels_sha256(split),
        "self_match": decide_self_match(collection, split, config.eval.self_match).rule,
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
    split = train_split(config)
    if not target.is_file():
        reporter.say(f"mining {config.hardneg.num} BM25 negatives a query for {collection.name}/{split}, once")
        target.parent.mkdir(parents=True, exist_ok=True)
        queries, qrels = collection.queries(split), collection.qrels(split)
        ranker, left_out = bm25_ranker(collection, queries, config), LeftOut(collection, split, config)
        with files.owning(target.parent):
            write_negatives(config, collection, split, queries, qrels, ranker, left_out, target, reporter)
    return target


def mine_again(config: Config, model: Path, target: Path, run: RunHandle, reporter: Reporter) -> None:
    """Negatives of the training split by a model in training, at `target`. Its vectors are left beside the model."""
    from irctl.data.collections.open import open_for
    from irctl.pipelines.hardneg.dense_rankers import dense_ranker

    as_it_is = {"model.name": str(model), "model.revision": "", "model.lora_r": 0, "model.freeze_base": False}
    config = config.replace(as_it_is, derived("the model in training"))
    collection = open_for(config)
    split = train_split(config)
    queries, qrels = collection.queries(split), collection.qrels(split)
    vectors = model.with_name(f"{model.name}-vectors")
    left_out = LeftOut(collection, split, config)
    ranker = dense_ranker(collection, queries, config, run, reporter, left_out.most(), out=str(vectors))
    write_negatives(config, collection, split, queries, qrels, ranker, left_out, target, reporter)
