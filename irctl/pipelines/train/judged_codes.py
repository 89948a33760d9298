"""Judged training queries against the codes of a bundle: which bundle, encoder and queries; said and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError
from irctl.origins import derived
from irctl.pipelines.train import encoder_side, label_free, method_settings, retrieved_checks
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.batch_plan import GroupSizes
from irctl.training.index import judged
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.training_source import JudgedSplit
    from irctl.index.bundle import Bundle
    from irctl.ledger.recording import RunHandle
    from irctl.models.encoder import TextEncoder
    from irctl.training.index.judged import HeldOut, JudgedQueries

PREFERRED = {"batch.global": 32, "train.epochs": 6.0, "train.lr": 5e-6}
"""Where nobody chose: the source's, of an encoder that is trained on."""


LABEL_FREE = ("queries", "texts", "noise", "all_documents", "reassign")
"""Settings of the method that only a training without judgements reads."""


def settle(config: Config) -> Config:
    """What such a training prefers where nobody chose."""
    wanted = {key: value for key, value in PREFERRED.items() if not method_settings.is_asked(config, key)}
    return config.replace(wanted, derived(f"{config.train.method}, with judgements"))


def check(config: Config) -> None:
    """ConfigError for what nothing reads."""
    retrieved_checks.check(config)
    own = method_settings.settings_of(config)
    for name in LABEL_FREE:
        key = f"{config.train.method}.{name}"
        if method_settings.is_asked(config, key):
            raise ConfigError(
                f"{key}={getattr(own, name)} (from {config.origins[key]}): is of a training without judgements; this "
                "one takes the judged queries of data.split against codes that stay",
                hint="Drop it, or use --loss distill",
            )
    model = config.model
    if own.query != "encoder" and (model.lora_r or model.freeze_base or model.freeze_layers):
        raise ConfigError(
            f"{config.train.method}.query={own.query}: trains no encoder; model.lora_r, model.freeze_base and "
            "model.freeze_layers do nothing",
            hint=f"Drop them, or use {config.train.method}.query=encoder",
        )
    encoder_side.check_rates(config)


def describe(config: Config) -> Described:
    """What a training would find, without encoding or training."""
    said = Silent()
    config, bundle, split, queries, held_out = _open(config, said)
    own = method_settings.settings_of(config)
    facts, notices = retrieved_checks.facts(config, split, queries, held_out, own.k, bundle.rows)
    facts["index"] = f"{bundle.folder} ({bundle.method}, {bundle.code_size} bytes a vector)"
    facts["trained"] = {
        "frozen": "centroids of queries",
        "adapter": "centroids of queries and a linear map of queries",
        "encoder": "centroids of queries and the query encoder",
    }[own.query]
    lists = {"notices": [*said.lines, *notices]}
    sizes = GroupSizes(len(queries), min(own.k, bundle.rows) + 1)
    return Described(facts, {k: v for k, v in lists.items() if v}, sizes)


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find the bundle and its encoder; encode the queries once where their vectors are kept."""
    config, bundle, split, queries, held_out = _open(config, reporter)
    own, collection = method_settings.settings_of(config), split.collection
    for line in retrieved_checks.facts(config, split, queries, held_out, own.k, bundle.rows)[1]:
        reporter.warn(line)
    run.note(dataset=dataset_name(config.run.dataset, collection.name), dataset_fingerprint=collection.fingerprint)
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("in", "bundle", bundle.folder, sha256=bundle.fingerprint, n_rows=bundle.rows, dim=bundle.dim)
    config, encoder = _encoder(config, bundle)
    documents = encoder_side.describe_documents(bundle)
    named: dict[str, Any] = {"bundle": str(bundle.folder.absolute()), "documents": documents}
    if own.query != "encoder":
        named["queries"] = _embed(
            encoder, queries.names(range(len(queries))), queries.texts(range(len(queries))), config, reporter
        )
        named["held_out"] = _embed(encoder, held_out.ids, held_out.texts, config, reporter) if held_out else ""
    return Prepared(config, GroupSizes(len(queries), min(own.k, bundle.rows) + 1), {"judged": named})


def _open(config: Config, reporter: Reporter) -> tuple[Config, Bundle, JudgedSplit, JudgedQueries, HeldOut | None]:
    """(the configuration with its bundle and collection, the bundle, the split, its queries, those held out)."""
    config, bundle = label_free.find_bundle(config, reporter)
    split = judged.open_split(config)
    queries, held_out = judged.open_queries(config, None if bundle.ids.are_rows else bundle.ids, bundle.rows)
    retrieved_checks.check_labels(config, queries)
    return config, bundle, split, queries, held_out


def _encoder(config: Config, bundle: Bundle) -> tuple[Config, TextEncoder]:
    """(the configuration with the encoder that queries start from, that encoder).

    It is the bundle's, unless train.init asks for the weights of another training.
    """
    from irctl.pipelines.search import encoder_pair, opened_index, query_vectors

    searched = opened_index.open_index(str(bundle.folder), config)
    encoder, name = query_vectors.open_encoder(config, config.train.init or None, searched)
    if not config.train.init:
        encoder_pair.check_encoder(searched, encoder, name)
    encoder_side.check_width(config, bundle, encoder)
    if name != config.model.name:
        config = config.replace({"model.name": name}, derived("the index"))
    return config, encoder


def _embed(encoder: TextEncoder, ids: list[str], texts: list[str], config: Config, reporter: Reporter) -> str:
    """The folder of the vectors of these queries, from the cache or encoded now."""
    from irctl.models.embed import TextList, embed_corpus

    made = embed_corpus(encoder, TextList(ids, texts), config.encoder, reporter, side="query")
    return str(made.folder.absolute())
