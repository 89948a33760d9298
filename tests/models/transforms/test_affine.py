"""Transforms of finished vectors: against a direct eigendecomposition, and what must not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irctl import config
from irctl.errors import ConfigError, DataError
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.affine import AffineTransform, fit, measure
from irctl.models.transforms.files import FittedTransform, hash_texts, hash_vectors
from irctl.settings import Transform as Settings

D = 12


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Unit rows far from the origin, with a decaying spectrum."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, D)) * np.arange(1, D + 1) ** -1.0 + np.linspace(1, -1, D)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def settings(**keys: object) -> Settings:
    return config.resolve(config.from_sets(f"transform.{k}={v}" for k, v in keys.items())).transform


def fitted(x: np.ndarray, metric: str = "ip", mean: np.ndarray | None = None, **keys: object) -> AffineTransform:
    return fit(measure([x]), settings(**keys), metric, mean)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def directly(
    x: np.ndarray, q: np.ndarray, mean_q: np.ndarray, a: float, kept: int = D
) -> tuple[np.ndarray, np.ndarray]:
    """(documents, queries) softly whitened by another road: singular values of the centred rows, all in memory."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    _, values, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = values**2 / len(x)
    scale = (variances[:kept] / variances.mean() + 1e-6) ** (-a / 2)
    return unit((x - x.mean(0)) @ directions[:kept].T * scale), unit((q - mean_q) @ directions[:kept].T * scale)


