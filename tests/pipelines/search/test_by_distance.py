"""A model compared by distance ranks alike by brute force, by faiss three ways and by sentence-transformers."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from toy_collections import beir_folder
from workspace import Workspace

from irctl import config as settings
from irctl.models import heads
from irctl.models.encoder import load_encoder
from irctl.models.heads import Sample
from irctl.training.similarities import similarities

WORDS = "wing flow shock wave heat panel flutter jet noise drag".split()
PASSAGES = [f"{a} {b} of a {b} {a * (i % 3)}" for i, a in enumerate(WORDS) for b in WORDS if a != b]
QUERIES = [f"what is {a}" for a in WORDS]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a head whose vectors differ in length, compared by distance."""
    sets = [f"model.name={tiny_encoder}", "model.output_dim=24", "model.similarity=euclid"]
    asked = settings.resolve(settings.from_sets(sets))
    folder = tmp_path_factory.mktemp("distance") / "model"
    heads.prepare(load_encoder(asked), asked, lambda: Sample(PASSAGES, QUERIES)).save(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents, queries = {f"d{i:03}": t for i, t in enumerate(PASSAGES)}, {f"q{i}": t for i, t in enumerate(QUERIES)}
    judged = {q: {f"d{i:03}": 1} for i, q in enumerate(queries)}
    return beir_folder(tmp_path_factory.mktemp("distance") / "data", documents, queries, test=judged)


def order(scores_QN: np.ndarray) -> list[list[int]]:
    return np.argsort(-scores_QN, axis=1, kind="stable")[:, :10].tolist()


def test_every_way_to_rank_by_distance_gives_one_order(model: Path, data: Path, place: Workspace) -> None:
    run = place.ok(f"irctl search --model {model} --data {data} --split test --set search.k=10 --json").json
    file = next(Path(place.folder, "runs", run["run"]).rglob("*.trec*"))
    import gzip

    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt") as lines:
        rows = [line.split() for line in lines]
    found = [[int(r[2][1:]) for r in rows if r[0] == f"q{i}"] for i in range(len(QUERIES))]

    theirs = SentenceTransformer(str(model), device="cpu")
    q, d = theirs.encode_query(QUERIES), theirs.encode_document(PASSAGES)
    lengths = np.linalg.norm(d, axis=1)
    assert lengths.std() > 0.05 * lengths.mean(), "else distance and cosine were the same"
    exact = -np.linalg.norm(q.astype(np.float64)[:, None] - d.astype(np.float64)[None], axis=2)
    assert found == order(exact)
    assert theirs.similarity_fn_name == "euclidean" and order(theirs.similarity(q, d).numpy()) == order(exact)

    flat = faiss.IndexFlatL2(d.shape[1])
    flat.add(d)
    assert flat.search(q, 10)[1].tolist() == order(exact)
    longer = faiss.IndexFlatIP(d.shape[1] + 1)
    longer.add(np.ascontiguousarray(np.c_[d, -(lengths**2) / 2], np.float32))
    assert longer.search(np.ascontiguousarray(np.c_[q, np.ones(len(q))], np.float32), 10)[1].tolist() == order(exact)
    assert order(exact) != order(q @ d.T), "else the similarity would not matter"


def test_distances_of_long_vectors_have_their_digits() -> None:
    rng = np.random.default_rng(0)
    q = rng.standard_normal((40, 400))
    d = np.concatenate([rng.standard_normal((80, 400)), q + 1e-3 * rng.standard_normal(q.shape)])
    assert np.linalg.norm(d, axis=1).mean() == pytest.approx(20, abs=1)
    q32, d32 = q.astype(np.float32), d.astype(np.float32)
    exact = np.linalg.norm(q32.astype(np.float64)[:, None] - d32.astype(np.float64)[None], axis=2)
    found = -similarities(torch.from_numpy(q32), torch.from_numpy(d32), "euclid").numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_a_search_by_another_similarity_is_said(model: Path, data: Path, place: Workspace) -> None:
    line = f"irctl eval --model {model} --data {data} --split test"
    assert "compares by" not in place.ok(line).err
    assert "search.similarity=cosine, but its encoder compares by euclid" in place.ok(
        f"{line} --set search.similarity=cosine"
    ).err.replace("\n", " ")
    refused = place.run(
        f"irctl train --dry-run --model {model} --data {data} --split test --set search.similarity=cosine"
    )
    assert refused.code == 2 and "compares by the model's own similarity, euclid" in refused.err.replace("\n", " ")


def test_codes_of_another_metric_are_said(model: Path, data: Path, place: Workspace) -> None:
    encoded = place.ok(f"irctl encode --model {model} --data {data} --json").json["run"]
    line = f"irctl compress --method sq --data {encoded}"
    assert "the encoder compares by distance, the codes keep ip" in place.ok(line).err.replace("\n", " ")
    done = place.ok(f"{line} --set compress.metric=l2 --json")
    assert "compares by distance" not in done.err
    mixed = place.run(
        f"irctl search --index {done.json['run']} --data {data} --split test --set search.similarity=cosine"
    )
    assert mixed.code == 2 and "these codes keep euclid" in mixed.err.replace("\n", " ")


def test_a_faiss_file_of_its_codes_ranks_by_distance(model: Path, data: Path, place: Workspace) -> None:
    encoded = place.ok(f"irctl encode --model {model} --data {data} --json").json["run"]
    sets = "--set compress.metric=l2 --set flat.dtype=float32"
    codes = place.ok(f"irctl compress --method flat --data {encoded} {sets} --json").json["run"]
    place.ok(f"irctl export {codes} --to faiss --out {place.folder}/distance.faiss")
    theirs = SentenceTransformer(str(model), device="cpu")
    q, d = theirs.encode_query(QUERIES), theirs.encode_document(PASSAGES)
    file = next(
        f for f in [place.folder / "distance.faiss", *(place.folder / "distance.faiss").glob("*")] if f.is_file()
    )
    found = faiss.read_index(str(file)).search(q, 10)[1].tolist()
    assert found == order(-np.linalg.norm(q[:, None] - d[None], axis=2))
