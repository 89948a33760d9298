"""Product codes of faiss become a bundle that scores as faiss does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from compressing import compressed, new_run, settings, vectors
from learning import child_bundle, opened, parent_bundle

from irctl.errors import ConfigError, DataError
from irctl.pipelines.compress.compress import describe
from irctl.pipelines.export.export import ExportRequest, export
from irctl.pipelines.references.bundle_vectors import open_source
from irctl.types import Silent

IP = faiss.METRIC_INNER_PRODUCT


def written(path: Path, factory: str, metric: int = IP, rows: int = 700) -> Any:
    index = faiss.index_factory(32, factory, metric)
    if factory.startswith("OPQ"):
        faiss.downcast_VectorTransform(index.chain.at(0)).niter = 4  # of 50: any rotation does
    index.train(vectors(1000))
    index.add(vectors(rows, seed=2))
    faiss.write_index(index, str(path))
    return index


def imported(path: Path, **keys: Any) -> Any:
    return opened(compressed(path, **keys)["bundle"])


@pytest.mark.parametrize("factory", ("PQ8x4np", "OPQ8,PQ8x4np", "OPQ8,IVF1,PQ8x4np", "IVF1,PQ4x6np", "OPQ8_16,PQ8x4np"))
def test_an_imported_index_scores_as_faiss_does(tmp_path: Path, factory: str) -> None:
    index, asked = written(tmp_path / "x.faiss", factory), vectors(5, seed=7)
    bundle = imported(tmp_path / "x.faiss", compress__batch=500)
    assert bundle.rows == 700 and bundle.method == "learned" and len(bundle.parts) == 2
    found, rows = index.search(asked, 700)
    expected = np.empty_like(found)
    np.put_along_axis(expected, rows, found, 1)
    scores = bundle.quantizer.scores(asked, bundle.take(np.arange(700)))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert list(bundle.ids)[:2] == ["0", "1"]


def test_the_centre_of_the_one_list_is_in_the_centroids(tmp_path: Path) -> None:
    # codes of the rest alone give wrong scores: sources add x = centre + rest back only inside faiss
    index = written(tmp_path / "x.faiss", "IVF1,PQ8x4np")
    centre = faiss.downcast_index(index.quantizer).reconstruct(0).reshape(8, 1, 4)
    bundle = imported(tmp_path / "x.faiss")
    plain = faiss.vector_to_array(index.pq.centroids).reshape(8, 16, 4)
    np.testing.assert_allclose(bundle.quantizer.centroids_MKd, plain + centre, atol=1e-6)
    assert np.abs(centre).max() > 1e-3


def test_an_export_comes_back_with_its_ids_and_grows(tmp_path: Path) -> None:
    parent = parent_bundle(tmp_path)
    run = new_run("export", settings())
    with run:
        request = ExportRequest(source=str(parent.folder), out=str(tmp_path / "a.faiss"))
        export(settings(), run, Silent(), request)
    bundle = imported(tmp_path / "a.faiss")
    rows = np.arange(parent.rows)
    assert list(bundle.ids) == list(parent.ids) and (bundle.take(rows) == parent.take(rows)).all()
    assert (bundle.quantizer.encode(vectors(50, seed=5)) == parent.quantizer.encode(vectors(50, seed=5))).all()
    with pytest.raises(DataError, match="no vectors behind them"):
        open_source(bundle, settings())
    (tmp_path / "a.faiss.ids.txt").write_text("d0\nd1\n")
    with pytest.raises(DataError, match="2 ids for 1200 rows"):
        imported(tmp_path / "a.faiss")


def test_what_is_no_product_code_or_lost_its_document_side_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.faiss"
    for factory, said in (
        ("Flat", "not product codes"),
        ("IVF4,PQ8x4np", "4 inverted lists"),
        ("PQ4x9np", "found 512"),
    ):
        written(path, factory)
        with pytest.raises(DataError, match=said):
            imported(path)
    path.write_bytes(b"not an index")
    with pytest.raises(DataError, match="not a file of faiss"):
        imported(path)
    with pytest.raises(DataError, match="no such file"):
        imported(tmp_path / "absent.faiss")
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path))
    run = new_run("export", settings())
    with run:
        export(settings(), run, Silent(), ExportRequest(source=str(child.folder), out=str(path)))
    with pytest.raises(DataError, match="the document side is not in it"):
        imported(path)


def test_options_that_make_codes_are_refused_and_a_dry_run_says_what_it_is(tmp_path: Path) -> None:
    written(tmp_path / "x.faiss", "PQ8x4np")
    with pytest.raises(ConfigError, match=r"--init: .* holds codes"):
        imported(tmp_path / "x.faiss", init="somewhere")
    with pytest.raises(ConfigError, match="taken as they are"):
        imported(tmp_path / "x.faiss", compress__method="sq")
    assert "taken as they are" in describe(settings(compress__source=tmp_path / "x.faiss"))["methods"]
