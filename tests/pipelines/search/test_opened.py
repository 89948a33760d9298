"""What is opened for several splits and data sets: each thing once, and the numbers those of one search at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from toy_collections import two_splits
from workspace import Workspace

from irctl.data.collections import open as opening
from irctl.index import bm25
from irctl.models import encoder, fingerprints


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often encoders are loaded, weights hashed, collections opened and BM25 indexes made from here on."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return original(*args, **options)

        monkeypatch.setattr(module, name, counting)

    for module, name in (
        (encoder, "load_encoder"),
        (fingerprints, "fingerprint_state"),
        (opening, "open_collection"),
        (bm25.Bm25, "__init__"),
    ):
        count(module, name)
    return counts


def values(place: Workspace, line: str) -> dict[tuple[str, str, str], float]:
    found = place.ok(f"{line} --resume none --json").json["results"]
    return {(r["dataset"], r["split"], r["measure"]): r["value"] for r in found}


ONCE = {"load_encoder": 1, "fingerprint_state": 1, "open_collection": 1}


def test_an_evaluation_of_two_splits_opens_everything_once(place: Workspace, counted: Counter[str]) -> None:
    two_splits(place.folder / "one")
    together = values(place, "eval --data one --split dev,test")
    assert counted == ONCE
    assert together == values(place, "eval --data one --split dev") | values(place, "eval --data one --split test")


def test_an_encoder_goes_from_collection_to_collection(place: Workspace, counted: Counter[str]) -> None:
    for name in ("first", "second"):
        two_splits(place.folder / name, word=name)
    prompts = "--set 'prompts.first.query=first: ' --set 'prompts.second.query=second: '"
    together = values(place, f"eval --data first,second --split dev,test {prompts}")
    assert counted == {**ONCE, "open_collection": 2}
    apart = [values(place, f"eval --data {name} --split dev,test {prompts}") for name in ("first", "second")]
    assert together == apart[0] | apart[1]


def test_an_index_is_searched_for_two_splits_by_one_encoder(place: Workspace, counted: Counter[str]) -> None:
    two_splits(place.folder / "coded")
    run = place.ok("encode --data coded --json").json["run"]
    counted.clear()
    values(place, f"eval --index {run} --data coded --split dev,test")
    assert counted == ONCE


@pytest.mark.parametrize(("retriever", "times"), (("dense", ONCE), ("bm25", {"open_collection": 1, "__init__": 1})))
def test_a_search_of_two_splits_opens_everything_once(
    place: Workspace, counted: Counter[str], retriever: str, times: dict[str, int]
) -> None:
    two_splits(place.folder / "one")
    place.ok(f"search --retriever {retriever} --data one --split dev,test -k 3 --resume none")
    assert counted == times
