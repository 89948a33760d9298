"""The files of the recall task, written once into the cache: data_files=recall and the like name them."""

from __future__ import annotations

from pathlib import Path

from irctl.data.contexts import recall
from irctl.data.files import made_once

TRAIN, TEST = 4000, 250
"""Contexts of which rows are made; QUESTIONS rows each, and one text each for pre-training."""
SEED, VERSION = 1, 2
FILES = {
    "recall": "recall-train.json",
    "recall-dev": "recall-dev.json",
    "recall-test": "recall.json",
    "recall-text": "recall-text.json",
}
"""What names them, and the files. Settings are chosen on recall-dev, and what is found is measured on recall-test."""


def find(name: str) -> Path | None:
    """The file that a name means, made if it is not there; None for other names."""
    if name not in FILES:
        return None
    key = {"task": recall.NAME, "version": VERSION, "train": TRAIN, "test": TEST, "seed": SEED}
    place = made_once.make_once(
        recall.NAME, made_once.key_of(key), lambda work: recall.write(work, train=TRAIN, test=TEST, seed=SEED)
    )
    return place / FILES[name]
