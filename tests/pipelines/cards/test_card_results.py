"""What a card compares a trained model with: evaluations of its base that were measured alike, in whatever order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from irctl.ledger import query
from irctl.ledger.query import RunRecord
from irctl.pipelines.cards import results
from irctl.pipelines.cards.results import Base
from irctl.reports.records import Record

FILES = {"model.safetensors": "53aa"}
READING: dict[str, Any] = {
    "files": FILES,
    "query_max_len": 256,
    "passage_max_len": 32,
    "query_prompt": "",
    "passage_prompt": "",
    "title_join": "space",
    "pooling": "mean",
    "truncate_dim": 0,
    "normalize": True,
    "chosen": [],
}
TRAINED = RunRecord("t", None, {})  # type: ignore[arg-type]
SCORES = {"t1": [0.9, 0.8, 0.2, 0.4], "base": [0.7, 0.5, 0.3, 0.1]}


def record(run: str, *, model: str, read: dict[str, Any] | None, **more: Any) -> Record:
    fields: dict[str, Any] = {"dataset": "toy", "split": "dev", "measure": "nDCG@10", "value": 0.5, "qrels_sha256": "q"}
    fields |= {"run_id": run, "created_at": run, "system": model, "model": model, "base": model}
    fields |= {"similarity": "dot", "self_match": "keep", "k": 100}
    return Record(**{**fields, "reading": {} if read is None else READING | read, **more})


def of_trained(*others: Record, read: dict[str, Any] | None = None) -> results.Result:
    mine = record("e9", model="t", read={"files": {"model.safetensors": "0f24"}} | (read or {}), lineage=("t",))

    def values(r: Record) -> dict[str, float]:
        return dict(zip("abcd", SCORES["t1" if r is mine else "base"], strict=True))

    (found,) = results.of_model(TRAINED, Base("org/base", files=FILES), [*others, mine], values)
    return found


@pytest.fixture(autouse=True)
def one_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "list_runs", lambda **_: [TRAINED])


def test_the_base_is_the_one_that_was_read_alike_in_any_order_of_evaluations() -> None:
    asked = [{"passage_max_len": 256}, {}, {"passage_max_len": 256, "query_prompt": "query: "}]
    for order in permutations(asked):
        others = [record(f"e{n}", model="base", read=read) for n, read in enumerate(order)]
        found = of_trained(*others)
        assert found.before is others[order.index({})] and found.test is not None and not found.unlike


@pytest.mark.parametrize(
    ("read", "more", "said"),
    [
        ({"passage_max_len": 256}, {}, "tokens of a passage 256, here 32"),
        ({"query_max_len": 64}, {}, "tokens of a query 64, here 256"),
        ({"query_prompt": "query: "}, {}, "prompt of queries 'query: ', here ''"),
        ({"pooling": "cls"}, {}, "pooling 'cls', here 'mean'"),
        ({"normalize": False, "chosen": ["normalize"]}, {}, "scaling to length 1 False, here True"),
        ({}, {"similarity": "euclid"}, "similarity euclid, here dot"),
        ({}, {"self_match": "drop"}, "self-match rule drop"),
        ({}, {"k": 5}, "depth k 5, here 10"),
        (None, {}, "run e1 did not record how texts were read: evaluate again"),
    ],
)
def test_a_base_that_was_measured_otherwise_is_shown_with_what_differs_and_no_test(
    read: dict[str, Any] | None, more: dict[str, Any], said: str
) -> None:
    found = of_trained(record("e1", model="org/base", read=read, **more))
    assert found.before is not None and found.test is None and said in " ".join(found.unlike)
    (row,) = results.rows([found], "before")
    assert row["before"] == "0.5000" and said in str(row["p"]) and "difference" not in str(row["p"])


def test_vectors_that_are_not_scaled_are_the_models_own_unless_somebody_chose_so() -> None:
    assert of_trained(record("e1", model="base", read={}), read={"normalize": False}).test is not None


def test_the_base_is_known_by_its_weights_and_not_by_its_name() -> None:
    other = record("e1", model="org/base", read={"files": {"model.safetensors": "ffff"}})
    assert of_trained(other).before is None
    assert of_trained(record("e1", model="anything", read={})).test is not None


def test_codes_of_vectors_without_texts_need_no_word_of_how_texts_were_read() -> None:
    one, other = (record(r, model="v", read=None) for r in "ab")
    assert results.differences(one, other, of_texts=False) == ()
    read = record("c", model="v", read={})
    assert "evaluate again" in results.differences(one, read, of_texts=False)[0]
