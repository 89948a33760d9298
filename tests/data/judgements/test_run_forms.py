"""Runs and judgements in the forms of other tools: read alike, and one line for what is wrong with each."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import folders
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from irctl.data.collections.open import open_collection
from irctl.data.judgements.qrels import read_qrels
from irctl.data.judgements.run_files import form_of
from irctl.data.judgements.runs import read_run, read_tag
from irctl.errors import ConfigError, DataError

RUN = {"q1": {"d1": 0.5, "d3": 0.5, "d2": 0.75}, "q2": {"d1": 2.0}}
ORDER = {"q1": ["d2", "d3", "d1"], "q2": ["d1"]}


def table(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def ranx_parquet(path: Path) -> Path:
    rows = [(q, d, s) for q, docs in RUN.items() for d, s in docs.items()]
    queries, documents, scores = map(list, zip(*rows, strict=True))
    return table(path, q_id=queries, doc_id=documents, score=scores)


def test_runs_of_ranx_are_read_as_the_same_run_of_trec(tmp_path: Path) -> None:
    lines = [f"{q} Q0 {d} 1 {s} t\n" for q, docs in RUN.items() for d, s in docs.items()]
    forms = [
        folders.write(tmp_path / "run.trec", "".join(lines)),
        folders.write(tmp_path / "run.json", json.dumps(RUN)),
        folders.write(tmp_path / "indented.json", "\ufeff\n" + json.dumps(RUN, indent=4)),
        folders.write(tmp_path / "packed.json.gz", json.dumps(RUN)),
        ranx_parquet(tmp_path / "run.parquet"),
    ]
    for path in forms:
        run = read_run(path)
        assert {q: list(docs) for q, docs in run.items()} == ORDER and run["q1"]["d2"] == 0.75, path.name
    assert [read_tag(p) for p in forms] == ["t", "", "", "", ""]


def test_a_trec_run_that_is_called_json_stays_one(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "run.json", "q1 Q0 d1 1 0.5 t\n")
    assert form_of(path) == "TREC" and read_run(path) == {"q1": {"d1": 0.5}}


@pytest.mark.parametrize("form", ["json", "json.gz", "parquet"])
def test_qrels_of_ranx_are_read(tmp_path: Path, form: str) -> None:
    wanted = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}
    path = tmp_path / f"qrels.{form}"
    if form == "parquet":
        table(path, q_id=["q1", "q1", "q2"], doc_id=["d1", "d2", "d1"], score=[2, 0, 1])
    else:
        folders.write(path, json.dumps(wanted))
    assert read_qrels(path) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"q": {"d": "x"}}', r"run.json: query q: expected a finite score, found x"),
        ('{"q": {"d": NaN}}', r"run.json: query q: expected a finite score, found nan"),
        ('{"q": {"d": true}}', r"run.json: query q: expected a finite score, found True"),
        ('{"q": {"d": [1]}}', r"run.json: query q: expected a finite score"),
        ('{"q": {"": 1}}', r"run.json: query q: expected a query id and a document id"),
        ('{"q": {"d": 1, "d": 2}}', r"run.json: query q: expected each document once in query q, found d again"),
        ('{"q": {"d": 1}, "q": {"d": 1}}', r"run.json: query q: expected each document once in query q, found d again"),
        ('{"q": ["d"]}', r"run.json: expected JSON of the form \{qid: \{docid: score\}\}"),
        ('{"q": {"d": 1},\n "r": {"d"', r"run.json:2: not valid JSON: .* line 2 column 11 .* of the form \{qid: "),
        ('{"q": {"d": 1}}\n{"r": {"d": 1}}', r"run.json:2: not valid JSON: .* line 2 column 1 .* one object"),
        ('{"q": {}}', r"run.json: expected a ranking, found no line of one"),
        ("{}", r"run.json: expected a ranking, found no line of one"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_run_of_json_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_run(folders.write(tmp_path / "run.json", text))


def test_what_is_wrong_with_a_run_of_parquet_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet: expected columns such as q_id, doc_id and score, found a, b"):
        read_run(table(tmp_path / "a.parquet", a=["q"], b=["d"]))
    with pytest.raises(DataError, match=r"b.parquet:2: expected a query id and a document id, found 'q' and None"):
        read_run(table(tmp_path / "b.parquet", q_id=["q", "q"], doc_id=["d", None], score=[1.0, 2.0]))
    with pytest.raises(DataError, match=r"c.parquet:1: expected a finite score, found None"):
        read_run(table(tmp_path / "c.parquet", q_id=["q"], doc_id=["d"], score=pa.array([None], pa.float64())))
    with pytest.raises(DataError, match=r"d.parquet: expected one document column, found docid and docno"):
        read_run(table(tmp_path / "d.parquet", qid=["q"], docid=[1], docno=["d"], score=[1.0]))
    with pytest.raises(DataError, match=r"e.parquet: not a parquet file"):
        read_run(folders.write(tmp_path / "e.parquet", "PAR1 and no more"))
    with pytest.raises(DataError, match=r"f.json.gz: gzip file is damaged"):
        (tmp_path / "f.json.gz").write_bytes(gzip.compress(b'{"q": 1}' * 50)[:20])
        read_run(tmp_path / "f.json.gz")


def test_a_form_without_ranks_cannot_be_ordered_by_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--trust-rank: .*run.json is JSON and has no rank column"):
        read_run(folders.write(tmp_path / "run.json", json.dumps(RUN)), trust_rank=True)


def test_a_document_outside_the_corpus_is_named_with_its_query_or_row(tmp_path: Path) -> None:
    corpus = open_collection(str(folders.beir(tmp_path))).corpus
    with pytest.raises(DataError, match=r"run.json: query q2: expected documents of the corpus, found d9"):
        read_run(folders.write(tmp_path / "run.json", '{"q1": {"d1": 1}, "q2": {"d9": 1}}'), corpus=corpus)
    path = table(tmp_path / "run.parquet", q_id=["q1", "q1"], doc_id=["d1", "d9"], score=[1.0, 2.0])
    with pytest.raises(DataError, match=r"run.parquet:2: expected documents of the corpus, found d9"):
        read_run(path, corpus=corpus)
