"""Groups whose passages are coded in training: those of groups.py, the bundle that codes start from, and what chooses.

Negatives are those mined from that bundle, where none are named. The best checkpoint is chosen on held-out queries over
a reduced corpus: their judged documents, and the nearest to each by the float vectors behind the bundle.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, paths
from irctl.data.collections.training_source import JudgedSplit, TrainingSource
from irctl.data.groups.one_positive_views import one_positive_views
from irctl.errors import ConfigError, counted
from irctl.models.codes import sinkhorn
from irctl.origins import MINED, TAKEN, Kind, derived
from irctl.pipelines.references.bundle_vectors import open_source as open_vectors
from irctl.pipelines.references.fitting import fitting_bundle, fitting_negatives
from irctl.pipelines.search import encoder_pair, opened_index
from irctl.pipelines.train.data_kinds import groups
from irctl.pipelines.train.method_settings import settings_of
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.groups import held_out
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.index.bundle import Bundle
    from irctl.ledger.recording import RunHandle
    from irctl.training.index.judged import HeldOut

NEAREST = 100
"""Documents of the reduced corpus for each query, by float vectors, besides the judged ones."""
SIMILARITY = {"cos": ("cosine",), "ip": ("ip",)}
"""Metrics of a bundle that a similarity of the training can start from."""


def check(config: Config) -> None:
    """Refuse settings that contradict the groups that this kind makes."""
    groups.check(config)
    size, origin = config.data.group_size, config.origins.get("data.group_size")
    negatives = settings_of(config).negatives
    if origin is not None and origin.kind not in (Kind.DERIVED, Kind.COLLECTION) and size != negatives + 1:
        raise ConfigError(
            f"data.group_size={size} (from {origin}): {config.train.method}.negatives={negatives} makes groups of "
            f"{negatives + 1}",
            hint=f"Set {config.train.method}.negatives alone",
        )
    if config.data.binary != "true":
        raise ConfigError(
            f"data.binary={config.data.binary} (from {config.origin('data.binary')}): --method {config.train.method} "
            "trains on groups of one positive",
            hint="Drop it",
        )


def describe(config: Config) -> Described:
    """What a training would find, without encoding or training."""
    config, bundle, warning = _start(config, Silent())
    source = groups.open_source(config, holds_out=True)
    _, apart = held_out.open_groups(config, source)
    notices = _notices(config, source, apart) + ([warning] if warning else [])
    found = groups.describe_source(config, source, notices, one_positive_views)
    k = 1 << bundle.quantizer.config.bits
    found.facts["codes"] = (
        f"those of {bundle.folder}: {bundle.quantizer.config.m} slices, {k} centroids each, {bundle.code_size} bytes"
    )
    if apart:
        found.facts["best checkpoint"] = f"by {counted(len(apart.ids), 'query')} ({apart.split}) on {_reduced(config)}"
    return found


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find bundle and negatives, check that they and the encoder belong together, and rank the reduced corpus once."""
    config, bundle, warning = _start(config, reporter)
    if warning:
        reporter.warn(warning)
    source = groups.open_source(config, holds_out=True)
    config = groups.record(config, source, run, reporter)
    made, apart = held_out.open_groups(config, source)
    sizes = groups.tell(config, source, made, run, reporter, _notices(config, source, apart), one_positive_views)
    encoder = _checked_encoder(config, bundle)
    for_workers: dict[str, Any] = {}
    if apart and isinstance(source, JudgedSplit):
        if config.eval.during == "candidates":
            for_workers["dev_negatives"] = str(_rank(config, source, bundle, encoder, apart, reporter))
        reporter.say(
            f"the best checkpoint: by {counted(len(apart.ids), 'query')} ({apart.split}) on {_reduced(config)}"
        )
    return Prepared(config, sizes, for_workers)


def pin(config: Config) -> Config:
    """The configuration with its bundle and negatives named."""
    return _start(config, Silent())[0]


