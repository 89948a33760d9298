"""Recall of codes against exact search over their vectors: held-out queries, kept results, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, save_vectors, settings, vectors
from workspace import workspace

from irctl.errors import ConfigError, DataError
from irctl.index import scan
from irctl.ledger import query
from irctl.pipelines.evaluate import exact_neighbours, neighbour_recall
from irctl.pipelines.evaluate.evaluate import evaluate
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.types import Silent

ROWS = 1500


def queries_file(path: Path, n: int = 40) -> str:
    np.save(path, vectors(n, seed=77))
    return str(path)


def measured(index: str | Path, queries: str | None, reporter: Silent | None = None, **keys: Any) -> dict[str, Any]:
    options = {k: keys.pop(k) for k in list(keys) if "__" not in k}
    config = settings(**keys)
    run = new_run("eval", config)
    with run:
        request = EvalRequest(index=str(index), recall_against="exact", queries=queries, **options)
        return evaluate(config, run, reporter or Silent(), request) | {"id": run.id}


def values(payload: dict[str, Any]) -> dict[str, float]:
    return {r["measure"]: r["value"] for r in payload["results"]}


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[str, str]:
    """(a bundle of PQ codes, held-out queries)."""
    made = compressed(save_vectors(tmp_path / "x.npy", ROWS), compress__method="pq")
    return made["bundle"], queries_file(tmp_path / "q.npy")


def test_recall_is_that_of_a_brute_force_in_numpy(inputs: tuple[str, str]) -> None:
    from irctl.index.bundle import open_bundle
    from irctl.pipelines.references.bundles import load_quantizer

    bundle = open_bundle(Path(inputs[0]), load_quantizer)
    codes = np.concatenate([bundle.codes(p) for p in bundle.parts])
    asked, decoded = vectors(40, seed=77), bundle.quantizer.decode(codes)
    exact = np.argsort(-(asked.astype(np.float64) @ vectors(ROWS).T.astype(np.float64)), axis=1, kind="stable")
    found = np.argsort(-(asked.astype(np.float64) @ decoded.T.astype(np.float64)), axis=1, kind="stable")
    got = values(measured(*inputs))
    for k in (10, 100):
        expected = np.mean([len(set(a) & set(b)) / k for a, b in zip(exact[:, :k], found[:, :k], strict=True)])
        assert got[f"recall_exact@{k}"] == pytest.approx(expected, abs=0.01)  # equal codes tie in one order or another
    assert 0.1 < got["recall_exact@10"] < 0.99


def test_codes_that_lose_nothing_find_every_neighbour(tmp_path: Path) -> None:
    made = compressed(save_vectors(tmp_path / "x.npy", ROWS), compress__method="flat", flat__dtype="float32")
    got = measured(made["bundle"], queries_file(tmp_path / "q.npy"))
    assert values(got) == {"recall_exact@10": 1.0, "recall_exact@100": 1.0}


def test_re_scoring_every_row_restores_what_the_codes_lost_and_both_are_told(inputs: tuple[str, str]) -> None:
    codes = values(measured(*inputs))
    got = values(measured(*inputs, search__rerank=ROWS))
    assert (got["recall_exact@10"], got["recall_exact@100"]) == (1.0, 1.0)
    assert (got["recall_codes@10"], got["recall_codes@100"]) == (codes["recall_exact@10"], codes["recall_exact@100"])


def test_exact_results_are_kept_by_content_and_never_stale(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[int] = []
    real = scan.search_vectors

    def counted(*args: Any, **named: Any) -> scan.ScanResult:
        scans.append(1)
        return real(*args, **named)

    monkeypatch.setattr(scan, "search_vectors", counted)
    first = measured(*inputs)
    assert values(measured(*inputs)) == values(first) and len(scans) == 1
    measured(*inputs, overwrite=True)
    assert len(scans) == 2
    queries_file(tmp_path / "q.npy", 39)  # other queries under the same name
    measured(*inputs)
    assert len(scans) == 3
    save_vectors(tmp_path / "x.npy", ROWS, seed=5)  # and other vectors
    with pytest.raises(DataError, match="not here any more"):
        measured(*inputs)
    bundle = compressed(tmp_path / "x.npy", compress__method="pq")["bundle"]
    measured(bundle, inputs[1])
    assert len(scans) == 4


def test_a_torn_file_of_the_cache_is_named(inputs: tuple[str, str], tmp_path: Path) -> None:
    key = measured(*inputs)["results"][0]["truth"]
    (tmp_path / "cache" / "exact" / f"{key}.npy").write_bytes(b"torn")
    with pytest.raises(DataError, match="Remove it"):
        measured(*inputs)


def test_a_compression_that_stopped_early_is_measured_on_its_own_rows(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", ROWS)
    keys = {"compress__method": "flat", "flat__dtype": "float32", "compress__max_batches": 1}
    bundle = compressed(source, **keys)["bundle"]
    got = measured(bundle, queries_file(tmp_path / "q.npy"))
    assert values(got)["recall_exact@100"] == 1.0 and "among 500 rows" in got["lines"][0]


def test_appended_rows_count(tmp_path: Path) -> None:
    keys = {"compress__method": "flat", "flat__dtype": "float32"}
    bundle = compressed(save_vectors(tmp_path / "x.npy", 1000), **keys)["bundle"]
    compressed(save_vectors(tmp_path / "y.npy", 500, seed=3), append=bundle, **keys)
    got = measured(bundle, queries_file(tmp_path / "q.npy"))
    assert values(got)["recall_exact@100"] == 1.0 and "among 1500 rows" in got["lines"][0]


def test_the_ledger_has_the_recall_and_the_bundle_it_is_of(inputs: tuple[str, str]) -> None:
    got = measured(*inputs)
    stored = {m["name"]: m["value"] for m in query.measures(got["id"])}
    assert stored["recall_exact@10"] == values(got)["recall_exact@10"]
    assert [a["kind"] for a in query.artifacts(query.find_run(got["id"]), role="in")] == ["bundle"]
    assert [r["command"] for r in query.lineage(got["id"])["from"]] == ["compress"]
    columns = query.find_run(got["id"]).columns
    assert (columns["dataset"], columns["model"]) == (got["results"][0]["dataset"], "")


def test_k_adds_its_own_depth(inputs: tuple[str, str]) -> None:
    assert list(values(measured(*inputs, search__k=1))) == ["recall_exact@1"]
    got = measured(*inputs, search__k=50)
    assert [(r["measure"], r["k"]) for r in got["results"]] == [("recall_exact@10", 10), ("recall_exact@50", 50)]


def test_two_bundles_are_compared_query_by_query(inputs: tuple[str, str], tmp_path: Path) -> None:
    better = compressed(tmp_path / "x.npy", compress__method="sq")["bundle"]
    base = measured(*inputs)
    got = measured(better, inputs[1], baseline=base["id"])
    (first, *_) = got["comparisons"]
    assert first["measure"] == "recall_exact@10" and first["n"] == 40 and first["delta"] > 0 and first["p_adj"] < 0.01


def test_vectors_without_queries_are_refused_by_the_option_that_gives_some(inputs: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"has no queries of its own.*--queries q.npy"):
        measured(inputs[0], None)


def test_base_rows_are_no_queries(inputs: tuple[str, str], tmp_path: Path) -> None:
    np.save(tmp_path / "base.npy", vectors(ROWS)[:30])
    with pytest.raises(DataError, match="30 of 30 query vectors are rows of the index"):
        measured(inputs[0], str(tmp_path / "base.npy"))
    np.save(tmp_path / "some.npy", np.concatenate([vectors(30, seed=77), vectors(ROWS)[:3]]))
    reporter = Silent()
    measured(inputs[0], str(tmp_path / "some.npy"), reporter)
    assert any("3 of 33" in line for line in reporter.lines)


def test_what_cannot_be_measured_is_refused(inputs: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its search is exact"):
        measured(tmp_path / "x.npy", inputs[1])
    with pytest.raises(ConfigError, match="Use -k 50"):
        measured(*inputs, search__rerank=50)
    for more, said in (
        ({"oracle": True}, "--oracle: goes with judgements"),
        ({"eval__measures": "nDCG@10"}, "--measures: goes with judgements"),
        ({"model": "m"}, "--model: names a collection's queries"),
        ({"run_files": (inputs[0],)}, "a run file is given"),
    ):
        with pytest.raises(ConfigError, match=said):
            measured(*inputs, **more)
    with pytest.raises(DataError, match="says nothing about an index of"):
        measured(*inputs, search__k=ROWS)


def test_rows_of_the_query_itself_do_not_count_where_the_collection_says_so() -> None:
    class Named:
        def of(self, rows_k: np.ndarray) -> list[str]:
            return [f"d{r}" for r in rows_k]

    rows = np.array([[4, 2, 7], [1, 3, -1]])
    kept = neighbour_recall._drop_own(rows, ["d2", "d9"], Named())  # type: ignore[arg-type]
    assert kept.tolist() == [[4, 7], [1, 3]]


def test_the_first_rows_of_a_stream_have_their_own_fingerprint(tmp_path: Path) -> None:
    from irctl.data.vectors.open import open_vectors

    stream = open_vectors(save_vectors(tmp_path / "x.npy", 100))
    first = exact_neighbours.First(stream, 30)
    assert sum(len(b.vectors_ND) for b in first.blocks(8)) == 30
    assert first.fingerprint != stream.fingerprint


def test_a_collection_brings_its_own_queries(tmp_path: Path, tiny_encoder: Path) -> None:
    with workspace(tmp_path / "w", tiny_encoder) as place:
        place.ok("irctl compress --method sq --set sq.bits=8")
        got = place.ok("irctl eval latest --recall-against exact --json").json
        (search,) = got["searches"]
        assert (search["dataset"], search["split"], search["compression"]) == ("cranfield", "test", "sq")
        assert got["results"][0]["n_queries"] == 45
        assert values(got)["recall_exact@10"] > 0.8, "queries of anything else find 0.7 % by chance"
        both = place.ok("irctl eval --index latest --recall-against exact --split dev,test --json").json
        assert [s["split"] for s in both["searches"]] == ["dev", "test"]
        assert {r["value"] for r in got["results"]} <= {r["value"] for r in both["results"]}
        done = place.run("irctl eval --recall-against exact --queries nowhere.npy")
        assert done.code == 3 and "nowhere.npy" in done.err


def test_a_compression_is_no_run_file_but_an_index(inputs: tuple[str, str]) -> None:
    run = Path(inputs[0]).parent
    config = settings()
    with (
        pytest.raises(DataError, match=f"holds no run file. irctl eval --index {run.name}"),
        new_run("eval") as started,
    ):
        evaluate(config, started, Silent(), EvalRequest(run_files=(str(run),)))
