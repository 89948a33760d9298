"""Every loss against values worked out by hand or by an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from irctl import plugins

SCORES_BN = torch.tensor([[2, 1, 0, 0.5, -0.5, 1.5], [0, 1, -1, 1, 2, 0.5]], dtype=torch.float64)
LABELS_BN = torch.tensor([[3, 1, 0, 0, 0, 0], [0, 0, 0, 2, 2, 0]], dtype=torch.float64)
OWN = [(0, slice(0, 3)), (1, slice(3, 6))]

# name, settings -> every in-batch passage, entry (0, 5) masked, own passages only
GOLDEN = [
    ("infonce", {}, 0.943124, 0.715336, 0.278920),
    ("infonce", {"positive_threshold": 2}, 0.868086, 0.723474, 0.372676),
    ("ws2", {}, 0.176925, 0.110817, None),
    ("ws2", {"label_temperature": 0.5}, 0.410723, 0.292253, None),
    ("ws2_paired", {}, 0.118135, 0.070545, 0.069508),
    ("kl", {}, 0.241691, 0.158592, 0.111960),
    ("listnet", {}, 1.134681, 0.990069, 0.748487),
    ("listnet", {"target": "softmax"}, 1.390586, 1.242950, 0.816785),
    ("listmle", {}, 1.188535, 0.976289, 0.662401),
    ("ranknet", {}, 0.319011, 0.265689, 0.294448),
    ("lambdaloss", {}, 0.426550, 0.316779, 0.127152),
    ("lambdaloss", {"weights": "ndcg2"}, 0.334289, 0.267463, 0.122376),
    ("lambdaloss", {"weights": "ndcg2pp"}, 3.769438, 2.991411, 1.350908),
    ("lambdaloss", {"k": 2}, 0.393640, 0.290242, 0.127152),
    ("approxndcg", {}, 0.327147, 0.283750, 0.169096),
    ("marginmse", {}, None, None, 1.312500),
    ("distill", {"temperature": 2}, None, None, 0.766512),
    ("bixse", {}, 0.806959, 0.725645, 0.702378),
    ("w1_ordinal", {}, 0.626428, 0.438088, 0.279429),
    ("cosent", {}, 2.097662, 1.773570, 0.993531),
    ("triplet", {}, 0.25, 0.135417, 0.125),
    ("triplet", {"negatives": "hardest"}, 0.75, 0.375, 0.125),
]


def value(name: str, settings: dict, scores: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> float:
    module = plugins.load("losses", name)
    return module.loss(scores, labels, mask, module.Config(**settings)).item()


@pytest.mark.parametrize(("name", "settings", "every", "masked", "own"), GOLDEN)
def test_value_equals_the_worked_example(name, settings, every, masked, own) -> None:
    mask_BN = torch.ones_like(LABELS_BN, dtype=torch.bool)
    without_BN = mask_BN.clone()
    without_BN[0, 5] = False
    if every is not None:
        assert value(name, settings, SCORES_BN, LABELS_BN, mask_BN) == pytest.approx(every, abs=1e-6)
        assert value(name, settings, SCORES_BN, LABELS_BN, without_BN) == pytest.approx(masked, abs=1e-6)
    if own is not None:
        scores_BK, labels_BK = (torch.stack([x[i] for i in OWN]) for x in (SCORES_BN, LABELS_BN))
        mask_BK = torch.ones_like(labels_BK, dtype=torch.bool)
        assert value(name, settings, scores_BK, labels_BK, mask_BK) == pytest.approx(own, abs=1e-6)


def test_the_cut_of_lambdaloss_is_a_rank_by_score_among_all_candidates_of_the_row() -> None:
    scores_BN, labels_BN = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0, 2.0]])
    own_BN, whole_BN = torch.tensor([[False, True, True, True]]), torch.ones(1, 4, dtype=torch.bool)

    def of(mask_BN: torch.Tensor, **settings: int) -> float:
        return value("lambdaloss", settings, scores_BN, labels_BN, mask_BN)

    # ideal DCG at 1: the gain 3 of the grade 2. Whole list: the first rank is the passage of grade 0 and score 4, so
    # the pairs against it alone count; own group: the passage of score 3 leads it, and the pairs with that one count
    def pair(gains: float, ranks: tuple[int, int], gap: float) -> float:
        worth = abs(1 / np.log2(1 + ranks[0]) - 1 / np.log2(1 + ranks[1]))
        return gains / 3 * worth * np.log1p(np.exp(gap))

    assert of(whole_BN, k=1) == pytest.approx(pair(1, (2, 1), 1.0) + pair(3, (4, 1), 3.0), rel=1e-5)
    assert of(own_BN, k=1) == pytest.approx(pair(1, (1, 2), -1.0) + pair(2, (3, 1), 2.0), rel=1e-5)


def trace_form(x_BN: np.ndarray, y_BN: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two Gaussians from their N x N covariances, by a matrix square root."""
    gap = ((x_BN.mean(0) - y_BN.mean(0)) ** 2).sum()
    sx, sy = np.cov(x_BN.T), np.cov(y_BN.T)
    values, vectors = scipy.linalg.eigh(sx)
    # the covariance has rank B - 1; the square root of what lies outside its range would only add rounding noise
    values, vectors = values[-(len(x_BN) - 1) :], vectors[:, -(len(x_BN) - 1) :]
    half = vectors * np.sqrt(values)
    return float(gap + np.trace(sx) + np.trace(sy) - 2 * np.trace(scipy.linalg.sqrtm(half.T @ sy @ half)).real)


