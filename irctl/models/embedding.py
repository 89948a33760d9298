"""Encoding a corpus or queries into shards on disk, cached by content: what is there is reused, what is missing is made.

A shard is a pure function of (key, number): its texts are sorted and batched among themselves alone, so a killed run that
continues leaves the same bytes. Dimension key: N rows, D vector width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import paths, stopping
from irctl.errors import DataError
from irctl.index import shards
from irctl.models import _fingerprint
from irctl.models.encoder import Encoder
from irctl.types import Reporter, VectorBlock

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Corpus

FORMAT = "irctl-embeddings"
Texts = Callable[[slice], list[str]]
Ids = Callable[[slice], Sequence[str]]


class EmbeddingFolder:
    """A finished folder of vectors, memory-mapped. `fingerprint` is its content key; it serves as a types.Stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = shards.read_manifest(folder, FORMAT)
        self.rows, self.dim = int(self.manifest["rows"]), int(self.manifest["dim"])
        self.similarity = str(self.manifest["similarity"])
        self.fingerprint = str(self.manifest["key"])
        self._starts = np.cumsum([0] + [int(p["rows"]) for p in self.manifest["parts"]])
        self._parts: dict[int, NDArray[Any]] = {}
        self._ids: dict[int, Any] = {}

    def _part(self, number: int) -> NDArray[Any]:
        if number not in self._parts:
            part = self.manifest["parts"][number]
            array = np.load(self.folder / part["file"], mmap_mode="r", allow_pickle=False)
            if array.shape != (part["rows"], self.dim):
                raise DataError(
                    f"{self.folder / part['file']}: expected {(part['rows'], self.dim)}, found {array.shape}"
                )
            self._parts[number] = array
        return self._parts[number]

    def ids(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Document ids of consecutive rows."""
        stop, found = self.rows if stop is None else min(stop, self.rows), []
        for number, part in enumerate(self.manifest["parts"]):
            a, b = max(start, self._starts[number]), min(stop, self._starts[number + 1])
            if a < b:
                if number not in self._ids:
                    self._ids[number] = shards.read_ids(self.folder / part["ids"])
                found += self._ids[number][int(a - self._starts[number]) : int(b - self._starts[number])].to_pylist()
        return found

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        """Consecutive float32 vectors, `size` rows at a time."""
        end = self.rows if stop is None else min(stop, self.rows)
        for a in range(start, end, size):
            b = min(a + size, end)
            yield VectorBlock(a, self.ids(a, b), self._span(a, b))

    def _span(self, a: int, b: int) -> NDArray[np.float32]:
        out_ND = np.empty((b - a, self.dim), np.float32)
        for number in range(len(self.manifest["parts"])):
            low, high = max(a, self._starts[number]), min(b, self._starts[number + 1])
            if low < high:
                offset = self._starts[number]
                out_ND[low - a : high - a] = self._part(number)[low - offset : high - offset]
        return out_ND

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors at these rows, in the order asked."""
        out_ND = np.empty((len(rows_N), self.dim), np.float32)
        numbers_N = np.searchsorted(self._starts, rows_N, side="right") - 1
        for number in np.unique(numbers_N):
            chosen = numbers_N == number
            out_ND[chosen] = self._part(int(number))[rows_N[chosen] - self._starts[number]]
        return out_ND


def cache_key(encoder: Encoder, side: str, content: str, config: Config) -> dict[str, Any]:
    """The parts of the key: encoder, text, and how vectors are stored. Batch size and device are recorded, not keyed."""
    parts = {
        **encoder.key(side),
        "content": content,
        "store": config.encoder.store,
        "shard_rows": config.encoder.shard_rows,
    }
    return {**parts, "key": _fingerprint.of_parts(parts)}


def cache_folder(key: str) -> Path:
    """Where the cache keeps vectors of this key."""
    return paths.cache() / "emb" / key[:16]


def embed_corpus(
    encoder: Encoder,
    corpus: Corpus,
    config: Config,
    reporter: Reporter,
    *,
    out: Path | None = None,
    verify: bool = False,
    shard: tuple[int, int] = (0, 1),
) -> EmbeddingFolder:
    """Vectors of a corpus, from the cache or made; `out` names another folder. shard (i, n): only every n-th shard from i.

    Raises DataError if the folder holds vectors of another key, Stopped if a signal came between two shards.
    """
    key = cache_key(encoder, "passage", corpus.fingerprint, config)
    folder = out or cache_folder(key["key"])
    return _embed(
        encoder,
        "passage",
        len(corpus),
        corpus.texts,
        lambda s: corpus.ids[s],
        key,
        folder,
        config,
        reporter,
        verify,
        shard,
    )


def embed_queries(
    encoder: Encoder, ids: Sequence[str], texts: Sequence[str], config: Config, reporter: Reporter | None = None
) -> NDArray[np.float32]:
    """Vectors [N, D] of queries, cached by content like a corpus."""
    from irctl.types import Silent

    folder = embed_query_folder(encoder, ids, texts, config, reporter or Silent())
    return folder.take(np.arange(folder.rows))


def embed_query_folder(
    encoder: Encoder,
    ids: Sequence[str],
    texts: Sequence[str],
    config: Config,
    reporter: Reporter,
    *,
    out: Path | None = None,
    verify: bool = False,
) -> EmbeddingFolder:
    """The folder behind `embed_queries`."""
    digest = hashlib.sha256()
    for query_id, text in zip(ids, texts, strict=True):
        digest.update(f"{len(query_id)}:{query_id}{len(text)}:{text}".encode())
    key = cache_key(encoder, "query", digest.hexdigest(), config)
    folder = out or cache_folder(key["key"])
    return _embed(
        encoder,
        "query",
        len(ids),
        lambda s: list(texts[s]),
        lambda s: ids[s],
        key,
        folder,
        config,
        reporter,
        verify,
        (0, 1),
    )


def _embed(
    encoder: Encoder,
    side: str,
    rows: int,
    texts: Texts,
    ids: Ids,
    key: dict[str, Any],
    folder: Path,
    config: Config,
    reporter: Reporter,
    verify: bool,
    shard: tuple[int, int],
) -> EmbeddingFolder:
    if (folder / shards.MANIFEST).is_file():
        made = EmbeddingFolder(folder)
        if made.fingerprint != key["key"]:
            raise DataError(
                f"{folder}: holds vectors of another key ({made.fingerprint[:16]}, asked {key['key'][:16]})",
                hint="Give another --out, or remove the folder",
            )
        if verify:
            shards.verify(folder, made.manifest["parts"])
        return made
    shards.sweep(folder)
    _check_begun(folder, key["key"])
    done = shards.done_shards(folder)
    if verify:
        shards.verify(folder, list(done.values()))
    size = config.encoder.shard_rows
    spans = [slice(a, min(a + size, rows)) for a in range(0, rows, size)]
    journal = shards.Journal(folder, *shard)
    already = sum(s.stop - s.start for n, s in enumerate(spans) if n in done)
    with reporter.bar(f"encoding {side}s", rows, already) as advance:
        for number, span in enumerate(spans):
            if number in done or number % shard[1] != shard[0]:
                continue
            stopping.check("finished shards are kept")
            done[number] = _write(encoder, side, number, len(spans), texts(span), ids(span), folder, config, journal)
            advance(span.stop - span.start)
    if len(done) == len(spans):
        parts = [{k: v for k, v in done[n].items() if k != "index"} for n in range(len(spans))]
        shards.write_manifest(
            folder,
            {
                "format": FORMAT,
                "version": 1,
                "rows": rows,
                "dim": encoder.dim,
                "dtype": config.encoder.store,
                "similarity": encoder.similarity,
                "key": key["key"],
                "fingerprint": key["key"],
                "key_parts": {k: v for k, v in key.items() if k != "key"},
                "parts": parts,
            },
        )
    return EmbeddingFolder(folder)


def _check_begun(folder: Path, key: str) -> None:
    """An unfinished folder names its key, so that shards of two encoders never meet in one."""
    file = folder / "key"
    if file.is_file() and file.read_text() != key:
        raise DataError(
            f"{folder}: was begun with another encoder or corpus", hint="Give another --out, or remove the folder"
        )
    shards.write_atomic(file, key)


def _write(
    encoder: Encoder,
    side: str,
    number: int,
    count: int,
    texts: list[str],
    ids: Sequence[str],
    folder: Path,
    config: Config,
    journal: shards.Journal,
) -> dict[str, Any]:
    vectors_ND = encoder.encode(texts, side)
    if not np.isfinite(vectors_ND).all():
        row = int(np.flatnonzero(~np.isfinite(vectors_ND).all(axis=1))[0])
        raise DataError(f"document '{ids[row]}': its vector is not finite", hint="Use --set hardware.precision=fp32")
    name = f"part-{number:0{max(5, len(str(count)))}d}"
    stored = vectors_ND.astype(np.float16) if config.encoder.store == "float16" else vectors_ND
    vectors = shards.write_atomic(folder / "vectors" / f"{name}.npy", stored)
    named = shards.write_ids(folder / "ids" / f"{name}.arrow", list(ids))
    line = {
        "index": number,
        "file": f"vectors/{name}.npy",
        "rows": len(texts),
        "bytes": vectors.bytes,
        "sha256": vectors.sha256,
        "ids": f"ids/{name}.arrow",
        "ids_bytes": named.bytes,
        "ids_sha256": named.sha256,
    }
    journal.add(line)
    return line
