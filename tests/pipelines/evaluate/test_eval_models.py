"""`irctl eval` of models, as command lines: checkpoints overwritten in place, several processes, evaluation files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl.data.collections.cards import load_card
from irctl.metrics.ranking.parsing import parse
from irctl.pipelines.evaluate.targets import _choose_preset

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()


@pytest.fixture(scope="module", autouse=True)
def toy(place: Workspace) -> None:
    """`toy`, 120 documents and 30 queries of random words with graded judgements, and `eval.json`."""
    folder = place.folder
    rng = np.random.default_rng(0)
    documents = {f"d{i}": " ".join(rng.choice(WORDS, 8)) for i in range(120)}
    queries = {f"q{i}": " ".join(rng.choice(WORDS, 4)) for i in range(30)}
    judged = {
        split: {q: {f"d{d}": rng.choice(grades) for d in rng.choice(120, 6, replace=False)} for q in queries}
        for split, grades in (("test", (1, 2, 3)), ("dev", (1,)))
    }
    beir_folder(folder / "toy", documents, queries, **judged)
    one = {"corpus_path": "toy/corpus.jsonl", "query_path": "toy/queries.jsonl", "corpus_cache": "ignored"}
    splits = {"dev": one | {"qrel_path": "toy/qrels/dev.tsv"}, "trec20": one | {"qrel_path": ["toy/qrels/test.tsv"]}}
    (folder / "eval.json").write_text(json.dumps({"msmarco": splits, "toy": one | {"qrel_path": "toy/qrels/test.tsv"}}))


def results(done: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(r["split"], r["measure"]): r["value"] for r in done["results"]}


def weights(folder: Path) -> Path:
    return next(folder.rglob("model.safetensors"))


def other_weights(encoder: Path, folder: Path) -> bytes:
    """Weights of the same names and sizes with other values."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder), device="cpu")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save(str(folder))
    return weights(folder).read_bytes()


def test_a_checkpoint_overwritten_in_place_gives_other_metrics_without_any_flag(
    place: Workspace, tiny_encoder: Path, tmp_path: Path
) -> None:
    model = place.folder / "model"
    shutil.copytree(tiny_encoder, model)
    line = f"eval --model {model} --data toy --json"
    first, again = (place.ok(line).json for _ in range(2))
    assert results(first) == results(again) and first["run"] != again["run"]
    file, before = weights(model), weights(model).read_bytes()
    stat, replaced = file.stat(), other_weights(tiny_encoder, tmp_path / "other")
    assert len(replaced) == len(before)
    with file.open("r+b") as f:  # the same file, size and time of modification
        f.write(replaced)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    changed = place.ok(line).json
    assert all(results(changed)[cell] != value for cell, value in results(first).items())
    assert {r["run_sha256"] for r in changed["results"]}.isdisjoint({r["run_sha256"] for r in first["results"]})
    file.write_bytes(before)
    assert results(place.ok(line).json) == results(first)


def test_several_workers_evaluate_to_the_numbers_of_one(place: Workspace, shares_here: list[str]) -> None:
    line = "eval --data toy --json --set search.block=16 --set encoder.shard_rows=60 --set search.k=50"
    one = place.ok(line).json
    shutil.rmtree(Path(os.environ["IRCTL_CACHE"]) / "emb")
    two = place.ok(f"{line} --devices 0-1").json
    assert {*shares_here} == {"encode_share:2", "search_share:2"}
    assert results(two) == results(one)
    # encoded anew, so a last bit may differ with where in memory a batch lies: scores by rank, not bytes
    scores = [np.loadtxt(Path(d["run_dir"]) / "out" / "run.trec.gz", usecols=4) for d in (one, two)]
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)


def test_a_prompt_of_one_data_set_counts_there_and_nowhere_else(place: Workspace) -> None:
    line = "eval --data toy,eval.json:msmarco --split dev --json"

    def rankings(*sets: str) -> dict[str, str]:
        done = place.ok(" ".join([line, *(f"--set '{s}'" for s in sets)])).json
        return {r["dataset"]: r["run_sha256"] for r in done["results"]}

    plain, own = rankings(), rankings("prompts.toy.query=wing flutter: ")
    assert plain["toy"] == plain["msmarco"], "the same documents and queries"
    assert own["msmarco"] == plain["msmarco"] and own["toy"] != plain["toy"]
    assert rankings("encoder.query_prompt=wing flutter: ") == {"toy": own["toy"], "msmarco": own["toy"]}


def test_a_set_of_an_evaluation_file_is_scored_on_the_splits_asked_for(place: Workspace) -> None:
    folder = results(place.ok("eval --data toy --split test --json").json)
    by_file = place.ok("eval --data eval.json:toy --json").json
    assert results(by_file) == folder and by_file["results"][0]["dataset"] == "toy"
    both = place.ok("eval --data eval.json:msmarco --split dev,trec20 --json").json
    found = results(both)
    assert {m for s, m in found if s == "dev"} == {"nDCG@10", "RR@10", "R@100"}
    assert ("trec20", "RR(rel=2)@10") in found and ("trec20", "RR@10") not in found, "grade 2 counts in TREC DL"
    assert found["trec20", "nDCG@10"] == folder["test", "nDCG@10"]
    assert both["average"]["datasets"] == ["msmarco dev", "msmarco trec20"]


@pytest.mark.parametrize("split", ("trec19", "trec20"))
def test_the_tracks_beside_msmarco_dev_have_no_measure_of_grade_1(split: str) -> None:
    measures = parse(_choose_preset(load_card("msmarco"), split, "trec"))
    assert all(m.rel == 2 for m in measures if m.family != "nDCG") and len(measures) == 5
    assert "RR@10" in {m.name for m in parse(_choose_preset(load_card("msmarco"), "dev", "trec"))}


def test_an_unknown_set_of_an_evaluation_file_names_the_nearest(place: Workspace) -> None:
    done = place.run("eval --data eval.json:msmarko")
    assert done.code == 2 and "Did you mean 'msmarco'" in done.err and len(done.err.splitlines()) == 1
