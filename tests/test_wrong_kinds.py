"""Files of a wrong kind at every option that takes a file: exit code 3 and one line that says what the file is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace

KINDS = {
    "v.npy": "a NumPy array (.npy)",
    "v.npz": "a zip archive (.npz, .zip)",
    "q.parquet": "Parquet",
    "p.png": "an image",
    "m.pt": "bytes of no known kind",
}
TEXTS = (
    "encode --data {}",
    "train --data {} --max-steps 1 --dry-run",
    "search --data {}",
    "eval --data {} --model sentence-transformers/all-MiniLM-L6-v2",
    "eval r.trec --qrels {}",
    "hardneg --data {}",
    "recipes run compression-paper --data {} --dry-run",
    "data convert {} out",
)
VECTORS = ("search --index x.npy --queries {}", "eval bundle --recall-against exact --queries {}")


@pytest.fixture(scope="module")
def used(place: Workspace) -> Iterator[Workspace]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, rows = place.folder, np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    np.save(folder / "x.npy", rows)
    np.save(folder / "v.npy", rows)
    np.savez(folder / "v.npz", rows)
    pq.write_table(pa.table({"emb": list(rows)}), folder / "q.parquet")
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (folder / "m.pt").write_bytes(bytes(range(128, 256)) + bytes(64))
    (folder / "r.trec").write_text("q1 Q0 d1 1 0.5 x\n")
    (folder / "empty").write_bytes(b"")
    place.ok("compress --data x.npy --method sq --out bundle")
    yield place


def refused(place: Workspace, line: str) -> str:
    done = place.run(line)
    shutil.rmtree(Path(place.folder) / "out", ignore_errors=True)
    errors = [x for x in done.err.splitlines() if x.startswith("error: ")]
    assert done.code == 3 and len(errors) == 1, f"{line}: {done.code} {done.err}"
    return errors[0]


@pytest.mark.parametrize("line", TEXTS)
def test_what_reads_text_says_what_another_file_is(line: str, used: Workspace) -> None:
    for name, kind in KINDS.items():
        if (name, line) == ("q.parquet", "eval r.trec --qrels {}"):  # judgements may be Parquet: its columns are named
            assert "expected columns qid, docid and score, found emb" in refused(used, line.format(name))
            continue
        assert f"{name}: expected text (JSON lines or TSV), found {kind}" in refused(used, line.format(name))


@pytest.mark.parametrize("line", VECTORS)
def test_what_reads_vectors_says_what_another_file_is(line: str, used: Workspace) -> None:
    for name, kind in {**KINDS, "r.trec": "text", "empty": "an empty file"}.items():
        if name != "v.npy":
            assert f"{name}: expected a .npy file of vectors, found {kind}" in refused(used, line.format(name))


def test_a_file_without_pairs_is_no_collection_and_a_file_is_no_folder(used: Workspace) -> None:
    for line in ("encode --data empty", "hardneg --data empty", "train --data empty --dry-run"):
        assert "empty: expected training pairs (query, positive), found none" in refused(used, line)
    assert "v.npy: expected the folder of a collection, found a NumPy array (.npy)" in refused(used, "data check v.npy")