def _start(config: Config, reporter: Reporter) -> tuple[Config, Bundle, str]:
    """(the configuration with its bundle, group size and negatives, that bundle, what to say of the batch's size)."""
    settings, batch = settings_of(config), config.batch
    bundle = fitting_bundle(config, reporter, m=settings.m, bits=settings.bits, warm_up=True)
    named = {"train.index": str(bundle.folder.absolute())}
    config = config.replace(named, config.origins.get("train.index") or TAKEN)
    _check_start(config, bundle, settings.similarity)
    group = {"data.group_size": settings.negatives + 1}
    config = config.replace(group, derived(f"{config.train.method}.negatives"))
    if not config.data.negatives:
        file = str(fitting_negatives(config, reporter, index=bundle)) if settings.negatives else "none"
        config = config.replace({"data.negatives": file}, MINED)
    warning = ""
    if settings.constraint:
        queries = batch.loss or batch.global_
        rows = queries * (settings.negatives + 1) + settings.queue
        queued = f" and a queue of {settings.queue}" if settings.queue else ""
        what = f"{counted(queries, 'query')} of {counted(settings.negatives + 1, 'passage')}{queued}, {rows} in all,"
        warning = sinkhorn.check_rows(rows, 1 << bundle.quantizer.config.bits, what)
    return config, bundle, warning


def _check_start(config: Config, bundle: Bundle, asked: str) -> None:
    """ConfigError where codes of this metric are not trained, or not by the similarity that is asked for, or where
    they are of other vectors than an encoder makes.
    """
    if bundle.manifest.get("transform"):
        raise ConfigError(
            f"train.index={bundle.folder}: holds codes of transformed vectors; {config.train.method} trains vectors as "
            "the encoder makes them",
            hint="Name codes without a transform; --method jpq trains centroids of these",
        )
    legal = SIMILARITY.get(asked, ("ip", "cosine"))
    if bundle.metric not in legal:
        what = f"repconc.similarity={asked} starts from" if asked else "repconc trains"
        raise ConfigError(
            f"train.index={bundle.folder}: holds codes of metric {bundle.metric}; {what} {' or '.join(legal)}",
            hint=f"Compress with --set compress.metric={legal[0]}",
        )


def _checked_encoder(config: Config, bundle: Bundle) -> Any:
    """The encoder that training starts from. DataError where the bundle's vectors are another's.

    Weights that were asked for by train.init may be another training's: they are not checked.
    """
    from irctl.models.encoder import load_encoder

    encoder = load_encoder(config).freeze()
    if not config.train.init:
        searched = opened_index.open_index(str(bundle.folder), config)
        encoder_pair.check_known(searched, config)
        encoder_pair.check_encoder(searched, encoder, config.model.name)
    return encoder


def _notices(config: Config, source: TrainingSource, apart: HeldOut | None) -> list[str]:
    if config.eval.during == "off" or apart is not None:
        return []
    return [f"{source.name}: no queries to choose a checkpoint by: the last model is kept"]


def _reduced(config: Config) -> str:
    if config.eval.during == "corpus":
        return "the whole corpus, coded"
    return f"their judged documents and the {NEAREST} nearest to each, coded"


def _rank(
    config: Config, source: JudgedSplit, bundle: Bundle, encoder: Any, apart: HeldOut, reporter: Reporter
) -> Path:
    """File of the documents nearest to each held-out query by float vectors; kept in the cache."""
    from irctl.data.judgements.negatives import write_negatives
    from irctl.index.scan import search_vectors
    from irctl.models.embed import embed_queries

    stream = open_vectors(bundle, config)
    key = [stream.fingerprint, encoder.fingerprint("query"), apart.ids, apart.texts, bundle.metric, NEAREST]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    target = paths.cache() / "reduced" / f"{name}.jsonl"
    if target.is_file():
        return target
    reporter.say(f"ranking {counted(stream.rows, 'document')} for {counted(len(apart.ids), 'held-out query')}, once")
    queries_QD = embed_queries(encoder, apart.ids, apart.texts, config.encoder)
    best = search_vectors(queries_QD, stream, min(NEAREST, stream.rows), bundle.metric)
    of_rows = bundle.ids if not bundle.ids.are_rows else source.collection.corpus.ids
    ranked = {
        query: [(str(of_rows[row]), float(score)) for row, score in zip(rows_k, scores_k, strict=True) if row >= 0]
        for query, rows_k, scores_k in zip(apart.ids, best.rows_Qk.tolist(), best.scores_Qk.tolist(), strict=True)
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.owning(target.parent):
        write_negatives(target, ranked, {"vectors": stream.fingerprint, "depth": NEAREST})
    return target
