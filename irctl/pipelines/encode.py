"""Encoding a collection: its corpus or the queries of a split, into the content-keyed cache or a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def encode(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    out: str | None = None,
    side: str = "passage",
    verify: bool = False,
) -> dict[str, Any]:
    """Encode and record. Payload: folder, rows, dim, key, cached, seconds."""
    from irctl.models import embedding
    from irctl.models.encoder import load_encoder
    from irctl.pipelines.bm25 import open_for

    _check_side(side)
    collection = open_for(config)
    encoder = load_encoder(config)
    started = time.monotonic()
    target = Path(out) if out else None
    if side == "passage":
        key = embedding.cache_key(encoder, side, collection.corpus.fingerprint, config)["key"]
        folder = target or embedding.cache_folder(key)
        cached = (folder / "manifest.json").is_file()
        made = embedding.embed_corpus(encoder, collection.corpus, config, reporter, out=target, verify=verify)
    else:
        queries = collection.queries(config.data.split or collection.card.headline_split)
        cached = False
        made = embedding.embed_query_folder(
            encoder, queries.ids, queries.texts, config, reporter, out=target, verify=verify
        )
    if cached:
        reporter.say("these vectors are in the cache already: same weights, tokenizer, settings and corpus")
    run.note(
        dataset=config.run.dataset or collection.name,
        dataset_fingerprint=collection.fingerprint,
        model=config.model.name,
        model_fingerprint=encoder.fingerprint(side),
    )
    run.artifact("in", "model", _folder_of(config), sha256=encoder.fingerprint("passage"), dim=encoder.dim)
    run.artifact(
        "out",
        "embeddings",
        made.folder,
        sha256=made.fingerprint,
        n_rows=made.rows,
        dim=made.dim,
        format=config.encoder.store,
    )
    return {
        "folder": str(made.folder),
        "rows": made.rows,
        "dim": made.dim,
        "key": made.fingerprint,
        "cached": cached,
        "seconds": round(time.monotonic() - started, 1),
    }


def _folder_of(config: Config) -> Path:
    from irctl.models.encoder import find

    return find(config.model.name, config.model.revision).folder


def _check_side(side: str) -> None:
    if side not in ("passage", "query"):
        raise ConfigError(f"--side {side}: expected passage or query")


def describe(config: Config) -> dict[str, Any]:
    """What --dry-run prints: rows, shards and disk, without loading the encoder."""
    from irctl.pipelines.bm25 import open_for

    collection = open_for(config)
    rows, size = len(collection.corpus), config.encoder.shard_rows
    return {
        "encoding": {
            "collection": f"{collection.name}, {rows} documents",
            "encoder": config.model.name,
            "shards": f"{-(-rows // size)} of {size} rows",
            "bytes a vector": f"{4 if config.encoder.store == 'float32' else 2} x D",
        }
    }
