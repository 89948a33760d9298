"""Distillation against codes, in its parts: what the teacher says, what is compared, which queries are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from compressing import vectors
from learning import opened, parent_bundle

from irctl.data.vectors.open import open_vectors
from irctl.index import scan
from irctl.losses import distill
from irctl.training.index.candidates import AllDocuments, BatchBest
from irctl.training.index.kept_queries import KeptQueries, QueryBatch, count_items
from irctl.training.index.pseudo_queries import PseudoQueries
from irctl.training.index.teacher import Teacher
from irctl.training.index.trained_codes import TrainedCodes

QUERIES = vectors(9, seed=3)


@pytest.fixture(scope="module")
def place_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codes")


@pytest.fixture
def bundle(place_of: Path):
    """OPQ codes of 60 vectors: fewer than the candidates that are asked for."""
    if not (place_of / "opq").exists():
        return parent_bundle(place_of, 60, opq__bits=3)
    return opened(place_of / "opq")


def batch(own: list[int] | None = None, queries: np.ndarray = QUERIES) -> QueryBatch:
    return QueryBatch(torch.from_numpy(queries), torch.tensor(own or [-1] * len(queries)))


def documents_of(place_of: Path):
    return open_vectors(place_of / "in")


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_the_teacher_scores_and_finds_as_a_flat_search(bundle, place_of: Path, metric: str) -> None:
    documents = documents_of(place_of)
    queries_QD = QUERIES * np.linspace(1, 3, 9, dtype=np.float32)[:, None] if metric == "ip" else QUERIES
    found = scan.search_vectors(queries_QD, documents, 60, metric, block=7)
    teacher = Teacher(documents, is_cosine=metric == "cosine")
    assert np.array_equal(teacher.best(torch.from_numpy(queries_QD), 10), found.rows_Qk[:, :10])
    for candidates in (AllDocuments(TrainedCodes(bundle), teacher), BatchBest(TrainedCodes(bundle), teacher, 200)):
        said_BU = candidates(batch(queries=queries_QD)).teacher_BU
        flat_BU = np.take_along_axis(found.scores_Qk, np.argsort(found.rows_Qk, axis=1), axis=1)
        assert np.abs(said_BU.numpy() - flat_BU).max() < 1e-5


def test_fewer_documents_than_candidates_are_all_of_them_and_none_is_row_minus_one(bundle, place_of: Path) -> None:
    found = BatchBest(TrainedCodes(bundle), Teacher(documents_of(place_of), is_cosine=False), 200)(batch())
    assert found.codes_UM.shape == (60, 8) and found.mask_BU.all()
    assert torch.equal(found.codes_UM, TrainedCodes(bundle).unpack())


def test_the_best_of_every_query_are_candidates_of_all_and_its_own_document_of_none(bundle, place_of: Path) -> None:
    documents = documents_of(place_of)
    own = [4, *[-1] * 8]
    queries = np.concatenate([documents.take(np.array([4])), QUERIES[1:]])
    found = BatchBest(TrainedCodes(bundle), Teacher(documents, is_cosine=False), 3)(batch(own, queries))
    best_Bk = np.argsort(-(queries @ documents.take(np.arange(60)).T), axis=1)[:, :4]
    rows_U = np.unique(best_Bk)
    assert best_Bk[0, 0] == 4 and found.codes_UM.shape[0] == len(rows_U) < 60
    assert (~found.mask_BU).nonzero().tolist() == [[0, int(np.searchsorted(rows_U, 4))]]


def test_the_loss_is_zero_where_the_codes_reproduce_the_vectors_and_not_before(bundle, place_of: Path) -> None:
    codes = TrainedCodes(bundle)
    decoded_ND = bundle.quantizer.decode(bundle.take(np.arange(60)))
    teachers = {
        "decoded": Teacher(_Rows(decoded_ND), is_cosine=False),
        "own": Teacher(documents_of(place_of), is_cosine=False),
    }
    loss = {}
    for name, teacher in teachers.items():
        found = AllDocuments(codes, teacher)(batch())
        scores_BU = codes.scores(batch().queries_BD, found.codes_UM)
        settings = distill.Config(temperature=0.05, label_temperature=0.0)
        loss[name] = distill.loss(scores_BU, found.teacher_BU, found.mask_BU, settings).item()
    assert abs(loss["decoded"]) < 1e-9 < 1e-4 < loss["own"]


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_of_any_bits_are_unpacked_as_the_quantizer_reads_them(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from irctl.quantizers.shared import bit_packing

    which_NM = np.random.default_rng(bits).integers(0, 1 << bits, (20, 7)).astype(np.uint16)
    packed_NC = bit_packing.pack(which_NM, bits)
    quantizer = _product(bits, 7)
    held = SimpleNamespace(
        rows=20, code_size=packed_NC.shape[1], quantizer=quantizer, blocks=lambda size: iter([(0, packed_NC)])
    )
    codes = TrainedCodes(held)
    assert np.array_equal(codes.unpack().numpy(), which_NM)
    assert np.array_equal(codes.unpack(torch.tensor([[3], [0]])).numpy(), which_NM[[[3], [0]]])


def test_a_pseudo_query_is_drawn_by_seed_epoch_and_item_whoever_draws_it() -> None:
    documents_ND = 3 * vectors(50)
    made = PseudoQueries(documents_ND.__getitem__, 50, 0.7, 42)
    together, rows = made([(0, 1), (7, 1), (0, 2)])
    alone, row = made([(7, 1)])
    assert np.array_equal(together[1], alone[0]) and rows[1] == row[0]
    assert not np.allclose(together[0], together[2]), "another epoch draws anew"
    assert np.allclose(np.linalg.norm(together, axis=1), 3, atol=1e-5), "as long as its document"
    cosines = [q @ documents_ND[r] / 9 for q, r in zip(*made([(i, 0) for i in range(300)]), strict=True)]
    assert abs(np.mean(cosines) - 1 / np.sqrt(1 + 0.7**2)) < 0.03, "noise of .7 of its length"


def test_an_epoch_visits_every_text_about_once_and_half_of_it_is_pseudo_queries() -> None:
    texts_TD = np.arange(10, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    pseudo = PseudoQueries(vectors(50, dim=4).__getitem__, 50, 0.7, 1)
    items = count_items("mixed", 10, 50, 8)
    kept = KeptQueries("mixed", items, texts_TD, pseudo, 1)
    made = [kept([(i, epoch) for i in range(items)]) for epoch in range(5)]
    assert items == len(kept) == 24 and all((m["own"] >= 0).sum() == 12 for m in made)
    seen = np.concatenate([m["queries"][m["own"] < 0][:, 0].numpy() for m in made])
    assert np.bincount(seen.astype(int)).tolist() == [6] * 10, "60 visits of 10 texts"
    assert sorted(seen[:10]) == list(range(10)) and seen[:10].tolist() != sorted(seen[:10])


def test_texts_alone_and_pseudo_queries_alone() -> None:
    texts_TD = vectors(5, dim=4)
    pseudo = PseudoQueries(vectors(50, dim=4).__getitem__, 50, 0.7, 1)
    assert (KeptQueries("texts", 8, texts_TD, pseudo, 1)([(i, 0) for i in range(8)])["own"] == -1).all()
    assert (KeptQueries("pseudo", 8, None, pseudo, 1)([(i, 0) for i in range(8)])["own"] >= 0).all()
    assert count_items("texts", 5, 50, 8) == 8 and count_items("pseudo", 0, 50, 8) == 56


class _Rows:
    """Vectors in memory as a stream."""

    def __init__(self, rows_ND: np.ndarray) -> None:
        self.rows_ND, self.rows = rows_ND, len(rows_ND)

    def take(self, rows_N: np.ndarray) -> np.ndarray:
        return self.rows_ND[rows_N]


def _product(bits: int, m: int):
    from irctl.quantizers import learned

    centroids_MKd = np.random.default_rng(0).standard_normal((m, 1 << bits, 2)).astype(np.float32)
    return learned.Quantizer.of_arrays(None, centroids_MKd)
