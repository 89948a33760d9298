"""Queries without judgements against a bundle: which bundle, which vectors and which queries, said and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data import draws
from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError, DataError
from irctl.index.bundle import Bundle
from irctl.ledger.files.run_folder import write_json
from irctl.origins import TAKEN, derived
from irctl.pipelines.references import bundle_vectors, fitting, vectors
from irctl.pipelines.train import encoder_side
from irctl.pipelines.train.method_settings import is_asked, settings_of
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.batch_plan import GroupSizes
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle

STEPS = 240
"""Of a training whose length nobody chose: each text of some hundred is seen dozens of times."""
ENCODER_STEPS, ENCODER_LR = 60, 5e-6
"""The same where an encoder runs: minutes on a CPU."""
BATCH = 128
MIB = 1 << 20
COPIES = 12  # of a batch's scores: labels, softmaxes, gradients
PREFERRED = {"batch.global": BATCH, "train.warmup_ratio": 0.0, "eval.during": "off", "train.save": "0.5"}
UNREAD = (
    "data.negatives", "data.group_size", "data.selection", "data.short", "data.binary", "hardneg.every",
    "loss.inbatch_label", "loss.guide", "loss.positive_threshold", "eval.patience", "train.gradient_checkpointing",
    "model.lora_r", "model.freeze_base", "model.freeze_layers",
)  # fmt: skip
"""Settings of judged groups and of encoders in training."""
TRAINED = {
    "frozen": "centroids of queries",
    "adapter": "centroids of queries and a linear map of queries",
    "encoder": "centroids of queries and the query encoder",
}


@dataclass(frozen=True)
class AskedQueries:
    """Texts to train on, with their ids, or a file of their vectors; neither: pseudo-queries alone."""

    said: str
    ids: Sequence[str] = ()
    texts: Sequence[str] = ()
    file: str = ""
    count: int = 0


def settle(config: Config) -> Config:
    """What such a training prefers where nobody chose. The teacher's temperature is that of the scores."""
    wanted: dict[str, Any] = {k: v for k, v in PREFERRED.items() if not is_asked(config, k)}
    is_encoder = config.plugin(config.train.method).get("query") == "encoder"
    if not any(is_asked(config, key) for key in ("train.epochs", "train.max_steps")):
        wanted["train.max_steps"] = ENCODER_STEPS if is_encoder else STEPS
    if is_encoder and not is_asked(config, "train.lr"):
        wanted["train.lr"] = ENCODER_LR
    own = [f"loss.{config.loss.name}.label_temperature", "loss.label_temperature"]
    if config.loss.name == "distill" and not any(key in config.origins for key in own):
        wanted[own[0]] = 0.0
    return config.replace(wanted, derived(f"{config.train.method}, without judgements"))


def check(config: Config) -> None:
    """ConfigError for what nothing reads, and for a method's settings that contradict each other."""
    own = settings_of(config)
    if own.query == "encoder" and fitting.is_of_vectors(own.texts or config.data.source):
        raise ConfigError(
            f"{config.train.method}.query=encoder: {own.texts or config.data.source} is vectors, not texts",
            hint=f"Use {config.train.method}.query=adapter or frozen",
        )
    if own.query == "encoder" and (own.queries == "pseudo" or own.reassign == "end"):
        what = "queries=pseudo" if own.queries == "pseudo" else "reassign=end"
        raise ConfigError(
            f"{config.train.method}.query=encoder: not with {config.train.method}.{what}",
            hint="Drop one of them",
        )
    if is_asked(config, f"{config.train.method}.mask_positives"):
        raise ConfigError(
            f"{config.train.method}.mask_positives: --loss {config.loss.name} reads no judgement and knows no positive",
            hint="Drop it, or use a loss of judgements",
        )
    trains = ("model.lora_r", "model.freeze_base", "model.freeze_layers") if own.query == "encoder" else ()
    for key in UNREAD:
        if key not in trains and is_asked(config, key) and config.flat()[key] not in ("", 0, "none", False):
            raise ConfigError(
                f"{key}={config.flat()[key]} (from {config.origin(key)}): --method {config.train.method} --loss "
                f"{config.loss.name} {_say_unread(key, own.query)}",
                hint="Drop it",
            )
    encoder_side.check_rates(config)
    if config.eval.during != "off" and is_asked(config, "eval.during"):
        raise ConfigError(
            f"eval.during={config.eval.during} (from {config.origin('eval.during')}): that takes judgements, and this "
            "training reads none",
            hint="Use eval.during=off, and irctl eval afterwards",
        )


def _say_unread(key: str, query: str) -> str:
    """Why nothing reads this setting."""
    if query != "encoder":
        return "reads no judgement and trains no encoder"
    if key == "train.gradient_checkpointing":
        return "runs its encoder without dropout, in which nothing is computed twice"
    return "reads no judgement"


