"""Batches of a shard that is not whole are kept: a stop acts at the next one, and a repeat goes on from there."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import settings
from test_embedding import content

from irctl import stopping
from irctl.errors import RunFailed, Stopped
from irctl.models.embed import TextList, embed_corpus, embed_queries, locate_cached
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.models.pieces import Piece, Pieces, count
from irctl.types import Silent

ROWS = 40
TEXTS = ["wing " * (1 + 7 * i % 23) for i in range(ROWS)]  # batches hold neighbours in length, not in the corpus
CORPUS = TextList([str(i) for i in range(ROWS)], TEXTS)
CONFIG = settings("encoder.shard_rows=25").encoder


class Model:
    """A tiny encoder of batches of 64 tokens; calls `at[n]` before its n-th forward pass, and counts texts."""

    def __init__(self, folder: Path, at: dict[int, Callable[[], None]] | None = None) -> None:
        self.encoder = load_encoder(settings("encoder.batch_tokens=64"), str(folder))
        self.passes = self.texts = 0
        self._forward, self._at = self.encoder.forward, at or {}
        self.encoder.forward = self.forward  # type: ignore[method-assign]

    def forward(self, features: Any) -> Any:
        self.passes += 1
        self._at.get(self.passes, lambda: None)()
        self.texts += len(features["input_ids"])
        return self._forward(features)


def encoded(model: Model, folder: Path, reporter: Silent | None = None) -> dict[str, str]:
    embed_corpus(model.encoder, CORPUS, CONFIG, reporter or Silent(), out=folder)
    return content(folder)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def listening() -> Iterator[None]:
    stopping.install()
    yield
    stopping.restore()


@pytest.mark.parametrize(("at", "shards"), [(1, 0), (3, 0), (9, 1)])
def test_a_signal_inside_a_shard_stops_at_the_next_batch_and_nothing_is_encoded_twice(
    at: int, shards: int, listening: None, tiny_encoder: Path, tmp_path: Path
) -> None:
    whole = Model(tiny_encoder)
    expected = encoded(whole, tmp_path / "whole")
    first = Model(tiny_encoder, {at: terminate})
    with pytest.raises(Stopped, match=rf"{shards} of 2 shards and \d+ rows? of the next are kept") as e:
        encoded(first, tmp_path / "stopped")
    assert first.passes == at and e.value.exit_code == 143
    stopping.forget()
    rest, said = Model(tiny_encoder), Silent()
    assert encoded(rest, tmp_path / "stopped", said) == expected
    assert first.texts + rest.texts == ROWS and first.passes + rest.passes == whole.passes
    assert said.lines[-1].endswith(
        f"{shards} of 2 shards and {first.texts - 25 * shards} rows of others are there; continuing"
    )


def test_a_killed_process_loses_the_batch_in_hand_alone(tiny_encoder: Path, tmp_path: Path) -> None:
    expected = encoded(Model(tiny_encoder), tmp_path / "whole")
    if (child := os.fork()) == 0:
        encoded(Model(tiny_encoder, {5: lambda: os.kill(os.getpid(), signal.SIGKILL)}), tmp_path / "killed")
    os.waitpid(child, 0)
    kept, _ = count(tmp_path / "killed", (), 64)
    rest = Model(tiny_encoder)
    assert encoded(rest, tmp_path / "killed") == expected
    assert kept > 0 and rest.texts == ROWS - kept


def test_workers_that_share_the_shards_continue_to_the_bytes_of_one(
    listening: None, tiny_encoder: Path, tmp_path: Path
) -> None:
    expected = encoded(Model(tiny_encoder), tmp_path / "whole")
    for part in ((1, 2), (0, 2)):
        with pytest.raises(Stopped):
            model = Model(tiny_encoder, {2: terminate})
            embed_corpus(model.encoder, CORPUS, CONFIG, Silent(), out=tmp_path / "parts", part=part)
        stopping.forget()
    assert len(list((tmp_path / "parts" / "journal").glob("pieces.0000[01].*"))) == 2
    assert encoded(Model(tiny_encoder), tmp_path / "parts") == expected


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-1], lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:], lambda b: b"{" + b]
)
def test_a_torn_or_damaged_batch_is_encoded_again(
    spoil: Callable[[bytes], bytes], listening: None, tiny_encoder: Path, tmp_path: Path
) -> None:
    expected = encoded(Model(tiny_encoder), tmp_path / "whole")
    with pytest.raises(Stopped):
        encoded(Model(tiny_encoder, {3: terminate}), tmp_path / "spoilt")
    stopping.forget()
    before, _ = count(tmp_path / "spoilt", (), 64)
    (file,) = (tmp_path / "spoilt" / "journal").glob("pieces.*")
    file.write_bytes(spoil(file.read_bytes()))
    kept, _ = count(tmp_path / "spoilt", (), 64)
    rest = Model(tiny_encoder)
    assert encoded(rest, tmp_path / "spoilt") == expected
    assert kept < before and rest.texts == ROWS - kept


def test_a_folder_is_continued_in_its_own_batches_where_more_tokens_are_allowed(
    listening: None, tiny_encoder: Path, tmp_path: Path
) -> None:
    expected = encoded(Model(tiny_encoder), tmp_path / "whole")
    with pytest.raises(Stopped):
        encoded(first := Model(tiny_encoder, {3: terminate}), tmp_path / "stopped")
    stopping.forget()
    rest, said = Model(tiny_encoder), Silent()
    rest.encoder.batch_tokens = 1000
    assert encoded(rest, tmp_path / "stopped", said) == expected
    assert first.texts + rest.texts == ROWS
    assert said.lines[-1].endswith(f"0 of 2 shards and {first.texts} rows of others are there; continuing")


def test_batches_of_more_tokens_than_allowed_are_dropped_and_the_rows_counted_once(
    listening: None, tiny_encoder: Path, tmp_path: Path
) -> None:
    said, models = Silent(), []
    for tokens, at in ((64, 3), (32, 4), (64, 99)):
        models.append(model := Model(tiny_encoder, {at: terminate}))
        model.encoder.batch_tokens = tokens
        with contextlib.suppress(Stopped):
            encoded(model, tmp_path / "stopped", said)
        stopping.forget()
    first, second, third = (m.texts for m in models)
    assert said.lines[-2].endswith(
        f"0 of 2 shards are there; continuing; {first} rows kept in batches of other sizes are encoded again "
        "(now at most 32 tokens)"
    )
    kept = max(first, second)
    assert f"0 of 2 shards and {kept} rows of others are there; continuing" in said.lines[-1]
    assert third == ROWS - kept, "kept batches of one budget are joined, those with most rows"


def test_queries_are_kept_too(listening: None, tiny_encoder: Path) -> None:
    first = Model(tiny_encoder, {3: terminate})
    with pytest.raises(Stopped, match="0 of 2 shards and"):
        embed_queries(first.encoder, CORPUS.ids, TEXTS, CONFIG)
    stopping.forget()
    rest = Model(tiny_encoder)
    embed_queries(rest.encoder, CORPUS.ids, TEXTS, CONFIG)
    assert first.texts + rest.texts == ROWS
    assert not list(locate_cached("").parent.rglob("pieces.*"))


def test_vectors_that_are_not_finite_are_not_kept(tiny_encoder: Path, tmp_path: Path) -> None:
    model = Model(tiny_encoder)
    forward = model.encoder.forward
    model.encoder.forward = lambda features: forward(features) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="not finite"):
        encoded(model, tmp_path / "broken")
    assert count(tmp_path / "broken", (), 64) == (0, 0)


def test_a_record_is_found_by_its_rows_in_their_order(tmp_path: Path) -> None:
    piece = Piece(np.arange(6, dtype=np.float32).reshape(2, 3), 7)
    Pieces(tmp_path, 4, 64, 64).add(np.array([5, 1]), piece)
    found = Pieces(tmp_path, 4, 64, 64)
    kept = found.find(np.array([5, 1]))
    assert kept is not None and kept.tokens == 7 and kept.vectors_BD.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.find(np.array([1, 5])) is None and Pieces(tmp_path, 3, 64, 64).find(np.array([5, 1])) is None
    assert count(tmp_path, (), 64) == (2, 0) and count(tmp_path, {4}, 64) == (0, 0)
    found.drop()
    assert not list((tmp_path / "journal").iterdir())


def test_encode_without_pieces_is_the_same(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder: TextEncoder = load_encoder(settings(), str(tiny_encoder))
    pieces = Pieces(tmp_path, 0, encoder.batch_tokens, encoder.batch_tokens)
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS, pieces=pieces))
