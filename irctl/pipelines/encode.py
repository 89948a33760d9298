"""Encoding a collection: its corpus or the queries of a split, into the content-keyed cache or a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, paths, tables
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.open import open_for
from irctl.errors import ConfigError, DataError, PartlyDone, counted
from irctl.ledger import taken
from irctl.models import locate
from irctl.origins import derived
from irctl.pipelines import outputs
from irctl.pipelines.references import kept_transforms, transforms
from irctl.pipelines.references.trained_models import hash_of_training
from irctl.pipelines.workers import worker
from irctl.settings import SIDES
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle
    from irctl.models.embedding_folder import EmbeddingFolder
    from irctl.models.encoder import TextEncoder

SHARE = "irctl.pipelines.encode:encode_share"


@dataclass(frozen=True, kw_only=True)
class EncodeRequest:
    """What is encoded beside the settings, and where it goes. out: folder; None: the content-keyed cache."""

    out: str | None = None
    side: str = "passage"  # or query
    verify: bool = False  # hash the finished files again
    runner: str = "local"  # or ray
    codes: bool = False  # the nearest codes of each document into a bundle, no vectors
    index: str | None = None  # with codes: the bundle whose quantizer they are of; None: the model's own
    append: str | None = None  # with codes and index: documents to add to that bundle, a collection or vectors

    def check(self) -> None:
        """Raise ConfigError for a side that there is not, and for options that do not go together."""
        if self.side not in SIDES:
            raise ConfigError(f"--side {self.side}: expected {' or '.join(SIDES)}")
        if not self.codes and (self.index or self.append):
            raise ConfigError(f"{'--index' if self.index else '--append'}: goes with --codes", hint="Add --codes")
        if self.codes and self.side != "passage":
            raise ConfigError(f"--codes: are of documents, found --side {self.side}", hint="Leave out --side")
        if self.append and not self.index:
            raise ConfigError("--append: name the bundle that the documents go to", hint="--index BUNDLE")
        if self.append and self.out:
            raise ConfigError("--append and --out: cannot be given together", hint="Leave out --out")


def _check(request: EncodeRequest, config: Config) -> None:
    """What the request refuses, and a transform for queries alone."""
    request.check()
    if request.side == "query" and config.transform.name != "none":
        raise ConfigError(
            f"transform.name={config.transform.name}: is fitted on a corpus, and queries are stored as they are",
            hint="Leave it out with --side query; a search takes its queries through the transform",
        )


CORPUS = EncodeRequest()
"""The corpus, into the cache."""


def encode(config: Config, run: RunHandle, reporter: Reporter, request: EncodeRequest = CORPUS) -> dict[str, Any]:
    """Encode and record. Payload: folder, rows, dim, key, cached, tokens, seconds, tokens_per_second (of this run).

    A signal ends it after the model batch in hand; the same command continues there.
    """
    _check(request, config)
    reporter.say(f"loading model {config.model.name}")  # at once: what loads it takes seconds to import
    from irctl.models.encoder import load_encoder

    if request.codes:
        return _encode_codes(config, run, reporter, request)
    _check_out(request.out)
    collection = open_for(config)
    encoder = load_encoder(config).freeze()
    _record_inputs(run, config, collection, encoder)
    if request.side == "passage":
        _warn_of_ids(collection, reporter)
    started = time.monotonic()
    rows = texts(collection, config.data.split, request.side)
    taken = _take_from_cache(encoder, rows, config, reporter, request)
    folder, computed = encode_rows(encoder, rows, config, run, reporter, request)
    seconds = time.monotonic() - started
    fitted = _fit_transform(folder, encoder, collection, config, run, reporter)
    if request.verify:
        reporter.say(f"{counted(folder.verify(), 'file')} hashed again: as written")
    if not computed and not taken:
        reporter.say("these vectors are there already: same weights, tokenizer, settings and texts")
    key, rate = folder.fingerprint, computed / seconds if computed else None
    run.artifact(
        "out", "embeddings", folder.folder, sha256=key, n_rows=folder.rows, dim=folder.dim, format=folder.dtype
    )
    if rate:
        run.metric("tokens_per_s", rate, dataset=collection.name)
    return {
        "folder": str(folder.folder),
        "rows": folder.rows,
        "dim": folder.dim,
        "key": key,
        "cached": not computed,
        "seconds": round(seconds, 2),
        "tokens": folder.tokens,
        "tokens_per_second": round(rate, 1) if rate else None,
        "computed_in": encoder.dtype,
        **fitted,
    }


def _encode_codes(config: Config, run: RunHandle, reporter: Reporter, request: EncodeRequest) -> dict[str, Any]:
    """--codes: a bundle of a collection's documents, or more of them for one that is there."""
    from irctl.models.encoder import load_encoder
    from irctl.pipelines.compress import append, encode_codes
    from irctl.pipelines.references import fitting, newest

    request = replace(request, index=newest.settle_bundle(request.index, run))
    if request.append is not None:
        if "data.source" in config.origins:
            raise ConfigError("--append: names the documents, and so does --data", hint="Leave out --data")
        if fitting.is_of_vectors(request.append):
            given = config.replace({"compress.source": request.append}, derived("--append"))
            return append.append(given, run, reporter, str(request.index))
        config = config.replace({"data.source": request.append}, derived("--append"))
    named = encode_codes.settle_model(config, request.index, reporter)
    if request.index is None and named is not config:
        taken.record(run, "--model", named.model.name)
    config = named
    collection = open_for(config)
    encoder = load_encoder(config).freeze()
    for line in encoder.notices:
        reporter.say(line)
    _record_inputs(run, config, collection, encoder)
    _warn_of_ids(collection, reporter)
    if request.append is not None:
        return encode_codes.append_texts(encoder, collection, config, run, reporter, str(request.index))
    return encode_codes.encode_codes(
        encoder, collection, config, run, reporter, index=request.index, out=request.out, runner=request.runner
    )


