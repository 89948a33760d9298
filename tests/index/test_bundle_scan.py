"""Bundles and scans: what is read is what the manifest says, and blocks, files and threads change nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_stream import ArrayStream, vectors

from irctl import stopping
from irctl.errors import ConfigError, DataError, Stopped
from irctl.files import write_atomic
from irctl.index import scan_block, shards
from irctl.index.bundle import Bundle, open_bundle, write_bundle
from irctl.index.rerank import check_depth, rerank
from irctl.index.scan import search_codes, search_vectors
from irctl.index.scoring import score_rows
from irctl.index.topk import Rows, Scores, top_k


class Halves:
    """A quantizer as this package sees one: half-precision rows."""

    def __init__(self, dim: int, metric: str = "ip") -> None:
        self.dim, self.code_size, self.metric = dim, 2 * dim, metric

    def encode(self, x_ND: np.ndarray) -> np.ndarray:
        return x_ND.astype("<f2").view(np.uint8).reshape(len(x_ND), self.code_size)

    def search(self, queries_QD: np.ndarray, codes_NC: np.ndarray, k: int) -> tuple[Scores, Rows]:
        x_ND = codes_NC.view("<f2").reshape(len(codes_NC), -1).astype(np.float32)
        return top_k(score_rows(queries_QD, x_ND, self.metric), k)


def make(folder: Path, x: np.ndarray, cuts: list[int], ids: list[str] | None = None) -> Bundle:
    quantizer = Halves(x.shape[1])
    parts: list[dict[str, Any]] = []
    row = 0
    for number, rows in enumerate(cuts):
        file, ids_file = f"codes/h_{number:04d}.npy", f"ids/b_{number:04d}.arrow"
        codes = write_atomic(folder / file, quantizer.encode(x[row : row + rows]))
        part = {"file": file, "rows": rows, "row0": row, "bytes": codes.bytes, "sha256": codes.sha256}
        if ids:
            stored = shards.write_ids(folder / ids_file, ids[row : row + rows])
            part |= {"ids": ids_file, "ids_bytes": stored.bytes, "ids_sha256": stored.sha256}
        parts.append(part)
        row += rows
    write_bundle(
        folder, method="halves", dim=x.shape[1], code_size=quantizer.code_size, metric="ip", parts=parts,
        quantizer=folder / "quantizer",
    )  # fmt: skip
    return open_bundle(folder, lambda _: quantizer)


def test_blocks_span_files_and_are_full(tmp_path: Path) -> None:
    x = vectors(1000)
    bundle = make(tmp_path, x, [300, 0, 450, 250])
    starts = [(start, len(codes)) for start, codes in bundle.blocks(400)]
    assert starts == [(0, 400), (400, 400), (800, 200)]
    assert (np.concatenate([c for _, c in bundle.blocks(128)]) == Halves(16).encode(x)).all()
    rows = np.array([999, 0, 300, 299, 750])
    assert (bundle.take(rows) == Halves(16).encode(x[rows])).all()


def read_resident(key: str) -> int:
    """Bytes of this process by /proc, such as RssFile: pages of mapped files."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def test_what_was_read_of_a_large_file_of_codes_stays_in_memory_no_longer_than_its_block(tmp_path: Path) -> None:
    size = 64 << 20
    bundle = make(tmp_path, np.zeros((size // 32, 16), np.float32), [size // 32])
    before = read_resident("RssFile")
    assert not any(codes.any() or read_resident("RssFile") - before > size // 4 for _, codes in bundle.blocks(10_000))


def test_ids_follow_the_parts_and_are_row_numbers_without_files(tmp_path: Path) -> None:
    names = [f"doc{i}" for i in range(50)]
    named = make(tmp_path / "a", vectors(50), [20, 30], names)
    assert [named.ids[i] for i in (0, 19, 20, 49)] == ["doc0", "doc19", "doc20", "doc49"]
    assert list(named.ids) == names and len(named.ids) == 50 and not named.ids.are_rows
    plain = make(tmp_path / "b", vectors(50), [20, 30])
    assert plain.ids[37] == "37" and list(plain.ids)[49] == "49" and plain.ids.are_rows
    with pytest.raises(IndexError):
        named.ids[50]


def test_sizes_in_the_manifest_are_those_of_the_files(tmp_path: Path) -> None:
    bundle = make(tmp_path, vectors(100), [60, 40], [str(i) for i in range(100)])
    codes = sum(f.stat().st_size for f in (tmp_path / "codes").iterdir())
    ids = sum(f.stat().st_size for f in (tmp_path / "ids").iterdir())
    assert bundle.manifest["bytes_per_row"] == {"codes": codes / 100, "with_ids": (codes + ids) / 100}


def test_an_unfinished_or_torn_bundle_is_refused(tmp_path: Path) -> None:
    bundle = make(tmp_path, vectors(60), [60])
    manifest = tmp_path / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not valid JSON"):
        open_bundle(tmp_path, lambda _: None)
    broken = json.loads(whole)
    broken["parts"][0]["rows"] = 59
    manifest.write_text(json.dumps(broken))
    with pytest.raises(DataError, match="60 rows, its parts hold 59"):
        open_bundle(tmp_path, lambda _: None)
    manifest.unlink()
    with pytest.raises(DataError, match="not finished"):
        open_bundle(tmp_path, lambda _: None)
    assert bundle.rows == 60


def test_a_corrupted_shard_is_found_by_size_or_hash(tmp_path: Path) -> None:
    bundle = make(tmp_path, vectors(80), [40, 40])
    assert shards.verify(tmp_path, bundle.parts) == 2
    victim = tmp_path / bundle.parts[1]["file"]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(DataError, match=r"h_0001\.npy: is damaged.*expected sha256"):
        bundle.verify()
    victim.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"h_0001\.npy"):
        list(bundle.blocks(100))


def test_a_loader_of_another_shape_is_refused(tmp_path: Path) -> None:
    make(tmp_path, vectors(30), [30])
    with pytest.raises(DataError, match="expected 16 dimensions and 32 bytes a row, found 8 and 16"):
        open_bundle(tmp_path, lambda _: Halves(8)).quantizer  # noqa: B018  the property loads


@pytest.mark.parametrize("block", (100, 1000, 10_000))
def test_codes_of_any_block_size_give_one_ranking_with_duplicates(tmp_path: Path, block: int) -> None:
    x = np.concatenate([vectors(1500), vectors(1500)])  # every row twice
    bundle = make(tmp_path, x, [700, 1300, 1000])
    queries = vectors(6, seed=3)
    expected = top_k(score_rows(queries, x.astype(np.float16).astype(np.float32), "ip"), 25)
    found = search_codes(queries, bundle, 25, block=block)
    assert (found.rows_Qk == expected[1]).all() and (found.scores_Qk == expected[0]).all()
    assert found.boundary_ties == 6  # 25 is odd and every score comes twice


def test_a_block_is_chosen_by_k_and_the_bytes_of_a_code() -> None:
    mib = 1 << 20
    assert scan_block.choose(700, 1000, 16) == 700  # as asked
    assert scan_block.choose(0, 1000, None) == 8192  # every score is computed
    assert scan_block.choose(0, 1000, 16) == 32 * mib // 16
    assert scan_block.choose(0, 20_000, 64) == 64 * 20_000  # a deep k
    assert scan_block.choose(0, 100_000, 64) == 128 * mib // 64  # but codes stay below 128 MiB
    assert scan_block.choose(0, 10, 100_000) == 8192


@pytest.mark.parametrize("metric", ("ip", "cosine", "l2"))
def test_exhaustive_search_is_the_sorted_similarity(metric: str) -> None:
    x, queries = vectors(2000), vectors(5, seed=1)
    found = search_vectors(queries, ArrayStream(x), 10, metric, block=333)
    exact = {"ip": queries @ x.T, "l2": -((queries[:, None] - x[None]) ** 2).sum(2)}
    exact["cosine"] = exact["ip"] / np.linalg.norm(x, axis=1) / np.linalg.norm(queries, axis=1)[:, None]
    assert (found.rows_Qk == np.argsort(-exact[metric], axis=1)[:, :10]).all()
    np.testing.assert_allclose(found.scores_Qk, -np.sort(-exact[metric], axis=1)[:, :10], rtol=1e-4, atol=1e-5)


def test_one_query_many_queries_none_and_more_results_than_rows() -> None:
    x, queries = vectors(40), vectors(1100, seed=1)
    stream = ArrayStream(x)
    many = search_vectors(queries, stream, 5, "ip")
    one = search_vectors(queries[700:701], stream, 5, "ip")
    assert (many.rows_Qk[700] == one.rows_Qk[0]).all() and (many.scores_Qk[700] == one.scores_Qk[0]).all()
    assert search_vectors(queries[:0], stream, 5, "ip").rows_Qk.shape == (0, 0)
    everything = search_vectors(queries[:1], stream, 1000, "ip").rows_Qk
    assert sorted(everything[0]) == list(range(40))
    lone = search_vectors(queries[:2], ArrayStream(x[:1]), 10, "ip")
    assert lone.rows_Qk.tolist() == [[0], [0]]


def test_queries_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match=r"queries: expected shape \(rows, 16\)"):
        search_vectors(vectors(2, dim=8), ArrayStream(vectors(10)), 5, "ip")


@pytest.mark.parametrize("metric", ("ip", "l2"))
def test_rescoring_every_row_is_exact_search(metric: str) -> None:
    x, queries = vectors(300), vectors(70, seed=2)
    everything = np.tile(np.arange(300), (70, 1))
    scores, rows, _ = rerank(queries, everything, lambda r: x[r], 10, metric)
    exact = search_vectors(queries, ArrayStream(x), 10, metric)
    assert (rows == exact.rows_Qk).all() and (scores == exact.scores_Qk).all()


def test_rescoring_keeps_to_its_candidates_and_skips_padding() -> None:
    x = np.eye(4, dtype=np.float32)
    q = np.float32([[4, 3, 2, 1]])
    scores, rows, _ = rerank(q, np.array([[3, 1, -1]]), lambda r: x[r], 2, "ip")
    assert rows.tolist() == [[1, 3]] and scores.tolist() == [[3, 1]]


def test_fewer_candidates_than_results_are_refused() -> None:
    check_depth(0, 10)
    check_depth(10, 10)
    with pytest.raises(ConfigError, match="5 rows re-scored cannot give 10 results"):
        check_depth(5, 10)


def test_a_signal_ends_a_search_of_codes_within_a_block(tmp_path: Path) -> None:
    bundle, went_on = make(tmp_path, vectors(100), [100]), []

    def endless(queries_QD: np.ndarray, codes_NC: np.ndarray, k: int) -> tuple[Scores, Rows]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        went_on.append(1)
        return np.zeros((len(queries_QD), 1), np.float32), np.zeros((len(queries_QD), 1), np.int64)

    bundle.quantizer.search = endless
    stopping.install()
    try:
        with pytest.raises(Stopped, match="SIGTERM"):
            search_codes(vectors(2), bundle, 5)
    finally:
        stopping.restore()
    assert not went_on
