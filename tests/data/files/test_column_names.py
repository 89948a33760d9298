"""Names of columns: which one is the query, the document, the score, the id and the text, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import jsonl, write

from irctl.data.files import column_names
from irctl.data.judgements.qrels import read_qrels
from irctl.data.texts.store import open_texts
from irctl.errors import DataError


@pytest.mark.parametrize(
    "header",
    [
        "query-id\tcorpus-id\tscore",
        "qid\tpid\trelevance",
        "q_id\tdoc_id\tscore",
        "topic\tdocno\trel",
        "Query_ID\tDocID\tLabel",
        "topic\titer\tdocid\tgrade",
        "rel\tq_id\tdoc_id",
    ],
)
def test_a_header_of_any_known_names_in_any_order_is_read(tmp_path: Path, header: str) -> None:
    names = header.split("\t")
    places = column_names.judged_columns(names, "")
    assert places is not None
    row = ["x"] * len(names)
    for place, value in zip(places, ("q1", "d1", "2"), strict=True):
        row[place] = value
    text = header + "\n" + "\t".join(row) + "\n"
    assert read_qrels(write(tmp_path / "q.tsv", text)) == {"q1": {"d1": 2}}
    table = pa.table({n: [int(v) if v == "2" else v] for n, v in zip(names, row, strict=True)})
    pq.write_table(table, tmp_path / "q.parquet")
    assert read_qrels(tmp_path / "q.parquet") == {"q1": {"d1": 2}}


def test_json_lines_of_judgements_take_the_same_names(tmp_path: Path) -> None:
    rows = [{"topic": "q1", "docno": "d1", "rel": 2}, {"topic": "q1", "docno": "d2", "rel": 0}]
    assert read_qrels(jsonl(tmp_path / "q.jsonl", rows)) == {"q1": {"d1": 2, "d2": 0}}
    grouped = [{"q_id": "q1", "pid": ["d1", "d2"], "label": [2, 0]}]
    assert read_qrels(jsonl(tmp_path / "g.jsonl", grouped)) == {"q1": {"d1": 2, "d2": 0}}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.tsv", "qid\tdocid\tscore\tlabel\nq\td\t1\t1\n", r"tsv:1: expected one score column, found score and label"),
        ("a.tsv", "qid\tdocid\tdocno\trel\nq\t1\td\t1\n", r"tsv:1: expected one document column, found docid and"),
        ("a.jsonl", '{"qid":"q","docid":"d","rel":1,"grade":2}\n', r"a.jsonl:1: expected one score field, found rel"),
        ("a.tsv", "who\twhat\thow\nq\td\t1\n", r"tsv:1: expected a finite score .* header needs names of query"),
    ],
)  # fmt: skip
def test_two_columns_of_one_meaning_and_unknown_names_are_one_line(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(DataError) as e:
        read_qrels(write(tmp_path / name, text))
    assert re.search(told, str(e.value)) and "\n" not in str(e.value)


RECORDS = [
    ({"_id": "a", "docid": "b", "id": 3, "text": "t"}, "a"),
    ({"docid": "b", "id": 3, "text": "t"}, "b"),
    ({"id": 3, "contents": "t"}, "3"),
    ({"id": "x", "text": "t", "contents": "other"}, "x"),
    ({"pid": "p", "contents": "t"}, "p"),
]


@pytest.mark.parametrize(("record", "wanted"), RECORDS)
def test_a_texts_id_is_its_own_else_the_one_of_a_document_else_the_plain_one(
    tmp_path: Path, record: dict[str, object], wanted: str
) -> None:
    """_id beside docid was refused, {id, contents} of pyserini too."""
    pq.write_table(pa.table({k: [v] for k, v in record.items()}), tmp_path / "c.parquet")
    for path in (jsonl(tmp_path / "c.jsonl", [record]), tmp_path / "c.parquet"):
        store = open_texts(path)
        assert list(store.ids) == [wanted] and store.column("text", [0]) == ["t"]


@pytest.mark.parametrize("record", [{"docid": "a", "qid": "b", "text": "t"}, {"name": "a", "text": "t"}])
def test_a_record_with_no_id_or_with_several_is_refused_in_one_line(tmp_path: Path, record: dict[str, str]) -> None:
    with pytest.raises(
        DataError, match=r"c.jsonl:1: expected exactly one id field, or _id among them, found (qid|none)"
    ):
        open_texts(jsonl(tmp_path / "c.jsonl", [record]))
    pq.write_table(pa.table({k: [v] for k, v in record.items()}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c.parquet: expected one id column and a column text"):
        open_texts(tmp_path / "c.parquet")
