"""`irctl search`: the same ranking by every path, run files in query order, and indexes that do not fit refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import DIM, compressed, new_run, save_vectors, settings, vectors
from toy_collections import beir_folder

from irctl.config import Config
from irctl.data.judgements.runs import read_run
from irctl.errors import ConfigError, DataError
from irctl.index.scoring import score_rows
from irctl.ledger import query
from irctl.pipelines.search import rank
from irctl.pipelines.search import search as pipeline
from irctl.pipelines.search.opened import Opened
from irctl.types import Silent

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()


def searched(config: Config, **options: Any) -> dict[str, Any]:
    run = new_run("search", config)
    with run:
        opened = Opened(options.pop("model", None), options.pop("index", None))
        return pipeline.search(opened, config, run, Silent(), **options)


def save_queries(path: Path, n: int = 6) -> str:
    np.save(path, vectors(n, seed=77))
    return str(path)


def ranking(payload: dict[str, Any]) -> dict[str, list[str]]:
    return {q: list(docs) for q, docs in read_run(Path(payload["run_file"])).items()}


def best(queries: np.ndarray, x: np.ndarray, k: int) -> dict[str, list[str]]:
    order = np.argsort(-score_rows(queries, x, "ip"), axis=1, kind="stable")[:, :k]
    return {str(q): [str(r) for r in rows] for q, rows in enumerate(order)}


def test_flat_codes_and_query_vectors_give_exact_search(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 1700)
    bundle = compressed(source, compress__method="flat", flat__dtype="float32")["bundle"]
    queries = save_queries(tmp_path / "q.npy")
    by_codes = searched(settings(search__k=20), index=bundle, queries=queries)
    by_floats = searched(settings(search__k=20), index=str(source), queries=queries)
    expected = best(vectors(6, seed=77), vectors(1700), 20)
    assert ranking(by_codes) == expected == ranking(by_floats)
    assert by_codes["boundary_ties"] == 0 and by_codes["code_size"] == 4 * DIM and by_floats["rows"] == 1700


def test_a_search_is_timed_and_one_query_alone_where_asked(tmp_path: Path) -> None:
    source, queries = save_vectors(tmp_path / "x.npy", 1200), save_queries(tmp_path / "q.npy")
    bundle = compressed(source)["bundle"]
    plain = searched(settings(search__k=5), index=bundle, queries=queries)
    assert plain["queries_per_s"] > 0 and "latency_ms" not in plain
    assert plain["timed_queries"] == plain["queries"] and plain["timed_threads"] >= 1
    timed = searched(settings(search__k=5, search__latency=4, search__rerank=50), index=bundle, queries=queries)
    assert 0 < timed["latency_ms"] <= timed["latency_p95_ms"]
    assert ranking(plain).keys() == ranking(timed).keys()
    known = {m["name"]: m["value"] for m in query.measures(query.find_run("latest:search").id)}
    assert known["queries_per_s"] == pytest.approx(timed["queries_per_s"], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("method", ("pq", "sq", "rabitq"))
def test_rescoring_deep_enough_restores_exact_search(tmp_path: Path, method: str) -> None:
    source = save_vectors(tmp_path / "x.npy", 1200)
    bundle = compressed(source, compress__method=method)["bundle"]
    queries = save_queries(tmp_path / "q.npy")
    exact = best(vectors(6, seed=77), vectors(1200), 10)
    every = searched(settings(search__k=10, search__rerank=1200), index=bundle, queries=queries)
    assert ranking(every) == exact and every["rerank"] == 1200
    some = ranking(searched(settings(search__k=10, search__rerank=300), index=bundle, queries=queries))
    shared = [len(set(some[q]) & set(exact[q])) / 10 for q in exact]
    assert np.mean(shared) > (0.85 if method == "pq" else 0.97)


@pytest.mark.parametrize("block", (100, 1000, 8192, 0))
def test_the_block_changes_neither_ranks_nor_scores(tmp_path: Path, block: int) -> None:
    source = tmp_path / "x.npy"
    np.save(source, np.concatenate([vectors(800), vectors(800)]))
    bundle = compressed(source)["bundle"]
    queries = save_queries(tmp_path / "q.npy")
    runs = [
        Path(searched(settings(search__k=31, search__block=b), index=bundle, queries=queries)["run_file"])
        for b in (block, 517)
    ]
    assert read_run(runs[0]) == read_run(runs[1])


@pytest.mark.parametrize("devices", (1, 2))
def test_a_fast_scan_ranks_like_the_plain_one_and_says_that_it_was_used(tmp_path: Path, devices: int) -> None:
    source = save_vectors(tmp_path / "x.npy", 1600)
    bundle = compressed(source, compress__method="opq")["bundle"]
    queries = save_queries(tmp_path / "q.npy")
    plain = searched(settings(search__k=10), index=bundle, queries=queries)
    keys = {"search__k": 10, "search__fastscan": "true", "search__block": 500, "hardware__devices": devices}
    fast = searched(settings(**keys), index=bundle, queries=queries)
    assert ranking(fast) == ranking(plain)
    assert fast["fastscan"] is True and "fastscan" not in plain


@pytest.mark.parametrize(
    ("method", "keys", "found"),
    [("sq", {}, "these are sq"), ("pq", {"pq__bits": 5}, "these pq codes have 5"), ("", {}, "these are vectors")],
)
def test_a_fast_scan_of_what_has_none_is_refused(tmp_path: Path, method: str, keys: dict[str, Any], found: str) -> None:
    source = save_vectors(tmp_path / "x.npy", 700)
    index = compressed(source, compress__method=method, **keys)["bundle"] if method else str(source)
    with pytest.raises(ConfigError, match=r"search\.fastscan: .*" + found):
        searched(settings(search__fastscan="true"), index=index, queries=save_queries(tmp_path / "q.npy"))


def test_ties_at_the_cut_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "x.npy"
    np.save(source, np.repeat(vectors(300), 2, axis=0))
    payload = searched(settings(search__k=5), index=str(source), queries=save_queries(tmp_path / "q.npy"))
    assert payload["boundary_ties"] == 6
    made = query.newest("search")
    assert made is not None
    assert {m["name"]: m["value"] for m in query.measures(made.id)}["boundary_ties"] == 6


def test_asking_for_more_than_there_is_gives_every_row(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 60)
    payload = searched(settings(search__k=1000), index=str(source), queries=save_queries(tmp_path / "q.npy", 1))
    assert sorted(map(int, ranking(payload)["0"])) == list(range(60))


def test_query_vectors_of_another_width_or_kind_are_refused(tmp_path: Path) -> None:
    source = str(save_vectors(tmp_path / "x.npy", 60))
    np.save(tmp_path / "q.npy", np.zeros((3, DIM + 1), np.float32))
    with pytest.raises(DataError, match=rf"expected shape \(rows, {DIM}\), found \(3, {DIM + 1}\)"):
        searched(settings(), index=source, queries=str(tmp_path / "q.npy"))
    (tmp_path / "empty.npy").touch()
    for index, queries in ((source, "empty.npy"), (str(tmp_path / "empty.npy"), "q.npy")):
        with pytest.raises(DataError, match=r"empty\.npy: expected a \.npy file of vectors, found an empty file"):
            searched(settings(), index=index, queries=str(tmp_path / queries))
    (tmp_path / "q.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"expected a \.npy file of vectors, found text"):
        searched(settings(), index=source, queries=str(tmp_path / "q.txt"))
    with pytest.raises(ConfigError, match="cannot give 1000 results"):
        searched(settings(search__rerank=10), index=source, queries=str(tmp_path / "q.npy"))


def test_vectors_that_are_gone_cannot_be_rescored(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 700)
    bundle = compressed(source)["bundle"]
    source.unlink()
    queries = save_queries(tmp_path / "q.npy")
    assert searched(settings(search__k=5), index=bundle, queries=queries)["queries"] == 6
    with pytest.raises(DataError, match="are not here any more"):
        searched(settings(search__k=5, search__rerank=20), index=bundle, queries=queries)
    save_vectors(source, 700, seed=3)  # another content under the same name
    with pytest.raises(DataError, match="are not here any more"):
        searched(settings(search__k=5, search__rerank=20), index=bundle, queries=queries)


def test_another_similarity_than_the_codes_keep_is_refused(tmp_path: Path) -> None:
    bundle = compressed(save_vectors(tmp_path / "x.npy", 700))["bundle"]
    with pytest.raises(ConfigError, match="asked euclid, these codes keep dot"):
        searched(settings(search__similarity="euclid"), index=bundle, queries=save_queries(tmp_path / "q.npy"))


def test_query_vectors_need_no_encoder_libraries(tmp_path: Path) -> None:
    compressed(save_vectors(tmp_path / "x.npy", 700), tmp_path / "b")
    save_queries(tmp_path / "q.npy")
    code = (
        "import sys; sys.path.insert(0, {tests!r}); from compressing import *;"
        "from irctl.pipelines.search.opened import Opened; from irctl.pipelines.search.search import search;"
        "c = settings(search__k=5); r = new_run('search', c);"
        "search(Opened(index={index!r}), c, r, Silent(), queries={q!r});"
        "print(sorted({{'torch', 'transformers', 'datasets', 'pandas', 'sentence_transformers'}} & set(sys.modules)))"
    ).format(tests=str(Path(__file__).parents[1]), index=str(tmp_path / "b"), q=str(tmp_path / "q.npy"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Sixty documents of words, five queries in an order of their own; query 3 has a document of its own id."""
    rng = np.random.default_rng(0)
    documents = {str(i): {"title": "", "text": " ".join(rng.choice(WORDS, 8))} for i in range(60)}
    queries = {q: " ".join(rng.choice(WORDS, 3)) for q in ("q9", "q1", "3", "q4", "q0")}
    return beir_folder(tmp_path / "toy", documents, queries, test={q: {str(rng.integers(60)): 1} for q in queries})


