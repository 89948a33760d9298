"""The files of the entities task: a BEIR folder, answers, a run of the right passages, and rows to train on.

`irctl data fetch entities` makes them once, in the cache; `--data FOLDER` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from irctl.data import draws
from irctl.data.contexts import entities
from irctl.data.files import made_once

SEED, VERSION = 1, 1
TRAIN, TEST = 2000, 300
"""Entities that rows are made of, QUESTIONS each, and other ones that the collection holds, one question each."""
CARD = 'name = "entities"\nlicense = "made from a seed"\n\n[headline]\nmeasure = "nDCG@10"\nsplit = "test"\n'


def folder() -> Path:
    """The folder, made if it is not there."""
    key = {"task": entities.NAME, "version": VERSION, "train": TRAIN, "test": TEST, "seed": SEED}
    return made_once.make_once(
        entities.NAME, made_once.key_of(key), lambda work: write(work, train=TRAIN, test=TEST, seed=SEED)
    )


def write(folder: Path, *, train: int, test: int, seed: int) -> dict[str, Any]:
    """Every file; the passages, and the rows to train on. No name of the one is in the other."""
    asked_of = list(entities.draw(test, seed, "test"))
    names = {entity.name for entity in asked_of}
    asked = {
        entity.name: list(entities.ATTRIBUTES)[
            draws.number(entities.NAME, seed, entity.name) % len(entities.ATTRIBUTES)
        ]
        for entity in asked_of
    }
    ids = range(1, test + 1)
    _write_lines(
        folder / "corpus.jsonl", ({"_id": f"p{i}", "text": e.passage} for i, e in zip(ids, asked_of, strict=True))
    )
    questions = [e.question(asked[e.name]) for e in asked_of]
    _write_lines(folder / "queries.jsonl", ({"_id": f"q{i}", "text": q} for i, q in zip(ids, questions, strict=True)))
    (folder / "qrels").mkdir()
    judged = "".join(f"q{i}\tp{i}\t1\n" for i in ids)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    answers = {f"q{i}": [e.values[asked[e.name]]] for i, e in zip(ids, asked_of, strict=True)}
    (folder / "answers.json").write_text(json.dumps(answers))
    (folder / "gold.trec").write_text("".join(f"q{i} Q0 p{i} 1 1.0 gold\n" for i in ids))
    (folder / "words.json").write_text(json.dumps(entities.WORDS))
    (folder / "card.toml").write_text(CARD)
    rows = _write_lines(folder / "rag-qa.json", entities.rows(train, seed, "train", without=names))
    return {"passages": test, "rows": rows}


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> int:
    with path.open("w") as file:
        return sum(1 for record in records if file.write(json.dumps(record) + "\n"))
