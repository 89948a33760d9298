"""A passage is its text, not its id: copies are found once a corpus, and never are a negative of their text's query."""

from __future__ import annotations

from pathlib import Path

import folders
import numpy as np
import pytest

from irctl import config
from irctl.data.collections.check import check_folder
from irctl.data.collections.open import open_collection
from irctl.data.collections.training_source import JudgedSplit
from irctl.data.groups.group_source import GroupSource
from irctl.data.groups.report import describe
from irctl.data.judgements.negatives import write_negatives
from irctl.data.texts import copies as module
from irctl.data.texts.copies import open_copies
from irctl.data.texts.store import TextPool, open_texts
from irctl.training.groups.batches import GroupBatches
from irctl.training.groups.sources import groups_of

TEXTS = ["heat", "wing", " heat", "", "flow", "", "wing"]  # d0 = d2, d1 = d6; the empty ones are no copies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"_id": f"d{i}", "title": "t" if i == 6 else "", "text": t} for i, t in enumerate(TEXTS)]
    folders.jsonl(tmp_path / "c/corpus.jsonl", rows)
    folders.jsonl(tmp_path / "c/queries.jsonl", [{"_id": q, "text": q} for q in ("q1", "q2")])
    qrels = "q1\td0\t2\nq1\td4\t0\nq2\td1\t1\nq2\td6\t0\nq2\td3\t0\n"
    folders.write(tmp_path / "c/qrels/train.tsv", f"query-id\tcorpus-id\tscore\n{qrels}")
    write_negatives(tmp_path / "neg.jsonl", {"q1": [("d2", 0.9), ("d1", 0.1)], "q2": [("d2", 0.9), ("d5", 0.2)]}, {})
    return tmp_path


def groups(folder: Path, *sets: str) -> GroupSource:
    settings = config.resolve(config.from_sets([f"data.{s}" for s in ("group_size=0", *sets)]))
    collection = open_collection(str(folder / "c"), title_join=settings.data.title_join)
    return groups_of(settings, JudgedSplit(collection, "train", folder / "neg.jsonl"))


def test_the_first_passage_of_a_text_stands_for_it_and_empty_ones_for_themselves(folder: Path) -> None:
    pool = TextPool([open_texts(folder / "c/corpus.jsonl")])
    found = open_copies(pool)
    assert found.first_N.tolist() == [0, 1, 0, 3, 4, 5, 6] and found.count == 1
    assert found.rows_of("heat") == [0, 2] and found.rows_of("t wing") == [6]
    assert found.rows_of("") == found.rows_of("nowhere") == []
    assert found.first(np.array([6, 2, -1])).tolist() == [6, 0, -1]
    assert open_copies(pool, "none").first_N.tolist() == [0, 1, 0, 3, 4, 5, 1]  # read without titles


def test_copies_are_found_once_and_across_corpora(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.jsonl(folder / "other.jsonl", [{"_id": "x", "text": "flow"}, {"_id": "d0", "text": "new"}])
    pool = TextPool([open_texts(folder / "c/corpus.jsonl"), open_texts(folder / "other.jsonl")])
    assert open_copies(pool).first_N.tolist() == [0, 1, 0, 3, 4, 5, 6, 4, 8]
    monkeypatch.setattr(module, "_write", None)
    assert open_copies(pool).count == 2


@pytest.mark.parametrize("binary", [False, True])
def test_a_copy_of_a_positive_is_no_negative_of_its_query(folder: Path, binary: bool) -> None:
    """Mined by anyone, or judged 0: d2 has the text of q1's positive, d6 (without titles) that of q2's."""
    made = groups(folder, f"binary={str(binary).lower()}", "title_join=none")
    assert sorted(made.group(0, 0).passage_ids) == ["d0", "d1", "d4"]  # without d2
    assert sorted(made.group(1, 0).passage_ids) == ["d1", "d2", "d3", "d5"]  # d2 may stay here; without d6
    said = "\n".join(describe(made)["sources"])
    assert said.count("1 by the text of a positive under another id") == 2
    assert groups(folder).fingerprint != made.fingerprint


def test_a_copy_of_a_positive_in_another_querys_group_is_known(folder: Path) -> None:
    made = groups(folder)
    batches = GroupBatches(made, lambda texts, side: {}, ["masked"], micro=2, inbatch_label=-1.0)
    labels, mask, _ = batches([(0, 0), (1, 0)])["views"]["masked"]
    ids = [d for i in (0, 1) for d in made.group(i, 0).passage_ids]
    d2 = len(made.group(0, 0).passage_ids) + made.group(1, 0).passage_ids.index("d2")
    assert ids[d2] == "d2" and not mask[0, d2]  # q1 lists its own copy, d0
    assert mask[1, ids.index("d0")].item() is False  # and for q2 d0 is d2 again
    assert labels[1, d2] == 0 and mask[1, d2]


def test_check_counts_duplicate_texts_and_copies_of_positives(folder: Path) -> None:
    report = check_folder(folder / "c")
    assert report.counts["duplicate texts"] == 1 and report.counts["copies of positives"] == 1
    assert [f["where"] for f in report.findings if f["kind"] in ("duplicate text", "copy of a positive")] == [
        "corpus.jsonl:3", "corpus.jsonl:3",
    ]  # fmt: skip
