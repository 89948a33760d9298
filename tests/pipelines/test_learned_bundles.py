"""A trained bundle by the command line alone: trained, evaluated, searched, exported, appended to and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from learning import opened
from toy_collections import beir_folder
from workspace import Workspace

pytestmark = pytest.mark.usefixtures("in_process")
WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()


def texts(n: int, seed: int, name: str) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {f"{name}{i}": " ".join(rng.choice(WORDS, rng.integers(3, 9))) for i in range(n)}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    queries = texts(12, 1, "q")
    judged = {q: {f"d{j}": 1 for j in range(60)} for q in queries}
    train, test = dict(list(judged.items())[:8]), dict(list(judged.items())[8:])
    return beir_folder(tmp_path_factory.mktemp("learned") / "toy", texts(300, 0, "d"), queries, train=train, test=test)


def test_each_step_of_a_learned_index_is_one_command(place: Workspace, toy: Path, tmp_path: Path) -> None:
    def ok(line: str) -> dict[str, Any]:
        return place.ok(f"{line} --json").json

    encoded = ok(f"encode --data {toy}")
    ok(f"compress --method opq --data {encoded['run']} --set opq.m=8 --set opq.bits=4")
    trained = ok(f"train --method jpq --loss distill --data {toy} --max-steps 6 --batch 8")
    bundle = opened(trained["bundle"])
    assert bundle.method == "learned" and bundle.trained_by == "jpq"
    found = ok(f"eval --index {trained['run']} --split test")
    named = ok("eval --index latest:learned --split test")
    assert [r["value"] for r in found["results"]] == [r["value"] for r in named["results"]]
    refused = place.run(f"search --index {trained['run']} --model {trained['run']} --split test")
    assert refused.code == 3 and "Leave out --model" in refused.err and refused.err.count("error:") == 1
    mapped = place.run(f"encode --model {trained['run']} --data {toy}")
    assert mapped.code == 3 and "an encoder of queries alone" in mapped.err
    dense = ok(
        f"eval --model {trained['run']} --data {toy} --split test"
    )  # its documents are those of the base encoder
    assert dense["results"][0]["value"] >= 0 and "compression" not in dense["searches"][0]
    exported = ok(f"export {trained['run']} --to faiss --out {tmp_path / 'a.faiss'}")
    index, queries = faiss.read_index(exported["export"]), np.eye(32, dtype=np.float32)[:4]
    scores, rows = index.search(queries, 300)
    expected = bundle.quantizer.scores(queries, bundle.take(np.arange(300)))
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, 1), rtol=1e-4, atol=1e-4)
    more = beir_folder(tmp_path / "more", texts(20, 2, "n"), {"q": "wing"})
    grown = ok(f"encode --codes --index {trained['run']} --append {more}")
    assert grown["added"] == 20 and opened(trained["bundle"]).rows == 320
    table = json.dumps(ok("report --table compression --mixed"))
    assert "+ jpq distill" in table and "+ learned" not in table


def test_stage_1_makes_a_model_its_codes_and_stage_2_goes_on_from_these(place: Workspace, toy: Path) -> None:
    def ok(line: str) -> dict[str, Any]:
        return place.ok(f"{line} --json").json

    encoded = ok(f"encode --data {toy}")
    ok(f"compress --method opq --data {encoded['run']} --set opq.m=4 --set opq.bits=3")
    steps = "--max-steps 2 --batch 8 --set repconc.negatives=1 --set eval.during=off --set loss.temperature=0.05"
    model = ok(f"train --method repconc --data {toy} {steps} --negatives none --set repconc.m=4 --set train.lr=1e-3")
    assert (Path(model["model"]) / "pq" / "quantizer.json").is_file()
    coded = ok(f"encode --codes --data {toy}")  # the newest model that was trained with codes
    first = opened(coded["bundle"])
    assert (first.trained_by, first.method, first.manifest["about"]["model"]) == ("repconc", "learned", model["run"])
    assert first.manifest["about"]["trained"]["run"] == model["run"]
    ok(f"eval --index {coded['run']} --split test")
    second = ok(f"train --method jpq --loss infonce --index {coded['run']} --data {toy} --max-steps 2 --batch 4")
    child = opened(second["bundle"])
    assert [p["sha256"] for p in child.parts] == [p["sha256"] for p in first.parts] and child.trained_by == "jpq"
    ok(f"eval --index {second['run']} --split test")
    table = json.dumps(ok("report --table compression --mixed"))
    assert "+ repconc infonce" in table and "+ jpq infonce" in table and "+ learned" not in table
