"""TREC and MS MARCO files: what is read, in which order, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import folders
import pytest

from irctl.data.collections.open import open_collection
from irctl.data.judgements.qrels import qrels_sha256, read_qrels
from irctl.data.judgements.qrels_files import read_judgements
from irctl.data.judgements.runs import read_msmarco_run, read_run, write_run
from irctl.errors import DataError
from irctl.metrics.ranking import evaluate

RUN = "q1 Q0 a 1 0.5 t\nq1 Q0 c 2 0.5 t\nq1 Q0 b 3 0.7 t\n"


def test_a_run_is_ordered_by_score_then_document_id_descending(tmp_path: Path) -> None:
    run = read_run(folders.write(tmp_path / "r.trec", RUN))
    assert list(run["q1"]) == ["b", "c", "a"]  # the rank column says a, c, b


def test_trust_rank_orders_by_the_rank_column(tmp_path: Path) -> None:
    run = read_run(folders.write(tmp_path / "r.trec", RUN), trust_rank=True)
    assert list(run["q1"]) == ["a", "c", "b"]


def test_scores_equal_in_float32_are_a_tie(tmp_path: Path) -> None:
    run = read_run(folders.write(tmp_path / "r.trec", "q Q0 a 1 0.70000001 t\nq Q0 b 2 0.7 t\n"))
    assert list(run["q"]) == ["b", "a"]


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "1e39", "x"])
def test_a_score_that_is_not_finite_is_refused(tmp_path: Path, score: str) -> None:
    with pytest.raises(DataError, match=r"r\.trec:1: expected a finite score"):
        read_run(folders.write(tmp_path / "r.trec", f"q Q0 a 1 {score} t\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 a 1 1 t\nq Q0 a 2 .5 t\n", r"r.trec:2: expected each document once in query q, found a again"),
        ("q Q0 a 1 1\n", r"r.trec:1: expected 6 columns .* found 5"),
        ("1\t2\t3\n", r"--format msmarco"),
    ],
)
def test_a_malformed_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_run(folders.write(tmp_path / "r.trec", text))


def test_a_document_outside_the_corpus_is_named_with_its_line(tmp_path: Path) -> None:
    corpus = open_collection(str(folders.beir(tmp_path))).corpus
    path = folders.write(tmp_path / "r.trec", "q1 Q0 d1 1 2 t\nq1 Q0 d9 2 1 t\n")
    with pytest.raises(DataError, match=r"r.trec:2: expected documents of the corpus, found d9"):
        read_run(path, corpus=corpus)


def test_a_written_run_reads_back_identically_and_byte_for_byte(tmp_path: Path) -> None:
    run = {"q2": {"a": 0.1, "b": 1 / 3, "c": 0.1}, "q1": {"z": -2.5e-8}, "q3": {}}
    first, second = tmp_path / "a.trec.gz", tmp_path / "sub/b.trec.gz"
    assert write_run(first, run, "tag") == write_run(second, ((q, d.items()) for q, d in run.items()), "tag")
    assert first.read_bytes() == second.read_bytes()
    back = read_run(first)
    assert list(back) == ["q2", "q1"] and list(back["q2"]) == ["b", "c", "a"]
    assert evaluate.run_sha256(evaluate.canonicalize(back)) == evaluate.run_sha256(
        evaluate.canonicalize({"q2": run["q2"], "q1": run["q1"]})
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "# version 2\nq#1\t#d\t1\nq2\td#2\t1\n"),
        ("b.tsv", "# a\tb\t3\nquery-id\tcorpus-id\tscore\nq#1\t#d\t1\n#q9\td\t1\nq2\td#2\t1\n"),
        ("c.csv", "#a,b,1\nq#1,#d,1\nq2,d#2,1\n"),
        ("d.qrels", "# comment here\nq#1 0 #d 1\n#q1 0 d 1\nq2 0 d#2 1"),
        ("triples.tsv", "# version 2\nquery\tpos\tneg\nq#1\t#d\tx\nq2\td#2\tx\n"),
    ],
)
def test_comment_lines_of_judgements_are_no_judgements_and_ids_with_a_hash_stay_whole(
    tmp_path: Path, name: str, text: str
) -> None:
    found = read_judgements(folders.write(tmp_path / name, text))
    assert [(j.query_id, j.document_id) for j in found if j.score] == [("q#1", "#d"), ("q2", "d#2")]


def test_runs_are_read_as_trec_eval_10_reads_them(tmp_path: Path) -> None:
    text = "# by hand\n  # again\n\nq1 Q0 d#1 1 2.0 my run tag\nq1 Q0 New\u00a0York 2 1.0 t and text after it\n"
    assert read_run(folders.write(tmp_path / "r.trec", text)) == {"q1": {"d#1": 2.0, "New\u00a0York": 1.0}}
    assert read_msmarco_run(folders.write(tmp_path / "r.tsv", "# a 1\n1\t30\t1\n")) == {"1": {"30": -1.0}}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_a_file_that_ranks_nothing_is_refused(tmp_path: Path, text: str) -> None:
    path = folders.write(tmp_path / "r.trec", text)
    for read in (read_run, read_msmarco_run):
        with pytest.raises(DataError, match=r"r\.trec: expected a ranking, found no line of one"):
            read(path)


@pytest.mark.parametrize(
    "run",
    [{"q": {"a b": 1.0}}, {"q": {"a": float("nan")}}, {"q": {"": 1.0}}, {"#q": {"a": 1.0}}, {"q": {"a\x00": 1.0}}],
)
def test_a_run_that_could_not_be_read_back_is_not_written(tmp_path: Path, run: dict[str, dict[str, float]]) -> None:
    with pytest.raises(DataError):
        write_run(tmp_path / "r.trec", run, "t")
    assert not list(tmp_path.glob("*r.trec*"))


def test_what_trec_eval_reads_as_one_word_is_an_id(tmp_path: Path) -> None:
    """C's isspace on bytes: str.split would also cut at a no-break space, a line separator and \\x1c."""
    run = {"q\u00a0#1": {"New\u00a0York": 2.0, "a\u2028b": 1.5, "#d": 1.0, "c\x1cd": 0.5}}
    write_run(tmp_path / "r.trec", run, "t")
    assert read_run(tmp_path / "r.trec") == run