def _fit_transform(
    folder: EmbeddingFolder,
    encoder: TextEncoder,
    collection: Collection,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
) -> dict[str, str]:
    """Fit the transform of the settings, if they name one, and put it beside the vectors, which stay as they are."""
    if config.transform.name == "none":
        return {}
    given = transforms.of_encoded(folder.folder, encoder, collection, config, reporter)
    assert given.transform is not None
    place = kept_transforms.keep_with_vectors(folder.folder, run.out, given.transform)
    return {"transform": given.transform.label, "transform_folder": str(place)}


def _check_out(out: str | None) -> None:
    if out is None:
        return outputs.check(paths.cache(), hint="Name --out, or IRCTL_CACHE", may_hold_embeddings=True)
    outputs.check(Path(out), may_hold_embeddings=True)
    files.check_folder(Path(out), goes_on=True)


def _record_inputs(run: RunHandle, config: Config, collection: Collection, encoder: TextEncoder) -> None:
    fingerprint = encoder.fingerprint("passage")  # of the model, whatever the side: what its training recorded
    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        model=locate.resolve_run_name(config.model.name),  # `latest` is another one tomorrow
        model_fingerprint=fingerprint,
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    trained = hash_of_training(encoder.located.folder)  # which other lengths do not change
    run.artifact("in", "model", encoder.located.folder, sha256=trained or fingerprint, dim=encoder.dim)


def _warn_of_ids(collection: Collection, reporter: Reporter) -> None:
    """Warn of a document id that no run file can hold."""
    from irctl.data.judgements import run_ids

    if name := run_ids.find_unfit_document(collection.corpus.store):
        reporter.warn(
            f"{collection.name}: document id {name!r} {run_ids.why_unfit(name)}: these vectors cannot be searched"
        )


def _take_from_cache(
    encoder: TextEncoder, rows: Any, config: Config, reporter: Reporter, request: EncodeRequest
) -> int:
    """How many shards of --out are there now because the cache has them."""
    from irctl.models import embed, from_cache
    from irctl.models.fingerprints import fingerprint_of

    if not request.out:
        return 0
    key = fingerprint_of(embed.collect_key_parts(encoder, rows, config.encoder.store, request.side))
    taken = from_cache.take(Path(request.out).absolute(), key)
    if taken:
        reporter.say(
            f"{request.out}: {counted(taken, 'shard')} taken from the cache, hashes checked: same weights, tokenizer, "
            f"settings and texts as {embed.locate_cached(key)}"
        )
    return taken


