"""A transform reaches every road to a score: vectors, codes, re-ranking, appended rows, several processes, faiss.

Here vectors are files and their queries too; texts are in tests/pipelines/evaluate/test_transformed_eval.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import DIM, compressed, new_run, save_vectors, settings, tree, vectors
from test_search import ranking, save_queries, searched

from irctl import hashing
from irctl.errors import ConfigError, DataError
from irctl.index.bundle import open_bundle
from irctl.models.transforms.files import of_bundle
from irctl.pipelines.export.export import ExportRequest, export
from irctl.pipelines.references.bundles import load_quantizer
from irctl.types import Silent

SOFT = {"transform__name": "soft_whiten"}
FLAT = {"compress__method": "flat", "flat__dtype": "float32"}


def directly(x: np.ndarray, q: np.ndarray, mean_q: np.ndarray, a: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """(documents, queries) of length 1, softly whitened by singular values."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    _, values, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = values**2 / len(x)
    map_DE = directions.T * (variances / variances.mean() + 1e-6) ** (-a / 2)
    sides = (x - x.mean(0)) @ map_DE, (q - mean_q) @ map_DE
    return tuple(s / np.linalg.norm(s, axis=1, keepdims=True) for s in sides)  # type: ignore[return-value]


def best(documents: np.ndarray, queries: np.ndarray, k: int = 20) -> dict[str, list[str]]:
    order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :k]
    return {str(q): [str(r) for r in rows] for q, rows in enumerate(order)}


@pytest.fixture
def training(tmp_path: Path) -> str:
    """Training queries, which lie elsewhere than the rows."""
    np.save(tmp_path / "training.npy", vectors(40, seed=5) + np.float32(0.2))
    return str(tmp_path / "training.npy")


def of_file(training: str) -> str:
    """What the name of a transform says of the file of its queries."""
    return f"queries={hashing.identity(Path(training))[:12]}"


def own_mean(training: str) -> np.ndarray:
    return np.load(training).mean(0, dtype=np.float64)


def test_vectors_and_exact_codes_rank_as_a_direct_decomposition_does(tmp_path: Path, training: str) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 1700), save_queries(tmp_path / "q.npy")
    soft = SOFT | {"transform__queries": training}
    bundle = compressed(source, tmp_path / "b", **FLAT, **soft)["bundle"]
    expected = best(*directly(vectors(1700), vectors(6, seed=77), own_mean(training)))
    by_floats = searched(settings(search__k=20, **soft), index=str(source), queries=queries)
    by_codes = searched(settings(search__k=20), index=bundle, queries=queries)  # the bundle knows it
    assert ranking(by_floats) == expected == ranking(by_codes)
    named = f"soft_whiten a=0.25 {of_file(training)}"
    assert by_floats["transform"] == by_codes["transform"] == named
    plain = searched(settings(search__k=20), index=str(source), queries=queries)
    assert ranking(plain) != expected and "transform" not in plain


def test_the_corpus_mean_stands_in_for_training_queries_and_that_is_said(tmp_path: Path) -> None:
    source, queries, said = save_vectors(tmp_path / "x.npy", 900), save_queries(tmp_path / "q.npy"), Silent()
    bundle = compressed(source, tmp_path / "b", said, **FLAT, **SOFT)["bundle"]
    assert "mean of the queries: corpus, for there are no training queries" in "\n".join(said.lines)
    x = vectors(900)
    expected = best(*directly(x, vectors(6, seed=77), x.mean(0, dtype=np.float64)))
    assert ranking(searched(settings(search__k=20), index=bundle, queries=queries)) == expected


def test_queries_of_the_documents_side_are_another_ranking(tmp_path: Path, training: str) -> None:
    """What a search would find that took its queries through the wrong side."""
    source = save_vectors(tmp_path / "x.npy", 900)
    bundle = compressed(source, tmp_path / "b", **FLAT, **SOFT, transform__queries=training)["bundle"]
    x, q = vectors(900), vectors(6, seed=77)
    swapped = best(*directly(x, q, x.mean(0, dtype=np.float64)))
    found = ranking(searched(settings(search__k=20), index=bundle, queries=save_queries(tmp_path / "q.npy")))
    assert found != swapped