def test_msmarco_runs_follow_the_rank_column(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "run.tsv", "1\t30\t2\n1\t20\t1\n2\t30\t1\n")
    assert {q: list(d) for q, d in read_msmarco_run(path).items()} == {"1": ["20", "30"], "2": ["30"]}
    with pytest.raises(DataError, match="two documents of one rank"):
        read_msmarco_run(folders.write(tmp_path / "tied.tsv", "1\t30\t1\n1\t20\t1\n"))
    with pytest.raises(DataError, match=r"dup.tsv:2: expected each document once"):
        read_msmarco_run(folders.write(tmp_path / "dup.tsv", "1\t30\t1\n1\t30\t2\n"))


SAME = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}
SINGLE = "".join(f'{{"qid":"{q}","docid":"{d}","score":{s}}}\n' for q in SAME for d, s in SAME[q].items())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beir.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\n"),
        ("no_header.tsv", "q1\td1\t2\nq1\td2\t0\nq2\td1\t1\n"),
        ("other_order.tsv", "score\tdocid\tqid\n2\td1\tq1\n0\td2\tq1\n1\td1\tq2\n"),
        ("trec.txt", "q1 Q0 d1 2\nq1 Q0 d2 0\nq2 0 d1 1\n"),
        ("tabs.tsv.gz", "q1\t0\td1\t2\nq1\t0\td2\t0\nq2\t0\td1\t1\n"),
        ("blanks.tsv", "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1\n"),
        ("comma.csv", "qid,docid,score\nq1,d1,2\nq1,d2,0\nq2,d1,1\n"),
        ("quoted.csv", '"qid","docid","score"\nq1,"d1",2\n"q1",d2,"0"\nq2,d1,1\n'),
        ("grouped.jsonl", '{"qid":"q1","docid":["d1","d2"],"score":[2,0]}\n{"qid":"q2","docid":["d1"],"score":[1]}\n'),
        ("single.jsonl", SINGLE),
        ("whole.json", '{"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}'),
    ],
)  # fmt: skip
def test_every_form_of_judgements_reads_the_same(tmp_path: Path, name: str, text: str) -> None:
    qrels = read_qrels(folders.write(tmp_path / name, text))
    assert qrels == SAME and qrels_sha256(qrels) == qrels_sha256(SAME)