@pytest.mark.parametrize("rows", [2, 16, 64])
def test_ws2_equals_the_trace_form_over_covariances(rows: int) -> None:
    rng = np.random.default_rng(rows)
    scores_BN, labels_BN = rng.normal(size=(rows, 4 * rows)), np.zeros((rows, 4 * rows))
    for row in range(rows):
        labels_BN[row, 4 * row : 4 * row + 4] = (3, 2, 1, 0)
    softmaxes = [np.exp(v) / np.exp(v).sum(1, keepdims=True) for v in (scores_BN, labels_BN)]
    mine = value("ws2", {}, *map(torch.tensor, (scores_BN, labels_BN)), torch.ones(rows, 4 * rows, dtype=torch.bool))
    assert mine == pytest.approx(trace_form(*softmaxes), rel=1e-6)


def test_ws2_cannot_tell_queries_apart_and_ws2_paired_can() -> None:
    labels_BN = torch.zeros(8, 32, dtype=torch.float64)
    for row in range(8):
        labels_BN[row, 4 * row : 4 * row + 4] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    shifted_BN, mask_BN = labels_BN.roll(1, 0), torch.ones_like(labels_BN, dtype=torch.bool)
    assert value("ws2", {}, shifted_BN, labels_BN, mask_BN) == pytest.approx(0, abs=1e-12)
    assert value("ws2_paired", {}, shifted_BN, labels_BN, mask_BN) > 0.2


def test_ws2_float32_gradient_follows_float64() -> None:
    torch.manual_seed(1)
    scores_BN = torch.randn(16, 64, dtype=torch.float64)
    labels_BN, mask_BN = torch.randint(0, 4, (16, 64)).double(), torch.ones(16, 64, dtype=torch.bool)
    module = plugins.load("losses", "ws2")
    grads = []
    for dtype in (torch.float64, torch.float32):
        leaf_BN = scores_BN.detach().clone().to(dtype).requires_grad_()
        module.loss(leaf_BN, labels_BN, mask_BN, module.Config()).backward()
        grads.append(leaf_BN.grad.double())
    assert (grads[0] - grads[1]).norm() <= 1e-4 * grads[0].norm()


def test_with_one_positive_a_row_infonce_listmle_and_listnet_are_cross_entropy() -> None:
    torch.manual_seed(2)
    scores_BN, labels_BN = torch.randn(5, 7, dtype=torch.float64), torch.zeros(5, 7)
    where_B = torch.tensor([0, 3, 6, 2, 1])
    labels_BN[torch.arange(5), where_B] = 1
    expected = torch.nn.functional.cross_entropy(scores_BN, where_B).item()
    for name in ("infonce", "listmle", "listnet"):
        assert value(name, {}, scores_BN, labels_BN, torch.ones(5, 7, dtype=torch.bool)) == pytest.approx(expected)


def test_listmle_position_weights_follow_the_definition() -> None:
    scores, labels = [0.3, -0.2, 1.1], [2.0, 1.0, 0.0]  # n = 3: weights 2^2 - 1 = 3 and 2^1 - 1 = 1
    terms = [np.log(np.exp(scores).sum()) - 0.3, np.log(np.exp([-0.2, 1.1]).sum()) + 0.2]
    got = value(
        "listmle",
        {"position_weights": True},
        torch.tensor([scores], dtype=torch.float64),
        torch.tensor([labels]),
        torch.ones(1, 3, dtype=torch.bool),
    )
    assert got == pytest.approx((3 * terms[0] + terms[1]) / 4)


def test_lambdamrr_weighs_pairs_by_reciprocal_ranks() -> None:
    scores, labels = torch.tensor([[2.0, 1, 0, -1]], dtype=torch.float64), torch.tensor([[0, 1, 0, 1]])
    assert value("lambdamrr", {}, scores, labels, torch.ones(1, 4, dtype=torch.bool)) == pytest.approx(
        0.776180, abs=1e-6
    )


