"""Evaluating run files: what is counted, kept, skipped and refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_evaluations import collection, ran, settings, started, values

from irctl.config import resolve
from irctl.data.collections.open import open_collection
from irctl.data.judgements.runs import read_run, write_run
from irctl.errors import ConfigError, DataError
from irctl.ledger.recording import start_run
from irctl.pipelines.evaluate import best_documents, files, rankings, summary
from irctl.pipelines.evaluate import evaluate as pipeline
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.search.fuse import fuse
from irctl.types import Silent


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return collection(tmp_path)


@pytest.fixture
def toy_run(tmp_path: Path) -> Path:
    path = tmp_path / "toy.trec"
    # q1: its twin first, then d1. q2 is missing; "q9" is not judged.
    path.write_text("q1 Q0 q1 1 3.0 t\nq1 Q0 d1 2 2.0 t\nq9 Q0 d1 1 1.0 t\n")
    return path


def test_a_run_file_is_scored_over_all_judged_queries(toy: Path, toy_run: Path) -> None:
    payload, run = ran(toy, toy_run)
    assert values(payload) == {
        "nDCG@10": pytest.approx(1 / math.log2(3) / 2),
        "RR@10": pytest.approx(0.25),
        "R@100": pytest.approx(0.5),
    }
    first = payload["results"][0]
    counted = {k: first[k] for k in ("n_queries", "n_missing", "n_unjudged", "self_match", "n_self_removed")}
    assert counted == {"n_queries": 2, "n_missing": 1, "n_unjudged": 1, "self_match": "keep", "n_self_removed": 0}
    assert payload["table"][0]["missing"] == 1
    assert (run.out / "eval.json").is_file() and (run.out / "per_query.parquet").is_file()


def test_the_ten_best_documents_of_every_judged_query_are_kept_in_the_order_that_was_scored(
    tmp_path: Path, toy_run: Path
) -> None:
    home = collection(tmp_path, "twins", "drop")
    _, run = ran(home, toy_run)
    assert best_documents.read(run.out / "best.parquet") == {("twins", "test"): {"q1": ["d1"], "q2": []}}
    rows = best_documents.make_rows("c", "test", {"q": {f"d{i}": -float(i) for i in range(12)}}, ["q"])
    assert rows[0]["documents"] == [f"d{i}" for i in range(10)]
    assert best_documents.read(tmp_path / "none.parquet") == {}


def test_the_card_says_whether_self_matches_are_dropped_unless_a_setting_does(tmp_path: Path, toy_run: Path) -> None:
    home = collection(tmp_path, "twins", "drop")
    payload, run = ran(home, toy_run)
    assert values(payload)["RR@10"] == 0.5 and payload["results"][0]["n_self_removed"] == 1
    assert list(read_run(run.out / "run.trec.gz")["q1"]) == ["d1"]
    payload, _ = ran(home, toy_run, "eval.self_match=keep")
    assert values(payload)["RR@10"] == 0.25 and payload["results"][0]["self_match"] == "keep"


def test_runs_and_judgements_of_ranx_give_the_numbers_of_trecs_here_and_in_a_fusion(
    toy: Path, toy_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text('{"q1": {"q1": 3.0, "d1": 2.0}, "q9": {"d1": 1.0}}')
    columns = {"q_id": ["q9", "q1", "q1"], "doc_id": ["d1", "d1", "q1"], "score": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(columns), tmp_path / "run.parquet")
    (tmp_path / "qrels.json").write_text('{"q1": {"d1": 1}, "q2": {"d2": 2}}')
    by_trec, _ = ran(toy, toy_run)
    for name in ("run.json", "run.parquet"):
        payload, run = ran(toy, tmp_path / name)
        assert values(payload) == values(by_trec)
        assert payload["results"][0]["run_sha256"] == by_trec["results"][0]["run_sha256"]
        assert list(read_run(run.out / "run.trec.gz")["q1"]) == ["q1", "d1"]
        payload, _ = ran("", tmp_path / name, "eval.measures=nDCG@10 RR@10 R@100", qrels=str(tmp_path / "qrels.json"))
        assert values(payload) == values(by_trec)
    run = started(settings(toy))
    with run:
        fuse(run, 10, how="rrf", run_files=[str(tmp_path / "run.json"), str(tmp_path / "run.parquet")], out=None)
    assert list(read_run(run.out / "run.trec.gz")["q1"]) == ["q1", "d1"]


@pytest.mark.parametrize(("setting", "rule", "left"), [((), "drop", 0.5), (("eval.self_match=keep",), "keep", 0.25)])
def test_an_evaluation_says_that_queries_find_themselves(
    tmp_path: Path, toy_run: Path, setting: tuple[str, ...], rule: str, left: float
) -> None:
    home = collection(tmp_path)
    (home / "card.toml").unlink()
    (home / "queries.jsonl").write_text('{"_id": "q1", "text": "text q1"}\n{"_id": "q2", "text": "query q2"}\n')
    payload, _ = ran(home, toy_run, *setting)
    assert payload["results"][0]["self_match"] == rule and values(payload)["RR@10"] == left
    assert any("self-matches are dropped" in line for line in payload["lines"]) == (rule == "drop")


def test_per_query_values_are_sorted_and_say_how_many_were_relevant_and_retrieved(toy: Path, toy_run: Path) -> None:
    _, run = ran(toy, toy_run, "eval.measures=RR@10,RR(rel=2)@10")
    rows = files.read_rows(run.out / "per_query.parquet")
    assert [(r["measure"], r["query_id"], r["value"], r["n_relevant"], r["n_retrieved"]) for r in rows] == [
        ("RR(rel=2)@10", "q1", 0.0, 0, 2),
        ("RR(rel=2)@10", "q2", 0.0, 1, 0),
        ("RR@10", "q1", 0.5, 1, 2),
        ("RR@10", "q2", 0.0, 1, 0),
    ]


def test_the_average_is_there_even_for_one_data_set_and_names_it(toy: Path, toy_run: Path) -> None:
    payload, _ = ran(toy, toy_run)
    assert payload["average"]["datasets"] == ["toy test"]
    assert payload["average"]["values"]["RR@10"] == pytest.approx(0.25)


def test_several_data_sets_take_a_pattern_and_are_averaged_with_their_list(tmp_path: Path) -> None:
    homes = [collection(tmp_path, name) for name in ("one", "two")]
    (tmp_path / "one.trec").write_text("q1 Q0 d1 1 1 t\nq2 Q0 d2 1 1 t\n")
    (tmp_path / "two.trec").write_text("q1 Q0 d1 1 1 t\n")
    payload, run = ran(",".join(map(str, homes)), tmp_path / "{dataset}.trec")
    assert payload["average"] == {
        "datasets": ["one test", "two test"],
        "missing": [],
        "values": {"nDCG@10": 0.75, "RR@10": 0.75, "R@100": 0.75},
    }
    assert (run.out / "parts" / "one.test" / "eval.json").is_file()


def test_missing_data_sets_are_all_named_before_any_work_and_left_out_when_asked(tmp_path: Path, toy_run: Path) -> None:
    home = collection(tmp_path)
    both = f"{home},{tmp_path}/nowhere,{tmp_path}/nothing"
    with pytest.raises(DataError, match=r"2 of 3 data sets cannot be used: .*nowhere.*nothing"):
        ran(both, toy_run)
    payload, _ = ran(both, toy_run, keep_going=True)
    assert len(payload["left_out"]) == 2
    # No average without every cell.
    assert set(payload["average"]["values"].values()) == {None}


def test_data_sets_that_are_missing_for_one_reason_stand_together(toy_run: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 2 data sets cannot be used: fiqa, nfcorpus \(not on this machine\)"):
        ran("beir/fiqa,beir/nfcorpus", toy_run)


def test_the_mean_of_12_forums_is_one_data_set() -> None:
    same = {"measure": "nDCG@10", "split": "test", "n_queries": 10, "n_missing": 0}
    parts = [{**same, "dataset": f"cqadupstack/{i}", "value": i / 12} for i in range(12)]
    joined = summary.average_forums(parts)
    assert [(r["dataset"], r["value"], r["n_queries"]) for r in joined] == [
        ("cqadupstack", pytest.approx(5.5 / 12), 120)
    ]
    assert summary.average_forums(parts[:11]) == []
    other = {**same, "dataset": "scifact", "value": 0.5}
    assert summary.average([*parts, *joined, other], {})["values"]["nDCG@10"] == pytest.approx((5.5 / 12 + 0.5) / 2)


def test_judgements_of_a_beir_folder_name_data_set_and_split(toy: Path, toy_run: Path) -> None:
    payload, _ = ran("cranfield", toy_run, qrels=str(toy / "qrels" / "test.tsv"))
    assert {(r["dataset"], r["split"]) for r in payload["results"]} == {("toy", "test")}
    with pytest.raises(ConfigError, match="--qrels: goes with a run file"):
        pipeline.evaluate(settings(toy), started(), Silent(), EvalRequest(qrels=str(toy / "qrels" / "test.tsv")))


def test_an_msmarco_file_is_read_by_its_rank_column(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "candidates.tsv"
    path.write_text("q1\td3\t1\nq1\td1\t2\nq2\td2\t1\n")
    payload, _ = ran(toy, path, format="msmarco")
    assert values(payload)["RR@10"] == pytest.approx((0.5 + 1) / 2)
    assert {"RR@10", "R@50", "R@1000", "nDCG@10"} <= set(values(payload))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 d1 1 nan t", r"bad.trec:2: expected a finite score"),
        ("q1 Q0 d2 1 1 t", r"bad.trec:2: expected each document once"),
        ("q1 Q0 d7 1 1 t", r"bad.trec:2: expected documents of the corpus, found d7"),
    ],
)
def test_bad_lines_of_a_run_are_refused_with_file_and_line(toy: Path, tmp_path: Path, line: str, said: str) -> None:
    bad = tmp_path / "bad.trec"
    bad.write_text(f"q1 Q0 d2 1 1 t\n{line}\n")
    with pytest.raises(DataError, match=said):
        ran(toy, bad)


def test_options_that_contradict_each_other_are_refused(toy: Path, toy_run: Path) -> None:
    for more, said in (
        ({"model": "m"}, "a run file is given, and --model"),
        ({"format": "csv"}, "--format csv"),
        ({"export": "trec"}, "--export trec"),
        ({"recall_against": "exact"}, "--recall-against"),
    ):
        with pytest.raises(ConfigError, match=said):
            ran(toy, toy_run, **more)
    with pytest.raises(ConfigError, match="did you mean 'nDCG@10'"):
        ran(toy, toy_run, "eval.measures=nDGC@10")
    with pytest.raises(DataError, match="no such run file"):
        ran(toy, "missing.trec")


def test_the_same_evaluation_again_is_skipped_and_gives_equal_bytes(toy: Path, toy_run: Path) -> None:
    config = settings(toy)
    run, reporter = started(config), Silent()
    with run:
        pipeline.evaluate(config, run, reporter, EvalRequest(run_files=(str(toy_run),)))
        first = {p.name: p.read_bytes() for p in run.out.iterdir() if p.is_file()}
        pipeline.evaluate(config, run, reporter, EvalRequest(run_files=(str(toy_run),)))
        assert {p.name: p.read_bytes() for p in run.out.iterdir() if p.is_file()} == first
        assert reporter.lines == ["toy test: evaluated already"]
        toy_run.write_text("q1 Q0 d1 1 1 t\n")
        payload = pipeline.evaluate(config, run, reporter, EvalRequest(run_files=(str(toy_run),)))
        assert values(payload)["RR@10"] == 0.5 and len(reporter.lines) == 1
        pipeline.evaluate(config, run, reporter, EvalRequest(run_files=(str(toy_run),), overwrite=True))
        assert len(reporter.lines) == 1


def test_a_baseline_adds_paired_tests_over_the_whole_family(toy: Path, toy_run: Path, tmp_path: Path) -> None:
    better = tmp_path / "better.trec"
    better.write_text("q1 Q0 d1 1 2 t\nq2 Q0 d3 1 2 t\nq2 Q0 d2 2 1 t\n")
    _, base = ran(toy, toy_run)
    payload, _ = ran(toy, better, baseline=base.id)
    assert [c["measure"] for c in payload["comparisons"]] == ["R@100", "RR@10", "nDCG@10"]
    rr = payload["comparisons"][1]
    assert rr["delta"] == pytest.approx(0.5) and (rr["wins"], rr["ties"], rr["losses"]) == (2, 0, 0)
    assert any(line.startswith("toy test RR@10: +0.5") for line in payload["lines"])


@pytest.mark.parametrize("baseline, words", [("nothing", "nothing"), ("latest", "--baseline latest")])
def test_a_baseline_that_is_not_there_is_said_before_anything_is_measured(
    toy: Path, toy_run: Path, monkeypatch: pytest.MonkeyPatch, baseline: str, words: str
) -> None:
    monkeypatch.setattr(rankings, "measure", lambda *_: pytest.fail("measured first"))
    with pytest.raises(DataError, match=words):
        ran(toy, toy_run, baseline=baseline)


def test_a_baseline_without_values_by_query_is_refused_by_its_command(toy: Path, toy_run: Path) -> None:
    searching = start_run(command="search", argv=["irctl", "search"], config=settings(toy), method="bm25")
    with searching:
        pass
    with pytest.raises(DataError, match=r"run \S+ \(irctl search\) has no per-query values"):
        ran(toy, toy_run, baseline=searching.id)


def test_a_baseline_whose_values_are_damaged_is_refused_before_anything_is_measured(
    toy: Path, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = ran(toy, toy_run)
    (base.out / "per_query.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(rankings, "measure", lambda *_: pytest.fail("measured first"))
    with pytest.raises(DataError, match=f"run {base.id}: out/per_query.parquet is not what the run wrote"):
        ran(toy, toy_run, baseline=base.id)


def test_means_are_in_the_ledger_and_the_run_file_links_to_its_search(toy: Path, tmp_path: Path) -> None:
    from irctl.ledger import query

    searching = start_run(command="search", argv=["irctl", "search"], config=settings(toy), method="bm25")
    with searching:
        write_run(searching.out / "run.trec.gz", {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}, searching.id)
        searching.artifact("out", "run_file", searching.out / "run.trec.gz")
    payload, run = ran("", searching.id)
    assert values(payload)["RR@10"] == 1.0
    found = {m["name"]: m["value"] for m in query.metrics(run.id)}
    assert found["nDCG@10"] == 1.0
    assert query.find_run(run.id).columns["method"] == "bm25"
    assert payload["searches"][0]["run"] == searching.id


def test_the_newest_search_is_evaluated_when_nothing_is_given_on_the_data_it_searched(toy: Path) -> None:
    searching = start_run(command="search", argv=["irctl", "search"], config=settings(toy), method="bm25")
    with searching:
        write_run(searching.out / "run.trec.gz", {"q1": {"d1": 1.0}}, searching.id)
        searching.artifact("out", "run_file", searching.out / "run.trec.gz")
    config = resolve()
    with started(config) as run:
        payload = pipeline.evaluate(config, run, Silent(), EvalRequest())
    assert [r["dataset"] for r in payload["results"]] == ["toy"] * 3


def test_repconc_gets_its_metric_json(toy: Path, toy_run: Path) -> None:
    payload, run = ran(toy, toy_run, export="repconc")
    exported = json.loads((run.out / "repconc/test/metric.json").read_text())
    assert exported["mrr"]["MRR@10"] == 0.25 and exported["ndcg"]["NDCG@10"] == round(1 / math.log2(3) / 2, 5)
    assert exported["perquery"]["q1"]["recip_rank_10"] == 0.5
    # the table shows what was asked for, not what the export needs; the results have it all
    assert set(payload["table"][0]) & {"nDCG@10", "P@1", "AP@3"} == {"nDCG@10"}
    assert {"R@1000", "RR@10", "P@1"} <= set(values(payload))


def test_bm25_of_cranfield_scores_what_the_reference_run_does(tmp_path: Path) -> None:
    """bm25s with its defaults and English stop words, measured once with trec_eval: nDCG@10 .4983, RR@10 .7787."""
    import bm25s

    cranfield = open_collection("cranfield")
    ids = list(cranfield.corpus.ids)
    retriever = bm25s.BM25()
    texts = cranfield.corpus.texts(slice(0, len(ids)))
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    queries = cranfield.queries("all")
    tokens = bm25s.tokenize(queries.texts, stopwords="en", show_progress=False)
    rows, scores = retriever.retrieve(tokens, k=1000, show_progress=False)
    ranked = {
        q: {ids[int(r)]: float(s) for r, s in zip(rows[i], scores[i], strict=True)} for i, q in enumerate(queries.ids)
    }
    write_run(tmp_path / "bm25.trec", ranked, "bm25s")
    payload, _ = ran("cranfield", tmp_path / "bm25.trec", "eval.measures=nDCG@10,RR@10,R@100,AP@1000", split="all")
    assert values(payload) == {
        "nDCG@10": pytest.approx(0.4983, abs=0.01),
        "RR@10": pytest.approx(0.7787, abs=0.01),
        "R@100": pytest.approx(0.7304, abs=0.01),
        "AP@1000": pytest.approx(0.3908, abs=0.01),
    }


def test_a_dry_run_says_what_would_be_measured_and_what_is_not_here(tmp_path: Path) -> None:
    home = collection(tmp_path)
    plan = pipeline.describe(settings(f"{home},beir/scifact"), EvalRequest())
    assert plan["evaluate"]["data sets"] == 1 and plan["toy test"]["queries"] == 2
    assert list(plan["not here"]) == ["beir/scifact"]
    with pytest.raises(ConfigError, match="is not a measure"):
        pipeline.describe(settings(home, "eval.measures=nonsense@x"), EvalRequest())