def test_the_length_of_a_query_changes_no_rank_without_a_mean_of_its_own(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 900)
    keys = SOFT | {"transform__query_mean": "none", "search__k": 20}
    np.save(tmp_path / "q.npy", vectors(6, seed=77))
    np.save(tmp_path / "long.npy", vectors(6, seed=77) * 50)
    one, long = (
        ranking(searched(settings(**keys), index=str(source), queries=str(tmp_path / name)))
        for name in ("q.npy", "long.npy")
    )
    assert one == long


@pytest.mark.parametrize("method", ("pq", "opq", "sq", "rabitq", "saq", "flat"))
def test_rescoring_all_rows_restores_the_exact_ranking(tmp_path: Path, method: str, training: str) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 1200), save_queries(tmp_path / "q.npy")
    soft = SOFT | {"transform__queries": training}
    bundle = compressed(source, compress__method=method, saq__bits=2, **soft)["bundle"]
    every = searched(settings(search__k=10, search__rerank=1200), index=bundle, queries=queries)
    expected = best(*directly(vectors(1200), vectors(6, seed=77), own_mean(training)), 10)
    assert ranking(every) == expected


def test_codes_are_the_same_in_other_batches_by_workers_and_step_by_step(
    tmp_path: Path, shares_here: list[str], training: str
) -> None:
    source = save_vectors(tmp_path / "x.npy", 2600)
    keys: dict[str, Any] = SOFT | {"transform__queries": training, "compress__method": "opq"}

    def codes(name: str) -> np.ndarray:
        bundle = open_bundle(tmp_path / name, load_quantizer)
        return np.concatenate([c for _, c in bundle.blocks(500)])

    compressed(source, tmp_path / "one", **keys)
    compressed(source, tmp_path / "large", **keys, compress__batch=2000)
    compressed(source, tmp_path / "two", **keys, compress__workers=2)
    assert shares_here == ["compress_share:2"]
    compressed(source, tmp_path / "steps", train_only=True, **keys, compress__workers=2)
    for shard in ("0/2", "1/2"):
        compressed(source, tmp_path / "steps", shard=shard, **keys, compress__workers=2)
    compressed("", tmp_path / "steps", finalize=True)
    for name in ("large", "two", "steps"):
        assert (codes(name) == codes("one")).all(), name
        assert tree(tmp_path / name)["transform/matrix.npy"] == tree(tmp_path / "one")["transform/matrix.npy"]


def test_a_transform_is_part_of_the_plan_and_of_the_manifest(tmp_path: Path, training: str) -> None:
    source = save_vectors(tmp_path / "x.npy", 600)
    compressed(source, tmp_path / "plain")
    compressed(source, tmp_path / "soft", **SOFT, transform__queries=training)
    manifest = json.loads((tmp_path / "soft" / "manifest.json").read_text())
    assert manifest["transform"]["label"] == f"soft_whiten a=0.25 {of_file(training)}"
    assert manifest["transform"]["folder"] == "transform"
    assert "transform" not in json.loads((tmp_path / "plain" / "manifest.json").read_text())
    assert "transform" not in json.loads((tmp_path / "plain" / "plan.json").read_text())
    for name, more in (("soft", {}), ("soft", SOFT | {"transform__a": 0.5}), ("plain", SOFT)):
        with pytest.raises(ConfigError, match="this folder was begun with transform = "):
            compressed(source, tmp_path / name, **more)
    (tmp_path / "soft" / "transform" / "mean.npy").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"mean\.npy: is damaged"):
        searched(settings(), index=str(tmp_path / "soft"), queries=save_queries(tmp_path / "q.npy"))


@pytest.mark.parametrize("keys, message", [
    ({"transform__a": 0.5}, "was made with soft_whiten a=0.25.*asked for is soft_whiten a=0.5"),
    ({"transform__name": "centre"}, "asked for is centre"),
    ({"transform__name": "none"}, "asked for is none"),
    ({"transform__query_mean": "none"}, "asked for is soft_whiten a=0.25 query_mean=none"),
])  # fmt: skip
def test_settings_that_contradict_the_bundle_are_refused(
    tmp_path: Path, training: str, keys: dict[str, Any], message: str
) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 600), save_queries(tmp_path / "q.npy")
    bundle = compressed(source, tmp_path / "b", **SOFT, transform__queries=training)["bundle"]
    same = SOFT | {"transform__a": 0.25, "transform__queries": training}
    assert searched(settings(search__k=5, **same), index=bundle, queries=queries)["transform"]
    with pytest.raises(ConfigError, match=message):
        searched(settings(**keys), index=bundle, queries=queries)
    with pytest.raises(ConfigError, match=r"its query mean is of 40 queries of training\.npy"):
        searched(settings(**SOFT, transform__queries=queries), index=bundle, queries=queries)
    plain = compressed(source, tmp_path / "plain")["bundle"]
    with pytest.raises(ConfigError, match="was made of vectors without a transform, asked for is soft_whiten"):
        searched(settings(**SOFT), index=plain, queries=queries)


