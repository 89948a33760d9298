"""`irctl compress --data FILE.faiss`: product codes that were made elsewhere become a bundle, byte for byte.

Ids are the lines of FILE.faiss.ids.txt, as an export writes them, or of ids.txt beside the file; else row numbers.
What is imported is a `learned` bundle without a query side of its own: it is searched, exported, trained, appended to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irctl import files, hashing, tables
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.files.lines import read_lines
from irctl.errors import ConfigError, DataError, counted
from irctl.index import shards
from irctl.index.bundle import locate_quantizer, write_bundle
from irctl.index.distinct_ids import find_repeated
from irctl.index.faiss_import import ENDINGS, read_product_codes
from irctl.index.learned_bundle import METHOD
from irctl.origins import CHOSEN
from irctl.pipelines import outputs
from irctl.pipelines.compress.request import CompressRequest
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def is_faiss(source: str) -> bool:
    """Whether the data are codes of faiss already."""
    return Path(source).suffix in ENDINGS


def import_codes(config: Config, run: RunHandle, reporter: Reporter, request: CompressRequest) -> dict[str, Any]:
    """Write the bundle; the payload of --json. DataError for a file of anything else."""
    from irctl.quantizers.learned import Quantizer

    source, settings = Path(config.compress.source), config.compress
    _check(config, request, source)
    folder = Path(request.out) if request.out else run.out
    outputs.check(folder)
    files.check_folder(folder, goes_on=True)
    _refuse_query_side(source)
    rotation_ED, centroids_MKd, codes_NC, metric = read_product_codes(source)
    try:
        quantizer = Quantizer.of_arrays(rotation_ED, centroids_MKd, metric=metric)
    except DataError as e:
        raise DataError(f"{source}: {e.message}", hint=e.hint) from e
    ids = _read_ids(source, len(codes_NC))
    where = locate_quantizer(folder, METHOD)
    quantizer.save(where)
    parts, step = [], settings.batch
    for number, row0 in enumerate(range(0, len(codes_NC), step)):
        part_NC = np.ascontiguousarray(codes_NC[row0 : row0 + step])
        name = f"codes/{METHOD}_compressed_batch_{number:04d}.npy"
        written = files.write_atomic(folder / name, part_NC)
        named = shards.write_part_ids(folder, f"ids/batch_{number:04d}.arrow", ids[row0 : row0 + step]) if ids else {}
        parts.append({"index": number, "file": name, "rows": len(part_NC), "row0": row0, **written._asdict(), **named})
    sha256 = write_bundle(
        folder,
        method=METHOD,
        dim=quantizer.dim,
        code_size=quantizer.code_size,
        metric=metric,
        parts=parts,
        quantizer=where,
        coverage="full",
        source={"name": str(source), "fingerprint": hashing.identity(source), "key": "", "rows": len(codes_NC)},
        settings={"m": quantizer.config.m, "bits": quantizer.config.bits},
        about=_facts(config),
    )
    dataset = dataset_name(config.run.dataset, source.name)
    run.note(dataset=dataset, method=METHOD)
    run.artifact("in", "export", source, n_rows=len(codes_NC), dim=quantizer.dim, format="faiss")
    run.artifact("out", "bundle", folder, sha256=sha256, n_rows=len(codes_NC), format="irctl-bundle")
    run.metric("code_size", float(quantizer.code_size), dataset=dataset)
    said = f"{counted(len(codes_NC), 'row')} of {counted(quantizer.code_size, 'byte')}"
    reporter.say(f"{said}, {'with ids' if ids else 'ids are row numbers'}")
    line = f"bundle: {folder}"
    return {"bundle": str(folder), "rows": len(codes_NC), "lines": [line], "ids": [str(folder)]}


def _check(config: Config, request: CompressRequest, source: Path) -> None:
    """ConfigError for options that make codes, which are here already."""
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    asked = {
        "--append": request.append, "--init": request.init, "--shard": request.shard,
        "--train-only": request.train_only, "--finalize": request.finalize, "--verify": request.verify,
    }  # fmt: skip
    if wrong := next((name for name, given in asked.items() if given), None):
        raise ConfigError(f"{wrong}: {source} holds codes, which are taken as they are", hint=f"Leave out {wrong}")
    origin = config.origin("compress.method")
    if origin.kind in CHOSEN and config.compress.method != METHOD:
        raise ConfigError(
            f"compress.method={config.compress.method} (from {origin}): {source} holds product codes, taken as "
            "they are",
            hint="Leave it out",
        )


def _refuse_query_side(source: Path) -> None:
    """DataError for an export whose centroids are the query's: the ones that made its codes are not in it."""
    beside = source.with_name(source.name + ".json")
    about = tables.json_object(beside) if beside.is_file() else {}
    if about.get("query_side"):
        raise DataError(
            f"{source}: was exported with trained query centroids, and the document side is not in it",
            hint="Copy the bundle itself",
        )


def _read_ids(source: Path, rows: int) -> list[str]:
    """Document ids in row order; empty where the file comes without. DataError where they are not one a row."""
    for path in (source.with_name(source.name + ".ids.txt"), source.with_name("ids.txt")):
        if path.is_file():
            ids = [text for _, text in read_lines(path)]
            if len(ids) != rows:
                raise DataError(f"{path}: {len(ids)} ids for {rows} rows of {source.name}")
            if repeat := find_repeated(ids):
                raise DataError(f"{path}: lines {repeat[1] + 1} and {repeat[2] + 1} are both '{repeat[0]}'")
            return ids
    return []


def _facts(config: Config) -> dict[str, Any]:
    """The encoder and the collection, where the user names them: the file does not say."""
    named = {"model": "model.name", "data": "data.source"}
    return {k: config.flat()[key] for k, key in named.items() if key in config.origins}