def toy(collection: Path, tiny_encoder: Path, **keys: Any) -> Config:
    return settings(data__source=collection, data__split="test", model__name=tiny_encoder, search__k=10, **keys)


def encoded(config: Config) -> str:
    from irctl.pipelines.encode import encode

    run = new_run("encode", config)
    with run:
        encode(config, run, Silent())
    return run.id


def test_codes_that_lose_nothing_rank_like_the_encoder(collection: Path, tiny_encoder: Path) -> None:
    config = toy(collection, tiny_encoder)
    plain = searched(config)
    encoded(config)
    bundle = compressed("", compress__method="flat", flat__dtype="float32", model__name=tiny_encoder)["bundle"]
    by_codes = searched(config, index=bundle)
    assert ranking(by_codes) == ranking(plain) and by_codes["compression"] == "flat"
    assert list(read_run(Path(plain["run_file"]))) == ["q9", "q1", "3", "q4", "q0"]
    assert {"dataset", "split", "queries", "k", "method", "model", "similarity", "run_file"} <= set(plain)
    best, documents, *_ = rank.search_rows(bundle, _queries(config), config, Silent(), k=4)
    lists = list(rank.to_lists(best, documents))
    assert [ids for _, ids in lists] == [docs[:4] for docs in ranking(plain).values()] and len(lists[0][0]) == 4


