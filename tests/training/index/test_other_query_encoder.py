"""Kept queries of an encoder other than the documents': the bundle takes it along, its model names the documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from word_collection import word_collection
from workspace import Workspace

JPQ = "train --method jpq --batch 8 --max-steps 2 --json"


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    return word_collection(place.folder / "words", train=range(0, 12, 2), dev=range(1, 12, 4), test=range(3, 12, 4))


@pytest.fixture(scope="module")
def codes(place: Workspace, words: str) -> Path:
    place.ok(f"encode --data {words}")
    made = place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0 --json")
    return Path(made.json["bundle"])


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def adore(place: Workspace, words: str, codes: Path, in_process: None, kept: dict) -> dict:
    """A query encoder trained against the documents' vectors."""
    if not kept:
        line = "train --method adore --batch 4 --lr 1e-2 --max-steps 2 --set adore.k=5 --set encoder.query_max_len=16"
        kept.update(place.ok(f"{line} --data {words} --json").json)
    return kept


def documents(folder: Path) -> dict:
    return json.loads((folder / "irctl.json").read_text())["documents"]


def weights(folder: Path) -> bytes:
    return next(folder.rglob("*.safetensors")).read_bytes()


def check(place: Workspace, words: str, made: dict, model: dict, codes: Path) -> dict:
    """That the bundle has the encoder and is searched by it alone; the evaluation on dev."""
    own, bundle = (
        Path(made["bundle"]) / "query_encoder",
        json.loads((Path(made["bundle"]) / "manifest.json").read_text()),
    )
    assert "query_encoder" in bundle and weights(own) == weights(Path(model["model"]))
    about = json.loads((codes / "manifest.json").read_text())["about"]
    for folder in (own, Path(made["model"])):
        said = documents(folder)
        assert said["model"] == about["model"] and said["encoder"]["weights"] == about["encoder"]["weights"]
        assert said["codes"]
    assert not list(Path(made["bundle"]).parent.glob(".*query_encoder*"))
    refused = place.run(f"search --index {made['run']} --model all-MiniLM-L6-v2 --data {words} --split test")
    assert refused.code == 3 and "belong to the query encoder in it" in refused.err
    return place.ok(f"eval --index {made['run']} --split dev --measures nDCG@10 --json").json


@pytest.mark.parametrize("side", ["adapter", "frozen"])
def test_distilled_codes_hold_the_encoder_of_their_queries(
    place: Workspace, words: str, codes: Path, adore: dict, side: str
) -> None:
    line = f"{JPQ} --loss distill --data {words} --index {codes} --model {adore['run']} --set jpq.query={side}"
    check(place, words, place.ok(line).json, adore, codes)


@pytest.mark.parametrize("side", ["adapter", "frozen"])
def test_judged_codes_hold_the_encoder_they_began_with_and_evaluate_as_dev_did(
    place: Workspace, words: str, codes: Path, adore: dict, side: str
) -> None:
    line = f"{JPQ} --set jpq.k=5 --data {words} --index {codes} --init {adore['run']} --set jpq.query={side}"
    made = place.ok(line).json
    measured = check(place, words, made, adore, codes)["results"][0]["value"]
    assert measured == pytest.approx(made["dev_after"], abs=1e-5)


def test_a_second_training_names_the_documents_of_the_first(
    place: Workspace, words: str, codes: Path, in_process: None
) -> None:
    line = f"{JPQ} --loss distill --data {words}"
    first = place.ok(f"{line} --index {codes} --set jpq.query=encoder").json
    for side in ("adapter", "frozen"):
        made = place.ok(f"{line} --index {first['bundle']} --set jpq.query={side}").json
        name = json.loads((codes / "manifest.json").read_text())["about"]["model"]
        assert documents(Path(made["model"]))["model"] == name
        owns = [json.loads((Path(b["bundle"]) / "manifest.json").read_text())["query_encoder"] for b in (first, made)]
        assert owns[0] == owns[1]
        place.ok(f"search --index {made['run']} --data {words} --split test")


@pytest.mark.parametrize("judged", [False, True])
def test_an_encoder_that_cuts_its_vectors_gets_no_map_after_the_cut(
    place: Workspace, words: str, codes: Path, in_process: None, monkeypatch: pytest.MonkeyPatch, judged: bool
) -> None:
    from irctl.models.encoder import TextEncoder

    monkeypatch.setattr(TextEncoder, "freeze", cut(TextEncoder.freeze))
    done = place.run(f"{JPQ} --data {words} --index {codes} {'--set jpq.k=5' if judged else '--loss distill'}")
    assert done.code == 2 and "cuts its vectors to 32 dimensions" in done.err, done.err


def cut(freeze):
    """An encoder opened for queries says that it cuts its vectors, as one with more dimensions would."""

    def frozen(self):
        self.module.truncate_dim = 32
        return freeze(self)

    return frozen