def test_parquet_judgements_read_the_same(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"query-id": ["q1", "q1", "q2"], "corpus-id": ["d1", "d2", "d1"], "score": [2, 0, 1]})
    pq.write_table(table, tmp_path / "qrels.parquet")
    assert read_qrels(tmp_path / "qrels.parquet") == SAME


def triplets(path: Path) -> list[tuple[str, str, float]]:
    return [(j.query_id, j.document_id, j.score) for j in read_judgements(path)]


def test_training_files_read_as_judgements(tmp_path: Path) -> None:
    tevatron = {"query_id": "1", "positive_passages": [{"docid": "a"}], "negative_passages": [{"docid": "b"}]}
    assert triplets(folders.jsonl(tmp_path / "t.jsonl", [tevatron])) == [("1", "a", 1.0), ("1", "b", 0.0)]
    assert triplets(folders.write(tmp_path / "triples.tsv", "1\t20\t30\n")) == [("1", "20", 1.0), ("1", "30", 0.0)]
    synthetic = '{"_id": "a_b_l_3_d_0", "text": "x"}\n{"_id": "7_l_0_d_12", "text": "y"}\n'
    assert triplets(folders.write(tmp_path / "corpus.jsonl", synthetic)) == [
        ("a_b", "a_b_l_3_d_0", 3.0), ("7", "7_l_0_d_12", 0.0),
    ]  # fmt: skip
    assert triplets(folders.write(tmp_path / "mined.json", '{"1": ["a", "b"]}')) == [("1", "a", 0.0), ("1", "b", 0.0)]
    assert triplets(folders.beir(tmp_path / "f").joinpath("qrels/test.tsv")) == [("q1", "d1", 2.0), ("q2", "d3", 1.0)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "qid\tdocid\tscore\nq\td\t1\nq\td\t1\tx\n", r"a.tsv:3: .* \(query-id, corpus-id, score\), found 4"),
        ("a.tsv", "q\td\t1\nq\te\tx\n", r"a.tsv:2: expected a finite score \(up to 3.4e38\), found 'x'"),
        ("a.tsv", "q\td\t1\nq\te\t1.5\n", r"a.tsv:2: expected a whole-number grade, found 1.5"),
        ("a.tsv", "q\td\t1\nq\td\t2\n", r"a.tsv:2: expected one grade for query q, document d, found 1 and 2"),
        ("a.tsv", "q\td\n", r"a.tsv:1: expected 3 columns"),
        ("a.jsonl", '{"qid":"q","docid":["a","b"],"score":[1]}\n', r"a.jsonl:1: expected a list of 2 scores.* found 1"),
        ("a.jsonl", '{"_id":"q"}\n', r"a.jsonl:1: expected qid and docid fields, or an id"),
        ("a.pkl", "x", "never loaded"),
        ("a.tsv", "q\td\t1\nq\te\t1e39\n", r"a.tsv:2: expected a finite score \(up to 3.4e38\)"),
        ("ids.tsv", "".join(f"{i}\t{i + 5000}\t{i + 9000}\n" for i in range(9)), r"like a document id.*triples"),
        ("triples.tsv", "a query\ta text\tanother\n", r"triples.tsv:1: expected ids, found texts"),
    ],
)  # fmt: skip
def test_malformed_judgements_are_named_with_their_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_qrels(folders.write(tmp_path / name, text))


def test_a_pair_judged_twice_alike_counts_once(tmp_path: Path) -> None:
    assert read_qrels(folders.write(tmp_path / "a.tsv", "q\td\t1\nq\td\t1\n")) == {"q": {"d": 1}}