def test_settings_of_a_transform_that_is_not_there_are_refused(tmp_path: Path, training: str) -> None:
    source = save_vectors(tmp_path / "x.npy", 600)
    with pytest.raises(ConfigError, match=r"transform\.a: there is no transform"):
        compressed(source, tmp_path / "b", transform__a=0.5)
    with pytest.raises(ConfigError, match=r"transform\.a .from --set.: transform.name=whiten does not read it"):
        compressed(source, tmp_path / "b", transform__name="whiten", transform__a=0.5)
    with pytest.raises(ConfigError, match=r"are not read with transform\.query_mean=corpus"):
        compressed(source, tmp_path / "b", **SOFT, transform__queries=training, transform__query_mean="corpus")
    np.save(tmp_path / "narrow.npy", vectors(9)[:, :5])
    with pytest.raises(DataError, match=rf"expected query vectors \(rows, {DIM}\), found \(9, 5\)"):
        compressed(source, tmp_path / "b", **SOFT, transform__queries=tmp_path / "narrow.npy")


def test_rows_are_appended_by_the_transform_of_the_bundle(tmp_path: Path, training: str) -> None:
    keys = FLAT | SOFT | {"transform__queries": training}
    bundle = compressed(save_vectors(tmp_path / "x.npy", 1200), tmp_path / "b", **keys)["bundle"]
    before = open_bundle(tmp_path / "b", load_quantizer)
    compressed(save_vectors(tmp_path / "y.npy", 300, seed=3), append=bundle)
    after = open_bundle(tmp_path / "b", load_quantizer)
    assert (after.rows, after.manifest["transform"]) == (1500, before.manifest["transform"])
    assert not list((tmp_path / "b").glob("append-*/transform"))
    x, mean = vectors(1200).astype(np.float64), own_mean(training)
    more = vectors(300, seed=3).astype(np.float64)
    _, values, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = values**2 / len(x)
    map_DE = directions.T * (variances / variances.mean() + 1e-6) ** -0.125
    documents, asked = (np.r_[x, more] - x.mean(0)) @ map_DE, (vectors(6, seed=77) - mean) @ map_DE
    expected = best(documents / np.linalg.norm(documents, axis=1, keepdims=True), asked)
    for rerank in (0, 1500):
        config = settings(search__k=20, search__rerank=rerank)
        assert ranking(searched(config, index=bundle, queries=save_queries(tmp_path / "q.npy"))) == expected
    with pytest.raises(ConfigError, match=r"--append .*: was made with soft_whiten"):
        compressed(save_vectors(tmp_path / "z.npy", 10, seed=4), append=bundle, transform__name="centre")


def test_a_trained_quantizer_comes_with_its_transform(tmp_path: Path, training: str) -> None:
    first = compressed(save_vectors(tmp_path / "x.npy", 1200), tmp_path / "b", **SOFT, transform__queries=training)
    again = compressed(save_vectors(tmp_path / "y.npy", 600, seed=3), tmp_path / "c", init=first["bundle"])
    assert tree(tmp_path / "c")["transform/transform.json"] == tree(tmp_path / "b")["transform/transform.json"]
    assert again["results"][0]["rows"] == 600
    with pytest.raises(ConfigError, match=r"--init .*: was made with soft_whiten"):
        compressed(tmp_path / "y.npy", tmp_path / "d", init=first["bundle"], transform__name="whiten")


