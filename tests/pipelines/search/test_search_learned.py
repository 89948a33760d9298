"""Searching bundles that a training wrote: which encoder belongs, what is appended, re-ranked, spread and reported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, settings, vectors
from learning import child_bundle, encoded, opened, parent_bundle
from toy_collections import beir_folder

from irctl.data.judgements.runs import read_run
from irctl.errors import DataError
from irctl.index.bundle import Bundle
from irctl.index.scoring import score_rows
from irctl.models.embed import TextList, embed_corpus
from irctl.models.encoder import load_encoder
from irctl.pipelines.evaluate import targets
from irctl.pipelines.references.bundle_vectors import open_source
from irctl.pipelines.search import search as pipeline
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()


def searched(model: Path | str | None = None, queries: Path | str | None = None, **keys: Any) -> dict[str, Any]:
    config = settings(search__k=20, **keys)
    run = new_run("search", config)
    with run:
        opened_once = Opened(str(model) if model else None, INDEX[0])
        return pipeline.search(opened_once, config, run, Silent(), queries=str(queries) if queries else None)


INDEX: list[str] = []


def look_in(folder: Path) -> None:
    INDEX[:] = [str(folder)]


def ranked(payload: dict[str, Any]) -> dict[str, dict[str, float]]:
    return read_run(Path(payload["run_file"]))


def top(quantizer: Any, codes: np.ndarray, queries: np.ndarray, k: int = 20) -> np.ndarray:
    return quantizer.search(queries, codes, k)[1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    documents = {f"d{i}": " ".join(rng.choice(WORDS, 6)) for i in range(150)}
    queries = {f"q{i}": " ".join(rng.choice(WORDS, 3)) for i in range(5)}
    folder = tmp_path_factory.mktemp("learned") / "toy"
    return beir_folder(folder, documents, queries, test={q: {f"d{i}": 1} for i, q in enumerate(queries)})


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The tiny encoder after a training, saved as a training saves it."""
    import torch

    encoder = load_encoder(settings(), str(tiny_encoder))
    with torch.no_grad():
        for p in encoder.module.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    folder = tmp_path_factory.mktemp("trained") / "model"
    encoder.save(folder)
    return folder


@pytest.fixture
def parent(toy: Path, tiny_encoder: Path) -> Bundle:
    made = compressed(encoded(toy, tiny_encoder), compress__method="opq", opq__m=8, opq__bits=3)
    return opened(made["bundle"])


def query_vectors(model: Path) -> np.ndarray:
    from irctl.data.collections.open import open_collection

    assert INDEX
    asked = open_collection(str(Path(opened(Path(INDEX[0])).manifest["about"]["data"]))).queries("test")
    encoder = load_encoder(settings(), str(model))
    return embed_corpus(encoder, TextList(asked.ids, asked.texts), settings().encoder, Silent(), side="query").array()


def documents_of(payload: dict[str, Any]) -> list[list[str]]:
    return [list(found) for found in ranked(payload).values()]


def test_a_frozen_encoder_is_that_of_the_documents_and_its_raw_queries_are_mapped_here(
    tmp_path: Path, parent: Bundle, tiny_encoder: Path, other_encoder: Path
) -> None:
    child = child_bundle(tmp_path / "child", parent)
    look_in(child.folder)
    found = searched()
    codes = child.take(np.arange(child.rows))
    ids = list(child.ids)
    expected = top(child.quantizer, codes, query_vectors(tiny_encoder))
    assert documents_of(found) == [[ids[r] for r in rows] for rows in expected]
    assert documents_of(searched(tiny_encoder)) == documents_of(found) and found["compression"] == "jpq"
    with pytest.raises(DataError, match=r"its query side is for queries of .*, not of") as e:
        searched(other_encoder)  # base + map in one model would be mapped twice
    assert "Leave out --model" in e.value.hint and e.value.exit_code == 3


