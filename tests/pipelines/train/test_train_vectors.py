"""`irctl train --method jpq --loss distill` from vectors alone: no text, no encoder, no judgement."""

from __future__ import annotations

import shutil
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
    assert shown["model"] == ""
    assert not any(a["kind"] == "model" for a in shown["artifacts"]) and "model" not in trained["payload"]
    run = Path(trained["payload"]["bundle"]).parent
    assert trained["payload"]["bundle"] == str(run / "bundle") and not (run / "model").exists()


def test_a_folder_for_the_model_is_refused_where_there_will_be_none(
    place: Workspace, trained: dict, in_process: None
) -> None:
    for line in (TRAIN, f"{TRAIN} --dry-run"):
        done = place.run(f"{line} --out kept")
        assert done.code == 2 and "--out kept: is for the trained model" in done.err, done.err
    assert not (place.folder / "kept").exists()


def test_query_vectors_of_a_file_are_trained_on(place: Workspace, trained: dict, in_process: None) -> None:
    np.save(place.folder / "q.npy", vectors(40, seed=5))
    line = f"{TRAIN} --set jpq.texts=q.npy --set jpq.queries=texts"
    plan = place.ok(f"{line} --dry-run --json").json["plan"]
    assert plan["memory"]["codes"] == "0.0 MiB" and "64 queries x 1500 candidates" in plan["memory"]["a step"]
    assert "40 vectors of" in plan["data"]["queries"] and plan["data"]["candidates"].startswith("all")
    done = place.ok(f"{line} --json").json
    assert opened(done["bundle"]).quantizer.has_query_side


def test_the_same_command_trains_the_same_bytes(place: Workspace, trained: dict, in_process: None) -> None:
    again = Path(place.ok(f"{TRAIN} --json").json["bundle"]).parent
    assert side_of(again) == side_of(trained["bundle"].folder.parent)


def test_documents_are_coded_anew_at_the_end_where_that_is_asked_for(
    place: Workspace, trained: dict, in_process: None
) -> None:
    child = opened(place.ok(f"{TRAIN} --set jpq.reassign=end --json").json["bundle"])
    quantizer = child.quantizer
    assert np.array_equal(quantizer.centroids_MKd, trained["bundle"].quantizer.query_centroids_MKd)
    assert quantizer.query_centroids_MKd is None and quantizer.query_map_DD is not None
    codes_NC = child.take(np.arange(child.rows))
    assert np.array_equal(codes_NC, quantizer.encode(vectors(1500))), "nearest of the trained centroids"
    assert not np.array_equal(codes_NC, trained["parent"].take(np.arange(child.rows)))
    assert child.verify() == len(child.parts) and list(child.ids) == list(trained["parent"].ids)


def test_a_training_that_was_cut_off_goes_on_to_the_same_bytes(
    place: Workspace, trained: dict, in_process: None
) -> None:
    line = f"{TRAIN} --set train.save=20 --json"
    made = place.ok(line).json
    folder = Path(made["bundle"]).parent
    whole = side_of(folder)
    shutil.rmtree(folder / "checkpoints" / "step-40")
    shutil.rmtree(folder / "bundle")
    again = place.ok(f"{line} --resume {made['run']}")
    assert side_of(folder) == whole == side_of(Path(trained["payload"]["bundle"]).parent), again.err


def side_of(run: Path) -> bytes:
    """What the trained quantizer says of itself: hashes of all its arrays."""
    return (run / "bundle" / "pq" / "quantizer.json").read_bytes()


@pytest.mark.slow
def test_two_processes_train_the_same_bytes_as_one(place: Workspace, trained: dict) -> None:
    made = place.ok(f"{TRAIN} --set hardware.devices=2 --json").json
    assert side_of(Path(made["bundle"]).parent) == side_of(Path(trained["payload"]["bundle"]).parent)


def test_codes_of_zeros_are_refused(place: Workspace, in_process: None) -> None:
    np.save(place.folder / "zeros.npy", np.zeros((300, 16), np.float32))
    made = place.ok("compress --data zeros.npy --method pq --set pq.m=4 --set pq.bits=2 --json").json
    done = place.run(f"train --method jpq --loss distill --data zeros.npy --index {made['run']} --max-steps 2")
    assert done.code == 3 and "all centroids are 0" in done.err