def test_fewer_dimensions_make_shorter_codes(tmp_path: Path, training: str) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 900), save_queries(tmp_path / "q.npy")
    keys = SOFT | {"transform__queries": training, "transform__dim": 8}
    bundle = compressed(source, tmp_path / "b", **FLAT, **keys)["bundle"]
    found = searched(settings(search__k=5), index=bundle, queries=queries)
    assert (found["code_size"], found["dim"], found["transform"]) == (
        32,
        8,
        f"soft_whiten a=0.25 dim=8 {of_file(training)}",
    )
    with pytest.raises(DataError, match=rf"expected shape \(rows, {DIM}\), found \(6, 8\)"):
        np.save(tmp_path / "short.npy", vectors(6)[:, :8])
        searched(settings(search__k=5), index=bundle, queries=str(tmp_path / "short.npy"))


def test_several_processes_find_what_one_does(tmp_path: Path, shares_here: list[str], training: str) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 1700), save_queries(tmp_path / "q.npy")
    keys = SOFT | {"transform__queries": training, "search__k": 20, "search__block": 500}
    one = searched(settings(**keys), index=str(source), queries=queries)
    two = searched(settings(**keys, hardware__devices=2), index=str(source), queries=queries)
    assert ranking(one) == ranking(two) and shares_here == ["search_share:2"]


@pytest.mark.parametrize("method", ("pq", "opq", "sq", "flat"))
@pytest.mark.parametrize("metric", ("ip", "cosine", "l2"))
def test_a_faiss_file_scores_the_encoder_s_own_queries_as_the_search_does(
    tmp_path: Path, method: str, metric: str, training: str
) -> None:
    import faiss

    source, queries = save_vectors(tmp_path / "x.npy", 700), vectors(6, seed=77)
    keys = SOFT | {"transform__queries": training, "compress__method": method, "compress__metric": metric}
    bundle = compressed(source, tmp_path / "b", **keys)["bundle"]
    with new_run("export") as run:
        export(settings(), run, Silent(), ExportRequest(source=bundle, out=str(tmp_path / "i.faiss")))
    found, rows = faiss.read_index(str(tmp_path / "i.faiss")).search(queries, 700)
    opened = open_bundle(Path(bundle), load_quantizer)
    fitted = of_bundle(opened)
    assert fitted is not None
    expected = opened.quantizer.scores(fitted.transform.queries(queries), opened.take(np.arange(700)))
    found = np.take_along_axis(found, np.argsort(rows, axis=1), axis=1)
    if metric == "l2":
        found = -found
    np.testing.assert_allclose(found, expected, atol=1e-4)
    about = json.loads((tmp_path / "i.faiss.json").read_text())
    assert about["queries"] == "as the encoder makes them; the file transforms them" and about["dim"] == DIM


def test_exported_rows_lie_beside_the_transform_that_made_them(tmp_path: Path, training: str) -> None:
    source, said = save_vectors(tmp_path / "x.npy", 300), Silent()
    soft = SOFT | {"transform__queries": training}
    bundle = compressed(source, tmp_path / "b", **FLAT, **soft)["bundle"]
    x, _ = directly(vectors(300), vectors(1), own_mean(training))
    for name, request, keys in (
        ("decoded.npy", ExportRequest(source=bundle, to="npy", decoded=True), {}),
        ("floats.npy", ExportRequest(source=str(source), to="npy"), soft),
    ):
        target = tmp_path / name
        with new_run("export") as run:
            export(settings(**keys), run, said, replace(request, out=str(target)))
        out = np.load(target).astype(np.float64)
        np.testing.assert_allclose(out @ out.T, x @ x.T, atol=1e-5)
        assert (tmp_path / f"{name}.transform" / "transform.json").is_file()
    assert re.search(r"queries must go through floats\.npy\.transform/", "\n".join(said.lines))


def test_a_dry_run_names_the_transform_and_fits_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from irctl.models.transforms import affine
    from irctl.pipelines.compress.compress import describe
    from irctl.pipelines.search import search

    monkeypatch.setattr(affine, "measure", lambda blocks: pytest.fail("a dry run reads no vectors"))
    source, queries = save_vectors(tmp_path / "x.npy", 600), save_queries(tmp_path / "q.npy")
    config = settings(**SOFT, transform__dim=8, compress__source=source, compress__method="flat")
    described = describe(config)
    assert described["transform"] == "soft_whiten a=0.25 dim=8" and described["flat"]["bytes a row"] == "16"
    plan = search.describe(settings(**SOFT), index=str(source), queries=queries)["search"]
    assert plan["transform"] == "soft_whiten a=0.25"
