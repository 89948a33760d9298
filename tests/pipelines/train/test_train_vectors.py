"""`irctl train --method jpq --loss distill` from vectors alone: no text, no encoder, no judgement."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from compressing import save_vectors, vectors
from learning import opened
from workspace import Workspace

TRAIN = "train --method jpq --loss distill --data x.npy --max-steps 40 --batch 64"


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def trained(place: Workspace, in_process: None, kept: dict) -> dict:
    """OPQ codes of 1,500 vectors, and a training against them found by lineage."""
    if not kept:
        save_vectors(place.folder / "x.npy", 1500)
        sets = "--set opq.m=16 --set opq.bits=4 --set opq.iterations=2 --set compress.batch=500"
        made = place.ok(f"compress --data x.npy --method opq --stream {sets} --json").json
        done = place.ok(f"{TRAIN} --json").json
        kept.update(parent=opened(made["bundle"]), payload=done, bundle=opened(done["bundle"]))
    return kept


def test_codes_stay_and_the_query_side_moves(trained: dict) -> None:
    parent, child = trained["parent"], trained["bundle"]
    assert [p["sha256"] for p in child.parts] == [p["sha256"] for p in parent.parts]
    assert child.manifest["parent"]["manifest"] == parent.fingerprint
    assert child.manifest["about"]["trained"] | {"run": ""} == {
        "method": "jpq", "run": "", "loss": "distill", "query": "adapter"
    }  # fmt: skip
    quantizer = child.quantizer
    assert np.array_equal(quantizer.centroids_MKd, parent.quantizer.centroids_MKd)
    assert not np.allclose(quantizer.query_centroids_MKd, quantizer.centroids_MKd, atol=1e-3)
    assert 1e-4 < np.abs(quantizer.query_map_DD - np.eye(child.dim)).max() < 0.5


def test_codes_find_more_of_what_the_vectors_find_than_before(trained: dict) -> None:
    parent, child = trained["parent"], trained["bundle"]
    documents_ND = vectors(1500)
    noise_QD = np.random.default_rng(9).standard_normal((150, documents_ND.shape[1])).astype(np.float32)
    queries_QD = documents_ND[::10] + 0.15 * noise_QD
    exact_Qk = np.argsort(-(queries_QD @ documents_ND.T), axis=1, kind="stable")[:, :10]

    def overlap(bundle) -> float:
        codes = bundle.take(np.arange(bundle.rows))
        rows_Qk = bundle.quantizer.search(queries_QD, codes, 10)[1]
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows_Qk, exact_Qk, strict=True)])

    assert overlap(child) > overlap(parent) + 0.005


def test_the_ledger_knows_the_parent_and_the_child_and_no_model_is_made_up(place: Workspace, trained: dict) -> None:
    shown = place.ok(f"runs show {trained['payload']['run']} --json").json
    bundles = {a["role"]: a for a in shown["artifacts"] if a["kind"] == "bundle"}
    assert bundles["in"]["sha256"] == trained["parent"].fingerprint
    assert bundles["out"]["sha256"] == trained["bundle"].fingerprint
    assert not any(a["kind"] == "model" for a in shown["artifacts"]) and "model" not in trained["payload"]
    run = Path(trained["payload"]["bundle"]).parent
    assert trained["payload"]["bundle"] == str(run / "bundle") and not (run / "model").exists()


def test_query_vectors_of_a_file_are_trained_on(place: Workspace, trained: dict, in_process: None) -> None:
    np.save(place.folder / "q.npy", vectors(40, seed=5))
    line = f"{TRAIN} --set jpq.texts=q.npy --set jpq.queries=texts"
    plan = place.ok(f"{line} --dry-run --json").json["plan"]
    assert "40 vectors of" in plan["data"]["queries"] and plan["data"]["candidates"].startswith("all")
    done = place.ok(f"{line} --json").json
    assert opened(done["bundle"]).quantizer.has_query_side


def test_the_same_command_trains_the_same_bytes(place: Workspace, trained: dict, in_process: None) -> None:
    again = opened(place.ok(f"{TRAIN} --json").json["bundle"])
    first, second = (
        hashlib.sha256((b.folder / "pq" / "quantizer.json").read_bytes()).digest() for b in (trained["bundle"], again)
    )
    assert first == second
