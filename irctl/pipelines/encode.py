"""Encoding a collection: its corpus or the queries of a split, into the content-keyed cache or a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, paths, tables
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.open import open_for
from irctl.errors import ConfigError, DataError, PartlyDone
from irctl.origins import derived
from irctl.pipelines import outputs
from irctl.pipelines.workers import worker
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle
    from irctl.models.embedding_folder import EmbeddingFolder
    from irctl.models.encoder import TextEncoder

SIDES = ("passage", "query")
SHARE = "irctl.pipelines.encode:encode_share"


def encode(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    model: str | None = None,
    data: str | None = None,
    out: str | None = None,
    side: str = "passage",
    verify: bool = False,
    runner: str = "local",
) -> dict[str, Any]:
    """Encode and record. Payload: folder, rows, dim, key, cached, tokens, seconds, tokens_per_second (of this run).

    A signal ends it after the shard in hand; the same command continues.
    """
    from irctl.data.judgements import run_ids
    from irctl.models.encoder import load_encoder

    _check_side(side)
    outputs.check(Path(out) if out else paths.cache(), "Choose another --out" if out else "Name --out, or IRCTL_CACHE")
    if out:
        files.check_folder(Path(out), goes_on=True)
    config = _with(config, model, data)
    collection = open_for(config)
    encoder = load_encoder(config).freeze()
    fingerprint = encoder.fingerprint("passage")  # of the model, whatever the side: what its training recorded
    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        model=config.model.name,
        model_fingerprint=fingerprint,
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("in", "model", encoder.located.folder, sha256=fingerprint, dim=encoder.dim)
    if side == "passage" and (name := run_ids.find_unfit_document(collection.corpus.store)):
        reporter.warn(
            f"{collection.name}: document id {name!r} {run_ids.why_unfit(name)}: these vectors cannot be searched"
        )
    started = time.monotonic()
    rows = texts(collection, config, side)
    made, computed = embedded(encoder, rows, config, run, reporter, out=out, side=side, runner=runner)
    seconds = time.monotonic() - started
    if verify:
        reporter.say(f"{made.verify()} files hashed again: as written")
    if not computed:
        reporter.say("these vectors are there already: same weights, tokenizer, settings and texts")
    run.artifact(
        "out", "embeddings", made.folder, sha256=made.fingerprint, n_rows=made.rows, dim=made.dim, format=made.dtype
    )
    rate = computed / seconds if computed else None
    if rate:
        run.metric("tokens_per_s", rate, dataset=collection.name)
    return {
        "folder": str(made.folder),
        "rows": made.rows,
        "dim": made.dim,
        "key": made.fingerprint,
        "cached": not computed,
        "seconds": round(seconds, 2),
        "tokens": int(made.manifest["tokens"]),
        "tokens_per_second": round(rate, 1) if rate else None,
        "computed_in": encoder.dtype,
    }


def embedded(
    encoder: TextEncoder,
    rows: Any,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    out: str | None = None,
    side: str = "passage",
    runner: str = "local",
) -> tuple[EmbeddingFolder, int]:
    """(the folder, tokens computed now), on one device or several."""
    from irctl.models import embed
    from irctl.models.fingerprints import digest
    from irctl.pipelines.workers import spread

    key = digest(embed.collect_key_parts(encoder, rows, config.encoder.store, side))
    folder = Path(out).absolute() if out else embed.locate_cached(key)
    there = embed.find_finished(folder, key)
    left = -(-len(rows) // config.encoder.shard_rows) - len(there)
    workers = min(config.hardware.devices, left)
    if workers > 1 or (runner == "ray" and left):

        def rows_done() -> int:
            return sum(int(line["rows"]) for line in embed.find_finished(folder, key).values())

        job = {"config": config.to_json(), "side": side, "folder": str(folder)}
        progress = worker.Progress("encoding", len(rows), rows_done)
        spread.spread(SHARE, job, workers, config, run.paths.folder, progress, reporter, runner=runner)
    made = embed.embed_corpus(encoder, rows, config.encoder, reporter, out=folder, side=side)
    return made, int(made.manifest["tokens"]) - sum(int(line["tokens"]) for line in there.values())


def encode_share(job: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """One worker's share of the shards. job: config (as config.json has it), side, folder."""
    from irctl import config as settings
    from irctl.models import embed
    from irctl.models.encoder import load_encoder
    from irctl.types import Silent

    config = settings.resolve(settings.from_json(job["config"]))
    rows = texts(open_for(config), config, job["side"])
    folder = Path(job["folder"])
    share = (index, count)
    with suppress(PartlyDone):  # the launcher finishes the folder
        embed.embed_corpus(
            load_encoder(config), rows, config.encoder, Silent(), out=folder, side=job["side"], part=share
        )
    return {}


def describe(config: Config, *, side: str = "passage") -> dict[str, Any]:
    """What --dry-run prints: where the encoder is, rows, shards and disk. No torch."""
    from irctl.models import folder_facts, locate
    from irctl.models.similarity import describe

    _check_side(side)
    folder_facts.check(config)
    collection = open_for(config)
    found = locate.find_local(config.model.name, config.model.revision)
    rows, size = len(collection.corpus), config.encoder.shard_rows
    width = _width(found.folder) if found else None
    mib = rows * (4 if config.encoder.store == "float32" else 2) / 2**20
    return {
        "encoding": {
            "collection": f"{collection.name}, {rows} documents",
            "encoder": f"{config.model.name} ({found.folder if found else 'from the hub'})",
            "shards": f"{-(-rows // size)} of {size} rows",
            "similarity": describe(config, found),
            "precision": f"{config.hardware.precision} on {config.hardware.device_kind}",
            "tokens a batch": config.encoder.batch_tokens or config.hardware.encode_tokens,
            "disk": f"{mib * width:,.2f} MiB of {width} dimensions" if width else f"{mib:.2f} MiB x D",
        }
    }


def _width(folder: Path) -> int | None:
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


def _with(config: Config, model: str | None, data: str | None) -> Config:
    given: Mapping[str, Any] = {"model.name": model, "data.source": data}
    given = {k: v for k, v in given.items() if v is not None}
    return config.replace(given, derived("the caller")) if given else config


def texts(collection: Collection, config: Config, side: str) -> Any:
    """The corpus, or the judged queries of the split."""
    if side == "passage":
        return collection.corpus
    from irctl.models.embed import TextList

    queries = collection.queries(config.data.split or collection.card.headline_split)
    return TextList(queries.ids, queries.texts)


def _check_side(side: str) -> None:
    if side not in SIDES:
        raise ConfigError(f"--side {side}: expected {' or '.join(SIDES)}")