def encode_rows(
    encoder: TextEncoder, rows: Any, config: Config, run: RunHandle, reporter: Reporter, request: EncodeRequest = CORPUS
) -> tuple[EmbeddingFolder, int]:
    """(the folder, tokens computed now), on one device or several."""
    from irctl.models import embed, over_base
    from irctl.models.fingerprints import fingerprint_of
    from irctl.pipelines.workers import spread

    key = fingerprint_of(embed.collect_key_parts(encoder, rows, config.encoder.store, request.side))
    folder = Path(request.out).absolute() if request.out else embed.locate_cached(key)
    kept = embed.find_finished(folder, key)
    computed: list[int] = []  # tokens
    left = -(-len(rows) // config.encoder.shard_rows) - len(kept)
    workers = min(config.hardware.devices, left)
    if workers > 1 or (request.runner == "ray" and left):

        def count_done() -> int:
            return sum(int(line["rows"]) for line in embed.find_finished(folder, key).values())

        job = {"config": config.to_json(), "side": request.side, "folder": str(folder)}
        progress = worker.Progress("encoding", len(rows), count_done)
        place = run.paths.folder
        answers = spread.spread(SHARE, job, workers, config.hardware, place, progress, reporter, runner=request.runner)
        computed += [answer["computed"] for answer in answers]
    is_split = over_base.is_over_base(encoder)
    used = over_base.OverBase(encoder, config.encoder, reporter) if is_split else encoder
    encoded = embed.embed_corpus(
        used, rows, config.encoder, reporter, out=folder, side=request.side, on_computed=computed.append
    )
    return encoded, sum(computed)


def encode_share(job: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """One worker's share of the shards. job: config (as config.json has it), side, folder. Answer: tokens computed."""
    from irctl import config as settings
    from irctl.models import embed
    from irctl.models.encoder import load_encoder
    from irctl.types import Silent

    config = settings.resolve(settings.from_json(job["config"]))
    rows = texts(open_for(config), config.data.split, job["side"])
    folder = Path(job["folder"])
    share = (index, count)
    computed: list[int] = []
    with suppress(PartlyDone):  # the launcher finishes the folder
        embed.embed_corpus(
            load_encoder(config),
            rows,
            config.encoder,
            Silent(),
            out=folder,
            side=job["side"],
            part=share,
            on_computed=computed.append,
        )
    return {"computed": sum(computed)}


def describe(config: Config, request: EncodeRequest = CORPUS) -> dict[str, Any]:
    """What --dry-run prints: where the encoder is, rows, shards and disk. No torch."""
    from irctl.models import folder_facts
    from irctl.models.similarity import describe_similarity

    _check(request, config)
    if request.codes:
        from irctl.pipelines.compress import encode_codes

        return encode_codes.describe(config, index=request.index, append=request.append)
    folder_facts.check(config)
    collection = open_for(config)
    located = locate.find_local(config.model.name, config.model.revision)
    rows, size = len(collection.corpus), config.encoder.shard_rows
    width = _read_width(located.folder) if located else None
    mib = rows * (4 if config.encoder.store == "float32" else 2) / 2**20
    return {
        "encoding": {
            "collection": f"{collection.name}, {counted(rows, 'document')}",
            "encoder": f"{config.model.name} ({located.folder if located else 'from the hub'})",
            "shards": f"{-(-rows // size)} of {size} rows",
            "similarity": describe_similarity(config.search.similarity, config.encoder.normalize, located),
            "precision": f"{config.hardware.precision} on {config.hardware.device_kind}",
            **transforms.describe(config),
            "tokens a batch": config.encoder.batch_tokens or config.hardware.encode_tokens,
            "disk": f"{mib * width:,.2f} MiB of {width} dimensions" if width else f"{mib:.2f} MiB x D",
        }
    }


def _read_width(folder: Path) -> int | None:
    """Dimensions of a model folder's vectors, by its files alone: of its last Dense layer, else its hidden size."""
    dense = sorted(folder.glob("*_Dense/config.json"))
    for path, name in (
        *((p, "out_features") for p in reversed(dense)),
        *((p, "hidden_size") for p in (folder / "config.json", folder / "0_Transformer" / "config.json")),
    ):
        with suppress(DataError):
            if isinstance(value := tables.json_object(path).get(name), int):
                return value
    return None


def texts(collection: Collection, split: str, side: str) -> Any:
    """The corpus, or the judged queries of the split; an empty one is the collection's headline split."""
    if side == "passage":
        return collection.corpus
    from irctl.models.embed import TextList

    queries = collection.queries(split or collection.card.headline_split)
    return TextList(queries.ids, queries.texts)
