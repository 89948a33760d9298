"""What a command takes by lineage where nothing is named: the newest bundle, model or negatives that fit its corpus.

Fitting is decided by content: the corpus (or the file of vectors) that the settings name must be the one that was
compressed, trained on or mined. Where several fit, the newest is taken and said; where none does, the error names the
command that makes one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from irctl import tables
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError, DataError
from irctl.index.bundle import QUANTIZER, Bundle, open_bundle
from irctl.index.shards import read_any_manifest
from irctl.pipelines.references import bundles, vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.query import RunRecord

TRAINABLE = ("opq", "pq", "learned")
"""Codes whose centroids can be trained further."""
T = TypeVar("T")


@dataclass(frozen=True)
class CorpusIdentity:
    """Documents. content: fingerprint of their texts, or of vectors. collection: that of the collection, if any."""

    name: str
    content: str
    collection: str = ""


def corpus_of(config: Config) -> CorpusIdentity:
    """The corpus of data.source: a collection, or vectors that have no text."""
    source = config.data.source
    if is_of_vectors(source):
        return CorpusIdentity(source, vectors.named(source, config).stream.fingerprint)
    from irctl.data.collections.open import open_for

    collection = open_for(config)
    return CorpusIdentity(collection.name, collection.corpus.fingerprint, collection.fingerprint)


def is_of_vectors(source: str) -> bool:
    """Whether a name of data means vectors, not texts: a .npy or .parquet file, an encoded corpus, synthetic:..."""
    from irctl.data.vectors.embedding_folder import is_embedding_folder
    from irctl.data.vectors.open import split_columns
    from irctl.data.vectors.synthetic import PREFIX

    path = Path(split_columns(source)[0])
    if source.startswith(PREFIX) or path.suffix in (".npy", ".parquet"):
        return True
    return path.is_dir() and (is_embedding_folder(path) or any(path.glob("*.npy")))


def fitting_bundle(
    config: Config,
    reporter: Reporter,
    *methods: str,
    m: int = 0,
    bits: int = 0,
    corpus: CorpusIdentity | None = None,
    warm_up: bool = False,
) -> Bundle:
    """The bundle of train.index, else the newest whole one that was compressed from this corpus, opened.

    methods: of its codes, by default those that can be trained further. m, bits: slices and bits a slice; 0: any.
    Bundles that a training wrote are taken where they are named; by lineage a training starts from its parents, so that
    seeds do not build on each other. warm_up: nor is one of codes that an encoder was trained with, or of transformed
    vectors. Raises DataError where none fits, ConfigError where the one that is named has other slices or bits.
    """
    methods, corpus = methods or TRAINABLE, corpus or corpus_of(config)
    if config.train.index:
        return _named_bundle(config, methods, m, bits, corpus)
    found = _first(_fitting_bundles(config, methods, m, bits, corpus, warm_up), "bundle", "--index", reporter)
    if found is not None:
        return open_bundle(found, bundles.load_quantizer)
    sized = f" with m={m} and bits={bits}" if m and bits else f" with m={m}" if m else ""
    raise DataError(
        f"no bundle of {' or '.join(methods)} codes{sized} of {corpus.name} in the ledger",
        hint=_compress_it(config, methods[0], m, bits, corpus),
    )


def _named_bundle(config: Config, methods: tuple[str, ...], m: int, bits: int, corpus: CorpusIdentity) -> Bundle:
    name, origin = config.train.index, config.origin("train.index")
    folder = bundles.folder_of(name)
    bundle = open_bundle(folder, bundles.load_quantizer)
    if bundle.method not in methods:
        raise ConfigError(
            f"train.index={name} (from {origin}): holds {bundle.method} codes, expected {' or '.join(methods)}",
            hint=_compress_it(config, methods[0], m, bits, corpus),
        )
    has = bundle.manifest.get("settings", {})
    for key, asked in (("m", m), ("bits", bits)):
        if asked and has.get(key) != asked:
            raise ConfigError(
                f"train.index={name} (from {origin}): its codes have {key}={has.get(key)}, asked for is {asked}",
                hint=f"Leave out {key}, or name another bundle",
            )
    if not _is_of(bundle.manifest, corpus):
        raise DataError(
            f"train.index={name}: was not made from the documents of {corpus.name}", hint="Name its collection: --data"
        )
    return bundle


def _fitting_bundles(
    config: Config, methods: tuple[str, ...], m: int, bits: int, corpus: CorpusIdentity, warm_up: bool
) -> Iterator[tuple[Path, str]]:
    model = config.model.name if "model.name" in config.origins else ""
    for record in bundles.list_writers():
        for folder in bundles.written_by(record).values():
            manifest = read_any_manifest(folder)
            has, about = manifest.get("settings", {}), manifest.get("about", {})
            if (
                manifest.get("method") in methods
                and "parent" not in manifest
                and not (warm_up and ("trained" in about or "transform" in manifest))
                and manifest.get("coverage", "full") == "full"
                and (not m or has.get("m") == m)
                and (not bits or has.get("bits") == bits)
                and (not model or about.get("model") in (None, "", model))
                and _is_of(manifest, corpus)
            ):
                yield folder, record.id


def _is_of(manifest: Mapping[str, Any], corpus: CorpusIdentity) -> bool:
    return corpus.content in (manifest.get("about", {}).get("corpus"), manifest.get("source", {}).get("fingerprint"))


def _compress_it(config: Config, method: str, m: int, bits: int, corpus: CorpusIdentity) -> str:
    """The command, or the two, that make such a bundle."""
    sets = "".join(f" --set {method}.{key}={value}" for key, value in (("m", m), ("bits", bits)) if value)
    compress, source = f"irctl compress --method {method}{sets} --data", shlex.quote(config.data.source)
    if not corpus.collection:
        return f"{compress} {source}"
    encoded = vectors.newest(corpus.collection)
    if encoded is not None:
        return f"{compress} {encoded.id}"
    model = f" --model {shlex.quote(config.model.name)}" if "model.name" in config.origins else ""
    return f"irctl encode --data {source}{model}, then {compress} latest"


def fitting_model(
    config: Config, reporter: Reporter, *methods: str, m: int = 0, bits: int = 0, corpus: CorpusIdentity | None = None
) -> RunRecord:
    """The newest finished training by one of these methods on this collection whose model is there.

    m, bits: those of its product quantization, in model/pq; 0: any. Raises DataError where there is none.
    """
    from irctl.ledger import query

    corpus = corpus or corpus_of(config)

    def fits(record: RunRecord) -> bool:
        if record.columns.get("method") not in methods or not (record.paths.model / "modules.json").is_file():
            return False
        if record.columns.get("dataset_fingerprint") not in (corpus.collection, corpus.content):
            return False
        if not m and not bits:
            return True
        described = record.paths.model / "pq" / QUANTIZER
        has = tables.json_object(described).get("settings", {}) if described.is_file() else {}
        return m in (0, has.get("m")) and bits in (0, has.get("bits"))

    trained = query.list_runs(command="train", status="completed")
    found = _first(((r, r.id) for r in trained if fits(r)), "model", "--model", reporter)
    if found is None:
        sets = "".join(f" --set {methods[0]}.{k}={v}" for k, v in (("m", m), ("bits", bits)) if v)
        raise DataError(
            f"no finished training by {' or '.join(methods)} on {corpus.name} in the ledger",
            hint=f"irctl train --method {methods[0]} --data {shlex.quote(config.data.source)}{sets}",
        )
    return found


def fitting_negatives(config: Config, reporter: Reporter, *, index: Bundle | None = None) -> Path:
    """The newest file of negatives of this collection and training split; mined from this index where one is given.

    Raises DataError where there is none.
    """
    from irctl.data.judgements.negatives import provenance_path
    from irctl.ledger import query

    corpus, split = corpus_of(config), train_split(config)
    same = index.fingerprint if index is not None else ""

    def files() -> Iterator[tuple[Path, str]]:
        for record in query.list_runs(command="hardneg", status="completed"):
            if record.columns.get("dataset_fingerprint") != corpus.collection:
                continue
            for artifact in query.artifacts(record, role="out", kind="negatives"):
                file = Path(artifact["path"])
                made = provenance_path(file)
                how = tables.json_object(made) if file.is_file() and made.is_file() else {}
                if how.get("split") == split and (not same or how.get("index") == same):
                    yield file, record.id

    found = _first(files(), "negatives", "--negatives", reporter)
    if found is None:
        of = f" from {index.folder}" if index is not None else ""
        option = f" --index {shlex.quote(str(index.folder))}" if index is not None else ""
        raise DataError(
            f"no negatives of {corpus.name}/{split} mined{of} in the ledger",
            hint=f"irctl hardneg{option} --split {shlex.quote(split)} --data {shlex.quote(config.data.source)}",
        )
    return found


def _first(found: Iterator[tuple[T, str]], what: str, option: str, reporter: Reporter) -> T | None:
    """The first of what fits, newest first; which it is, and that there are others, in one line."""
    best = list(islice(found, 2))
    if not best:
        return None
    several = f", the newest of several that fit ({option} names another)" if len(best) > 1 else ""
    reporter.say(f"{what}: run {best[0][1]}{several}")
    return best[0][0]
