"""`irctl export`: codes or vectors for other programs.

Most search engines quantize raw vectors themselves and take no codes made elsewhere: give them vectors (--decoded, or
the encoded corpus itself). A faiss file is the one portable form of trained codes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irctl import files
from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError, DataError
from irctl.index import export as writing
from irctl.index import shards
from irctl.index.bundle import Bundle, locate_quantizer
from irctl.index.export import BLOCK, Block
from irctl.pipelines import outputs
from irctl.pipelines.search import opened_index
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.opened_index import Searched
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
    found = _opened(source, config, to, decoded=decoded, texts=texts)
    target = Path(out) if out else run.out / FILES[to]
    outputs.check(target)
    (files.check_folder if to == "batches" else files.check_file)(target)
    size = _write(found, to, target, decoded, _texts(found, config) if texts else None, reporter)
    if found.bundle is not None and to == "faiss":
        _beside_faiss(found.bundle, target, reporter)
    elif found.bundle is not None and to != "ids" and not decoded and to not in OF_VECTORS:
        _beside_codes(found.bundle, target, reporter)
    dataset = dataset_name(config.run.dataset, str(found.about.get("collection") or ""), "vectors")
    run.note(dataset=dataset, method=f"export {to}")
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
        return writing.write_npy(target, found.rows, width, "|u1" if as_codes else _float_type(found), blocks)
    if to == "fvecs":
        return writing.write_fvecs(target, width, blocks)
    return writing.write_bin(target, found.rows, width, "|u1" if to == "u8bin" else "<f4", blocks)


def _float_type(found: Searched) -> str:
    """Decoded values carry less than half precision; exact vectors, and codes that are exact, keep all of theirs."""
    exact = found.bundle is None or getattr(found.bundle.quantizer.config, "dtype", "") == "float32"
    return "<f4" if exact else "<f2"


def _blocks(found: Searched, as_codes: bool, reporter: Reporter) -> Iterator[Block]:
    """Ids and rows, as codes or as vectors."""
    if found.bundle is not None:
        yield from writing.read_code_blocks(found.bundle) if as_codes else writing.decode_blocks(found.bundle)
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
    from irctl.data.collections.open import open_for

    source = config.data.source
    if "data.source" not in config.origins:
        source = str(found.about.get("data") or source)
    collection = open_for(config, source)
    opened_index.check_corpus(found, collection)
    corpus = collection.corpus

    def of(ids: Sequence[str]) -> list[str]:
        try:
            return list(corpus.texts([corpus.row(i) for i in ids]))
        except KeyError as e:
            raise DataError(f"{found.folder}: document {e} is not in {collection.name}") from e

    return of


def _beside_faiss(bundle: Bundle, target: Path, reporter: Reporter) -> None:
    """Ids of the rows and what a reader of the faiss file has to know."""
    ids = target.with_name(target.name + ".ids.txt")
    writing.write_ids(ids, writing.read_code_blocks(bundle))
    differs = getattr(bundle.quantizer, "faiss_differs", "")
    about = {
        "format": "irctl-faiss-export",
        **_facts(bundle),
        "ids": ids.name,
        "search_only": True,
        "warning": "search this index, do not add to it: irctl encodes rows with its own rounding",
        **({"scores": differs} if differs else {}),
    }
    if differs:
        reporter.warn(f"{target.name}: {differs}")
    files.write_out(target.with_name(target.name + ".json"), shards.as_json(about))
    reporter.say(f"row i of the index is line i + 1 of {ids.name}")


def _beside_codes(bundle: Bundle, target: Path, reporter: Reporter) -> None:
    """What codes mean to a program without irctl: the trained quantizer's own files, and the layout of a row."""
    trained = target.with_name(target.name + ".quantizer")
    shutil.rmtree(trained, ignore_errors=True)
    shutil.copytree(locate_quantizer(bundle.folder, bundle.method), trained)
    layout = bundle.quantizer.layout() if hasattr(bundle.quantizer, "layout") else None
    about = {
        "format": "irctl-codes-export",
        **_facts(bundle),
        "code_size": bundle.code_size,
        "quantizer": trained.name,
        **({"layout": layout} if layout else {}),
    }
    files.write_out(target.with_name(target.name + ".json"), shards.as_json(about))
    reporter.say(f"what the codes mean is in {target.name}.json and {trained.name}/")


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "method": bundle.method,
        "metric": bundle.metric,
        "dim": bundle.dim,
        "rows": bundle.rows,
        "queries": "unrotated; of length 1" if bundle.metric == "cosine" else "unrotated",
        "bundle": bundle.fingerprint,
    }


def _opened(source: str, config: Config, to: str, *, decoded: bool, texts: bool) -> Searched:
    """What is exported. Raises ConfigError for a format that there is not, or that cannot hold what was asked for."""
    if to not in FILES:
        from irctl import plugins

        raise ConfigError(f"--to {to}: no such format", hint=plugins.nearest(to, list(FILES)))
    if texts and to != "parquet":
        raise ConfigError("--texts goes with --to parquet")
    found = opened_index.open_index(source, config)
    if found.bundle is None and to in OF_CODES:
        raise ConfigError(f"--to {to}: {found.folder} holds vectors, not codes", hint="irctl compress makes codes")
    if decoded and (to in (*OF_CODES, "ids") or found.bundle is None):
        what = (
            f"--to {to} holds {'ids' if to == 'ids' else 'codes'}" if found.bundle else f"{found.folder} has no codes"
        )
        raise ConfigError(f"--decoded: {what}", hint="Leave it out, or use --to npy, parquet, fbin or fvecs")
    return found


def describe(
    config: Config, *, source: str = "latest", to: str = "faiss", decoded: bool = False, texts: bool = False
) -> dict[str, Any]:
    """What --dry-run prints."""
    found = _opened(source, config, to, decoded=decoded, texts=texts)
    facts = {k: v for k, v in found.facts.items() if k != "bundle"}
    return {"export": {"from": str(found.folder), "to": f"{to} ({FILES[to]})", **facts}}
