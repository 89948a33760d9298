"""A folder shaped as MS MARCO's: one index measured on dev, trec19 and trec20, and RepCONC's metric.json of each."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from workspace import Workspace

SHORT = "--set encoder.passage_max_len=16 --set encoder.query_max_len=16"
WORDS = "lift drag wing shock heat flow plate cone body jet wake mach layer pressure".split()
TRACKS = {
    "trec19": ("msmarco-test2019-queries.tsv", "2019qrels-pass.txt"),
    "trec20": ("msmarco-test2020-queries.tsv", "2020qrels-pass.txt"),
}


@pytest.fixture(scope="module")
def folder(place: Workspace) -> Path:
    """300 passages; dev has grades 0 and 1, the tracks 0 to 3; one query of trec20 has no passage of grade 2."""
    draw, home = random.Random(0), place.folder / "msmarco-passage"
    home.mkdir()
    passages = {str(1000 + i): " ".join(draw.choices(WORDS, k=6)) for i in range(300)}
    (home / "collection.tsv").write_text("".join(f"{i}\t{text}\n" for i, text in passages.items()))

    def queries(name: str, first: int, count: int) -> list[str]:
        ids = [str(first + i) for i in range(count)]
        (home / name).write_text("".join(f"{q}\t{' '.join(draw.choices(WORDS, k=3))}\n" for q in ids))
        return ids

    dev = queries("queries.dev.small.tsv", 1, 12)
    (home / "qrels.dev.small.tsv").write_text("".join(f"{q}\t0\t{draw.choice(list(passages))}\t1\n" for q in dev))
    for split, (texts, qrels) in TRACKS.items():
        judged = {q: draw.sample(list(passages), 40) for q in queries(texts, 100 + 50 * (split == "trec20"), 8)}
        grades = {q: {d: draw.choice([0, 0, 1, 2, 3]) for d in docs} for q, docs in judged.items()}
        if split == "trec20":
            last = list(grades)[-1]
            grades[last] = {d: min(g, 1) for d, g in grades[last].items()}
        (home / qrels).write_text("".join(f"{q} 0 {d} {g}\n" for q, docs in grades.items() for d, g in docs.items()))
    return home


@pytest.fixture(scope="module")
def evaluated(place: Workspace, folder: Path) -> dict[str, Any]:
    place.ok(f"encode --data {folder} {SHORT}")
    bundle = place.ok("compress --method opq --data latest --set opq.m=8 --set opq.bits=4 --json").json["bundle"]
    line = f"eval --index {bundle} --split dev,trec19,trec20 --export repconc {SHORT}"
    assert "RR(rel=2)@10" in place.ok(f"{line} --dry-run").out
    return place.ok(f"{line} --json").json


def judgements(folder: Path, split: str) -> dict[str, dict[str, int]]:
    name = TRACKS[split][1] if split in TRACKS else "qrels.dev.small.tsv"
    found: dict[str, dict[str, int]] = {}
    for query_id, _, document_id, grade in map(str.split, (folder / name).read_text().splitlines()):
        found.setdefault(query_id, {})[document_id] = int(grade)
    return found


def ranking(evaluated: dict[str, Any], split: str) -> dict[str, dict[str, float]]:
    file = next(s["run_file"] for s in evaluated["searches"] if s["split"] == split)
    found: dict[str, dict[str, float]] = {}
    for line in gzip.decompress(Path(file).read_bytes()).decode().splitlines():
        query_id, _, document_id, _, score, _ = line.split()
        found.setdefault(query_id, {})[document_id] = float(score)
    return found


def value(evaluated: dict[str, Any], split: str, measure: str) -> float:
    return next(r["value"] for r in evaluated["results"] if (r["split"], r["measure"]) == (split, measure))


@pytest.mark.parametrize(("split", "level"), [("dev", 1), ("trec19", 2), ("trec20", 2)])
def test_metric_json_equals_pytrec_eval_on_the_kept_run_file(
    folder: Path, evaluated: dict[str, Any], split: str, level: int
) -> None:
    exported = json.loads((Path(evaluated["run_dir"]) / f"out/repconc/{split}/metric.json").read_text())
    qrels, run = judgements(folder, split), ranking(evaluated, split)
    cuts = "1,3,5,10,100"
    wanted = {f"{name}.{cuts}" for name in ("map_cut", "ndcg_cut", "recall", "P")}
    of_query = pytrec_eval.RelevanceEvaluator(qrels, wanted, relevance_level=level).evaluate(run)
    for cut in (10, 100):
        reciprocal = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}, relevance_level=level).evaluate(run)
        for q, found in reciprocal.items():
            rank = 1 / found["recip_rank"] if found["recip_rank"] else math.inf
            of_query[q][f"recip_rank_{cut}"] = 1 / rank if rank <= cut + 1e-9 else 0.0
    assert exported["perquery"].keys() == qrels.keys() and exported["relevance_level"] == level
    for q, values in of_query.items():
        assert exported["perquery"][q] == pytest.approx(values, abs=5.1e-6), q
    names = {"ndcg": ("NDCG", "ndcg_cut"), "map": ("MAP", "map_cut"), "recall": ("Recall", "recall")}
    names |= {"precision": ("P", "P"), "mrr": ("MRR", "recip_rank")}
    for group, (mean, per_query) in names.items():
        depths = (10, 100) if group == "mrr" else (1, 3, 5, 10, 100)
        expected = {f"{mean}@{k}": sum(v[f"{per_query}_{k}"] for v in of_query.values()) / len(qrels) for k in depths}
        assert exported[group] == pytest.approx(expected, abs=5.1e-6)
    assert all(round(v, 5) == v for group in names for v in exported[group].values())


def test_the_tracks_count_from_grade_2_and_dev_from_grade_1(folder: Path, evaluated: dict[str, Any]) -> None:
    measured = {s: {r["measure"] for r in evaluated["results"] if r["split"] == s} for s in ("dev", *TRACKS)}
    assert {"RR@10", "R@1000", "R@100", "nDCG@10"} <= measured["dev"]
    for split in TRACKS:
        assert {"RR(rel=2)@10", "R(rel=2)@1000", "AP(rel=2)@1000", "nDCG@10"} <= measured[split]
        assert not {"RR@10", "R@1000", "AP@1000"} & measured[split]
        by_one = pytrec_eval.RelevanceEvaluator(judgements(folder, split), {"map_cut.100"}, relevance_level=1)
        found = by_one.evaluate(ranking(evaluated, split))
        wrong = sum(v["map_cut_100"] for v in found.values()) / len(found)
        assert abs(value(evaluated, split, "AP(rel=2)@100") - wrong) > 1e-4


def test_a_query_that_the_run_lacks_counts_zero_in_metric_json(
    place: Workspace, folder: Path, evaluated: dict[str, Any], tmp_path: Path
) -> None:
    run = ranking(evaluated, "dev")
    kept = dict(list(run.items())[:6])
    lines = [f"{q} Q0 {d} 1 {s} x\n" for q, docs in kept.items() for d, s in docs.items()]
    (tmp_path / "half.trec").write_text("".join(lines))
    line = f"eval {tmp_path / 'half.trec'} --data {folder} --split dev --export repconc:{tmp_path / 'theirs'} --json"
    half = place.ok(line).json
    exported = json.loads((tmp_path / "theirs/dev/metric.json").read_text())
    assert len(exported["perquery"]) == 12 and sum(not any(v.values()) for v in exported["perquery"].values()) >= 6
    assert exported["mrr"]["MRR@10"] == round(value(half, "dev", "RR@10"), 5)


def test_an_export_of_an_unknown_kind_is_refused(place: Workspace) -> None:
    done = place.run("eval --export trec:there")
    assert done.code == 2 and "expected repconc or mteb" in done.err
