"""Balanced codes are those of the plain iteration over the whole matrix, and balance as they should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from irctl.errors import ConfigError
from irctl.models.codes import sinkhorn
from irctl.models.codes.pq_layer import PqLayer
from irctl.quantizers.shared import faiss_tools

EPS, ROUNDS = 0.003, 100


def mixture(rows: int, slices: int, d: int, seed: int = 0) -> Tensor:
    """Vectors of 300 groups a slice, the first of which hold most of them [X, E]."""
    generator = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1, 301).float()
    parts = []
    for _ in range(slices):
        centres = torch.randn(300, d, generator=generator)
        group_X = torch.multinomial(weights, rows, replacement=True, generator=generator)
        parts.append(centres[group_X] + 0.5 * torch.randn(rows, d, generator=generator))
    return torch.cat(parts, 1)


def layer_of(vectors_XE: Tensor, slices: int, bits: int) -> PqLayer:
    """Centroids by k-means on the vectors, as a warm-up has them; no rotation."""
    trained_MKd = faiss_tools.train_pq(vectors_XE.numpy(), slices, bits, iterations=4, points_per_centroid=64, seed=1)
    return PqLayer(torch.eye(vectors_XE.shape[1]), torch.from_numpy(trained_MKd))


def by_the_whole_matrix(slice_Xd: Tensor, centroids_Kd: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """(codes [X], row errors [K]): float64, differences written out, rows and columns divided in turn."""
    differences_KXd = centroids_Kd.double()[:, None] - slice_Xd.double()[None]
    d_KX = (differences_KXd**2).sum(2)
    middle, half = (d_KX.max() + d_KX.min()) / 2, (d_KX.max() - d_KX.min()) / 2
    plan_KX = torch.exp(-(d_KX - middle) / (half + 1e-5) / EPS)
    plan_KX = plan_KX / plan_KX.sum()
    for _ in range(rounds):
        plan_KX = plan_KX / plan_KX.sum(1, keepdim=True) / plan_KX.shape[0]
        plan_KX = plan_KX / plan_KX.sum(0, keepdim=True) / plan_KX.shape[1]
    return plan_KX.argmax(0), (plan_KX.sum(1) * plan_KX.shape[0] - 1).abs()


def test_codes_and_row_errors_are_those_of_the_matrix_in_float64() -> None:
    vectors_XE = mixture(1024, 2, 8)
    layer = layer_of(vectors_XE, 2, 6)
    plan = sinkhorn.assign(vectors_XE, layer.centroids, range(2), eps=EPS, rounds=ROUNDS)
    for m in range(2):
        wanted_X, errors_K = by_the_whole_matrix(vectors_XE[:, 8 * m : 8 * m + 8], layer.centroids[m].detach())
        assert (plan.codes_XS[:, m] == wanted_X).double().mean() >= 0.999
        got = plan.row_errors_S2[m]
        assert torch.allclose(got, torch.stack([errors_K.max(), errors_K.mean()]), rtol=1e-4)
    assert plan.codes_XS.dtype == torch.uint8 and not plan.codes_XS.requires_grad


def test_a_device_without_float64_takes_the_same_codes_by_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors_XE = mixture(512, 1, 8)
    layer = layer_of(vectors_XE, 1, 6)
    scaled = sinkhorn.assign(vectors_XE, layer.centroids, [0], eps=EPS, rounds=ROUNDS)
    monkeypatch.setattr(sinkhorn, "WITHOUT_FLOAT64", ("cpu",))
    by_logarithms = sinkhorn.assign(vectors_XE, layer.centroids, [0], eps=EPS, rounds=ROUNDS)
    assert by_logarithms.row_errors_S2.dtype == torch.float32
    assert (scaled.codes_XS == by_logarithms.codes_XS).double().mean() >= 0.999
    assert torch.allclose(by_logarithms.row_errors_S2.double(), scaled.row_errors_S2, rtol=1e-2)


def test_three_vectors_and_three_centroids_that_would_share_one_get_one_each() -> None:
    vectors_XE = torch.tensor([[0.0], [0.1], [0.2]])
    centroids_MKd = torch.tensor([[[0.1], [3.0], [5.0]]])
    assert PqLayer(torch.eye(1), centroids_MKd).assign(vectors_XE).tolist() == [[0], [0], [0]]
    plan = sinkhorn.assign(vectors_XE, centroids_MKd, [0], eps=0.05, rounds=200)
    assert sorted(plan.codes_XS[:, 0].tolist()) == [0, 1, 2], plan.codes_XS


def test_skewed_vectors_fall_at_least_twice_as_evenly_and_leave_no_centroid_empty() -> None:
    vectors_XE = mixture(4096, 2, 16)
    layer = layer_of(vectors_XE, 2, 8)
    plan = sinkhorn.assign(vectors_XE, layer.centroids, range(2), eps=EPS, rounds=ROUNDS)
    balanced, nearest = (sinkhorn.measure_balance(c, 256) for c in (plan.codes_XS, layer.assign(vectors_XE)))
    assert (balanced.average_M <= nearest.average_M / 2).all(), (balanced, nearest)
    assert not balanced.empty_M.any()


def test_rounds_that_overflow_say_so_by_their_row_error() -> None:
    plan = sinkhorn.assign(mixture(64, 1, 4), torch.randn(1, 8, 4), [0], eps=1e-4, rounds=3)
    assert not torch.isfinite(plan.row_errors_S2).all()


def test_balance_counted_by_hand() -> None:
    codes_XM = torch.tensor([[0, 3], [0, 3], [0, 3], [1, 3], [2, 0], [2, 1], [1, 1], [0, 2]], dtype=torch.uint8)
    balance = sinkhorn.measure_balance(codes_XM, 4)  # 2 each would be even: 4 2 2 0 and 1 2 1 4
    assert balance.average_M.tolist() == [0.5, 0.5]
    assert balance.largest_M.tolist() == [1.0, 1.0]
    assert balance.empty_M.tolist() == [1.0, 0.0]
    spread = balance.spread()
    assert spread["empty.max"] == 1.0 and spread["empty.min"] == 0.0 and spread["empty.mean"] == 0.5
    assert set(spread) == {f"{a}.{b}" for a in ("average", "max", "empty") for b in ("min", "mean", "max")}


def test_fewer_vectors_than_centroids_are_refused_with_the_cures_and_few_are_said() -> None:
    with pytest.raises(ConfigError, match="a batch of 255 documents cannot be spread evenly over 256") as caught:
        sinkhorn.check_rows(255, 256, "a batch of 255 documents")
    assert caught.value.hint is not None
    for cure in ("queries", "negatives", "bits", "repconc.queue", "repconc.constraint=false"):
        assert cure in caught.value.hint
    assert "fewer than 4" in sinkhorn.check_rows(1023, 256, "1023 documents")
    assert sinkhorn.check_rows(1024, 256, "1024 documents") == ""