def _queries(config: Config) -> Any:
    from irctl.data.collections.open import open_collection

    return open_collection(config.data.source).queries("test")


def test_one_more_document_is_kept_where_self_matches_drop(collection: Path, tiny_encoder: Path) -> None:
    kept = ranking(searched(toy(collection, tiny_encoder)))
    dropped = ranking(searched(toy(collection, tiny_encoder, eval__self_match="drop")))
    assert {len(d) for d in kept.values()} == {10} and {len(d) for d in dropped.values()} == {11}
    assert all(dropped[q][:10] == kept[q] for q in kept)


def test_ids_that_no_run_file_holds_are_refused_before_anything_is_encoded(collection: Path) -> None:
    from irctl.pipelines.search import bm25

    with (collection / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "New York", "text": "wing"}\n')
    config = settings(data__source=collection, data__split="test", model__name="no-such-model")
    said = "document id 'New York' has ' ' in it, and run files separate columns"
    with pytest.raises(DataError, match=said):
        searched(config)
    with new_run("search", config) as run, pytest.raises(DataError, match=said):
        bm25.search(config, run, Silent())


def test_the_index_brings_its_model_and_collection(collection: Path, tiny_encoder: Path) -> None:
    config = toy(collection, tiny_encoder)
    expected = ranking(searched(config))
    encoded(config)
    compressed("", compress__method="flat", flat__dtype="float32")
    bare = settings(search__k=10, data__split="test")
    assert ranking(searched(bare, index="latest")) == expected
    made = query.newest("search")
    compress = query.newest("compress")
    assert made is not None and compress is not None
    assert (compress.id, made.id) in {
        (row["src_run"], row["dst_run"]) for row in query.rows("SELECT src_run, dst_run FROM links")
    }


