"""Exports of trained codes: rotation, query map and query centroids in one faiss file that scores raw queries alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from compressing import new_run, settings, vectors
from learning import child_bundle, parent_bundle

from irctl.pipelines.export.export import ExportRequest, export
from irctl.types import Silent

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


def exported(source: Path, to: str, **options: Any) -> Path:
    config = settings()
    run = new_run("export", config)
    with run:
        return Path(export(config, run, Silent(), ExportRequest(source=str(source), to=to, **options))["export"])


@pytest.mark.parametrize("metric", ("ip", "cosine"))
def test_the_exported_file_scores_raw_queries_as_tables_decoded_rows_and_a_faiss_index_made_by_hand(
    tmp_path: Path, metric: str
) -> None:
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path, compress__metric=metric))
    quantizer, codes = child.quantizer, child.take(np.arange(child.rows))
    queries = vectors(6, seed=9)  # of length 1
    scores = quantizer.scores(queries, codes)
    index = faiss.read_index(str(exported(child.folder, "faiss")))
    found, rows = index.search(queries, child.rows)
    np.testing.assert_allclose(found, np.take_along_axis(scores, rows, 1), **CLOSE)
    np.testing.assert_allclose(queries @ quantizer.decode(codes, side="query").T, scores, **CLOSE)
    by_hand = faiss.IndexPQ(child.dim, quantizer.config.m, quantizer.config.bits, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(quantizer.query_centroids_MKd.ravel(), by_hand.pq.centroids)
    by_hand.is_trained = True
    by_hand.add_sa_codes(codes)
    turned = (queries @ quantizer.query_map_DD.T @ quantizer.rotation_ED.T).astype(np.float32)
    found, rows = by_hand.search(turned, child.rows)
    np.testing.assert_allclose(found, np.take_along_axis(scores, rows, 1), **CLOSE)
    assert not np.allclose(queries @ quantizer.decode(codes).T, scores, atol=1e-3)  # the document side is another


def test_the_sidecar_says_that_it_is_for_searching_only_and_why(tmp_path: Path) -> None:
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path), about={"model": "a/model"})
    path = exported(child.folder, "faiss")
    about = json.loads(path.with_name(path.name + ".json").read_text())
    assert about["warning"] == "search only, do not add to it: it would code rows by the query centroids"
    assert about["search_only"] and about["queries"] == "unrotated" and about["query_encoder"] == "a/model"
    assert path.with_name(about["ids"]).read_text().split()[:2] == ["d0", "d1"]


def test_decoded_rows_are_those_that_score_raw_queries(tmp_path: Path) -> None:
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path))
    rows = np.load(exported(child.folder, "npy", decoded=True)).astype(np.float32)
    queries = vectors(3, seed=9)
    expected = child.quantizer.scores(queries, child.take(np.arange(child.rows)))
    np.testing.assert_allclose(queries @ rows.T, expected, atol=5e-3)  # halves
