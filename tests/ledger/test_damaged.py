"""Where a file and its recorded hash differ, the message shows how, and says which of the two is damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace

from irctl.errors import DataError
from irctl.index import shards
from irctl.ledger import damaged, stored

REAL = hashlib.sha256(b"codes").hexdigest()
OTHER = hashlib.sha256(b"others").hexdigest()


def flipped(digest: str, at: int) -> str:
    return digest[:at] + ("0" if digest[at] != "0" else "1") + digest[at + 1 :]


@pytest.mark.parametrize("at", [0, 15, 16, 40, 63])
def test_hashes_that_differ_look_different_wherever_they_differ(at: int) -> None:
    expected, found = (
        damaged.show_difference(flipped(REAL, at), REAL).removeprefix("expected sha256 ").split(", found ")
    )
    assert expected != found and len(expected) == len(found) and len(expected) <= 19
    assert damaged.show_difference(REAL[:30], REAL).split(", found ")[0] != damaged.show_difference(REAL, REAL[:30])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "part.npy").write_bytes(b"codes")
    (tmp_path / "manifest.json").write_text("{}")
    return tmp_path


def checks(folder: Path, expected: str) -> list[Callable[[], object]]:
    part = {"file": "codes/part.npy", "bytes": 5, "sha256": expected}
    return [lambda: stored.check(folder / "codes/part.npy", expected), lambda: shards.verify(folder, [part])]


@pytest.mark.parametrize("at", [3, 50])
def test_a_hash_that_is_nearly_the_files_own_is_what_was_damaged(folder: Path, at: int) -> None:
    for check in checks(folder, flipped(REAL, at)):
        with pytest.raises(DataError, match=r"part\.npy: is sound, but its hash in .*manifest\.json is damaged") as e:
            check()
        assert e.value.hint == f"Leave the file, and put {REAL} there"


def test_where_nothing_else_is_known_either_may_be_damaged(folder: Path) -> None:
    for check in checks(folder, OTHER):
        with pytest.raises(DataError, match=r"part\.npy: is damaged, or its hash in .*manifest\.json: expected") as e:
            check()
        assert "Remove that file alone" in e.value.hint


def test_a_manifest_that_is_not_as_its_run_recorded_it_is_said_to_be_so(place: Workspace) -> None:
    import numpy as np

    np.save(place.folder / "x.npy", np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32))
    place.ok("compress --method sq --data x.npy --out b")
    manifest = place.folder / "b" / "manifest.json"
    table = json.loads(manifest.read_text())
    codes = place.folder / "b" / table["parts"][0]["file"]
    whole = codes.read_bytes()
    codes.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    search = "search --index b --queries x.npy"
    done = place.run(search)
    assert done.code == 3 and f"{codes.name}: is damaged: expected" in done.err, done.err
    codes.write_bytes(whole)
    right = table["parts"][0]["sha256"]
    manifest.write_text(manifest.read_text().replace(right, OTHER))
    done = place.run(search)
    assert done.code == 3 and "manifest.json (which is not as its run recorded it)" in done.err, done.err
    manifest.write_text(manifest.read_text().replace(OTHER, flipped(right, 60)))
    done = place.run(search)
    assert done.code == 3 and "is sound" in done.err and f"put {right} there" in done.err, done.err
    manifest.write_text(manifest.read_text().replace(flipped(right, 60), right))
    place.ok(search)
    manifest.write_text(
        manifest.read_text().replace(table["quantizer"]["sha256"], flipped(table["quantizer"]["sha256"], 60))
    )
    done = place.run(search)
    assert done.code == 3 and "quantizer.json: is sound" in done.err, done.err
