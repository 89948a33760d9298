"""The rows of ragcun without a training: each runs on a made collection, as it stands but for names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_isotropy_recipes import COMMANDS
from toy_collections import beir_folder
from workspace import Workspace

CONVERT = "irctl data convert msmarco D --to pairs --max-train 500000"
TRAIN_ON_PAIRS = "irctl train --recipe ragcun-iso --data D/train.json --negatives none"
BEIR = "and 5 more (not on this machine)"
ROWS = [
    ("irctl data check msmarco", "data check toy", 0, "0 errors, 0 warnings"),
    (CONVERT, "data convert toy D --to pairs --max-train 500000", 0, "D/dev.json: 2 pairs"),
    (TRAIN_ON_PAIRS, f"{TRAIN_ON_PAIRS} --tiny --dry-run", 0, "queries: 4"),
    ("irctl hardneg", "hardneg --dry-run", 0, "negatives a query: "),
    # an evaluation that the rows after it speak of
    ("", "eval --data toy --split test --isotropy", 0, "nDCG@10"),
    ("irctl eval --model P --data all", "eval --data all --dry-run", 0, "cranfield test"),
    ("irctl eval --model P --data beir-14 --json > F", "eval --data beir-14 --dry-run --json", 3, BEIR),
    ("irctl eval --model P --data beir-18", "eval --data beir-18 --dry-run", 3, "robust04 (not public"),
    ("irctl eval --model latest:isotropy-paper --data beir-14",
     "eval --model latest:isotropy-paper --data beir-14 --dry-run", 3, BEIR),
    ("irctl runs show latest --follow", "runs show latest --follow", 0, "IsoScore"),
    ("irctl report --table isotropy", "report --table isotropy", 0, "IsoScore"),
    ("irctl report --table beir --format latex --columns avg,msmarco,scifact,fiqa,iso --dataset beir-15",
     "report --table beir --format latex --columns avg,msmarco,scifact,fiqa,iso --dataset beir-15", 3,
     "no evaluation on beir-15. Evaluated: toy"),
    ("irctl report --checklist isotropy-paper", "report --checklist isotropy-paper", 3, "no group of that recipe"),
    ("irctl doctor --preflight --recipe isotropy-iso", "doctor --preflight --recipe isotropy-iso --tiny", 0, "resume"),
    # of a group every arm trains: here its settings alone
    ("irctl doctor --preflight --recipe isotropy-paper", "doctor --recipe isotropy-paper --tiny", 0, "recipe memory"),
]  # fmt: skip
"""(row, the line that runs, its exit code, what it says). In this order: later ones read what earlier ones wrote."""
ELSEWHERE = {"irctl data fetch msmarco"}  # needs a network


@pytest.fixture(scope="module")
def toy(place: Workspace) -> Path:
    words = "wing flow shock heat drag lift cone plate".split()
    pairs = [(a, b) for a in words for b in words[:4]]
    parts = {"train": range(4), "dev": (4, 5), "test": (6, 7)}
    judged = {split: {f"q{i}": {f"d{4 * i}": 1} for i in at} for split, at in parts.items()}
    queries = {f"q{i}": f"what is {word}" for i, word in enumerate(words)}
    return beir_folder(
        place.folder / "toy", {f"d{i}": f"{a} of a {b}" for i, (a, b) in enumerate(pairs)}, queries, **judged
    )


def test_every_row_that_trains_nothing_is_run() -> None:
    assert {c for c in COMMANDS if not c.startswith("irctl train ")} - ELSEWHERE == {
        row for row, *_ in ROWS if row and row != TRAIN_ON_PAIRS
    }


@pytest.mark.slow
def test_each_runs_or_says_what_is_not_here(place: Workspace, toy: Path, in_process: None) -> None:
    for row, line, code, said in ROWS:
        done = place.run(line)
        assert done.code == code and said in done.out + done.err, f"{row}\n$ {line}\n{done.out}{done.err}"
    pairs = json.loads((place.folder / "D/train.json").read_text())
    assert pairs[0] == {"query": "what is wing", "positive": "wing of a wing"}
