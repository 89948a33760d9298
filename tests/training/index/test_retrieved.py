"""Candidates retrieved while training: each document once, known positives where each loss wants them, one gradient."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from irctl.losses import infonce, lambdamrr, ranknet
from irctl.quantizers.learned import Quantizer
from irctl.training.index.fixed_index import CodeIndex, VectorIndex
from irctl.training.index.retrieved import ONE, Judgements, Retrieved, list_candidates
from irctl.training.index.trained_codes import TrainedCodes

D, N = 8, 60


def vectors(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, D)).astype(np.float32)


def known(*rows: int, name: str = "q", labels: list[float] | None = None, own: int = -1) -> Judgements:
    return Judgements(name, np.array(rows, np.int64), np.array(labels or [1.0] * len(rows), np.float32), own)


class Judged:
    positive_from = 1.0

    def __init__(self, *queries: Judgements) -> None:
        self._queries = queries

    def known(self, query: int) -> Judgements:
        return self._queries[query]


def coded(rows: int = N) -> tuple[TrainedCodes, np.ndarray, Quantizer]:
    """Codes of 4 slices of 4 bits, as a training holds them and as bytes, and the quantizer that they are of."""
    quantizer = Quantizer.of_arrays(
        np.linalg.qr(vectors(D, 9))[0].astype(np.float32), vectors(64, 3).reshape(4, 16, 8)[:, :, :2]
    )
    codes_NC = quantizer.encode(vectors(rows))
    bundle = SimpleNamespace(quantizer=quantizer, rows=rows, code_size=2, blocks=lambda size: [(0, codes_NC)])
    return TrainedCodes(bundle), codes_NC, quantizer


def test_codes_are_searched_and_scored_by_the_centroids_as_they_are_now() -> None:
    codes, codes_NC, quantizer = coded()
    layer = codes.layer
    index, queries = CodeIndex(codes, "ip"), torch.from_numpy(vectors(5, 7))
    for _ in range(2):
        now = quantizer.replace_query_side(layer.centroids.detach().numpy())
        scores, rows = now.search(queries.numpy(), codes_NC, 10)
        found = index.search(queries, 10)
        assert np.array_equal(found.numpy(), rows)
        assert np.allclose(index.scores(queries, found).detach().numpy(), scores, atol=1e-5)
        with torch.no_grad():
            layer.centroids.add_(torch.from_numpy(vectors(64, 5).reshape(4, 16, 8)[:, :, :2]))
    assert not np.array_equal(quantizer.search(queries.numpy(), codes_NC, 10)[1], rows), "they moved enough to matter"


def test_a_gpu_decodes_blocks_and_finds_what_the_tables_of_a_cpu_find(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, queries = coded()[0], torch.from_numpy(vectors(5, 7))
    index = CodeIndex(codes, "cosine")
    monkeypatch.setattr("irctl.training.index.fixed_index.BLOCK_BYTES", 4 * (5 + D) * 7)
    with torch.no_grad():
        found = index._search_by_blocks(codes.layer.rotate(torch.nn.functional.normalize(queries, dim=1)), 10)
    assert torch.equal(found, index.search(queries, 10))


def test_blocks_of_a_scan_find_what_one_block_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, documents = torch.from_numpy(vectors(4, 1)), torch.from_numpy(vectors(N))
    for similarity in ("dot", "cosine", "euclid"):
        index = VectorIndex(documents, similarity)
        whole = index.search(queries, 7)
        monkeypatch.setattr("irctl.training.index.fixed_index.BLOCK_BYTES", 4 * (4 + D) * 9)
        assert torch.equal(index.search(queries, 7), whole)
        every = index.scores(queries, torch.arange(N).expand(4, N))
        assert torch.equal(every.topk(7).indices, whole)
        monkeypatch.undo()


def test_more_than_there_is_finds_every_row_once_and_never_minus_one() -> None:
    queries = torch.from_numpy(vectors(3, 1))
    for index in (CodeIndex(coded(50)[0], "ip"), VectorIndex(torch.from_numpy(vectors(50)), "dot")):
        assert all(sorted(row) == list(range(50)) for row in index.search(queries, 200).tolist())
        retrieved = Retrieved(index, Judged(*[known(3, 4)] * 3), k=200, seed=1)
        scored = retrieved.score(queries, [(0, 0), (1, 0), (2, 0)], [3])
        assert scored.views["own"].mask_BN.sum(1).tolist() == [50] * 3 and torch.isfinite(scored.scores_BN).all()


def test_the_candidates_by_hand() -> None:
    # retrieved 5 2 9 7; positives 2, 9 and 30, of which 9 is drawn and 30 was not retrieved; 7 was judged 0
    query = known(2, 7, 9, 30, labels=[2.0, 0.0, 1.0, 3.0])
    found = list_candidates(np.array([[5, 2, 9, 7]]), [query], 1.0, [9])
    assert found.rows_BN[0].tolist() == [5, 2, 9, 7, 30, 0, 0, 0]
    assert found.own[0][0].tolist() == [0, 2, 1, 0, 3, 0, 0, 0]
    assert found.own[1][0].tolist() == [True] * 5 + [False] * 3
    assert found.one[0][0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert found.one[1][0].tolist() == [True, False, True, True] + [False] * 4
    missed = list_candidates(np.array([[5, 2, 9, 7]]), [query], 1.0, [30])
    assert missed.one[0][0].tolist() == [0, 0, 0, 0, 3, 0, 0, 0] and missed.one[1][0].tolist()[:5] == [1, 0, 0, 1, 1]


def gradients(mask_positives: bool, positives: tuple[int, ...], drawn: int, k: int = 6) -> tuple[float, torch.Tensor]:
    """(loss, gradient by row) of infonce over the candidates of one query whose scores fall with the row."""
    found = list_candidates(np.arange(k)[None], [known(*positives)], 1.0, [drawn], mask_positives)
    of_row = (-0.3 * torch.arange(N, dtype=torch.float64)).requires_grad_()
    labels, mask = (torch.from_numpy(a) for a in found.one)
    value = infonce.loss(of_row[torch.from_numpy(found.rows_BN)], labels, mask, infonce.Config())
    value.backward()
    return value.item(), of_row.grad


def test_the_other_labelled_positives_get_no_gradient_from_infonce() -> None:
    _, of_row = gradients(True, (0, 2, 4), drawn=2)
    assert of_row[0] == 0 and of_row[4] == 0 and of_row[2] < 0 and (of_row[[1, 3, 5]] > 0).all()
    _, upstream = gradients(False, (0, 2, 4), drawn=2)
    assert upstream[0] > 0 and upstream[4] > 0, "v0.2 pushes them down"


def test_without_the_mask_the_drawn_positive_counts_twice_as_upstream_has_it() -> None:
    value, right = gradients(True, (1,), drawn=1)
    doubled, wrong = gradients(False, (1,), drawn=1)
    positive, others = math.exp(-0.3), sum(math.exp(-0.3 * row) for row in (0, 2, 3, 4, 5))
    assert doubled == pytest.approx(math.log((2 * positive + others) / positive)) and doubled > max(math.log(2), value)
    shrunk = (positive + others) / (2 * positive + others)
    assert wrong[[0, 2, 3, 4, 5]] == pytest.approx((shrunk * right[[0, 2, 3, 4, 5]]).numpy())


def test_a_query_without_its_own_document_among_the_candidates() -> None:
    index = VectorIndex(torch.from_numpy(vectors(N)), "dot")
    query = torch.from_numpy(vectors(N)[[3]])
    best = int(index.search(query, 1))
    scored = Retrieved(index, Judged(known(9, own=best)), k=N, seed=1).score(query, [(0, 0)], [1])
    assert scored.views["own"].mask_BN.sum() == N - 1, "all others are there"


def test_which_positive_is_drawn_follows_from_seed_epoch_and_query() -> None:
    index, query = VectorIndex(torch.from_numpy(vectors(N)), "dot"), torch.from_numpy(vectors(1, 4))

    def drawn(seed: int, epoch: int, name: str) -> int:
        labels = Judged(known(*range(20), name=name))
        scored = Retrieved(index, labels, k=N, seed=seed).score(query, [(0, epoch)], [1])
        return int(scored.views[ONE].labels_BN.argmax())

    assert drawn(1, 0, "a") == drawn(1, 0, "a")
    assert len({drawn(1, epoch, "a") for epoch in range(12)}) > 5
    assert len({drawn(1, 0, name) for name in "abcdefghijkl"}) > 5 and len({drawn(s, 0, "a") for s in range(12)}) > 5


def test_positives_that_were_not_retrieved_rank_last_in_lambdamrr() -> None:
    # rows 0..3 retrieved, scores 4 3 2 1; row 1 and row 9 (score 0.5) are positives: ranks 2 and 5
    found = list_candidates(np.arange(4)[None], [known(1, 9)], 1.0, [1])
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.5, 9.9, 9.9]], dtype=torch.float64)
    labels, mask = (torch.from_numpy(a) for a in found.own)
    value = lambdamrr.loss(scores, labels, mask, lambdamrr.Config(cut=4)).item()

    def pair(positive: float, rank: float, negative: float, other: float) -> float:
        weight = abs((1 / rank if rank <= 4 else 0) - 1 / other)
        return weight * math.log1p(math.exp(negative - positive))

    by_hand = [pair(s, r, n, o) for s, r in ((3, 2), (0.5, 5)) for n, o in ((4, 1), (2, 3), (1, 4))]
    assert value == pytest.approx(sum(by_hand) / 6)


@pytest.mark.parametrize("big", [1e4, -1e4])
@pytest.mark.parametrize("module", [infonce, ranknet, lambdamrr])
def test_no_score_is_too_large(module, big: float) -> None:
    found = list_candidates(np.arange(4)[None], [known(1, 9)], 1.0, [1])
    scores = (big * torch.tensor([[1.0, -1, 1, -1, 1, 0, 0]])).requires_grad_()
    labels, mask = (torch.from_numpy(a) for a in (found.one if module is infonce else found.own))
    value = module.loss(scores, labels, mask, module.Config())
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(scores.grad).all()


def test_the_gradient_reaches_query_and_centroids_as_finite_differences_have_it() -> None:
    codes, _, _ = coded()
    layer = codes.layer.double()
    rows = torch.tensor([[1, 5, 9], [2, 5, 8]])
    queries = torch.from_numpy(vectors(2, 3)).double().requires_grad_()

    def value() -> torch.Tensor:
        return (
            (layer.lut_scores(layer.rotate(queries), codes.unpack(rows)) * torch.arange(6).reshape(2, 3)).square().sum()
        )

    got = torch.autograd.grad(value(), (queries, layer.centroids))
    for tensor, gradient in zip((queries, layer.centroids), got, strict=True):
        flat, place = tensor.data.reshape(-1), int(gradient.abs().argmax())
        before = flat[place].item()
        ends = []
        for step in (1e-5, -1e-5):
            flat[place] = before + step
            ends.append(value().item())
        flat[place] = before
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(gradient.reshape(-1)[place].item(), rel=1e-6)
