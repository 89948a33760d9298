"""Document ids that repeat are found by hashes, and looked up where hashes meet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from irctl.index import distinct_ids, shards
from irctl.index.bundle import BundleIds


def ids_of(folder: Path, *parts: Sequence[str]) -> BundleIds:
    described, row0 = [], 0
    for number, names in enumerate(parts):
        shards.write_ids(folder / f"{number}.arrow", names)
        described.append({"ids": f"{number}.arrow", "rows": len(names), "row0": row0})
        row0 += len(names)
    return BundleIds(folder, described)


def test_the_first_repeated_id_is_named_with_both_rows(tmp_path: Path) -> None:
    assert distinct_ids.find_repeated(ids_of(tmp_path, ["a", "b"], ["c", "d", "b", "a"])) == ("b", 1, 4)
    assert distinct_ids.find_repeated(ids_of(tmp_path, ["x"] * 5)) == ("x", 0, 1)


def test_distinct_ids_of_any_number_pass(tmp_path: Path) -> None:
    assert distinct_ids.find_repeated(ids_of(tmp_path, [str(i) for i in range(3000)], ["x"])) is None
    assert (
        distinct_ids.find_repeated(ids_of(tmp_path, [])) is None
        and distinct_ids.find_repeated(ids_of(tmp_path, ["one"])) is None
    )


def test_ids_whose_hashes_meet_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct_ids, "hash_ids", lambda ids, count: np.array([len(i) for i in ids], np.int64))
    monkeypatch.setattr(distinct_ids, "_BLOCK", 2)
    monkeypatch.setattr(distinct_ids, "_SUSPECTS", 1)
    assert distinct_ids.find_repeated(ids_of(tmp_path, ["aa", "bb", "c", "d", "eee"])) is None
    assert distinct_ids.find_repeated(ids_of(tmp_path, ["aa", "bb", "c", "d", "bb"])) == ("bb", 1, 4)
