"""Collections: built-in, BEIR and MS MARCO folders, and what a wrong source says."""

from __future__ import annotations

import json
from pathlib import Path

import folders
import pytest

from irctl import paths
from irctl.data.collections import cards
from irctl.data.collections.open import is_present, open_collection
from irctl.data.texts.store import CHUNK, open_texts
from irctl.errors import DataError


def test_the_built_in_collection_has_the_counts_of_its_source_note() -> None:
    c = open_collection("cranfield")
    assert len(c.corpus) == 1400 and len(c.all_queries()) == 225
    counts = {s: (len(c.queries(s)), sum(map(len, c.qrels(s).values()))) for s in c.splits()}
    assert counts == {"train": (135, 1016), "dev": (45, 406), "test": (45, 415), "all": (225, 1837)}
    assert c.card.headline_measure == "nDCG@10" and c.card.headline_split == "test" and c.card.self_match == "keep"
    assert c.qrels("all")["225"]["225"] > 0  # ids coincide by accident: equal ids must not be dropped here
    assert {g for docs in c.qrels("all").values() for g in docs.values()} == {1, 2, 3, 4}


def test_empty_documents_keep_their_rows() -> None:
    corpus = open_collection("cranfield").corpus
    assert corpus.texts([470, 994]) == ["", ""] and corpus.ids[470] == "471" and corpus.row("995") == 994


def test_title_and_text_are_joined_without_a_leading_blank(tmp_path: Path) -> None:
    corpus = open_collection(str(folders.beir(tmp_path))).corpus
    assert corpus.texts(slice(None)) == ["wings lift of wings", "", "heat transfer"]
    assert corpus.texts([2, 0, 2]) == ["heat transfer", "wings lift of wings", "heat transfer"]


@pytest.mark.parametrize(
    ("how", "text"),
    [("sentence", "wings. lift of wings"), ("sep", "wings [SEP] lift of wings"), ("none", "lift of wings")],
)
def test_other_joins_change_text_and_fingerprint(tmp_path: Path, how: str, text: str) -> None:
    folder = str(folders.beir(tmp_path))
    plain, other = open_collection(folder), open_collection(folder, title_join=how)
    assert other.corpus.texts([0]) == [text]
    assert other.fingerprint != plain.fingerprint


def test_queries_are_those_judged_in_the_split_in_file_order(tmp_path: Path) -> None:
    c = open_collection(str(folders.beir(tmp_path)))
    assert c.queries("test").ids == ["q2", "q1"] and c.queries("test").texts == ["heat", "wings"]
    assert c.all_queries().ids == ["q2", "q1", "q3"]
    assert c.card.headline_split == "test" and c.name == tmp_path.name


def test_gzip_files_read_like_plain_ones(tmp_path: Path) -> None:
    plain = folders.beir(tmp_path / "plain")
    packed = tmp_path / "packed"
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        folders.write(packed / f"{file}.gz", (plain / file).read_text())
    a, b = open_collection(str(plain)), open_collection(str(packed))
    assert (
        a.fingerprint == b.fingerprint and a.qrels("test") == b.qrels("test") and a.splits() == b.splits() == ("test",)
    )


def test_a_judged_query_without_a_text_is_named_with_its_line(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path, qrels="query-id\tcorpus-id\tscore\nq1\td1\t1\nq9\td1\t1\n")
    with pytest.raises(DataError, match=r"test\.tsv:3: expected query ids .* found 'q9'"):
        open_collection(str(folder)).queries("test")


