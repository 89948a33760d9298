"""Negatives that a training asks for: mined before it where none are given, and again while it goes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import files, paths
from irctl.data.collections.self_match import decide_self_match
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.hardneg.judged_split import open_split
from irctl.pipelines.hardneg.mine import mine_to_file
from irctl.pipelines.hardneg.rankers import rank_by_bm25
from irctl.pipelines.hardneg.rules import read_rules
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
    fingerprint = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return paths.cache() / "negatives" / f"{fingerprint}.jsonl"


def default_negatives(config: Config, collection: Collection, reporter: Reporter) -> Path:
    """BM25 negatives of the training split, mined once."""
    target = default_file(config, collection)
    if not target.is_file():
        split = open_split(config, collection)
        num = read_rules(config.hardneg).num
        reporter.say(f"mining {num} BM25 negatives a query for {collection.name}/{split.name}, once")
        target.parent.mkdir(parents=True, exist_ok=True)
        ranker = rank_by_bm25(split, config)
        with files.owning(target.parent):
            mine_to_file(split, ranker, config.hardneg, config.run.seed, target, reporter)
    return target


def mine_again(config: Config, model: Path, target: Path, run: RunHandle, reporter: Reporter) -> None:
    """Negatives of the training split by a model in training, at `target`. Its vectors are left beside the model."""
    from irctl.data.collections.open import open_for
    from irctl.pipelines.hardneg.dense_rankers import rank_by_encoder

    as_it_is = {"model.name": str(model), "model.revision": "", "model.lora_r": 0, "model.freeze_base": False}
    config = config.replace(as_it_is, derived("the model in training"))
    split = open_split(config, open_for(config))
    ranker = rank_by_encoder(split, config, run, reporter, out=str(model.with_name(f"{model.name}-vectors")))
    mine_to_file(split, ranker, config.hardneg, config.run.seed, target, reporter)