def test_bixse_bias_makes_the_mean_score_answer_the_mean_grade() -> None:
    module = plugins.load("losses", "bixse")
    scores_BN = torch.tensor([[0.2, 0.4]])
    bias = module.first_bias(scores_BN, torch.tensor([[3.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool), module.Config())
    assert bias == pytest.approx(0.3)  # mean target 1/2, whose logit is 0


def test_neuralndcg_of_a_sharp_sort_is_one_minus_ndcg() -> None:
    scores, labels = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64), torch.tensor([[3, 1, 0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    # the passage of grade 1 comes first: DCG = 1 + 7 / log2(3), ideal 7 + 1 / log2(3)
    wanted = 1 - (1 + 7 / np.log2(3)) / (7 + 1 / np.log2(3))
    assert value("neuralndcg", {"temperature": 0.01}, scores, labels, mask) == pytest.approx(wanted, abs=1e-6)
    soft = value("neuralndcg", {}, scores, labels, mask)
    assert 0 < soft < wanted  # some of the grade 3 stands at the first rank


def test_the_soft_permutation_is_doubly_stochastic_over_what_counts() -> None:
    module = plugins.load("losses", "neuralndcg")
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    scores = torch.tensor([[0.3, -1.0, 0.0, 0.2], [0.5, 0.5, 0.1, -0.4]], dtype=torch.float64)
    p = module.soft_permutation(scores, mask)
    assert torch.allclose(p.sum(2), torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]]).double(), atol=1e-6)
    assert torch.allclose(p.sum(1), mask.double(), atol=1e-6)
    assert torch.allclose(p[1, :, 0], p[1, :, 1])  # equal scores, equal ranks


def test_adr_mse_by_hand() -> None:
    scores, labels = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.0]])
    # both smooth ranks are 1.5, a half from ranks 1 and 2: (1/4 / log2(2) + 1/4 / log2(3)) / 2
    wanted = (0.25 + 0.25 / np.log2(3)) / 2
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert value("adr_mse", {}, scores, labels, mask) == pytest.approx(wanted)
    far = torch.tensor([[50.0, -50.0, -50.0]], dtype=torch.float64)  # two share ranks 2 and 3: 2.5 each, as wanted
    assert value("adr_mse", {}, far, torch.tensor([[2, 0, 0]]), torch.ones(1, 3, dtype=torch.bool)) < 1e-12


def test_triplet_by_hand_for_own_negatives_one_or_all_and_for_a_row_without_any() -> None:
    module = plugins.load("losses", "triplet")
    distances_BN = torch.tensor([[1.0, 1.5, 3.0, 0.2], [0.5, 4.0, 2.0, 1.0]], dtype=torch.float64)
    labels_BN = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    own_BN = torch.tensor([[True, True, True, False], [False, False, False, True]])
    mask_BN = torch.ones(2, 4, dtype=torch.bool)

    def of(mask_BN: torch.Tensor, **settings: object) -> float:
        return module.loss(-distances_BN, labels_BN, mask_BN, module.Config(**settings), own_BN).item()

    # row 0: own negatives at 1.5 and 3, relu(1 - 1.5 + 1) = .5 and relu(1 - 3 + 1) = 0; the passage at .2 is another's
    # row 1: none of its own; the nearest of the others is at .5: relu(1 - .5 + 1) = 1.5
    assert of(mask_BN) == pytest.approx(((0.5 + 0) / 2 + 1.5) / 2)
    assert of(mask_BN, negatives="hardest") == pytest.approx((0.5 + 1.5) / 2)
    assert of(mask_BN, margin=3.0) == pytest.approx(((2.5 + 1) / 2 + 3.5) / 2)
    mask_BN[1, 0] = False  # a known positive of that row: the next nearest is at 2, a gap of 1
    assert of(mask_BN) == pytest.approx(((0.5 + 0) / 2 + 0) / 2)


def test_triplet_of_a_mixed_batch_is_the_mean_of_its_rows() -> None:
    module = plugins.load("losses", "triplet")
    generator = torch.Generator().manual_seed(3)
    scores_BN = -torch.rand(6, 9, dtype=torch.float64, generator=generator)
    labels_BN, own_BN = torch.zeros(6, 9), torch.zeros(6, 9, dtype=torch.bool)
    for row in range(6):  # queries 0 to 2 have a negative of their own, the others a positive alone
        place = 2 * row if row < 3 else 3 + row
        labels_BN[row, place], own_BN[row, place] = 1, True
        own_BN[row, place + 1 : place + 1 + (row < 3)] = True
    mask_BN = torch.ones(6, 9, dtype=torch.bool)
    rows = [
        module.loss(scores_BN[i : i + 1], labels_BN[i : i + 1], mask_BN[:1], module.Config(), own_BN[i : i + 1]).item()
        for i in range(6)
    ]
    for row in range(6):
        positive = scores_BN[row, labels_BN[row] == 1].item()
        others = scores_BN[row, own_BN[row] & (labels_BN[row] == 0)] if row < 3 else scores_BN[row, labels_BN[row] == 0]
        assert rows[row] == pytest.approx(max(0.0, others.max().item() - positive + 1))
    whole = module.loss(scores_BN, labels_BN, mask_BN, module.Config(), own_BN).item()
    assert whole == pytest.approx(sum(rows) / 6)