def products(documents: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return queries.astype(np.float64) @ documents.astype(np.float64).T


@pytest.mark.parametrize("keys, a, kept", [
    ({"name": "soft_whiten"}, 0.25, D),
    ({"name": "soft_whiten", "a": 0.6, "dim": 5}, 0.6, 5),
    ({"name": "whiten"}, 1.0, D),
    ({"name": "centre"}, 0.0, D),
    ({"name": "centre", "dim": 7}, 0.0, 7),
])  # fmt: skip
def test_scores_are_those_of_a_direct_decomposition(keys: dict[str, object], a: float, kept: int) -> None:
    x, q, training = rows(400), rows(9, seed=1), rows(30, seed=2)
    mean = training.mean(0, dtype=np.float64)
    made = fitted(x, mean=mean, **keys)
    expected = products(*directly(x, q, mean, a, kept))
    np.testing.assert_allclose(products(made.documents(x), made.queries(q)), expected, atol=1e-6)
    assert (made.dim, made.out_dim, made.unit) == (D, kept, True)


def test_full_whitening_makes_the_identity_of_the_corpus_covariance() -> None:
    x = rows(500) * 7  # not of length 1, compared by distance: left as long as they come out
    made = fitted(x, metric="l2", name="whiten", eps=0)
    covariance = np.cov(made.documents(x).astype(np.float64).T, bias=True)
    np.testing.assert_allclose(covariance / covariance.trace() * D, np.eye(D), atol=1e-4)
    assert not made.unit


def test_the_top_directions_are_gone_and_the_others_as_they_were() -> None:
    x = rows(400)
    made = fitted(x, metric="l2", name="remove_top", remove=2)
    centred = x - x.mean(0, dtype=np.float64)
    directions = np.linalg.eigh(np.cov(centred.T, bias=True))[1]
    out = made.documents(x) @ directions
    np.testing.assert_allclose(out[:, -2:], 0, atol=1e-6)
    np.testing.assert_allclose(out[:, :-2], (centred @ directions)[:, :-2], atol=1e-6)
    assert fitted(np.tile(rows(300), (1, 20)) + 0.0, metric="l2", name="remove_top").settings["remove"] == 2  # of 240


def test_renorm_takes_the_projection_on_the_mean_of_each_side_away() -> None:
    x, q, mean = rows(300), rows(5, seed=1), rows(20, seed=2).mean(0, dtype=np.float64)
    made = fitted(x, mean=mean, name="renorm")
    for out, raw, of in ((made.documents(x), x, x.mean(0, dtype=np.float64)), (made.queries(q), q, mean)):
        direction = of / np.linalg.norm(of)
        np.testing.assert_allclose(out @ direction, 0, atol=1e-6)
        np.testing.assert_allclose(out, unit(raw - np.outer(raw @ direction, direction)), atol=1e-6)


def test_each_side_has_its_own_mean_and_swapped_sides_are_others() -> None:
    x, q, training = rows(300), rows(5, seed=1) - np.float32(0.3), rows(20, seed=2) - np.float32(0.3)
    mean = training.mean(0, dtype=np.float64)
    own = fitted(x, mean=mean, name="centre")
    np.testing.assert_allclose(own.queries(q), unit(q - mean), atol=1e-6)
    assert np.abs(own.queries(q) - own.documents(q)).max() > 0.1
    corpus = fitted(x, mean=mean, name="centre", query_mean="corpus")
    assert (corpus.queries(q) == corpus.documents(q)).all()
    assert (fitted(x, mean=mean, name="centre", query_mean="none").query_mean_D == 0).all()
    without = fitted(x, name="centre")  # no training queries
    assert (without.queries(q) == corpus.queries(q)).all()


def test_neither_blocks_nor_their_order_of_reading_change_a_row() -> None:
    x = rows(5000)
    one, many = measure([x]), measure([x[:1], x[1:777], x[777:]])
    np.testing.assert_allclose(one.covariance_DD, many.covariance_DD, atol=1e-12)
    np.testing.assert_allclose(one.mean_D, x.mean(0, dtype=np.float64), atol=1e-12)
    made = fit(one, settings(name="soft_whiten"), "ip", None)
    whole = made.documents(x)
    for block in (1, 7, 500, 2048, 4999):
        pieces = [made.documents(x[i : i + block]) for i in range(0, 200 if block == 1 else 5000, block)]
        assert (np.concatenate(pieces) == whole[: 200 if block == 1 else 5000]).all(), block


def test_rows_far_from_the_origin_keep_the_digits_of_their_covariance() -> None:
    x = rows(400)
    far = (x * 1e-3).astype(np.float64) + 1e4
    np.testing.assert_allclose(measure([far]).covariance_DD * 1e6, np.cov(x.T, bias=True), rtol=1e-4, atol=1e-9)


def test_the_scale_of_all_vectors_changes_nothing() -> None:
    x, q, mean = rows(300), rows(5, seed=1), rows(20, seed=2).mean(0, dtype=np.float64)
    one = fitted(x, metric="cosine", mean=mean, name="soft_whiten", eps=0.01)
    large = fitted(x * 64, metric="cosine", mean=mean * 64, name="soft_whiten", eps=0.01)
    np.testing.assert_allclose(large.queries(q * 64), one.queries(q), atol=1e-6)
    np.testing.assert_allclose(large.documents(x * 64), one.documents(x), atol=1e-6)


def test_rows_come_out_of_length_1_where_they_are_compared_by_cosine() -> None:
    x = rows(300)
    for data, metric, expected in ((x, "ip", True), (x * 2, "ip", False), (x * 2, "cosine", True), (x, "l2", False)):
        made = fitted(data, metric=metric, name="soft_whiten")
        is_unit = np.allclose(np.linalg.norm(made.documents(data), axis=1), 1, atol=1e-6)
        assert made.unit == is_unit == expected, metric
    centred = fitted(x, name="centre")
    assert (centred.documents(centred.mean_D[None]) == 0).all()  # nothing to scale


@pytest.mark.parametrize("keys, message", [
    ({"name": "remove_top", "remove": 12}, "cannot keep any and remove 12 of 12 dimensions"),
    ({"name": "whiten", "dim": 13}, "cannot keep 13 and remove 0 of 12"),
    ({"name": "renorm", "dim": 3}, "renorm keeps all dimensions"),
])  # fmt: skip
def test_what_leaves_no_dimension_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(rows(50), **keys)


def test_a_corpus_without_spread_is_refused() -> None:
    with pytest.raises(DataError, match="a corpus of 1 row has no covariance"):
        measure([rows(1)])
    with pytest.raises(DataError, match="all rows of the corpus are the same"):
        fitted(np.tile(rows(1), (9, 1)), name="soft_whiten")
    flat = rows(50)
    flat[:, 3] = 0
    with pytest.raises(DataError, match=r"1 of 12 directions have no variance.*transform.eps"):
        fitted(flat * 2, name="soft_whiten", eps=0)


def test_what_is_saved_is_read_back_and_damage_is_told(tmp_path: Path) -> None:
    x, training = rows(300), rows(20, seed=2)
    made = fitted(x, mean=training.mean(0, dtype=np.float64), name="soft_whiten")
    hashes = np.unique(hash_vectors(training))
    transform_files.save(tmp_path, FittedTransform(made, "key", "20 queries", hashes))
    again = transform_files.load(tmp_path)
    assert (again.transform.documents(x) == made.documents(x)).all()
    assert (again.transform.queries(x) == made.queries(x)).all()
    assert again.transform.label == "soft_whiten a=0.25" and again.query_mean_of == "20 queries"
    assert again.gave_mean(hash_vectors(np.concatenate([training[3:5], x[:1]]))).tolist() == [True, True, False]
    np.save(tmp_path / "mean.npy", np.zeros(D))
    with pytest.raises(DataError, match=r"mean\.npy: is damaged"):
        transform_files.load(tmp_path)


def test_a_query_is_known_by_its_text_whatever_its_id() -> None:
    assert hash_texts([" wing ", "flow"])[0] == hash_texts(["wing"])[0]
    assert len(np.unique(hash_texts(["wing", "flow", "Wing"]))) == 3