def test_an_index_of_another_model_or_corpus_is_refused(collection: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    config = toy(collection, tiny_encoder)
    encoded(config)
    bundle = compressed("", compress__method="sq")["bundle"]
    corpus = collection / "corpus.jsonl"
    before = corpus.read_text()
    corpus.write_text(before.replace("wing", "wings"))
    with pytest.raises(DataError, match="not from the documents of"):
        searched(config, index=bundle)
    corpus.write_text(before)
    import torch
    from sentence_transformers import SentenceTransformer

    other = SentenceTransformer(str(tiny_encoder), device="cpu")
    with torch.no_grad():
        next(other.parameters()).add_(0.01)
    other.save(str(tmp_path / "other"))
    with pytest.raises(DataError, match=r"encoded by another model .*weights differ"):
        searched(toy(collection, tmp_path / "other"), index=bundle)


def test_rows_without_ids_are_documents_in_order_only_if_they_are_as_many(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = toy(collection, tiny_encoder)
    expected = ranking(searched(config))
    made = (tmp_path / "cache" / "emb").glob("*/vectors/*.npy")  # of the corpus and of the queries
    x = next(a for p in made if len(a := np.load(p)) == 60)
    np.save(tmp_path / "rows.npy", x)
    bundle = compressed(tmp_path / "rows.npy", compress__method="flat", flat__dtype="float32")["bundle"]
    assert ranking(searched(config, index=bundle)) == expected
    np.save(tmp_path / "rows.npy", x[:-1])
    fewer = compressed(tmp_path / "rows.npy", compress__method="flat")["bundle"]
    with pytest.raises(DataError, match=r"59 rows without ids, .* has 60 documents"):
        searched(config, index=fewer)


def test_dry_run_says_what_is_searched(tmp_path: Path) -> None:
    bundle = compressed(save_vectors(tmp_path / "x.npy", 700))["bundle"]
    plan = pipeline.describe(settings(search__k=7), index=bundle)["search"]
    assert (plan["k"], plan["rows"], plan["compression"]) == (7, 700, "pq")
    assert plan["block"] == (32 << 20) // 4 and plan["working memory"] == "0 MiB"  # 4 bytes a row, 700 rows
    asked = pipeline.describe(settings(search__k=7, search__block=100), index=bundle)["search"]
    assert asked["block"] == 100
    vectors_plan = pipeline.describe(settings(search__k=7), index=str(tmp_path / "x.npy"))["search"]
    assert vectors_plan["block"] == 8192
    assert "encoded with" in pipeline.describe(settings())["search"]["in"]
