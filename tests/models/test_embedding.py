"""Embedding folders: keyed by content, the same bytes however they came about, and never read half-written."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import TEXTS, settings
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from irctl import stopping
from irctl.data.vectors.open import open_vectors
from irctl.errors import DataError, PartlyDone, RunFailed, Stopped
from irctl.index.shards import ShardJournal
from irctl.models.embed import TextList, embed_corpus, embed_queries, locate_cached
from irctl.models.embedding_folder import EmbeddingFolder
from irctl.models.encoder import load_encoder
from irctl.models.pieces import Piece, Pieces
from irctl.types import Silent

ROWS = 23
IDS = [f"d{i}" for i in range(ROWS)]
CORPUS = TextList(IDS, [f"text {i}" for i in range(ROWS)])
SMALL = settings("encoder.shard_rows=5").encoder


class Hashed:
    """Vectors of four numbers from the sha256 of the text, in batches of two; counts the texts that it encodes."""

    dim, similarity, batch_tokens, dtype = 4, "dot", 64, "float32"

    def __init__(self, name: str = "a", scale: float = 1.0, pause_s: float = 0.0, stop_after: int = 0) -> None:
        self.name, self.scale, self.pause_s, self.encoded = name, scale, pause_s, 0
        self.calls_left = stop_after  # a signal comes in the last batch of so many shards

    def key(self, side: str) -> dict[str, Any]:
        return {"weights": self.name, "side": side}

    def encode(
        self,
        texts: Sequence[str],
        side: str = "passage",
        advance: Callable[[int, int], Any] | None = None,
        pieces: Pieces | None = None,
    ) -> NDArray[np.float32]:
        self.calls_left -= 1
        vectors_ND = np.empty((len(texts), 4), np.float32)
        for start in range(0, len(texts), 2):
            rows = np.arange(start, min(start + 2, len(texts)))
            if not self.calls_left and rows[-1] == len(texts) - 1:
                stopping._received.append(signal.SIGTERM)
            piece = pieces.find(rows) if pieces else None
            if piece is None:
                time.sleep(self.pause_s)
                self.encoded += len(rows)
                digests = [hashlib.sha256(f"{self.name}{texts[i]}".encode()).digest()[:4] for i in rows]
                piece = Piece(np.array([list(d) for d in digests], np.float32) * np.float32(self.scale), 2 * len(rows))
                if pieces:
                    pieces.add(rows, piece)
            vectors_ND[rows] = piece.vectors_BD
            if advance:
                advance(len(rows), piece.tokens)
        return vectors_ND


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def embedded(encoder: Any = None, config: Any = SMALL, **more: Any) -> EmbeddingFolder:
    return embed_corpus(encoder or Hashed(), CORPUS, config, Silent(), **more)


def test_rows_and_ids_are_the_corpus_in_order_whatever_the_block() -> None:
    made, all_ND = embedded(), Hashed().encode([f"text {i}" for i in range(ROWS)])
    assert (made.rows, made.dim, len(made.parts), made.similarity) == (ROWS, 4, 5, "dot")
    assert made.manifest["tokens"] == 2 * ROWS
    np.testing.assert_array_equal(made.array(), all_ND)
    for size in (1, 4, 5, 7, 100):
        blocks = list(made.blocks(size, start=2, stop=21))
        np.testing.assert_array_equal(np.concatenate([b.vectors_ND for b in blocks]), all_ND[2:21])
        assert [i for b in blocks for i in b.ids or ()] == IDS[2:21] and blocks[0].start == 2
        assert all(b.vectors_ND.flags.c_contiguous and b.vectors_ND.dtype == np.float32 for b in blocks)
    np.testing.assert_array_equal(made.take(np.array([22, 0, 7, 7])), all_ND[[22, 0, 7, 7]])
    assert list(made.document_ids() or ()) == IDS
    with pytest.raises(DataError, match="rows 0 to 22"):
        made.take(np.array([23]))


def test_second_time_nothing_is_encoded_and_another_content_is_another_folder() -> None:
    first, again = embedded(), Hashed()
    assert embedded(again).folder == first.folder and again.encoded == 0
    others = [embedded(Hashed("b")), embedded(config=settings("encoder.store=float16").encoder), embedded(side="query")]
    other_text = TextList(IDS, ["other", *(f"text {i}" for i in range(1, ROWS))])
    others.append(embed_corpus(Hashed(), other_text, SMALL, Silent()))
    assert len({first.folder, *(o.folder for o in others)}) == 5
    assert first.folder == locate_cached(first.fingerprint) and first.folder.name == first.fingerprint[:16]


def test_checkpoint_overwritten_in_place_is_encoded_again(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    corpus = TextList([str(i) for i in range(len(TEXTS))], TEXTS)
    before = embed_corpus(load_encoder(settings(), str(folder)), corpus, settings().encoder, Silent())
    weights = load_file(folder / "model.safetensors")
    name = next(k for k in sorted(weights) if k.endswith("word_embeddings.weight"))
    weights[name] = weights[name] + np.float32(0.5) * np.sin(np.arange(weights[name].size, dtype=np.float32)).reshape(
        weights[name].shape
    )
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    after = embed_corpus(load_encoder(settings(), str(folder)), corpus, settings().encoder, Silent())
    assert after.fingerprint != before.fingerprint
    assert np.abs(after.array() - before.array()).max() > 1e-3


def test_shards_do_not_depend_on_how_the_work_was_cut(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    config, corpus = settings("encoder.shard_rows=4").encoder, TextList(list("abcdef"), TEXTS)
    whole = embed_corpus(encoder, corpus, config, Silent(), out=tmp_path / "whole")
    np.testing.assert_array_equal(whole.array(), np.concatenate([encoder.encode(TEXTS[:4]), encoder.encode(TEXTS[4:])]))
    with pytest.raises(PartlyDone, match=r"1 of 2 shards are not there yet \(0\)") as e:
        embed_corpus(encoder, corpus, config, Silent(), out=tmp_path / "parts", part=(1, 2))
    assert e.value.exit_code == 5
    embed_corpus(encoder, corpus, config, Silent(), out=tmp_path / "parts", part=(0, 2))
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_stop_keeps_finished_shards_and_the_same_call_continues_to_the_same_bytes(tmp_path: Path) -> None:
    embedded(out=tmp_path / "whole")
    with pytest.raises(Stopped, match="2 of 5 shards are kept"):
        embedded(Hashed(stop_after=2), out=tmp_path / "stopped")
    stopping.forget()
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    rest, said = Hashed(), Silent()
    embed_corpus(rest, CORPUS, settings("encoder.shard_rows=9").encoder, said, out=tmp_path / "stopped")
    assert rest.encoded == ROWS - 10 and "2 of 5 shards are there" in said.lines[0]
    assert content(tmp_path / "stopped") == content(tmp_path / "whole"), "the folder keeps its shard size"


def _forever(folder: Path) -> None:
    embedded(Hashed(pause_s=0.004), out=folder)


@pytest.mark.slow
def test_kill_9_at_random_points_leaves_the_same_bytes(tmp_path: Path) -> None:
    embedded(out=tmp_path / "whole")
    whole, random_, kills = content(tmp_path / "whole"), random.Random(3), 0
    fork = multiprocessing.get_context("fork")
    while kills < 20:
        folder = tmp_path / f"killed-{kills}"
        for _ in range(3):
            child = fork.Process(target=_forever, args=(folder,))
            child.start()
            time.sleep(random_.uniform(0.005, 0.06))
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            kills += 1
            if (folder / "manifest.json").exists():
                break
        embedded(out=folder)
        assert content(folder) == whole


def test_a_kill_between_the_manifest_and_the_end_of_the_journal_is_tidied_up(tmp_path: Path) -> None:
    made = embedded(out=tmp_path / "whole")
    whole = content(tmp_path / "whole")
    ShardJournal(tmp_path / "whole").add(made.manifest["parts"][0])
    assert content(tmp_path / "whole") != whole
    again = Hashed()
    embedded(again, out=tmp_path / "whole")
    assert content(tmp_path / "whole") == whole and again.encoded == 0


def test_torn_journal_and_cut_file_are_done_again(tmp_path: Path) -> None:
    embedded(out=tmp_path / "whole")
    with pytest.raises(Stopped):
        embedded(Hashed(stop_after=3), out=tmp_path / "torn")
    stopping.forget()
    (journal,) = (tmp_path / "torn" / "journal").iterdir()
    journal.write_text(journal.read_text()[:-30])
    part = tmp_path / "torn" / "vectors" / "part-00000.npy"
    part.write_bytes(part.read_bytes()[:-1])
    rest = Hashed()
    embedded(rest, out=tmp_path / "torn")
    assert rest.encoded == ROWS - 5
    assert content(tmp_path / "torn") == content(tmp_path / "whole")


def test_file_lost_from_a_finished_folder_is_refused_by_readers_and_written_again_by_encode() -> None:
    made = embedded()
    before = content(made.folder)
    (made.folder / "ids" / "part-00002.arrow").unlink()
    with pytest.raises(DataError, match="part-00002"):
        EmbeddingFolder(made.folder)
    mended = Hashed()
    assert content(embedded(mended).folder) == before and mended.encoded == 5


@pytest.mark.parametrize("opened", [EmbeddingFolder, open_vectors])
def test_a_shard_of_another_shape_than_its_manifest_says_is_refused(opened: Callable[[Path], Any]) -> None:
    folder = embedded().folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["parts"][1]["rows"] -= 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"part-00001\.npy: expected \(4, 4\), found \(5, 4\)"):
        opened(folder)


def test_changed_bytes_are_found_by_verify() -> None:
    made = embedded()
    assert made.verify() == 10
    path = made.folder / "vectors" / "part-00001.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"part-00001\.npy: is damaged.*expected sha256"):
        EmbeddingFolder(made.folder).verify()


def test_own_folder_with_other_content_is_refused_naming_what_differs(tmp_path: Path) -> None:
    embedded(out=tmp_path / "mine")
    with pytest.raises(DataError, match="weights: there a, here b"):
        embedded(Hashed("b"), out=tmp_path / "mine")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("keep")
    with pytest.raises(DataError, match="is not empty"):
        embedded(out=tmp_path / "letters")


def test_float16_store_halves_the_bytes_and_refuses_what_does_not_fit() -> None:
    half = embedded(config=settings("encoder.store=float16").encoder)
    assert half.dtype == "float16"
    np.testing.assert_array_equal(half.array(), embedded().array())  # integers below 256 are exact in both
    with pytest.raises(RunFailed, match="65504"):
        embedded(Hashed("big", scale=1e4), config=settings("encoder.store=float16").encoder)


def test_queries_are_cached_and_none_is_fine() -> None:
    encoder = Hashed()
    vectors_ND = embed_queries(encoder, ["q1", "q2"], ["lift", "drag"], SMALL)
    np.testing.assert_array_equal(vectors_ND, Hashed().encode(["lift", "drag"]))
    embed_queries(encoder, ["q1", "q2"], ["lift", "drag"], SMALL)
    assert encoder.encoded == 2
    embed_queries(encoder, ["q1", "q2"], ["drag", "lift"], SMALL)
    assert encoder.encoded == 4
    assert embed_queries(encoder, [], [], SMALL).shape == (0, 4)


def test_empty_corpus_is_a_finished_folder_without_rows() -> None:
    made = embed_corpus(Hashed(), TextList([], []), SMALL, Silent())
    assert (made.rows, list(made.blocks(10)), made.document_ids()) == (0, [], None)
    assert made.take(np.array([], dtype=np.int64)).shape == (0, 4)


def test_manifest_says_what_the_vectors_are_made_of_and_no_time_or_place(tmp_path: Path) -> None:
    manifest = json.loads((embedded(out=tmp_path / "made").folder / "manifest.json").read_text())
    assert manifest["key_parts"] == {
        "weights": "a",
        "side": "passage",
        "dtype": "float32",
        "content": CORPUS.fingerprint,
        "store": "float32",
    }
    assert manifest["key"] == manifest["fingerprint"] and len(manifest["parts"]) == 5
    assert str(tmp_path) not in json.dumps(manifest) and str(os.getpid()) not in manifest