def describe(config: Config) -> Described:
    """What a training would find, without encoding or training."""
    said = Silent()
    config, bundle = find_bundle(config, said)
    collection, queries = _queries(config)
    kind = _kind(config, queries)
    items = _items(config, kind, queries, bundle)
    own = settings_of(config)
    is_small = bundle.rows <= own.all_documents
    candidates = (
        "all" if is_small else f"the best {min(own.k, bundle.rows)} of each query of the batch, for all of them"
    )
    facts = {
        "documents": f"{bundle.rows} of {collection.name if collection else config.data.source}",
        "index": f"{bundle.folder} ({bundle.method}, {bundle.code_size} bytes a vector)",
        "queries": _say(kind, queries, own.noise),
        "candidates": f"{candidates}, by the scores of float vectors; no judgement is read",
        "trained": TRAINED[own.query],
        "similarity": bundle.metric,
    }
    bundle_vectors.name_source(bundle, config)
    notices = {"notices": [*said.lines, *_notices(config, collection)]}
    sizes = GroupSizes(items, _count(own, bundle))
    first = draws.queries_of_epoch(items, config.run.seed, 0)[: config.batch.loss or config.batch.global_]
    rows = {"queries": int((first % 2 == 0).sum()) if kind == "mixed" else len(first)}
    return Described(facts, {k: v for k, v in notices.items() if v}, sizes, memory=_memory(config, bundle), rows=rows)


def _memory(config: Config, bundle: Bundle) -> dict[str, str]:
    """What the training holds, in MiB, and what it writes."""
    own, batch = settings_of(config), config.batch.loss or config.batch.global_
    is_small = bundle.rows <= own.all_documents
    shared = bundle.rows if is_small else min(bundle.rows, own.k * batch)
    centroids = count_centroids(bundle)
    trained = centroids + (bundle.dim**2 if own.query == "adapter" else 0)
    floats = bundle.rows * bundle.dim if is_small else 0
    held = {
        "codes": bundle.rows * bundle.code_size,
        "float vectors": 4 * floats,  # else read where they lie, a block at a time
        "trained": 16 * trained,
        "a step": 4 * shared * (COPIES * batch + 2 * bundle.dim),
    }
    said = {name: f"{size / MIB:.1f} MiB" for name, size in held.items() if size}
    said["trained"] += f" ({trained:,} numbers and their moments)"
    said["a step"] += f" ({batch} queries x {'' if is_small else 'at most '}{shared} candidates)"
    arrays = 4 * (2 * centroids + 2 * bundle.dim**2)
    said["bundle"] = f"{arrays / MIB:.1f} MiB beside the codes and ids of its parent, which are linked"
    return said


