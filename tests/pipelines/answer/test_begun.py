"""An evaluation of answers that was stopped generates nothing twice; a tuned language model is a row of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace

from irctl.errors import RunFailed
from irctl.ledger import query
from irctl.models.compressive import tiny_lm
from irctl.pipelines.answer import answer
from irctl.pipelines.answer.begun import KIND

FAST = "--set acerag.new_tokens=2 --set acerag.ratios=4"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompts of each generation; two batches of questions."""
    found: list[int] = []
    real = answer.generate

    def generate(lm: Any, prompts: Any, **more: Any) -> Any:
        if len(found) == 9:
            found.append(0)
            raise RunFailed("stopped here")
        found.append(len(prompts))
        return real(lm, prompts, **more)

    monkeypatch.setattr(answer, "generate", generate)
    monkeypatch.setattr(answer, "READ_AT_ONCE", 34 * 16)
    return found


def test_what_was_generated_before_a_stop_is_not_generated_again(
    place: Workspace, asked: Path, calls: list[int]
) -> None:
    line = f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json --controls {FAST} --json"
    systems = 2 + 2 + 2 + 6  # without a ratio; at 1x compressed, untrained and their controls; at 4x two more
    stopped = place.run(line)
    assert stopped.code == 1 and len(calls) == 10, stopped.err
    (file,) = (place.folder / "cache" / KIND).glob("*.jsonl")
    with file.open("a") as out:
        out.write('["half')  # what kill -9 leaves
    done = place.run(line)
    assert done.code == 0, done.err
    generated = len(calls) - 10
    assert generated == 2 * systems - 9
    assert "144 answers were there" in done.err
    assert not file.exists()
    whole = place.run(line)
    assert len(calls) - 10 - generated == 2 * systems  # another evaluation measures anew
    mine, theirs = (query.find_run(d.json["run"]).folder / "out" / "answers.jsonl" for d in (done, whole))
    assert mine.read_bytes() == theirs.read_bytes()
    facts = [{s["part"]: s["facts"] for s in d.json["searches"]} for d in (done, whole)]
    assert facts[0] == facts[1]


def test_a_tuned_language_model_is_a_row_and_none_is_a_row_of_dashes(place: Workspace, asked: Path) -> None:
    line = f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json {FAST}"
    none = place.run(line)
    assert none.code == 0, none.err
    (row,) = [r for r in none.out.splitlines() if "tuned uncompressed LM" in r]
    assert row.split("LM")[1].split().count("--") >= 5
    table = place.run("irctl report --table acerag")
    assert "tuned uncompressed LM" in table.out and "none was named" in table.out, table.out
    own = place.run(f"{line} --set acerag.tuned_lm={asked}/lm --json")
    assert own.code == 0, own.err
    values = {(r["part"], r["measure"]): r["value"] for r in own.json["results"]}
    for measure in ("EM", "F1"):  # the frozen model itself: the row of the whole context
        assert values["tuned uncompressed LM", measure] == values["whole context", measure]
    (search,) = [s for s in own.json["searches"] if s["part"] == "tuned uncompressed LM"]
    assert search["facts"]["tokens"] == 32 and search["model"] == f"{asked}/lm" and not search["encoder"]


def test_a_tuned_language_model_with_other_tokens_is_refused(place: Workspace, asked: Path) -> None:
    other = place.folder / "other"
    tiny_lm._make_model("llama", 1, 40).save_pretrained(other)
    tiny_lm.make_tokenizer(tiny_lm.ENTITIES).save_pretrained(other)
    line = f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json {FAST}"
    done = place.run(f"{line} --set acerag.tuned_lm={other}")
    assert done.code == 3 and "acerag.tuned_lm" in done.err and "tokens, expected the" in done.err, done.err
    assert place.run(f"{line} --set acerag.tuned_lm={other}/none").code == 3
