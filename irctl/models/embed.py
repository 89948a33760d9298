"""Encoding a corpus into shards that resume, under a key of content: weights, settings and texts, never a path.

Shard i holds rows i*shard_rows .. and is a pure function of (key, i) and of the tokens of a batch, so any process may
write it, and a killed run goes on where it was, to the same bytes; other batches change last bits of float32. Of a
shard that is not whole the model batches are kept (pieces.py).
Dimension key: N texts, D vector width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from irctl import paths, stopping, tables
from irctl.data.vectors.embedding_folder import FORMAT, VERSION
from irctl.errors import DataError, PartlyDone, RunFailed, counted
from irctl.files import write_atomic
from irctl.index import shards
from irctl.ledger import stored
from irctl.models import pair
from irctl.models.embedding_folder import SHAPE, EmbeddingFolder
from irctl.models.fingerprints import fingerprint_of
from irctl.models.pieces import Pieces
from irctl.models.pieces import count as count_pieces
from irctl.settings import Encoder as EncoderSettings
from irctl.types import Reporter, Silent

PLAN = "plan.json"
PLANNED = {**SHAPE, "key_parts": dict, "shard_rows": int, "shards": int, "batch_tokens": int}
NAMED_MISSING = 8
BAR = "encoding"
"""Label of the bar: a training's process tells its launcher by it that texts are encoded."""


