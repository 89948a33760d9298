"""Regularizers from the command line, with every method: values, N and shares are logged, idle ones refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_collections import beir_folder
from word_collection import WORDS
from workspace import Workspace

from irctl.ledger import query
from irctl.pipelines.train.regularizer_lines import CALLED
from irctl.training.run_files import journal

ADDED = "--set train.regularizer=gor:.1,sigreg:.02 --set regularizer.sigreg.slices=32"
SHORT = "--max-steps 2 --set encoder.query_max_len=16 --set encoder.passage_max_len=16"
BOTH, QUERIES = {"rows.queries": 4, "rows.passages": 4}, {"rows.queries": 4}
METHODS = {
    "dense": ("--method dense --negatives none --set data.group_size=1 --batch 4", BOTH),
    "sycl": ("--method sycl --negatives none --batch 4", {"rows.queries": 4, "rows.passages": 8}),
    "isotropic": ("--method isotropic --negatives none --batch 4 --set model.output_dim=16", BOTH),
    "frozen base": (
        "--method dense --negatives none --batch 4 --set model.output_dim=base --set model.freeze_base=true",
        BOTH,
    ),
    "repconc": (
        "--method repconc --index {codes} --batch 4 --negatives none --set data.short=pad",
        BOTH,
    ),
    "adore": ("--method adore --batch 4 --set adore.k=5", QUERIES),
    "jpq judged adapter": ("--method jpq --index {codes} --batch 4 --set jpq.k=5", QUERIES),
    "jpq judged encoder": ("--method jpq --index {codes} --batch 4 --set jpq.k=5 --set jpq.query=encoder", QUERIES),
    "jpq distill": ("--method jpq --loss distill --index {codes} --batch 8", QUERIES),
    "jpq distill pseudo": (
        "--method jpq --loss distill --index {codes} --batch 8 --set jpq.queries=pseudo",
        {"rows.queries": 8},
    ),
    "jpq distill encoder": ("--method jpq --loss distill --index {codes} --batch 8 --set jpq.query=encoder", QUERIES),
}
"""A short training of each, and the rows of its first step."""


@pytest.fixture(scope="module")
def words(place: Workspace) -> str:
    """24 documents: word i twice, and one of two others. Query i is word i; its documents are the two."""
    documents = {f"d{i}": f"{WORDS[i // 2]} {WORDS[i // 2]} {WORDS[(i // 2 + i % 2 + 1) % 12]}" for i in range(24)}
    queries = {f"q{i}": word for i, word in enumerate(WORDS)}
    judged = {f"q{i}": {f"d{2 * i}": 1, f"d{2 * i + 1}": 1} for i in range(8)}
    return str(beir_folder(place.folder / "words", documents, queries, train=judged, test={"q9": {"d18": 1}}))


@pytest.fixture(scope="module")
def codes(place: Workspace, words: str) -> Path:
    place.ok(f"encode --data {words} --set encoder.passage_max_len=16")
    made = place.ok("compress --data latest --method pq --set pq.m=8 --set pq.bits=3 --set compress.probe=0 --json")
    return Path(made.json["bundle"])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_with_regularizers(
    place: Workspace, words: str, codes: Path, in_process: None, name: str
) -> None:
    options, rows = METHODS[name]
    command = f"train {options.format(codes=codes)} --data {words} {SHORT} {ADDED}"
    planned = place.ok(f"{command} --dry-run --json").json["plan"]["regularizers"]
    expected = " and ".join(f"{n} {CALLED[name.removeprefix('rows.')]}" for name, n in rows.items())
    assert planned["gor"].startswith(f"weight 0.1, rows of the first loss batch: {expected}")
    assert planned["sigreg"].endswith(", slices 32")
    made = place.ok(f"{command} --json").json
    metrics = Path(place.folder / "runs" / made["run"] / "metrics.jsonl")
    steps = journal.steps(metrics)
    assert {k: v for k, v in steps[1].items() if k.startswith("rows.")} == rows
    assert steps[1]["loss.gor"] >= 0 and steps[1]["loss.sigreg"] > 0
    (told,) = (e for e in journal.events(metrics) if e["event"] == "regularizers")
    assert set(told["shares"]) == {"gor", "sigreg"} and all(0 <= share <= 2 for share in told["shares"].values())
    assert told["shares"]["sigreg"] > 0 and made["regularizers"] == told["shares"]
    recorded = {m["name"]: m["value"] for m in query.metrics(made["run"]) if m["step"] is None}
    assert recorded["gradient_share.gor"] == told["shares"]["gor"] and recorded["loss.sigreg"] > 0


def test_vectors_that_a_frozen_encoder_makes_are_refused(
    place: Workspace, words: str, codes: Path, in_process: None
) -> None:
    options = METHODS["repconc"][0].format(codes=codes)
    done = place.run(f"train {options} --data {words} {SHORT} {ADDED} --set model.freeze_base=true")
    assert done.code == 2 and "model.freeze_base (from --set): nothing is left to train" in done.err


def test_a_last_batch_that_is_too_small_is_said_before_training(place: Workspace, words: str) -> None:
    command = f"train --method dense --negatives none --batch 7 --data {words} --dry-run --json"
    said = place.ok(f"{command} --set train.regularizer=gor:.1").json["plan"]["notices"]
    assert any("the last batch of an epoch has 1 query, fewer than a regularizer needs" in line for line in said)
    assert "regularizers" not in place.ok(command).json["plan"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--method jpq --set jpq.query=frozen", "Set jpq.query=adapter or encoder"),
        ("--method jpq --loss distill --set jpq.query=frozen", "Set jpq.query=adapter or encoder"),
        ("--method adore --set train.regularizer_rows=separate", "Set train.regularizer_rows=queries"),
        ("--method jpq --set train.regularizer_rows=joint", "Set train.regularizer_rows=queries"),
        ("--method dense --set train.regularizer_rows=query", "expected one of separate, joint, queries, passages"),
        ("--method dense --set regularizer.gro.w=1", "no regularizer named 'gro'"),
        ("--method dense --set train.regularizer=gro", "Did you mean 'gor'?"),
    ],
)
def test_what_would_move_nothing_is_refused_before_training(
    place: Workspace, words: str, options: str, said: str
) -> None:
    done = place.run(f"train --set train.regularizer=gor:.1 {options} --data {words} --dry-run")
    assert done.code == 2 and said in done.err
