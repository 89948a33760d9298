"""ADORE from the command line: the query encoder alone is trained, and the pair is searched as it was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from word_collection import WORDS, word_collection
from workspace import Workspace

from irctl.data.vectors.open import open_vectors
from irctl.models import fitted_rows
from irctl.models.transforms.files import hash_texts

TRAIN = "train --method adore --batch 4 --lr 1e-2 --set adore.k=5 --set encoder.query_max_len=16"


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    return word_collection(place.folder / "words", train=range(0, 12, 2), dev=range(1, 12, 4), test=range(3, 12, 4))


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def trained(place: Workspace, words: str, in_process: None, kept: dict) -> dict:
    """One run for all tests: its record, its id, and what its command printed."""
    if not kept:
        made = place.ok(f"{TRAIN} --data {words} --epochs 3 --json").json
        kept.update(place.ok(f"runs show {made['run']} --json").json, run=made["run"], payload=made)
    return kept


def test_the_query_encoder_moves_and_the_vectors_stay(place: Workspace, trained: dict) -> None:
    made = trained["payload"]
    assert made["method"] == "adore" and made["loss"] == "lambdamrr" and made["steps"] == 6
    assert made["dev_before"] is not None, "dev is measured on the whole index"
    used = {a["kind"]: a for a in trained["artifacts"] if a["role"] == "in"}
    stream = open_vectors(used["embeddings"]["path"])
    assert stream.rows == len(WORDS) and used["model"]["sha256"] != made["model_fingerprint"]


def test_the_pair_is_evaluated_with_the_documents_of_the_untrained_encoder(
    place: Workspace, words: str, trained: dict
) -> None:
    run = trained["run"]
    vectors = next(a["path"] for a in trained["artifacts"] if a["kind"] == "embeddings")
    by_itself = place.ok(f"eval --model {run} --data {words} --split test --json").json
    by_index = place.ok(f"eval --model {run} --index {vectors} --data {words} --split test --json").json
    found = [place.ok(f"runs show {done['run']} --json").json["artifacts"] for done in (by_itself, by_index)]
    used = [next(a["path"] for a in artifacts if a["kind"] == "embeddings") for artifacts in found]
    assert used == [vectors, vectors]


def test_no_isotropy_is_measured_on_the_queries_that_it_was_trained_on(
    place: Workspace, words: str, trained: dict
) -> None:
    rows = fitted_rows.load(Path(trained["payload"]["model"]))
    assert set(rows) == set(hash_texts(WORDS[0:12:2]))
    done = place.ok(f"eval --model {trained['run']} --data {words} --split train --isotropy --json").json
    refused = {row["population"]: row.get("refused", "") for row in done["searches"][0]["isotropy"]}["queries"]
    assert "was fitted on all but 0 of 6 rows" in refused


def test_codes_of_the_untrained_documents_take_the_trained_queries(place: Workspace, words: str, trained: dict) -> None:
    vectors = next(a["path"] for a in trained["artifacts"] if a["kind"] == "embeddings")
    codes = place.ok(f"compress --data {vectors} --method sq --json").json
    place.ok(f"search --model {trained['run']} --index {codes['run']} --data {words} --split test --json")


def test_a_query_encoder_encodes_no_documents(place: Workspace, words: str, trained: dict) -> None:
    done = place.run(f"encode --model {trained['run']} --data {words}")
    assert done.code == 3 and "was trained as an encoder of queries alone" in done.err
    assert "--model sentence-transformers/all-MiniLM-L6-v2" in done.err
    assert place.ok(f"encode --model {trained['run']} --data {words} --side query --json").json["rows"]


def test_documents_of_another_encoder_are_refused(place: Workspace, words: str, trained: dict, tmp_path: Path) -> None:
    from irctl import config as settings
    from irctl.models.encoder import load_encoder

    other = load_encoder(settings.resolve())
    with __import__("torch").no_grad():
        next(other.module.parameters()).add_(1.0)
    other.save(tmp_path / "other")
    made = place.ok(f"encode --model {tmp_path / 'other'} --data {words} --json").json
    done = place.run(f"search --model {trained['run']} --index {made['folder']} --data {words} --split test")
    assert done.code == 3 and "was encoded by" not in done.out and "its weights differ" in done.err
    refused = place.run(f"{TRAIN} --data {words} --index {made['folder']} --max-steps 1")
    assert refused.code == 3 and "its weights differ" in refused.err
    # weights that were asked for may be another training's: that is what --init says
    place.ok(f"{TRAIN} --data {words} --index {made['folder']} --init {trained['run']} --max-steps 1 --json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--negatives x.jsonl", "data.negatives=x.jsonl (from option --negatives): --method adore retrieves its"),
        ("--set loss.inbatch=masked", "loss.inbatch=masked (from --set): --method adore compares a query with what"),
        ("--set train.gradient_checkpointing=true", "runs its encoder without dropout"),
        ("--loss distill", "distill follows the scores of a teacher"),
        ("--set adore.k=0", "adore.k: expected 1 or more, found 0"),
    ],
)
def test_what_has_no_effect_is_refused(place: Workspace, words: str, more: str, message: str) -> None:
    done = place.run(f"{TRAIN} --data {words} {more} --dry-run")
    assert done.code == 2 and message in done.err, done.err


def test_a_dry_run_says_what_is_retrieved_and_by_what_the_best_is_chosen(place: Workspace, words: str) -> None:
    plan = place.ok(f"{TRAIN} --data {words} --set train.warmup_steps=2 --epochs 3 --dry-run --json").json["plan"]
    assert plan["data"]["candidates"].startswith("5 retrieved a query at every step, of 12")
    assert plan["data"]["best checkpoint"] == "by 3 queries (dev) on the whole index"
    assert plan["steps"]["warm-up steps"] == 2 and plan["batch"]["negatives_per_query"] == 5


def test_where_dev_is_what_is_reported_some_training_queries_are_held_out(place: Workspace) -> None:
    data = word_collection(place.folder / "devwords", train=range(12))
    plan = place.ok(f"{TRAIN} --data {data} --dry-run --json").json["plan"]
    assert plan["data"]["queries"] == 6 and plan["data"]["best checkpoint"].startswith("by 6 queries (6 of train)")


def test_the_score_of_dev_is_that_of_an_evaluation(place: Workspace, words: str, trained: dict) -> None:
    done = place.ok(f"eval --model {trained['run']} --data {words} --split dev --measures nDCG@10 --json").json
    assert np.isclose(done["results"][0]["value"], trained["payload"]["dev_after"], atol=1e-6), done


def test_a_training_that_was_killed_goes_on_to_the_same_bytes(
    place: Workspace, words: str, in_process: None, trained: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.training.index.retrieving_method import RetrievingMethod

    score, steps = RetrievingMethod.score, []

    def dies(self: RetrievingMethod, batch: dict) -> object:
        steps.append(self.training)
        if sum(steps) == 5:  # of those in training
            raise KeyboardInterrupt
        return score(self, batch)

    monkeypatch.setattr(RetrievingMethod, "score", dies)
    line = f"{TRAIN} --data {words} --epochs 3 --set run.name=killed --json"
    assert place.run(line).code == 130
    monkeypatch.setattr(RetrievingMethod, "score", score)
    resumed = place.ok(line)
    assert "continuing" in resumed.err
    assert resumed.json["model_fingerprint"] == trained["payload"]["model_fingerprint"]