def test_a_bundle_with_its_own_query_encoder_uses_it_and_refuses_another(
    tmp_path: Path, parent: Bundle, tiny_encoder: Path, other_encoder: Path
) -> None:
    child = child_bundle(tmp_path / "child", parent, mapped=False, query_encoder=other_encoder)
    look_in(child.folder)
    found = searched()
    codes, ids = child.take(np.arange(child.rows)), list(child.ids)
    expected = top(child.quantizer, codes, query_vectors(other_encoder))
    assert documents_of(found) == [[ids[r] for r in rows] for rows in expected]
    assert documents_of(searched(other_encoder)) == documents_of(found)  # a copy is as good
    for keys in ({"model": tiny_encoder}, {"model__name": str(tiny_encoder)}):
        with pytest.raises(DataError, match="belong to the query encoder in it, not to") as e:
            searched(**keys)
        assert "Leave out --model" in e.value.hint
    weights = next((child.folder / "query_encoder").rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(DataError, match="expected the query encoder of fingerprint"):
        searched()
    with pytest.raises(DataError, match="expected the query encoder of fingerprint"):
        compressed("", child.folder, verify=True)
    shutil.rmtree(child.folder / "query_encoder")
    with pytest.raises(DataError, match="found no folder"):
        searched()


def test_reranking_scores_exact_vectors_by_the_vector_of_the_trained_query_encoder(
    tmp_path: Path, parent: Bundle, other_encoder: Path
) -> None:
    child = child_bundle(tmp_path / "child", parent, mapped=False, query_encoder=other_encoder)
    look_in(child.folder)
    found = ranked(searched(search__rerank=150))
    exact_ND = open_source(child, settings()).take(np.arange(150))
    for scores_N, documents in zip(
        score_rows(query_vectors(other_encoder), exact_ND, "ip"), found.values(), strict=True
    ):
        order = np.argsort(-scores_N, kind="stable")[:20]
        assert list(documents) == [f"d{r}" for r in order]


def test_a_trained_quantizer_used_for_other_vectors_takes_its_query_encoder_along(
    tmp_path: Path, parent: Bundle, toy: Path, tiny_encoder: Path, other_encoder: Path
) -> None:
    child = child_bundle(tmp_path / "child", parent, mapped=False, query_encoder=other_encoder)
    again = opened(
        compressed(
            encoded(toy, tiny_encoder), init=str(child.folder), compress__method="learned", compress__stream="true"
        )["bundle"]
    )
    assert again.manifest["query_encoder"] == child.manifest["query_encoder"] and again.trained_by == "jpq"
    look_in(child.folder)
    first = documents_of(searched())
    look_in(again.folder)
    assert documents_of(searched()) == first


def test_appended_rows_are_coded_by_the_document_side(tmp_path: Path) -> None:
    parent = parent_bundle(tmp_path)
    child = child_bundle(tmp_path / "child", parent)
    more = tmp_path / "more"
    more.mkdir()
    np.save(more / "x.npy", vectors(60, seed=4))
    (more / "ids.txt").write_text("".join(f"n{i}\n" for i in range(60)))
    compressed(more, append=str(child.folder))
    grown, new = opened(child.folder), vectors(60, seed=4)
    assert grown.rows == 1260 and (grown.take(np.arange(1200, 1260)) == parent.quantizer.encode(new)).all()
    swapped = type(child.quantizer).of_arrays(child.quantizer.rotation_ED, child.quantizer.query_centroids_MKd)
    assert (swapped.encode(new) != parent.quantizer.encode(new)).any()
    assert grown.manifest["parent"] == child.manifest["parent"] and grown.trained_by == "jpq"
    with pytest.raises(DataError, match="d0"):
        compressed(tmp_path / "in", append=str(child.folder))


def test_reranking_is_by_the_exact_vectors_of_raw_queries(tmp_path: Path) -> None:
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path))
    look_in(child.folder)
    asked = vectors(6, seed=77)
    np.save(tmp_path / "q.npy", asked)
    found = ranked(searched(queries=tmp_path / "q.npy", search__rerank=1200))
    exact = score_rows(asked, vectors(1200), "ip")
    for q, scores_N in enumerate(exact):
        order = np.argsort(-scores_N, kind="stable")[:20]
        assert list(found[str(q)]) == [f"d{r}" for r in order]
        np.testing.assert_allclose(list(found[str(q)].values()), scores_N[order], atol=1e-5)


def test_several_processes_find_what_one_does(tmp_path: Path, shares_here: list[str]) -> None:
    child = child_bundle(tmp_path / "child", parent_bundle(tmp_path))
    look_in(child.folder)
    np.save(tmp_path / "q.npy", vectors(6, seed=77))
    one = searched(queries=tmp_path / "q.npy", search__block=200)
    three = searched(queries=tmp_path / "q.npy", search__block=200, hardware__devices=3)
    assert ranked(one) == ranked(three) and shares_here == ["search_share:3"]


def test_an_evaluation_of_nothing_named_takes_the_codes_that_a_training_wrote(tmp_path: Path) -> None:
    from learning import trained_run

    run = trained_run(parent_bundle(tmp_path))
    assert targets.find_newest_source() == targets.RankingSource(index=run.id)
