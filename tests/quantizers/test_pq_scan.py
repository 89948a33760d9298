"""The scan of product codes: faiss's own results, whatever the pieces, and one total order where many rows tie."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from irctl.quantizers.shared import faiss_tools, pq_scan, search

METRICS = ("ip", "l2")


def made(m: int, bits: int, metric: str, rows: int, dim: int = 32) -> tuple[faiss.IndexPQ, np.ndarray, np.ndarray]:
    """(empty index, codes, queries) of random centroids."""
    rng = np.random.default_rng(rows)
    index = faiss_tools.pq_index(rng.standard_normal((m, 1 << bits, dim // m), dtype=np.float32), bits, metric)
    codes = index.sa_encode(rng.standard_normal((rows, dim), dtype=np.float32))
    return index, codes, rng.standard_normal((7, dim), dtype=np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("m", "bits"), [(8, 8), (16, 4), (4, 10)])
@pytest.mark.parametrize("piece", (64, 1 << 12, 1 << 20))
def test_pieces_find_what_one_index_of_faiss_finds(
    m: int, bits: int, metric: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, codes, queries = made(m, bits, metric, 5000)
    monkeypatch.setattr(pq_scan, "_PIECE", piece)
    monkeypatch.setattr(pq_scan, "_WORTH", 0)
    monkeypatch.setattr(pq_scan, "_TABLES", 3 * 4 * m << bits)  # three queries at once
    values, rows = pq_scan.search(index, queries, codes, 60)
    order = np.argsort(values if metric == "l2" else -values, axis=1, kind="stable")
    index.add_sa_codes(codes)
    expected = index.search(queries, 60)
    assert (np.take_along_axis(values, order, 1) == expected[0]).all()
    untied = np.diff(expected[0], axis=1).all(axis=1)
    assert untied.any()
    assert (np.take_along_axis(rows, order, 1) == expected[1])[untied].all()


def test_the_worst_of_each_query_comes_first_and_few_rows_are_all_there() -> None:
    index, codes, queries = made(8, 8, "ip", 9)
    values, rows = pq_scan.search(index, queries, codes, 100)
    assert values.shape == (7, 9) and (np.sort(rows, axis=1) == np.arange(9)).all()
    assert (values[:, 0] == values.min(axis=1)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_tie_are_ordered_by_row_however_many_they_are(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # three codes, 4,000 rows each: asking faiss for more and more of them would fill the memory at a million rows
    index, codes, queries = made(8, 8, metric, 3)
    codes = np.tile(codes, (4000, 1))
    asked: list[int] = []
    real = pq_scan.search

    def counted(index: object, queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(min(k, len(codes)) * len(queries))
        return real(index, queries, codes, k)

    monkeypatch.setattr(pq_scan, "search", counted)
    scores, rows = search.search_by_faiss(index, queries, codes, 50, negate=metric == "l2")
    first = rows[:, :1] % 3
    assert (rows == first + 3 * np.arange(50)).all() and (scores == scores[:, :1]).all()
    assert max(asked) <= 8192 * len(queries)
