"""`irctl export`: codes or vectors for other programs.

Most search engines quantize raw vectors themselves and take no codes made elsewhere: give them vectors (--decoded, or
the encoded corpus itself). A faiss file is the one portable form of trained codes.
Dimension key: N rows, D dimensions, W columns of whatever is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irctl import files, hashing, stopping
from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError, DataError
from irctl.index import export as writing
from irctl.index import shards
from irctl.index.bundle import Bundle, locate_quantizer
from irctl.index.export import BLOCK, Block
from irctl.index.learned_bundle import ENCODER
from irctl.models.transforms import faiss_chain
from irctl.models.transforms import files as transform_files
from irctl.pipelines import outputs
from irctl.pipelines.export import hub, model_folder
from irctl.pipelines.references import newest
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
    "model": "model",
    hub.CARD: "README.md",
    hub.HUB: "README.md",
}
"""Format -> name of what is written."""
Texts = Callable[[Sequence[str]], list[str]]
"""Document ids -> their texts."""
OF_CODES = ("faiss", "batches", "u8bin")
OF_VECTORS = ("fbin", "fvecs", "vespa", "opensearch", "pgvector")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is exported, and how. source: bundle or vectors, by folder or run. to: a key of FILES."""

    source: str = "latest"
    to: str = "faiss"
    out: str | None = None  # file (batches, model: folder); None: in the run folder
    decoded: bool = False  # vectors that the codes stand for, instead of the codes
    texts: bool = False  # also the documents' text (parquet)
    repo: str = ""  # OWNER/NAME (hub)
    private: bool = False  # where the repository is made

    def check(self) -> None:
        """Raise ConfigError for a format that there is not, or that has no place for texts."""
        if self.to not in FILES:
            from irctl import plugins

            raise ConfigError(f"--to {self.to}: no such format", hint=plugins.nearest(self.to, list(FILES)))
        if self.texts and self.to != "parquet":
            raise ConfigError("--texts goes with --to parquet")
        if self.decoded and self.shares:
            raise ConfigError(f"--decoded: --to {self.to} hands on codes as they are", hint="Leave it out")
        if self.to == hub.HUB and self.out:
            raise ConfigError("--out: --to hub writes to --repo OWNER/NAME", hint="For a file: --to card")
        hub.check(self.repo, self.to, private=self.private)

    @property
    def shares(self) -> bool:
        """Whether a model or a bundle is handed on as it is, with its card."""
        return self.to in (hub.CARD, hub.HUB)


def export(config: Config, run: RunHandle, reporter: Reporter, request: ExportRequest) -> dict[str, Any]:
    """Write a bundle or vectors in another program's format; the payload of --json."""
    request.check()
    if request.to == hub.CARD:
        return hub.write_card(request.source, request.out, run)
    if request.to == hub.HUB:
        return hub.upload(request.source, request.repo, request.private, run, reporter)
    request = replace(request, source=str(newest.settle_index(request.source, run, "")))
    searched, to = _open(config, request, reporter), request.to
    target = Path(request.out) if request.out else run.out / FILES[to]
    outputs.check(target)
    (files.check_folder if to in ("batches", "model") else files.check_file)(target)
    if to == "model":
        return _write_model(searched, config, target, run)
    size = _write(searched, request, target, _open_texts(searched, config) if request.texts else None, reporter)
    if searched.bundle is not None and to == "faiss":
        _write_beside_faiss(searched, searched.bundle, target, reporter)
    elif searched.bundle is not None and to != "ids" and _as_codes(searched, request):
        _write_beside_codes(searched, searched.bundle, target, reporter)
    if to not in ("faiss", "ids"):
        _write_transform(searched, target, reporter)
    dataset = dataset_name(config.run.dataset, str(searched.about.get("collection") or ""), "vectors")
    run.note(dataset=dataset, method=f"export {to}")
    rows, dim, folder = searched.rows, searched.dim, searched.folder
    _record_input(searched, run)
    run.artifact("out", "export", target, n_rows=rows, dim=dim, format=to)
    payload = {"export": str(target), "format": to, "rows": rows, "bytes": size, "source": str(folder)}
    return {**payload, "ids": [str(target)]}


def _record_input(searched: Searched, run: RunHandle) -> None:
    if searched.folder is not None:
        kind = "bundle" if searched.bundle is not None else "embeddings"
        run.artifact("in", kind, searched.folder, sha256=searched.fingerprint, n_rows=searched.rows, dim=searched.dim)


