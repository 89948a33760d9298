"""`irctl export`: codes or vectors for other programs.

Most search engines quantize raw vectors themselves and take no codes made elsewhere: give them vectors (--decoded, or
the encoded corpus itself). A faiss file is the one portable form of trained codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irctl.errors import ConfigError, DataError
from irctl.index import export as writing
from irctl.index import shards
from irctl.index.export import BLOCK, Block
from irctl.pipelines import _outputs, _searched
from irctl.pipelines._searched import Documents, Searched
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

FILES = {
    "faiss": "index.faiss",
    "batches": "batches",
    "npy": "rows.npy",
    "u8bin": "codes.u8bin",
    "fbin": "vectors.fbin",
    "fvecs": "vectors.fvecs",
    "parquet": "rows.parquet",
    "ids": "ids.txt",
    "vespa": "feed.jsonl",
    "opensearch": "bulk.ndjson",
    "pgvector": "copy.tsv",
}
"""Format -> name of what is written."""
OF_CODES = ("faiss", "batches", "u8bin")
OF_VECTORS = ("fbin", "fvecs", "vespa", "opensearch", "pgvector")


def export(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    source: str = "latest",
    to: str,
    out: str | None = None,
    decoded: bool = False,
    texts: bool = False,
) -> dict[str, Any]:
    """Write `source` (bundle or vectors, by folder or run) in the format `to`; the payload of --json.

    decoded: vectors that the codes stand for instead of the codes. texts: also the documents' text (parquet).
    """
    if to not in FILES:
        from irctl import plugins

        raise ConfigError(f"--to {to}: no such format", hint=plugins.nearest(to, list(FILES)))
    if texts and to != "parquet":
        raise ConfigError("--texts goes with --to parquet")
    found = _searched.open_index(source, config)
    if found.bundle is None and to in OF_CODES:
        raise ConfigError(f"--to {to}: {found.folder} holds vectors, not codes", hint="irctl compress makes codes")
    target = Path(out) if out else run.out / FILES[to]
    _outputs.check(target)
    size = _write(found, to, target, decoded, _texts(found, config) if texts else None, reporter)
    if to == "faiss":
        _sidecar(found, target, reporter)
    run.note(dataset=str(found.about.get("collection") or config.run.dataset or "vectors"), method=f"export {to}")
    if found.folder is not None:
        kind = "bundle" if found.bundle is not None else "embeddings"
        run.artifact("in", kind, found.folder, sha256=found.fingerprint, n_rows=found.rows, dim=found.dim)
    run.artifact("out", "export", target, n_rows=found.rows, dim=found.dim, format=to)
    payload = {"export": str(target), "format": to, "rows": found.rows, "bytes": size, "source": str(found.folder)}
    return {**payload, "ids": [str(target)]}


def _write(
    found: Searched,
    to: str,
    target: Path,
    decoded: bool,
    texts: Callable[[Sequence[str]], list[str]] | None,
    reporter: Reporter,
) -> int:
    bundle = found.bundle
    if bundle is not None and to == "faiss":
        return writing.write_faiss(target, bundle)
    if bundle is not None and to == "batches":
        return writing.link_batches(bundle, target)
    as_codes = bundle is not None and not decoded and to not in OF_VECTORS
    blocks = _shown(_blocks(found, as_codes, reporter), found.rows, reporter)
    if to == "ids":
        return writing.write_ids(target, blocks)
    if to == "parquet":
        return writing.write_parquet(target, blocks, "codes" if as_codes else "vector", texts)
    if to in writing.LINES:
        name = str(found.about.get("collection") or "documents").replace("/", "-")
        return writing.write_lines(target, to, name, blocks)
    width = bundle.code_size if bundle is not None and as_codes else found.dim
    if to == "npy":
        # decoded values carry less than half precision; exact vectors keep all of theirs
        dtype = "|u1" if as_codes else "<f2" if bundle is not None else "<f4"
        return writing.write_npy(target, found.rows, width, dtype, blocks)
    if to == "fvecs":
        return writing.write_fvecs(target, width, blocks)
    if decoded and to == "u8bin":
        raise ConfigError("--to u8bin holds codes; decoded vectors go to fbin")
    return writing.write_bin(target, found.rows, width, "|u1" if to == "u8bin" else "<f4", blocks)


def _blocks(found: Searched, as_codes: bool, reporter: Reporter) -> Iterator[Block]:
    """Ids and rows, as codes or as vectors."""
    if found.bundle is not None:
        yield from writing.code_blocks(found.bundle) if as_codes else writing.decoded_blocks(found.bundle)
        return
    assert found.stream is not None
    documents = Documents(found, None, reporter)
    for block in found.stream.blocks(BLOCK):
        rows_N = np.arange(block.start, block.start + len(block.vectors_ND))
        yield block.ids if block.ids is not None else documents.of(rows_N), block.vectors_ND


def _shown(blocks: Iterator[Block], rows: int, reporter: Reporter) -> Iterator[Block]:
    with reporter.bar("exporting", rows) as advance:
        for ids, block_NW in blocks:
            yield ids, block_NW
            advance(len(block_NW))


def _texts(found: Searched, config: Config) -> Callable[[Sequence[str]], list[str]]:
    """Document texts by id, from the collection that the rows were made of."""
    from irctl.data.collection import open_for

    source = config.data.source
    if "data.source" not in config.origins:
        source = str(found.about.get("data") or source)
    collection = open_for(config, source)
    _searched.check_corpus(found, collection)
    corpus = collection.corpus

    def of(ids: Sequence[str]) -> list[str]:
        try:
            return list(corpus.texts([corpus.row(i) for i in ids]))
        except KeyError as e:
            raise DataError(f"{found.folder}: document {e} is not in {collection.name}") from e

    return of


def _sidecar(found: Searched, target: Path, reporter: Reporter) -> None:
    """Ids of the rows and what a reader of the faiss file has to know, beside it."""
    bundle = found.bundle
    assert bundle is not None
    ids = target.with_name(target.name + ".ids.txt")
    writing.write_ids(ids, writing.code_blocks(bundle))
    about = {
        "format": "irctl-faiss-export",
        "method": bundle.method,
        "metric": bundle.metric,
        "dim": bundle.dim,
        "rows": bundle.rows,
        "ids": ids.name,
        "queries": "unrotated; of length 1" if bundle.metric == "cosine" else "unrotated",
        "search_only": True,
        "warning": "search this index, do not add to it: irctl encodes rows with its own rounding",
        "bundle": found.fingerprint,
    }
    shards.write_json(target.with_name(target.name + ".json"), about)
    reporter.say(f"row i of the index is line i + 1 of {ids.name}")


def describe(config: Config, *, source: str = "latest", to: str = "faiss", **_: Any) -> dict[str, Any]:
    """What --dry-run prints."""
    found = _searched.open_index(source, config)
    facts = {k: v for k, v in found.facts.items() if k != "bundle"}
    return {"export": {"from": str(found.folder), "to": f"{to} ({FILES.get(to, '?')})", **facts}}