class Texts(Protocol):
    """Ids and texts by row: a corpus, or queries."""

    fingerprint: str

    @property
    def ids(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...
    def texts(self, rows: slice) -> list[str]: ...


class CorpusEncoder(Protocol):
    """What this module needs of an encoder."""

    dim: int
    similarity: str
    batch_tokens: int
    dtype: str  # of the arithmetic

    def key(self, side: str) -> dict[str, Any]: ...
    def encode(
        self,
        texts: Sequence[str],
        side: str = "passage",
        advance: Callable[[int, int], Any] | None = None,
        pieces: Pieces | None = None,
    ) -> NDArray[np.float32]: ...


class TextList:
    """Texts in memory as a `Texts`."""

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self.ids, self._texts = ids, texts
        pairs = json.dumps([list(ids), list(texts)], ensure_ascii=False)
        self.fingerprint = hashlib.sha256(pairs.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self, rows: slice) -> list[str]:
        return list(self._texts[rows])


def embed_corpus(
    encoder: CorpusEncoder,
    corpus: Texts,
    settings: EncoderSettings,
    reporter: Reporter,
    *,
    out: Path | None = None,
    side: str = "passage",
    part: tuple[int, int] = (0, 1),
    on_computed: Callable[[int], Any] | None = None,
) -> EmbeddingFolder:
    """The corpus's vectors, from the cache or encoded now; an unfinished folder is continued.

    settings: store and shard_rows of these count. out: a folder of one's own instead of the cache.
    part: (i, n), this process's contiguous share of the shards. After a signal, finished shards and the batches of the
    one in hand are kept, and Stopped is raised. Batches are cut by the tokens of the folder's plan, or by the encoder's
    where those are fewer. on_computed: called after each shard with the tokens that the model was run on. Raises
    DataError where `out` holds other embeddings, PartlyDone where shares of other processes are missing.
    """
    for line in getattr(encoder, "notices", ()):
        reporter.say(line)
    content = collect_key_parts(encoder, corpus, settings.store, side)
    key = fingerprint_of(content)
    folder = out or locate_cached(key)
    plan = _read_or_write_plan(folder, content, encoder, len(corpus), settings)
    done = find_finished(folder, key)
    missing = [i for i in range(plan["shards"]) if i not in done]
    if not missing and (folder / shards.MANIFEST).is_file():
        _check_shards(folder, done.values())
        shards.drop_journal(folder)
        return EmbeddingFolder(folder)
    shards.sweep(folder)
    share = range(plan["shards"] * part[0] // part[1], plan["shards"] * (part[0] + 1) // part[1])
    todo = [i for i in missing if i in share]
    if missing:  # else whoever wrote or checked them leaves the manifest alone to write
        _check_shards(folder, [line for i, line in done.items() if i in share])
    if todo and (said := _describe_kept(folder, plan, done, encoder.batch_tokens)):
        reporter.say(f"{folder}: {said}")
    journal = shards.ShardJournal(folder, *part)
    already = sum(int(line["rows"]) for line in done.values())
    with reporter.bar(BAR, plan["rows"], already) as advance:
        for index in todo:
            kept = f"{len(done)} of {plan['shards']} shards"
            if stopping.requested() and (rows := count_pieces(folder, done, encoder.batch_tokens)[0]):
                stopping.check(f"{kept} and {counted(rows, 'row')} of others are kept in {folder}")
            stopping.check(f"{kept} are kept in {folder}")
            pieces = Pieces(folder, index, plan["batch_tokens"], encoder.batch_tokens)
            done[index] = _write_shard(folder, index, plan, encoder, corpus, side, pieces, kept, advance)
            journal.add(done[index])
            pieces.drop()
            if on_computed:
                on_computed(pieces.computed)
    return finish(folder, plan, done)


def _describe_kept(folder: Path, plan: Mapping[str, Any], done: Mapping[int, Any], allowed: int) -> str:
    """What an earlier run left: shards, and rows of those that are not whole; empty where it is nothing.

    allowed: tokens of a batch at most.
    """
    rows, others = count_pieces(folder, done, allowed)
    if not (done or rows or others):
        return ""
    said = f"{len(done)} of {plan['shards']} shards" + f" and {counted(rows, 'row')} of others" * bool(rows)
    again = f"; {others} rows kept in batches of other sizes are encoded again (now at most {allowed} tokens)" * bool(
        others
    )
    return f"{said} are there; continuing{again}"


def _check_shards(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """DataError where a shard that need not be encoded is damaged."""
    files = [file for line in lines for file in shards.list_files(line)]
    stored.check_all((folder / name, sha256) for name, _, sha256 in files)


def embed_queries(
    encoder: CorpusEncoder, ids: Sequence[str], texts: Sequence[str], settings: EncoderSettings
) -> NDArray[np.float32]:
    """Vectors [N, D] of queries, in the order given; cached by content like a corpus."""
    if not len(texts):
        return np.empty((0, encoder.dim), np.float32)
    return embed_corpus(encoder, TextList(ids, texts), settings, Silent(), side="query").array()


def collect_key_parts(encoder: CorpusEncoder, corpus: Texts, store: str, side: str) -> dict[str, Any]:
    """Everything that decides the stored vectors. store: their dtype. DataError for a corpus of no encoder of it."""
    if side == "passage":
        pair.refuse_documents(encoder)
    parts = {**encoder.key(side), "dtype": encoder.dtype, "content": corpus.fingerprint, "store": store}
    # what the folder says its vectors are compared by: two models may differ in that alone
    return parts if encoder.similarity == "dot" else {**parts, "similarity": encoder.similarity}


def locate_cached(key: str) -> Path:
    """Where the cache keeps the vectors of a key."""
    return paths.cache() / "emb" / key[:16]


def _read_or_write_plan(
    folder: Path, content: Mapping[str, Any], encoder: CorpusEncoder, rows: int, settings: EncoderSettings
) -> dict[str, Any]:
    """The folder's plan, written first and once: a later run keeps its shard size and refuses another key."""
    path, key, size = folder / PLAN, fingerprint_of(content), settings.shard_rows
    if not path.is_file():
        # looked for again last: another worker may have put it there meanwhile, before anything else
        if any(folder.glob("[!.]*")) and not (folder / shards.MANIFEST).is_file() and not path.is_file():
            raise DataError(f"{folder}: is not empty and holds no embeddings", hint="Choose another folder")
        fresh: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "key": key,
            "key_parts": dict(content),
            "rows": rows,
        }
        fresh |= {"dim": encoder.dim, "dtype": settings.store, "similarity": encoder.similarity}
        fresh |= {"shard_rows": size, "shards": -(-rows // size), "batch_tokens": encoder.batch_tokens}
        shards.write_json(path, fresh)
    plan = tables.json_object(path, hint=f"Remove {folder} and run again")
    tables.check(plan, PLANNED, str(path), hint=f"Remove {folder} and run again")
    if (folder / shards.MANIFEST).is_file():
        plan |= shards.read_manifest(folder, FORMAT, VERSION, SHAPE)
    if plan.get("key") != key:
        raise DataError(
            f"{folder}: holds embeddings of another content ({_name_differences(plan.get('key_parts', {}), content)})",
            hint="Choose another folder, or remove it",
        )
    return plan


def _name_differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Names of the parts that differ, with their values where they are short."""

    def shorten(value: Any) -> str:
        text = str(value)
        return text if len(text) <= 20 else f"{text[:12]}..."

    names = [k for k in wanted if kept.get(k) != wanted[k]]
    return ", ".join(f"{k}: there {shorten(kept.get(k))}, here {shorten(wanted[k])}" for k in names) or "unknown parts"


def find_finished(folder: Path, key: str) -> dict[int, dict[str, Any]]:
    """Shards that are there, by the manifest of a finished folder or the journals of an unfinished one."""
    if not (folder / shards.MANIFEST).is_file():
        return shards.find_done(folder)
    manifest = shards.read_manifest(folder, FORMAT, VERSION, SHAPE)
    if manifest["key"] != key:
        return {}
    kept = {int(p["index"]): p for p in manifest["parts"] if shards.is_present(folder, p)}
    return kept | shards.find_done(folder)


def _write_shard(
    folder: Path,
    index: int,
    plan: Mapping[str, Any],
    encoder: CorpusEncoder,
    corpus: Texts,
    side: str,
    pieces: Pieces,
    kept: str,
    advance: Callable[[int], Any],
) -> dict[str, Any]:
    """Encode one shard and write its vectors and ids. Returns its journal line.

    After a signal it ends with the batch in hand. kept: what there is beside this shard.
    """
    start = index * plan["shard_rows"]
    rows = slice(start, min(start + plan["shard_rows"], plan["rows"]))
    encoded = spent = 0

    def note(texts: int, tokens: int) -> None:
        nonlocal encoded, spent
        encoded, spent = encoded + texts, spent + tokens
        advance(texts)
        if encoded < rows.stop - rows.start:  # else all that is left is to write it
            stopping.check(f"{kept} and {counted(encoded, 'row')} of the next are kept in {folder}")

    vectors_ND = encoder.encode(corpus.texts(rows), side, note, pieces)
    with np.errstate(over="ignore"):  # looked for below
        stored_ND = vectors_ND.astype(plan["dtype"])
    if not np.isfinite(stored_ND).all():
        raise RunFailed(f"{folder}: values above 65504 do not fit float16", hint="Use --set encoder.store=float32")
    name = f"part-{index:05d}"
    ids = shards.write_part_ids(folder, f"ids/{name}.arrow", list(corpus.ids[rows]))
    written = write_atomic(folder / "vectors" / f"{name}.npy", stored_ND)
    return {
        "index": index,
        "file": f"vectors/{name}.npy",
        "rows": len(stored_ND),
        "tokens": spent,
        **written._asdict(),
        **ids,
    }


def finish(folder: Path, plan: Mapping[str, Any], done: Mapping[int, Mapping[str, Any]]) -> EmbeddingFolder:
    """Write the manifest once every shard is there. Raises PartlyDone naming those that are not."""
    done = {**shards.find_done(folder), **done}
    missing = [i for i in range(plan["shards"]) if i not in done]
    if missing:
        shown = ", ".join(map(str, missing[:NAMED_MISSING])) + (", ..." if len(missing) > NAMED_MISSING else "")
        raise PartlyDone(
            f"{folder}: {len(missing)} of {plan['shards']} shards are not there yet ({shown})",
            hint="The last of the processes that share the work finishes the folder",
        )
    parts = [dict(done[i]) for i in range(plan["shards"])]
    tokens = sum(int(p["tokens"]) for p in parts)
    manifest = {k: v for k, v in plan.items() if k != "shards"} | {"tokens": tokens, "parts": parts}
    shards.write_manifest(folder, {**manifest, "fingerprint": plan["key"]})
    return EmbeddingFolder(folder)