def test_a_changed_corpus_file_is_read_again(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    before = open_collection(str(folder)).fingerprint
    folders.jsonl(folder / "corpus.jsonl", [{"_id": "d1", "text": "other"}])
    after = open_collection(str(folder))
    assert after.fingerprint != before and len(after.corpus) == 1


def test_a_duplicate_id_is_named_with_both_lines(tmp_path: Path) -> None:
    path = folders.jsonl(tmp_path / "corpus.jsonl", [{"_id": n, "text": "t"} for n in ("a", "b", "a")])
    with pytest.raises(DataError, match=r"corpus\.jsonl:3: id 'a' occurs twice, first in line 1"):
        open_texts(path)
    assert not list((paths.cache() / "corpora").glob("[!.]*")), "a failed build must leave nothing behind"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "x", "text": null}', "expected a text, found null"),
        ('{"_id": "x"}', "expected a text, found none"),
        ('{"text": "x"}', "expected exactly one id field"),
        ('{"_id": "", "text": "x"}', "expected an id"),
        ('{"_id": "x", "text": "y"', "expected a JSON object"),
        ('["x"]', "expected a JSON object"),
        ('{"_id": "x", "text": "\\ud800"}', "lone surrogate"),
    ],
)
def test_a_malformed_record_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = folders.write(tmp_path / "corpus.jsonl", '{"_id": "ok", "text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match="corpus.jsonl:2: .*" + message):
        open_texts(path)


def test_whole_number_ids_become_strings_and_leading_zeros_stay(tmp_path: Path) -> None:
    store = open_texts(folders.jsonl(tmp_path / "c.jsonl", [{"_id": 7, "text": "a"}, {"_id": "007", "text": "b"}]))
    assert list(store.ids) == ["7", "007"] and store.row("007") == 1


def test_rows_and_ids_agree_across_chunks(tmp_path: Path) -> None:
    n = 2 * CHUNK + 5
    store = open_texts(folders.jsonl(tmp_path / "c.jsonl", [{"_id": f"d{i}", "text": f"t{i}"} for i in range(n)]))
    rows = [0, CHUNK - 1, CHUNK, 2 * CHUNK, n - 1]
    assert store.column("text", rows) == [f"t{i}" for i in rows]
    assert store.column("id", slice(CHUNK - 1, CHUNK + 1)) == [f"d{CHUNK - 1}", f"d{CHUNK}"]
    assert store.find([f"d{i}" for i in rows] + ["absent"]).tolist() == [*rows, -1]
    assert store.ids[-1] == f"d{n - 1}" and len(list(store.ids)) == n and "d5" in store.ids and "x" not in store.ids
    with pytest.raises(IndexError):
        store.column("text", [n])


def test_an_empty_corpus_has_no_rows(tmp_path: Path) -> None:
    store = open_texts(folders.write(tmp_path / "corpus.jsonl", ""))
    assert len(store) == 0 and store.find(["a"]).tolist() == [-1] and store.column("text", slice(None)) == []


def test_msmarco_dev_is_the_small_one_where_both_are_there(tmp_path: Path) -> None:
    c = open_collection(str(folders.msmarco(tmp_path)))
    assert c.splits() == ("dev", "dev.full", "trec19")
    assert c.queries("dev").ids == ["11"] and c.queries("dev.full").ids == ["11", "12"]
    assert c.qrels("trec19") == {"19": {"07": 3, "0": 0}} and c.queries("trec19").texts == ["dl query"]
    assert list(c.corpus.ids) == ["0", "07"] and c.card.headline_split == "dev"


@pytest.mark.parametrize("qrels", ["qrels.dl19.txt", "qrels.dl19-passage.txt", "qrels.dl19.tsv", "qrels.dl19.txt.gz"])
@pytest.mark.parametrize("queries", ["topics.dl19-passage.txt", "queries.dl19.tsv", "msmarco-test2019-queries.tsv"])
def test_the_names_that_anserini_gives_to_deep_learning_files_are_the_split_dl19(
    tmp_path: Path, qrels: str, queries: str
) -> None:
    folders.write(tmp_path / "collection.tsv", "0\tlift\n7\theat\n")
    folders.write(tmp_path / qrels, "19 Q0 7 3\n19 Q0 0 0\n")
    folders.write(tmp_path / queries, "19\tdl query\n20\tunjudged\n")
    c = open_collection(str(tmp_path))
    assert c.splits() == ("dl19",) and c.qrels("dl19") == {"19": {"7": 3, "0": 0}}
    assert c.queries("dl19").texts == ["dl query"]
    assert c.card.measures == {"dl19": "trec-dl"} and c.top_grade("dl19") == 3


def test_deep_learning_tracks_of_any_folder_are_measured_from_grade_2_unless_its_card_says_else(tmp_path: Path) -> None:
    folder = folders.msmarco(tmp_path)
    for name in ("qrels.dl20-passage.txt", "qrels.dl19-doc.txt"):
        folders.write(folder / name, "19 Q0 07 3\n")
    c = open_collection(str(folder))
    assert c.splits() == ("dev", "dev.full", "dl19-doc", "dl20", "trec19")
    assert c.card.measures == {"trec19": "trec-dl", "dl20": "trec-dl"}
    with pytest.raises(DataError, match=r"no queries.dl20.tsv for split dl20"):
        c.queries("dl20")
    folders.write(folder / "card.toml", 'name = "own"\nmeasures = { trec19 = "default" }\n')
    assert open_collection(str(folder)).card.measures == {"trec19": "default", "dl20": "trec-dl"}


def test_two_files_of_one_split_and_a_file_of_none_are_told_or_left_out(tmp_path: Path) -> None:
    folder = folders.msmarco(tmp_path)
    folders.write(folder / "qrels.tsv", "11\t0\t0\t1\n")
    for name in ("qrels.dl19.txt", "qrels.dl19-passage.txt"):
        folders.write(folder / name, "19 Q0 07 3\n")
    c = open_collection(str(folder))
    assert c.splits() == ("dev", "dev.full", "dl19", "trec19")
    with pytest.raises(
        DataError, match=r"2 files of judgements for split dl19: qrels.dl19.txt, qrels.dl19-passage.txt"
    ):
        c.qrels("dl19")


def test_a_folder_prepared_by_the_links_of_repconc_is_read_as_its_files(tmp_path: Path) -> None:
    """RepCONC, examples/ance/msmarco-passage/1_prepare_dataset.sh."""
    folder = folders.msmarco(tmp_path)
    folders.write(folder / "queries.train.tsv", "1\theat\n2\tunjudged\n")
    folders.write(folder / "qrels.train.tsv", "1\t0\t07\t1\n")
    folders.write(folder / "msmarco-test2019-queries.tsv", "19\tdl query\n")
    links = {"corpus.tsv": "collection.tsv", "query.train": "queries.train.tsv", "qrels.train": "qrels.train.tsv"}
    links |= {"query.dev": "queries.dev.small.tsv", "qrels.dev": "qrels.dev.small.tsv"}
    links |= {"query.trec19": "msmarco-test2019-queries.tsv", "qrels.trec19": "2019qrels-pass.txt"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    c = open_collection(str(folder))
    assert c.splits() == ("train", "dev", "dev.full", "trec19")
    assert c.qrels("train") == {"1": {"07": 1}} and c.queries("train").texts == ["heat"]
    assert c.queries("dev").ids == ["11"] and list(c.qrels("dev.full")) == ["11", "12"]
    assert c.qrels("trec19") == {"19": {"07": 3, "0": 0}} and c.card.measures == {"trec19": "trec-dl"}


def test_double_encoded_characters_are_repaired_only_when_asked(tmp_path: Path) -> None:
    folder = str(folders.msmarco(tmp_path))
    raw, fixed = open_collection(folder), open_collection(folder, fix_encoding=True)
    assert raw.corpus.texts([1]) == ["plac\u00e2\u0080\u0099s heat"] and fixed.corpus.texts([1]) == ["plac\u2019s heat"]
    assert raw.fingerprint != fixed.fingerprint


def test_a_further_tab_in_collection_tsv_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "collection.tsv", "0\ta\n1\tb\tc\n")
    with pytest.raises(DataError, match=r"collection\.tsv:2: expected 2 columns separated by tabs, found 3"):
        open_texts(path)


@pytest.mark.parametrize(
    "name", ["queries.train.tsv", "query.train", "topics.dl19.txt", "msmarco-test2019-queries.tsv"]
)
def test_a_tab_in_a_query_belongs_to_its_text(name: str, tmp_path: Path) -> None:
    """RepCONC crashes on it; taken for a column, the words before it would be lost."""
    store = open_texts(folders.write(tmp_path / name, "01\theat\tof a wing\n2\tlift\n"))
    assert store.column("text", [0, 1]) == ["heat\tof a wing", "lift"]
    assert store.column("id", [0, 1]) == ["01", "2"] and store.column("title", [0]) == [""]


def test_a_line_separator_inside_a_passage_does_not_end_it(tmp_path: Path) -> None:
    store = open_texts(folders.write(tmp_path / "collection.tsv", "0\ta\u2028b\x85c\x0bd\n1\te\r\n"))
    assert store.column("text", [0, 1]) == ["a\u2028b\x85c\x0bd", "e"]


def test_a_damaged_gzip_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = folders.write(tmp_path / "corpus.jsonl.gz", '{"_id": "a", "text": "b"}\n' * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        open_texts(path)
    latin = tmp_path / "corpus.jsonl"
    latin.write_bytes(b'{"_id": "a", "text": "\xe9"}\n')
    with pytest.raises(DataError, match=r"corpus.jsonl:1: expected UTF-8, found byte 0xe9"):
        open_texts(latin)


def test_a_users_card_lies_beside_the_data(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path)
    (folder / "card.toml").write_text(
        'name = "mine"\nself_match = "drop"\nheadline = { measure = "RR@10", split = "test" }'
    )
    card = open_collection(str(folder)).card
    assert (card.name, card.self_match, card.headline_measure) == ("mine", "drop", "RR@10")
    (folder / "card.toml").write_text('self_mtach = "drop"')
    with pytest.raises(DataError, match=r"no key named 'self_mtach'.*Did you mean 'self_match'"):
        open_collection(str(folder))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cranfeild", "Did you mean 'cranfield'"),
        ("scifact", "irctl data fetch beir/scifact"),
        ("beir/robust04", "not public"),
        ("beir-13", "group of 13"),
        ("cqadupstack", "12 collections"),
        ("hf://datasets/o/n@r/p", "data.root"),
    ],
)
def test_a_source_that_is_not_here_says_what_to_do(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_collection(source)
    assert not is_present(source)


def test_a_hub_repository_is_read_below_data_root(tmp_path: Path) -> None:
    folders.beir(tmp_path / "owner/name/sub")
    c = open_collection("hf://datasets/owner/name@abc/sub", root=str(tmp_path))
    assert c.name == "name" and len(c.corpus) == 3
    with pytest.raises(DataError, match=r"owner/other.*no such folder"):
        open_collection("hf://datasets/owner/other", root=str(tmp_path))


def test_groups_hold_what_the_evaluation_conventions_say() -> None:
    groups = cards.groups()
    assert {g: len(m) for g, m in groups.items()} == {
        "beir-13": 13, "beir-14": 14, "beir-15": 15, "beir-18": 18, "sycl-eval": 15,
    }  # fmt: skip
    assert set(groups["beir-15"]) - set(groups["beir-14"]) == {"beir/msmarco"}
    assert set(groups["beir-18"]) - set(groups["beir-14"]) == {
        f"beir/{n}" for n in ("bioasq", "signal1m", "trec-news", "robust04")
    }
    assert set(groups["beir-15"]) - set(groups["beir-13"]) == {"beir/cqadupstack", "beir/webis-touche2020"}
    assert [n for n, c in cards.built_in().items() if c.self_match == "drop"] == [
        "beir/arguana", "beir/quora", "sycl-eval/arguana", "sycl-eval/quora",
    ]  # fmt: skip
    assert len(cards.expand(["beir-14"])) == 13 + 12 and cards.expand(["cranfield", "cranfield"]) == ["cranfield"]
    assert cards.load_card("msmarco").format == "msmarco" and cards.load_card("beir/msmarco").headline_split == "dev"


def test_an_extra_split_takes_its_files_from_elsewhere(tmp_path: Path) -> None:
    folder = folders.beir(tmp_path / "data")
    folders.jsonl(tmp_path / "o/n/q.jsonl", [{"_id": "t1", "text": "track"}])
    folders.write(tmp_path / "o/n/qrel.tsv", "t1\td1\t3\n")
    extra = {"queries": "hf://datasets/o/n/q.jsonl", "qrels": "hf://datasets/o/n/qrel.tsv"}
    lines = [f"extra_splits = {{ trec20 = {{ {', '.join(f'{k} = {json.dumps(v)}' for k, v in extra.items())} }} }}"]
    (folder / "card.toml").write_text("\n".join(lines))
    c = open_collection(str(folder), root=str(tmp_path))
    assert c.splits() == ("test", "trec20") and c.queries("trec20").texts == ["track"]
    assert c.qrels("trec20") == {"t1": {"d1": 3}}
    assert sorted(c.all_queries().ids) == ["q1", "q2", "q3", "t1"]