def _write_model(searched: Searched, config: Config, target: Path, run: RunHandle) -> dict[str, Any]:
    base = model_folder.write(searched, config, target)
    dataset = dataset_name(config.run.dataset, str(searched.about.get("collection") or ""), "vectors")
    run.note(dataset=dataset, method="export model")
    _record_input(searched, run)
    model_folder.write_card(searched, base, target, run)
    size = sum(file.stat().st_size for file in hashing.files_below(target))
    run.artifact("out", "export", target, dim=searched.dim, format="model")
    payload = {
        "schema": "irctl/export-model/1",
        "export": str(target),
        "format": "model",
        "bytes": size,
        "source": str(searched.folder),
    }
    return {**payload, "transform": searched.facts["transform"], "ids": [str(target)]}


def _as_codes(searched: Searched, request: ExportRequest) -> bool:
    """Whether rows are written as codes, not as vectors."""
    return searched.bundle is not None and not request.decoded and request.to not in OF_VECTORS


def _write(searched: Searched, request: ExportRequest, target: Path, texts: Texts | None, reporter: Reporter) -> int:
    """Write the rows; how many bytes."""
    bundle, to = searched.bundle, request.to
    if bundle is not None and to == "faiss":
        fitted = searched.transform
        return writing.write_faiss(target, bundle, partial(faiss_chain.prepend, fitted) if fitted else None)
    if bundle is not None and to == "batches":
        return writing.link_batches(bundle, target)
    as_codes = _as_codes(searched, request)
    blocks = _follow(_read_blocks(searched, as_codes, reporter), searched.rows, reporter)
    if to == "ids":
        return writing.write_ids(target, blocks)
    if to == "parquet":
        return writing.write_parquet(target, blocks, "codes" if as_codes else "vector", texts)
    if to in writing.LINES:
        name = str(searched.about.get("collection") or "documents").replace("/", "-")
        return writing.write_lines(target, to, name, blocks)
    width = bundle.code_size if bundle is not None and as_codes else searched.dim
    if to == "npy":
        return writing.write_npy(
            target, searched.rows, width, "|u1" if as_codes else _choose_float_type(searched), blocks
        )
    if to == "fvecs":
        return writing.write_fvecs(target, width, blocks)
    return writing.write_bin(target, searched.rows, width, "|u1" if to == "u8bin" else "<f4", blocks)


def _choose_float_type(searched: Searched) -> str:
    """Decoded values carry less than half precision; exact vectors, and codes that are exact, keep all of theirs."""
    exact = searched.bundle is None or getattr(searched.bundle.quantizer.config, "dtype", "") == "float32"
    return "<f4" if exact else "<f2"


def _read_blocks(searched: Searched, as_codes: bool, reporter: Reporter) -> Iterator[Block]:
    """Ids and rows, as codes or as vectors."""
    if searched.bundle is not None:
        yield from writing.read_code_blocks(searched.bundle) if as_codes else writing.decode_blocks(searched.bundle)
        return
    assert searched.stream is not None
    documents = Documents(searched, None, reporter)
    for block in searched.stream.blocks(BLOCK):
        rows_N = np.arange(block.start, block.start + len(block.vectors_ND))
        yield block.ids if block.ids is not None else documents.of(rows_N), block.vectors_ND


def _follow(blocks: Iterator[Block], rows: int, reporter: Reporter) -> Iterator[Block]:
    with reporter.bar("exporting", rows) as advance:
        for ids, block_NW in blocks:
            stopping.check("nothing of an export is kept")
            yield ids, block_NW
            advance(len(block_NW))


def _open_texts(searched: Searched, config: Config) -> Texts:
    """Document texts by id, from the collection that the rows were made of."""
    from irctl.data.collections.open import open_for

    source = config.data.source
    if "data.source" not in config.origins:
        source = str(searched.about.get("data") or source)
    collection = open_for(config, source)
    opened_index.check_corpus(searched, collection)
    corpus = collection.corpus

    def read(ids: Sequence[str]) -> list[str]:
        try:
            return list(corpus.texts([corpus.row(i) for i in ids]))
        except KeyError as e:
            raise DataError(f"{searched.folder}: document {e} is not in {collection.name}") from e

    return read


