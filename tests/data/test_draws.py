"""Draws depend on what they are for and on nothing else: not on numpy, the process, or draws made before."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import folders
import numpy as np

from irctl.data import draws
from irctl.data.texts.store import open_texts


def test_the_stream_is_the_documented_hash() -> None:
    # shake_128(b"42\x000\x00q")[:8], little-endian: SHAKE-128 is fixed by FIPS 202, so groups never change
    assert draws.words(1, 42, 0, "q").tolist() == [5_498_670_870_216_598_004]
    assert draws.order(6, 42, 0, "q").tolist() == [5, 4, 0, 2, 3, 1]


def test_a_longer_stream_starts_with_the_shorter_one_and_other_parts_give_another() -> None:
    assert draws.words(9, "a")[:4].tolist() == draws.words(4, "a").tolist()
    assert draws.words(4, "ab", "c").tolist() != draws.words(4, "a", "bc").tolist()
    assert len(draws.words(0, "a")) == len(draws.order(0, "a")) == 0


def test_every_order_is_as_likely_as_any_other() -> None:
    counts = Counter(tuple(draws.order(3, seed).tolist()) for seed in range(6000))
    assert set(counts) == set(permutations(range(3)))
    assert all(abs(n - 1000) < 120 for n in counts.values())  # four standard deviations of a fair die


def test_uniform_numbers_lie_in_the_half_open_interval_and_keep_the_order() -> None:
    numbers = draws.uniform(4000, "u")
    assert numbers.min() >= 0 and numbers.max() < 1 and abs(numbers.mean() - 0.5) < 0.02
    assert np.argsort(numbers, kind="stable").tolist() == draws.order(4000, "u").tolist()


def test_single_strings_are_read_as_they_were_written(tmp_path: Path) -> None:
    texts = ["", "plain", "naïve café", "漢字 🙂", "", "\u2028 line"]
    titles = ["", "", "", "t", "", ""]
    rows = [{"_id": f"d{i}", "title": t, "text": x} for i, (t, x) in enumerate(zip(titles, texts, strict=True))]
    folders.jsonl(tmp_path / "corpus.jsonl", rows)
    store = open_texts(tmp_path / "corpus.jsonl")
    assert store.column("text", [5, 3, 3, 0]) == [texts[5], texts[3], texts[3], ""]
    assert store.column("title", np.array([3, 2])) == ["t", ""]
    assert store.column("text", range(6)) == store.column("text", slice(0, 6)) == texts


def test_a_column_of_empty_strings_has_no_bytes_and_is_read_all_the_same(tmp_path: Path) -> None:
    folders.jsonl(tmp_path / "corpus.jsonl", [{"_id": f"d{i}", "text": "x"} for i in range(3)])
    assert open_texts(tmp_path / "corpus.jsonl").column("title", [2, 0]) == ["", ""]
