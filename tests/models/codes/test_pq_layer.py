"""The layer agrees with faiss and the quantizers, and its gradients with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from irctl.models.codes.pq_layer import PqLayer
from irctl.quantizers import opq
from irctl.quantizers.shared import product

D, M, BITS = 12, 3, 3


def small_layer(dtype: torch.dtype = torch.float64, seed: int = 0) -> PqLayer:
    generator = torch.Generator().manual_seed(seed)
    rotation_DD = torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=dtype))[0]
    return PqLayer(rotation_DD, torch.randn(M, 1 << BITS, D // M, generator=generator, dtype=dtype))


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_centroids(layer: PqLayer, centroids_MKd: Tensor) -> PqLayer:
    """A layer of the same rotation whose centroids are this tensor, in the graph."""
    other = PqLayer(layer.rotation, centroids_MKd)
    del other.centroids
    other.centroids = centroids_MKd
    return other


def trained_opq() -> tuple[opq.Quantizer, PqLayer, np.ndarray]:
    x_ND = np.random.default_rng(3).standard_normal((300, 24)).astype(np.float32)
    quantizer = opq.Quantizer(opq.Config(m=6, bits=4, iterations=2, kmeans_iterations=3), 24)
    quantizer.fit(x_ND)
    layer = PqLayer(torch.from_numpy(quantizer.rotation_ED), torch.from_numpy(quantizer.centroids_MKd))
    return quantizer, layer, x_ND


def test_codes_and_scores_are_those_of_the_quantizer_that_the_layer_starts_from() -> None:
    quantizer, layer, x_ND = trained_opq()
    rotated_NE = layer.rotate(torch.from_numpy(x_ND))
    codes_NM = layer.assign(rotated_NE)
    wanted_NM = product.assign(rotated_NE.numpy(), quantizer.centroids_MKd)
    assert codes_NM.dtype == torch.uint8
    assert np.array_equal(codes_NM.numpy(), wanted_NM)
    wanted_BN = quantizer.scores(x_ND[:5], quantizer.encode(x_ND))
    queries_BE = layer.rotate(torch.from_numpy(x_ND[:5]))
    with torch.no_grad():
        assert np.allclose(layer.lut_scores(queries_BE, codes_NM).numpy(), wanted_BN, atol=1e-4)


def test_shared_candidates_and_each_querys_own_are_scored_alike_and_as_faiss_scores_them() -> None:
    quantizer, layer, x_ND = trained_opq()
    codes_NM = layer.assign(layer.rotate(torch.from_numpy(x_ND)))
    index = quantizer.faiss_index()
    index.add(x_ND)
    queries_BE = layer.rotate(torch.from_numpy(x_ND[:4]))
    found_Bk, rows_Bk = index.search(x_ND[:4], 7)
    with torch.no_grad():
        own_Bk = layer.lut_scores(queries_BE, codes_NM[torch.from_numpy(rows_Bk)])
        shared_BN = layer.lut_scores(queries_BE, codes_NM)
    assert np.allclose(own_Bk.numpy(), found_Bk, atol=1e-4)
    assert np.allclose(shared_BN.gather(1, torch.from_numpy(rows_Bk)).numpy(), found_Bk, atol=1e-4)


def test_the_nearest_centroid_is_chosen_and_of_two_equally_near_the_first() -> None:
    centroids_MKd = torch.tensor([[[0.0], [2.0], [2.0]], [[-1.0], [1.0], [5.0]]])
    layer = PqLayer(torch.eye(2), centroids_MKd)
    assert layer.assign(torch.tensor([[1.9, 0.0], [1.0, 4.0]])).tolist() == [[1, 0], [0, 2]]
    assert layer.decode(torch.tensor([[2, 0]], dtype=torch.uint8)).tolist() == [[2.0, -1.0]]


def test_codes_do_not_depend_on_the_block_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = small_layer()
    whole_NM = layer.assign(drawn(50, D))
    monkeypatch.setattr("irctl.models.codes.pq_layer.BLOCK_ROWS", 7)
    assert torch.equal(layer.assign(drawn(50, D)), whole_NM)


def test_the_gradient_of_scores_is_that_of_finite_differences_for_queries_and_centroids() -> None:
    layer = small_layer()
    codes_NM = layer.assign(drawn(9, D))
    own_BkM = codes_NM[torch.tensor([[0, 1, 1], [4, 8, 2]])]
    for codes in (codes_NM, own_BkM):
        inputs = (drawn(2, D, seed=5).requires_grad_(), layer.centroids.detach().clone().requires_grad_())

        def scored(queries_BD: Tensor, centroids_MKd: Tensor, codes: Tensor = codes) -> Tensor:
            own = with_centroids(layer, centroids_MKd)
            return own.lut_scores(own.rotate(queries_BD), codes)

        assert torch.autograd.gradcheck(scored, inputs)


def test_shared_candidates_are_scored_alike_in_any_blocks_with_their_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = small_layer()
    codes_NM, queries_BE = layer.assign(drawn(9, D)), drawn(3, D, seed=5).requires_grad_()

    def found() -> tuple[Tensor, ...]:
        scores_BN = layer.lut_scores(queries_BE, codes_NM)
        return scores_BN, *torch.autograd.grad(scores_BN.square().sum(), (queries_BE, layer.centroids))

    whole = found()
    monkeypatch.setattr("irctl.models.codes.pq_layer.DECODED_ROWS", 4)
    assert all(torch.allclose(a, b) for a, b in zip(found(), whole, strict=True))


@pytest.mark.parametrize("shared", (False, True))
def test_scores_keep_for_their_gradient_the_codes_themselves_not_places_or_decoded_vectors(shared: bool) -> None:
    # 128 queries x 200 candidates x 48 slices were kept as int64, ten times what codes take; shared ones decoded
    layer = small_layer(torch.float32)
    codes_NM = layer.assign(drawn(4000, D).float())
    queries_BE = drawn(4, D).float().requires_grad_()
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        layer.lut_scores(queries_BE, codes_NM if shared else codes_NM.reshape(4, 1000, -1))
    assert codes_NM.nbytes <= sum(kept.values()) < codes_NM.nbytes + 4096


def test_the_gradient_of_decoded_vectors_is_that_of_finite_differences() -> None:
    layer = small_layer()
    codes_NM = layer.assign(drawn(5, D))
    centroids_MKd = layer.centroids.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda c_MKd: with_centroids(layer, c_MKd).decode(codes_NM), (centroids_MKd,))


def test_straight_through_has_the_decoded_value_and_moves_vectors_and_centroids_by_the_whole_gradient() -> None:
    layer = small_layer()
    start_ND, queries_BE = drawn(5, D).requires_grad_(), drawn(2, D, seed=7)
    codes_NM = layer.assign(layer.rotate(start_ND))

    def loss(z_NE: Tensor) -> Tensor:
        return (queries_BE @ z_NE.T).square().sum() + z_NE.pow(3).sum()

    z_NE = layer.straight_through(layer.rotate(start_ND), codes_NM)
    assert torch.equal(z_NE, layer.decode(codes_NM)), "exactly: no rounding of x + c - x"
    got_ND, got_MKd = torch.autograd.grad(loss(z_NE), (start_ND, layer.centroids))
    # what the estimator says it is: the codes stay, and the decoded vectors move as far as the vectors do
    fixed_NE = layer.rotate(start_ND).detach()

    def surrogate(x_ND: Tensor, centroids_MKd: Tensor) -> Tensor:
        return loss(with_centroids(layer, centroids_MKd).decode(codes_NM) + layer.rotate(x_ND) - fixed_NE)

    for inputs, place, got in ((start_ND, 0, got_ND), (layer.centroids, 1, got_MKd)):
        step, wanted = 1e-6, torch.zeros_like(inputs)
        for i in range(inputs.numel()):
            moved = [torch.zeros_like(inputs) for _ in range(2)]
            moved[0].view(-1)[i], moved[1].view(-1)[i] = step, -step
            both = [start_ND.detach(), layer.centroids.detach()]
            up, down = (surrogate(*[b + more if at == place else b for at, b in enumerate(both)]) for more in moved)
            wanted.view(-1)[i] = (up - down) / (2 * step)
        assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-6)
        assert (got != 0).any()


def test_under_autocast_scores_are_as_exact_as_without() -> None:
    layer = small_layer(torch.float32)
    x_ND = 30 * drawn(4, D).float()
    codes_NM = layer.assign(layer.rotate(x_ND))
    plain_BN = layer.lut_scores(layer.rotate(x_ND), codes_NM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half_BN = layer.lut_scores(layer.rotate(x_ND), codes_NM)
        assert torch.equal(layer.assign(layer.rotate(x_ND)), codes_NM)
    assert half_BN.dtype == torch.float32 and torch.equal(half_BN, plain_BN)