def _write_transform(searched: Searched, target: Path, reporter: Reporter) -> None:
    """The transform beside rows that went through it: a program without irctl has to take its queries through it."""
    if searched.transform is None:
        return
    place = target.with_name(f"{target.name}.{transform_files.FOLDER}")
    shutil.rmtree(place, ignore_errors=True)
    transform_files.save(place, searched.transform)
    reporter.say(
        f"{target.name}: rows as {searched.facts['transform']} made them; queries must go through {place.name}/ "
        f"({transform_files.FILE} says how)"
    )


def _write_beside_faiss(searched: Searched, bundle: Bundle, target: Path, reporter: Reporter) -> None:
    """Ids of the rows and what a reader of the faiss file has to know."""
    ids = target.with_name(target.name + ".ids.txt")
    writing.write_ids(ids, writing.read_code_blocks(bundle))
    differs = getattr(bundle.quantizer, "faiss_differs", "")
    trained = getattr(bundle.quantizer, "has_query_side", False)
    why = "it would code rows by the query centroids" if trained else "irctl encodes rows with its own rounding"
    about = {
        "format": "irctl-faiss-export",
        **_facts(bundle),
        **_describe_queries(searched, inside=True),
        "ids": ids.name,
        "search_only": True,
        "warning": f"search only, do not add to it: {why}",
        **({"query_side": "trained: rotation, query map and query centroids in one"} if trained else {}),
        **({"scores": differs} if differs else {}),
    }
    if differs:
        reporter.warn(f"{target.name}: {differs}")
    files.write_out(target.with_name(target.name + ".json"), shards.as_json(about))
    reporter.say(f"row i of the index is line i + 1 of {ids.name}")


def _write_beside_codes(searched: Searched, bundle: Bundle, target: Path, reporter: Reporter) -> None:
    """What codes mean to a program without irctl: the trained quantizer's own files, and the layout of a row."""
    trained = target.with_name(target.name + ".quantizer")
    shutil.rmtree(trained, ignore_errors=True)
    shutil.copytree(locate_quantizer(bundle.folder, bundle.method), trained)
    layout = bundle.quantizer.layout() if hasattr(bundle.quantizer, "layout") else None
    about = {
        "format": "irctl-codes-export",
        **_facts(bundle),
        **_describe_queries(searched, inside=False),
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
        **_encoder_facts(bundle),
        "bundle": bundle.fingerprint,
    }


def _encoder_facts(bundle: Bundle) -> dict[str, Any]:
    """Which encoder queries have to come from, where that is known."""
    own, model = bundle.manifest.get(ENCODER), bundle.manifest.get("about", {}).get("model")
    named = str(bundle.folder.absolute() / own["folder"]) if own else model
    return {"query_encoder": named} if named else {}


def _describe_queries(searched: Searched, *, inside: bool) -> dict[str, Any]:
    """What queries have to be. inside: the file itself takes them through the transform."""
    if searched.transform is None:
        return {"queries": "unrotated; of length 1" if searched.metric == "cosine" else "unrotated"}
    by = "the file transforms them" if inside else "to be taken through the transform beside the file first"
    return {
        "queries": f"as the encoder makes them; {by}",
        "dim": searched.raw_dim if inside else searched.dim,
        "transform": searched.facts["transform"],
    }


def _open(config: Config, request: ExportRequest, reporter: Reporter | None) -> Searched:
    """What is exported; for a dry run, without reporter, no transform is fitted.

    Raises ConfigError for a format that cannot hold what was asked for.
    """
    searched, to = opened_index.open_index(request.source, config, reporter, fits=reporter is not None), request.to
    if searched.bundle is None and to in OF_CODES:
        raise ConfigError(f"--to {to}: {searched.folder} holds vectors, not codes", hint="irctl compress makes codes")
    if to == "model":
        model_folder.check(searched, config)
    if request.decoded and (to in (*OF_CODES, "ids", "model") or searched.bundle is None):
        held = f"--to {to} holds {'codes' if to in OF_CODES else to}"
        raise ConfigError(
            f"--decoded: {held if searched.bundle else f'{searched.folder} has no codes'}",
            hint="Leave it out, or use --to npy, parquet, fbin or fvecs",
        )
    return searched


def describe(config: Config, request: ExportRequest) -> dict[str, Any]:
    """What --dry-run prints."""
    request.check()
    if request.shares:
        return hub.describe(request.source, request.to, request.repo, request.private)
    searched = _open(config, request, None)
    facts = {k: v for k, v in searched.facts.items() if k != "bundle"}
    return {"export": {"from": str(searched.folder), "to": f"{request.to} ({FILES[request.to]})", **facts}}
