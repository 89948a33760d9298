"""A small graded collection, and the training groups that settings make of it."""

from __future__ import annotations

from pathlib import Path

import folders

from irctl import config
from irctl.data.collections.open import open_collection
from irctl.data.collections.training_source import JudgedSplit
from irctl.data.groups.group_source import GroupSource
from irctl.data.judgements.negatives import write_negatives
from irctl.training.groups.sources import groups_of

GRADED = (
    "query-id\tcorpus-id\tscore\n"
    + "".join(f"q1\td{i}\t{g}\n" for i, g in enumerate([1, 3, 0, 3, 2, 0]))
    + "q2\td0\t2\n"
)


def graded_folder(tmp_path: Path) -> Path:
    """q1 has grades 1 3 0 3 2 0 on d0..d5 in file order, q2 has d0 alone; d6..d9 are judged for nobody."""
    folders.jsonl(tmp_path / "c/corpus.jsonl", [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(10)])
    folders.jsonl(tmp_path / "c/queries.jsonl", [{"_id": f"q{i}", "text": f" query {i} "} for i in (1, 2, 3)])
    folders.write(tmp_path / "c/qrels/train.tsv", GRADED)
    write_negatives(tmp_path / "neg.jsonl", {"q1": [("d6", 0.9), ("d7", 0.8), ("d1", 0.7)], "q2": [("d8", 1.0)]}, {})
    return tmp_path


def source(folder: Path, *sets: str, negatives: bool = False, loss: str = "ranknet") -> GroupSource:
    given = [f"data.{s}" if not s.startswith(("run.", "loss.")) else s for s in sets]
    settings = config.resolve(config.from_sets([f"loss.name={loss}", *given]))
    split = JudgedSplit(open_collection(str(folder / "c")), "train", folder / "neg.jsonl" if negatives else None)
    return groups_of(settings, split)


def drawn(groups: GroupSource, index: int = 0, epoch: int = 0) -> list[tuple[str, float]]:
    group = groups.group(index, epoch)
    return list(zip(group.passage_ids, group.labels, strict=True))