def count_centroids(bundle: Bundle) -> int:
    """Numbers in the centroids of one side, at the most."""
    return bundle.dim << int(bundle.manifest.get("settings", {}).get("bits", 8))


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find the bundle and the vectors behind it; encode the query texts, once."""
    from irctl.training.index.opening import NamedIndex

    config, bundle = find_bundle(config, reporter)
    collection, queries = _queries(config)
    kind = _kind(config, queries)
    for line in _notices(config, collection):
        reporter.warn(line)
    reporter.say(f"queries: {_say(kind, queries, settings_of(config).noise)}")
    documents = bundle_vectors.name_source(bundle, config)
    config, texts, has_text = _vectors(config, bundle, collection, queries, reporter)
    if collection is not None:
        run.note(dataset=dataset_name(config.run.dataset, collection.name), dataset_fingerprint=collection.fingerprint)
    else:
        source = bundle.manifest.get("source", {})
        name = vectors.dataset_of_vectors(config.run.dataset, {}, config.data.source, str(source.get("key", "")))
        run.note(dataset=name, dataset_fingerprint=str(source.get("fingerprint", "")))
    if not has_text:
        run.note(model="")  # no encoder runs in it
    run.artifact("in", "bundle", bundle.folder, sha256=bundle.fingerprint, n_rows=bundle.rows, dim=bundle.dim)
    if texts:
        run.artifact("in", "queries", Path(texts), n_rows=queries.count, dim=bundle.dim)
    items = _items(config, kind, queries, bundle)
    more: dict[str, Any] = {}
    if settings_of(config).query == "encoder":
        if not queries.texts:
            raise DataError(
                f"{config.train.method}.query=encoder: {config.data.source} has no training queries",
                hint="Name a file of texts with jpq.texts, or a split with --split",
            )
        more = {"pair": encoder_side.describe_documents(bundle)}
    if settings_of(config).query != "frozen" and queries.texts:
        file = run.paths.control / "query_texts.json"
        write_json(file, list(queries.texts))
        more["text_file"] = str(file)
    named = NamedIndex(str(bundle.folder.absolute()), documents, texts, kind, items, has_text, **more)
    return Prepared(config, GroupSizes(items, _count(settings_of(config), bundle)), named.as_json())


def find_bundle(config: Config, reporter: Reporter) -> tuple[Config, Bundle]:
    """(the configuration with the bundle and its collection named, the bundle)."""
    from irctl.pipelines.search import opened_index

    if config.train.index and "data.source" not in config.origins:
        config = opened_index.settle_data(config, opened_index.open_index(config.train.index, config))
    m, bits = (int(config.plugin("opq").get(key, 0)) for key in ("m", "bits"))
    bundle = fitting.fitting_bundle(config, reporter, m=m, bits=bits)
    if bundle.metric == "l2":
        raise ConfigError(
            f"{bundle.folder}: its codes keep distances; a training compares products of queries and documents",
            hint="irctl compress --set compress.metric=ip, or cosine",
        )
    encoder_side.check(config, bundle)
    origin = config.origins.get("train.index", TAKEN)
    return config.replace({"train.index": str(bundle.folder.absolute())}, origin), bundle


def _queries(config: Config) -> tuple[Collection | None, AskedQueries]:
    """(the collection; None where vectors have no text, its query texts: those of a file, or of a split)."""
    own = settings_of(config)
    collection = None
    if not fitting.is_of_vectors(config.data.source):
        from irctl.data.collections.open import open_for

        collection = open_for(config)
    if own.queries == "pseudo":
        return collection, AskedQueries("")
    if own.texts:
        return collection, _of_file(own.texts, config, collection is not None)
    if collection is None or not (config.data.split or "train" in collection.splits()):
        return collection, AskedQueries("")
    split = config.data.split or "train"
    found = collection.queries(split)  # whose ids are in the split is all that is asked of its judgements
    return collection, AskedQueries(f"{len(found.ids)} texts of {split}", found.ids, found.texts, count=len(found.ids))


def _of_file(file: str, config: Config, has_text: bool) -> AskedQueries:
    if fitting.is_of_vectors(file):
        count = vectors.named(file, config).stream.rows
        if not count:
            raise DataError(f"jpq.texts={file}: holds no query vectors")
        return AskedQueries(f"{count} vectors of {file}", file=str(Path(file).absolute()), count=count)
    if not has_text:
        raise ConfigError(
            f"jpq.texts={file}: {config.data.source} is vectors, and no encoder is known for texts",
            hint="Name a .npy file of query vectors",
        )
    from irctl.data.texts.store import open_texts

    store = open_texts(Path(file), fix_encoding=config.data.fix_encoding)
    if not len(store):
        raise DataError(f"jpq.texts={file}: holds no queries")
    texts = [text.strip() for text in store.column("text", slice(None))]
    return AskedQueries(f"{len(texts)} texts of {file}", store.column("id", slice(None)), texts, count=len(texts))


def _kind(config: Config, queries: AskedQueries) -> str:
    asked = settings_of(config).queries
    if asked in ("texts", "mixed") and not queries.count:
        raise DataError(
            f"jpq.queries={asked}: {config.data.source} has no training queries",
            hint="Name a file with jpq.texts, or a split with --split; or use jpq.queries=pseudo",
        )
    return asked or ("mixed" if queries.count else "pseudo")


def _items(config: Config, kind: str, queries: AskedQueries, bundle: Bundle) -> int:
    from irctl.training.index.kept_queries import count_items

    return count_items(kind, queries.count, bundle.rows, config.batch.loss or config.batch.global_)


def _count(own: Any, bundle: Bundle) -> int:
    """Candidates of a query that are known before training."""
    return bundle.rows if bundle.rows <= own.all_documents else min(own.k, bundle.rows)


def _say(kind: str, queries: AskedQueries, noise: float) -> str:
    pseudo = f"documents moved by noise of {noise:g} of their length"
    return {"pseudo": pseudo, "texts": queries.said, "mixed": f"{queries.said}, and as many {pseudo}"}[kind]


def _notices(config: Config, collection: Collection | None) -> list[str]:
    split = config.data.split
    if collection is None or not split or split != collection.card.headline_split:
        return []
    return [f"trained on the query texts of {split}, which is also what {collection.name} reports"]


def _vectors(
    config: Config, bundle: Bundle, collection: Collection | None, queries: AskedQueries, reporter: Reporter
) -> tuple[Config, str, bool]:
    """(the configuration with the encoder of the documents, the vectors of the query texts, whether it has text)."""
    if collection is None:
        return config, queries.file, False
    from irctl.models.embed import TextList, embed_corpus
    from irctl.pipelines.search import encoder_pair, opened_index, query_vectors

    searched = opened_index.open_index(str(bundle.folder), config)
    encoder, name = query_vectors.open_encoder(config, None, searched)
    encoder_pair.check_encoder(searched, encoder, name)
    encoder_side.check_width(config, bundle, encoder)
    if name != config.model.name:
        config = config.replace({"model.name": name}, derived("the index"))
    if not queries.texts:
        return config, queries.file, True
    made = embed_corpus(encoder, TextList(queries.ids, queries.texts), config.encoder, reporter, side="query")
    return config, str(made.folder.absolute()), True
