"""Distillation with jpq.query=encoder: texts go through the encoder, the teacher keeps the vectors it made before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from word_collection import WORDS, word_collection
from workspace import Workspace

from irctl.index.bundle import open_bundle
from irctl.models import fitted_rows
from irctl.models.transforms.files import hash_texts
from irctl.pipelines.references.bundles import load_quantizer

TRAIN = "train --method jpq --loss distill --set jpq.query=encoder --batch 8 --max-steps 4 --lr 1e-3"


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    return word_collection(place.folder / "words", train=range(0, 12, 2), test=range(1, 12, 2))


@pytest.fixture(scope="module")
def codes(place: Workspace, words: str) -> Path:
    place.ok(f"encode --data {words}")
    made = place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0 --json")
    return Path(made.json["bundle"])


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def trained(place: Workspace, words: str, codes: Path, in_process: None, kept: dict) -> dict:
    if not kept:
        kept.update(place.ok(f"{TRAIN} --data {words} --json").json)
    return kept


def test_encoder_and_centroids_move_and_codes_stay(place: Workspace, codes: Path, trained: dict) -> None:
    parent, child = (open_bundle(Path(p), load_quantizer) for p in (codes, trained["bundle"]))
    assert [p["sha256"] for p in child.parts] == [p["sha256"] for p in parent.parts]
    moved = np.abs(child.quantizer.query_centroids_MKd - parent.quantizer.centroids_MKd).max()
    assert moved > 1e-4 and child.quantizer.query_map_DD is None
    start = next((place.folder / "site").rglob("model.safetensors")).read_bytes()
    own = next((Path(trained["bundle"]) / "query_encoder").rglob("*.safetensors")).read_bytes()
    assert own == next(Path(trained["model"]).rglob("*.safetensors")).read_bytes() != start


def test_the_model_names_the_texts_that_taught_it(
    place: Workspace, words: str, codes: Path, in_process: None, trained: dict
) -> None:
    line = f"train --method jpq --loss distill --set jpq.query=adapter --max-steps 2 --data {words} --index {codes}"
    for made in (trained, place.ok(f"{line} --json").json):
        assert set(fitted_rows.load(Path(made["model"]))) == set(hash_texts(WORDS[0:12:2]))


def test_the_bundle_is_searched_by_its_own_encoder(place: Workspace, trained: dict) -> None:
    done = place.ok(f"search --index {trained['run']} --split test --json").json
    assert done["model"].endswith("query_encoder")
    refused = place.run(f"search --index {trained['run']} --model all-MiniLM-L6-v2 --split test")
    assert refused.code == 3 and "belong to the query encoder in it" in refused.err


def test_a_training_cut_off_goes_on_to_the_same_bytes(
    place: Workspace, words: str, in_process: None, trained: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.training.index.distilling_encoder import DistillingEncoder

    score, steps = DistillingEncoder.score, []

    def dies(self: DistillingEncoder, batch: dict) -> object:
        steps.append(self.training)
        if sum(steps) == 4:
            raise KeyboardInterrupt
        return score(self, batch)

    monkeypatch.setattr(DistillingEncoder, "score", dies)
    line = f"{TRAIN} --data {words} --set run.name=cut"
    assert place.run(line).code == 130
    monkeypatch.setattr(DistillingEncoder, "score", score)
    done = place.ok(f"{line} --json")
    assert "continuing" in done.err and done.json["model_fingerprint"] == trained["model_fingerprint"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--set jpq.queries=pseudo", "jpq.query=encoder: not with jpq.queries=pseudo"),
        ("--set jpq.reassign=end", "jpq.query=encoder: not with jpq.reassign=end"),
        ("--set data.group_size=4", "--loss distill reads no judgement. Drop it"),
        ("--set train.gradient_checkpointing=true", "runs its encoder without dropout"),
        ("--set jpq.texts=x.npy", "x.npy is vectors, not texts"),
    ],
)
def test_what_an_encoder_cannot_read_is_refused(
    place: Workspace, words: str, codes: Path, more: str, message: str
) -> None:
    np.save(place.folder / "x.npy", np.ones((4, 32), np.float32))
    done = place.run(f"{TRAIN} --data {words} {more} --dry-run")
    assert done.code == 2 and message in done.err, done.err
