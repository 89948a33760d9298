"""RepCONC from the command line: bundle and negatives by lineage, what is saved, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_collections import beir_folder
from word_collection import WORDS
from workspace import Workspace

from irctl.ledger import query
from irctl.quantizers.learned import Quantizer

TRAIN = (
    "train --method repconc --batch 4 --lr 1e-3 --set repconc.negatives=2 --set repconc.centroid_lr=1e-2 "
    "--set encoder.query_max_len=16 --set encoder.passage_max_len=16"
)
COMPRESS = "compress --method opq --set opq.m=8 --set opq.bits=2 --set opq.iterations=2"


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    """48 documents: word i twice, and one of four others. Query i is word i; its documents are the four."""
    documents = {f"d{i}": f"{WORDS[i // 4]} {WORDS[i // 4]} {WORDS[(i // 4 + i % 4 + 1) % 12]}" for i in range(48)}
    queries = {f"q{i}": word for i, word in enumerate(WORDS)}
    splits = {"train": range(0, 12, 2), "dev": range(1, 12, 4), "test": range(3, 12, 4)}
    judged = {name: {f"q{i}": {f"d{4 * i}": 1, f"d{4 * i + 1}": 1} for i in of} for name, of in splits.items()}
    return str(beir_folder(place.folder / "words", documents, queries, **judged))


@pytest.fixture(scope="module")
def warm_up(place: Workspace, words: str) -> dict:
    """The bundle that training starts from, and negatives mined from it."""
    encoded = place.ok(f"encode --data {words} --set encoder.passage_max_len=16 --json").json
    made = place.ok(f"{COMPRESS} --data {encoded['folder']} --json").json
    mined = place.ok(
        f"hardneg --index {made['run']} --split train --data {words} --set encoder.query_max_len=16 --json"
    ).json
    return {"bundle": made["run"], "negatives": mined, "vectors": encoded["folder"]}


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def trained(place: Workspace, words: str, warm_up: dict, in_process: None, kept: dict) -> dict:
    """One run for all tests: its record, and what its command printed."""
    if not kept:
        done = place.ok(f"{TRAIN} --data {words} --epochs 4 --json")
        kept.update(place.ok(f"runs show {done.json['run']} --json").json, payload=done.json, said=done.err)
    return kept


def test_bundle_and_negatives_are_found_by_lineage_and_recorded(trained: dict, warm_up: dict) -> None:
    assert f"bundle: run {warm_up['bundle']}" in trained["said"]
    used = {a["kind"]: a for a in trained["artifacts"] if a["role"] == "in"}
    assert {"bundle", "model", "negatives", "collection"} <= used.keys()


def test_the_model_holds_the_trained_centroids_and_the_ledger_how_even_the_codes_were(
    trained: dict, warm_up: dict, place: Workspace
) -> None:
    saved = Quantizer.load(Path(trained["payload"]["model"]) / "pq")
    bundle = next(a["path"] for a in trained["artifacts"] if a["role"] == "in" and a["kind"] == "bundle")
    start = np.load(Path(bundle) / "pq" / "centroids.npy")
    assert saved.centroids_MKd.shape == start.shape and not np.allclose(saved.centroids_MKd, start)
    assert np.array_equal(saved.rotation_ED, np.load(Path(bundle) / "pq" / "rotation.npy"))
    names = {m["name"] for m in query.metrics(trained["id"]) if m["step"] is None}
    assert {"row_error.mean", "imbalance.average.mean", "imbalance_nearest.average.mean", "loss.mse"} <= names
    about = json.loads((Path(trained["payload"]["model"]) / "irctl.json").read_text())
    assert about["codes"]["m"] == 8 and about["codes"]["bits"] == 2


def test_slices_that_contradict_the_bundle_are_a_usage_error(place: Workspace, words: str, warm_up: dict) -> None:
    done = place.run(f"{TRAIN} --data {words} --index {warm_up['bundle']} --set repconc.m=4")
    assert done.code == 2 and "m=8, asked for is 4" in done.err


def test_fewer_passages_than_centroids_are_a_usage_error_with_the_cures(
    place: Workspace, words: str, warm_up: dict
) -> None:
    line = f"{TRAIN} --data {words} --set batch.global=1 --dry-run"
    done = place.run(line)
    assert done.code == 2 and "1 query of 3 passages, 3 in all, cannot be spread evenly over 4 centroids" in done.err
    assert "repconc.queue" in done.err and "repconc.constraint=false" in done.err
    place.ok(f"{line} --set repconc.constraint=false")
    place.ok(f"{line} --set repconc.queue=16")


def test_a_group_size_beside_the_number_of_negatives_is_a_usage_error(place: Workspace, words: str) -> None:
    done = place.run(f"{TRAIN} --data {words} --set data.group_size=5")
    assert done.code == 2 and "repconc.negatives=2 makes groups of 3" in done.err


def test_another_encoder_than_that_of_the_codes_is_refused(place: Workspace, words: str, warm_up: dict) -> None:
    done = place.run(
        f"{TRAIN} --data {words} --index {warm_up['bundle']} --set encoder.pooling=cls --set encoder.override=true"
    )
    assert done.code == 3 and "another model" in done.err


def test_the_dry_run_says_bundle_codes_and_what_chooses(place: Workspace, words: str, warm_up: dict) -> None:
    said = place.ok(f"{TRAIN} --data {words} --dry-run").out
    assert "8 slices, 4 centroids each" in said and "100 nearest to each, coded" in said


def test_codes_of_transformed_vectors_are_no_start(place: Workspace, words: str, warm_up: dict) -> None:
    made = place.ok(f"{COMPRESS} --data {warm_up['vectors']} --set transform.name=soft_whiten --json").json["run"]
    done = place.run(f"{TRAIN} --data {words} --index {made} --dry-run")
    assert done.code == 2 and "codes of transformed vectors" in done.err
    assert place.ok(f"{TRAIN} --data {words} --dry-run").out, "by lineage the newest without a transform is taken"
