"""Fetching an archive, checking a folder line by line, converting between layouts; the optional ir_datasets package."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import folders
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from irctl.data.collections import cards, fetch
from irctl.data.collections.check import check_folder
from irctl.data.collections.convert import convert_collection
from irctl.data.collections.open import folder_of, is_present, open_collection
from irctl.errors import ConfigError, DataError, EnvironmentUnfit
from irctl.types import Silent


def archive(folder: Path, name: str, inside: str) -> tuple[str, str]:
    """(url, md5) of a zip with one BEIR folder."""
    source = folders.beir(folder / "source")
    path = folder / name
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                packed.write(file, f"{inside}/{file.relative_to(source)}")
    return path.as_uri(), hashlib.md5(path.read_bytes()).hexdigest()


def known(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    table = dict(cards.built_in())
    table[name] = dataclasses.replace(table[name], **changes)
    monkeypatch.setattr(cards, "built_in", lambda: table)


def test_a_fetched_collection_opens_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, md5 = archive(tmp_path, "scifact.zip", "scifact")
    known(monkeypatch, "beir/scifact", url=url, md5=md5)
    assert not is_present("scifact")
    assert fetch.fetch_collection("scifact", Silent()) == folder_of("beir/scifact")
    collection = open_collection("scifact")
    assert len(collection.corpus) == 3 and collection.card.name == "scifact" and is_present("beir/scifact")
    reporter = Silent()
    fetch.fetch_collection("beir/scifact", reporter)
    assert "already" in reporter.lines[0]
    assert sorted(p.name for p in folder_of("beir/scifact").parent.iterdir()) == ["scifact"], (
        "no temporary folder stays"
    )


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = archive(tmp_path, "scifact.zip", "scifact")
    known(monkeypatch, "beir/scifact", url=url, md5="0" * 32)
    with pytest.raises(DataError, match="expected md5 0000"):
        fetch.fetch_collection("scifact", Silent())
    assert not is_present("scifact") and not list(folder_of("beir/scifact").parent.iterdir())


def test_a_part_comes_with_its_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, md5 = archive(tmp_path, "cqadupstack.zip", "cqadupstack/android")
    known(monkeypatch, "beir/cqadupstack", url=url, md5=md5)
    assert fetch.fetch_collection("cqadupstack/android", Silent()).name == "android"
    assert open_collection("cqadupstack/android").card.name == "cqadupstack/android"
    assert not is_present("cqadupstack")  # eleven forums are missing from this archive


def test_a_collection_of_several_files_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folders.msmarco(tmp_path / "ms")
    with tarfile.open(tmp_path / "cq.tar.gz", "w:gz") as packed:
        for name in ("collection.tsv", "queries.dev.small.tsv", "qrels.dev.small.tsv"):
            packed.add(source / name, name)
    files = [tmp_path / "cq.tar.gz", source / "msmarco-test2019-queries.tsv.gz", source / "2019qrels-pass.txt"]
    known(monkeypatch, "msmarco", files=tuple({"url": f.as_uri()} for f in files))
    fetch.fetch_collection("trec-dl19", Silent())
    assert open_collection("trec-dl19").qrels("trec19") == {"19": {"07": 3, "0": 0}}
    assert open_collection("msmarco").queries("dev").ids == ["11"]


def test_what_cannot_be_fetched_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="registration with BioASQ"):
        fetch.fetch_collection("bioasq", Silent())
    known(monkeypatch, "beir/scifact", url=(tmp_path / "absent.zip").as_uri())
    with pytest.raises(DataError, match=r"absent.zip: cannot be fetched .*copy IRCTL_CACHE"):
        fetch.fetch_collection("scifact", Silent())
    with pytest.raises(DataError, match="Did you mean 'beir/scifact'"):
        fetch.fetch_collection("beir/scifacts", Silent())
    with pytest.raises(DataError, match=r"data.root"):
        fetch.fetch_collection("sycl-eval/nq", Silent())


def test_members_outside_the_archive_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("../escaped", "x")
    with pytest.raises(DataError, match="outside"):
        fetch.unpack(tmp_path / "x.zip", tmp_path / "out")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("../escaped")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(DataError, match="not a whole archive"):
        fetch.unpack(tmp_path / "x.tar.gz", tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def kinds(folder: Path, **options: Any) -> dict[str, int]:
    return check_folder(folder, **options).kinds()


def test_the_built_in_collection_has_no_error() -> None:
    report = check_folder(open_collection("cranfield").folder)
    assert report.errors == 0 and report.counts["passages"] == 1400 and report.counts["judged queries in test"] == 45
    assert report.kinds() == {"warning: empty text": 2, "warning: ids coincide": 1}
    assert [f["where"] for f in report.findings if f["kind"] == "empty text"] == [
        "corpus.jsonl.gz:471", "corpus.jsonl.gz:995",
    ]  # fmt: skip


def test_every_fault_of_a_folder_is_found_at_once(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d1", "text": "again"}\n{"_id": "d4", "text": null}\nnot json\n')
    bad = "q1\td1\t1\nq1\td9\t1\nq9\td1\t1\nq2\td1\t0\nq2\td1\t0.5\nq2\td1\n"
    folders.write(folder / "qrels/test.tsv", bad)
    report = check_folder(folder)
    where = {f["kind"]: f"{f['where']} {f['what']}" for f in reversed(report.findings)}
    assert where["duplicate id"] == "corpus.jsonl:4 same id as line 1"
    assert where["malformed"].startswith("corpus.jsonl:5 expected a text, found null")
    assert report.kinds()["error: malformed"] == 3  # null, not JSON, two columns
    assert (
        where["unknown document"] == "test.tsv:2 no document d9" and where["unknown query"] == "test.tsv:3 no query q9"
    )
    assert where["grade"] == "test.tsv:5 expected a whole number, found 0.5"
    assert where["no header"].startswith("test.tsv:1") and where["queries without judgements"].endswith(
        "1 of 3 queries"
    )
    assert "no relevant document" not in where
    folders.write(folder / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t0\n")
    assert kinds(folder)["warning: no relevant document"] == 1 and "warning: no header" not in kinds(folder)


def test_a_pair_with_two_grades_is_found_and_one_that_is_said_twice_is_not(tmp_path: Path) -> None:
    rows = "q1\td1\t1\nq1\td2\t1\nq1\td1\t1\nq1\td2\t3\n"
    report = check_folder(folders.beir(tmp_path, qrels="query-id\tcorpus-id\tscore\n" + rows))
    found = [(f["where"], f["what"]) for f in report.findings if f["kind"] == "two grades"]
    assert found == [("test.tsv:5", "another grade for the pair of line 3")]


def test_ids_that_no_run_file_can_hold_are_found(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    names = ["New York", "a\tb", "a\nb", "New\u00a0York", "#d"]
    with (folder / "corpus.jsonl").open("a") as file:
        file.writelines(json.dumps({"_id": d, "text": d}) + "\n" for d in names)
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "#q", "text": "a comment"}\n')
    found = [f["where"] for f in check_folder(folder).findings if f["kind"] == "id of no run file"]
    assert found == ["corpus.jsonl:4", "corpus.jsonl:5", "corpus.jsonl:6", "queries.jsonl:4"]


def test_no_more_than_the_limit_is_listed_and_all_are_counted(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path, qrels="query-id\tcorpus-id\tscore\n" + "q1\tdX\t1\n" * 30)
    report = check_folder(folder, limit=3)
    assert report.errors == 30 and len([f for f in report.findings if f["level"] == "error"]) == 3


def test_coinciding_ids_are_no_warning_where_the_card_says_they_are_shared(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    folders.jsonl(folder / "queries.jsonl", [{"_id": n, "text": "t"} for n in ("q1", "q2", "d1")])
    assert kinds(folder)["warning: ids coincide"] == 1
    (folder / "card.toml").write_text("ids_shared = true")
    assert "warning: ids coincide" not in kinds(folder)


def test_a_query_that_is_a_document_without_its_title_has_the_same_text(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    folders.jsonl(folder / "corpus.jsonl", [{"_id": d, "title": "t", "text": f"{d} "} for d in ("q1", "q2", "d1")])
    folders.jsonl(folder / "queries.jsonl", [{"_id": q, "text": t} for q, t in (("q1", "q1"), ("q2", "t q2"))])
    (found,) = [f for f in check_folder(folder).findings if f["kind"] == "ids coincide"]
    assert found["what"].startswith(
        "2 of 2 query ids are document ids too, 2 of them with the same text; self-matches are dropped in test"
    )


def test_the_truncation_rate_counts_passages_longer_than_the_limit(tmp_path: Path) -> None:
    report = check_folder(folders.beir(tmp_path), max_len=2, count_tokens=lambda texts: [len(t.split()) for t in texts])
    assert report.counts["truncated"] == "33.3% of 3 passages at 2 tokens"  # 4, 0 and 2 words
    assert report.counts["tokens"] == "median 2, longest 4"


def test_parquet_is_checked_and_its_first_malformed_row_is_named(tmp_path: Path) -> None:
    """data check read it as lines of text: expected UTF-8."""
    folder = folders.beir(tmp_path)
    (folder / "corpus.jsonl").unlink()
    pq.write_table(pa.table({"id": ["d1", "d3", "d1"], "contents": ["t", "", "u"]}), folder / "corpus.parquet")
    found = {f["kind"]: f["where"] for f in check_folder(folder).findings}
    assert found["duplicate id"] == "corpus.parquet:3" and found["empty text"] == "corpus.parquet:2"
    pq.write_table(pa.table({"id": ["d1", None], "contents": ["t", "u"]}), folder / "corpus.parquet")
    found = {f["kind"]: f["what"] for f in check_folder(folder).findings}
    assert "corpus.parquet:2: expected an id, found None" in found["malformed"]


def test_two_files_of_judgements_for_one_split_are_found(tmp_path: Path) -> None:
    folder = folders.msmarco(tmp_path)
    for name in ("qrels.dl19.txt", "qrels.dl19-passage.txt"):
        folders.write(folder / name, "19 Q0 07 3\n")
    (found,) = [f for f in check_folder(folder).findings if f["level"] == "error"]
    assert "2 files of judgements for split dl19" in found["what"]


def test_a_msmarco_folder_is_checked_and_a_missing_query_file_is_an_error(tmp_path: Path) -> None:
    folder = folders.msmarco(tmp_path)
    assert check_folder(folder).errors == 0
    (folder / "queries.dev.small.tsv").unlink()
    assert kinds(folder)["error: missing file"] == 1
    with pytest.raises(DataError, match=r"neither corpus.jsonl nor"):
        check_folder(tmp_path.parent)


@pytest.mark.parametrize("to", ["beir", "msmarco"])
def test_a_converted_collection_has_the_same_texts_and_judgements(tmp_path: Path, to: str) -> None:
    source = open_collection("cranfield")
    counts = convert_collection(source, tmp_path / "out", to)
    assert counts["passages"] == 1400
    made = open_collection(str(tmp_path / "out"))
    assert made.splits() == source.splits() and list(made.corpus.ids) == list(source.corpus.ids)
    assert made.corpus.texts(slice(None)) == source.corpus.texts(slice(None))
    for split in source.splits():
        assert made.qrels(split) == source.qrels(split) and made.queries(split) == source.queries(split)
    assert check_folder(tmp_path / "out").errors == 0
    with pytest.raises(DataError, match="already there"):
        convert_collection(source, tmp_path / "out", to)


def test_a_query_id_that_would_become_a_comment_is_not_converted(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path / "in", qrels="query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    collection = open_collection(str(folder))
    collection._qrels["test"] = {"#q": {"d1": 1}}  # judgements of other forms may have it
    with pytest.raises(DataError, match="query id '#q' begins with #"):
        convert_collection(collection, tmp_path / "out", "beir")


def test_tabs_and_line_ends_become_blanks_in_tsv(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path / "in")
    folders.jsonl(folder / "corpus.jsonl", [{"_id": "d1", "text": "a\tb\nc\r\nd"}, {"_id": "d3", "text": "plain"}])
    counts = convert_collection(open_collection(str(folder)), tmp_path / "out", "msmarco")
    assert (tmp_path / "out/collection.tsv").read_text() == "d1\ta b c  d\nd3\tplain\n" and counts["flattened"] == 1
    with pytest.raises(ConfigError, match="expected beir, msmarco or pairs"):
        convert_collection(open_collection(str(folder)), tmp_path / "other", "parquet")


def test_without_ir_datasets_the_message_says_what_to_install() -> None:
    with pytest.raises(EnvironmentUnfit, match="pip install ir_datasets"):
        open_collection("irds:msmarco-passage/dev/small")


def test_a_data_set_of_ir_datasets_reads_as_a_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(**values: Any) -> Any:
        return types.SimpleNamespace(**values, default_text=lambda: values.get("text", "whole"))

    data = types.SimpleNamespace(
        has_queries=lambda: True,
        has_qrels=lambda: True,
        queries_iter=lambda: iter([row(query_id="1", text="a"), row(query_id="2", text="b")]),
        qrels_iter=lambda: iter([row(query_id="1", doc_id="x", relevance=2)]),
        docs_iter=lambda: iter([row(doc_id="x", title="t", text="one"), row(doc_id="y")]),
        docs_count=lambda: 2,
    )
    monkeypatch.setitem(sys.modules, "ir_datasets", types.SimpleNamespace(load=lambda name: {"set/dev": data}[name]))
    collection = open_collection("irds:set/dev")
    assert collection.splits() == ("dev",) and collection.queries("dev").texts == ["a"]
    assert collection.corpus.texts([0, 1]) == ["t one", "whole"] and collection.qrels("dev") == {"1": {"x": 2}}
    with pytest.raises(DataError, match="knows no such name"):
        open_collection("irds:nope")
