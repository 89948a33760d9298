"""Judged queries against float vectors of a corpus: an embedding folder that is named, or the corpus encoded now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError
from irctl.models import pair
from irctl.models.locate import resolve_run_name
from irctl.origins import derived
from irctl.pipelines.references import vectors
from irctl.pipelines.references.document_encoder import document_encoder
from irctl.pipelines.search import encoder_pair, opened_index
from irctl.pipelines.train import method_settings, retrieved_checks
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.batch_plan import GroupSizes
from irctl.training.index import judged
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.training_source import JudgedSplit
    from irctl.ledger.recording import RunHandle


def check(config: Config) -> None:
    """Refuse settings of groups and of batches that a training against an index does not read."""
    retrieved_checks.check(config)


def describe(config: Config) -> Described:
    """What a training would find, without encoding anything."""
    split = judged.open_split(config)
    named = _named(config, split) if config.train.index else None
    rows = named.stream.rows if named else len(split.collection.corpus)
    queries, held_out = judged.open_queries(config, _ids(named), rows)
    retrieved_checks.check_labels(config, queries)
    facts, notices = retrieved_checks.facts(
        config, split, queries, held_out, method_settings.settings_of(config).k, rows
    )
    facts["documents"] = (
        f"vectors of {config.train.index}" if named else f"{split.name}, encoded with {config.model.name} at the start"
    )
    return Described(
        facts,
        {"notices": notices} if notices else {},
        GroupSizes(len(queries), min(method_settings.settings_of(config).k, rows) + 1),
    )


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Find or make the vectors; every fault of the data is found here, before a model is trained."""
    from irctl.models.encoder import load_encoder

    split = judged.open_split(config)
    collection = split.collection
    run.note(dataset=dataset_name(config.run.dataset, collection.name), dataset_fingerprint=collection.fingerprint)
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    encoder = load_encoder(config).freeze()
    if config.train.index:
        given = _named(config, split)
        searched = opened_index.of_vectors(given, config.search)
        if not config.train.init:  # weights that were asked for may be another training's
            encoder_pair.check_known(searched, config)
            encoder_pair.check_encoder(searched, encoder, config.model.name)
        about = dict(given.about.get("encoder") or {})
        model = str(given.about.get("model") or ("" if config.train.init else config.model.name))
        of_documents = pair.describe(resolve_run_name(model) if model else "", about)
        origin = config.origins["train.index"]
    else:
        made_by, name = document_encoder(encoder, config.model.name, config)
        given = _encoded(made_by, name, split, config, run, reporter)
        of_documents, origin = (
            pair.describe(resolve_run_name(name), made_by.key("passage")),
            derived("the corpus, encoded"),
        )
    stream = given.stream
    assert given.folder is not None
    run.artifact("in", "embeddings", given.folder, sha256=given.key, n_rows=stream.rows, dim=stream.dim)
    queries, held_out = judged.open_queries(config, _ids(given), stream.rows)
    retrieved_checks.check_labels(config, queries)
    for line in retrieved_checks.facts(
        config, split, queries, held_out, method_settings.settings_of(config).k, stream.rows
    )[1]:
        reporter.warn(line)
    config = config.replace({"train.index": str(given.folder.absolute())}, origin)
    sizes = GroupSizes(len(queries), min(method_settings.settings_of(config).k, stream.rows) + 1)
    return Prepared(config, sizes, {"documents": of_documents})


def _ids(given: vectors.Input | None) -> Any:
    known = getattr(given.stream, "document_ids", None) if given else None
    return known() if known else None


def _named(config: Config, split: JudgedSplit) -> vectors.Input:
    """The vectors that train.index names. Raises DataError for those of other documents, ConfigError for no folder."""
    given = vectors.named(config.train.index, config)
    if given.folder is None:
        raise ConfigError(
            f"train.index={config.train.index}: expected a folder or file of vectors, or a run of irctl encode",
            hint="irctl encode makes one",
        )
    if given.saved_transform is not None:
        raise ConfigError(
            f"train.index={config.train.index}: these vectors are searched through a transform, and an encoder in "
            "training knows none",
            hint="Encode the corpus without transform.name",
        )
    opened_index.check_corpus(opened_index.of_vectors(given, config.search), split.collection)
    return given


def _encoded(
    encoder: Any, name: str, split: JudgedSplit, config: Config, run: RunHandle, reporter: Reporter
) -> vectors.Input:
    """The corpus's vectors, from the cache or encoded now on every device."""
    from irctl.pipelines.encode import encode_rows

    named = config.replace({"model.name": name}, derived("the documents' encoder"))
    made, _ = encode_rows(encoder, split.collection.corpus, named, run, reporter)
    return vectors.of_folder(Path(made.folder), split.name, model=name)
