"""irctl hardneg from each source of candidates, with its rules, its provenance and its refusals."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl import errors
from irctl.config import from_sets, resolve
from irctl.data.collections.open import open_collection
from irctl.models.encoder import load_encoder

SHORT = "--set encoder.passage_max_len=16 --set encoder.query_max_len=16"


def mined(place: Workspace, line: str) -> tuple[dict[str, list[str]], dict[str, list[float]], Path]:
    """(documents by query, scores by query, file) of a mining."""
    file = Path(place.ok(f"hardneg {line} --json").json["negatives_file"])
    rows = [json.loads(text) for text in file.read_text().splitlines()]
    return {r["qid"]: r["docid"] for r in rows}, {r["qid"]: r["score"] for r in rows}, file


def test_dense_candidates_are_the_nearest_unjudged_documents(place: Workspace) -> None:
    found, scores, _ = mined(place, f"--retriever dense --num 3 {SHORT}")
    collection = open_collection("cranfield")
    queries, qrels = collection.queries("train"), collection.qrels("train")
    sets = ["encoder.passage_max_len=16", "encoder.query_max_len=16"]
    encoder = load_encoder(resolve(from_sets(sets)), "sentence-transformers/all-MiniLM-L6-v2")
    base = encoder.encode(collection.corpus.texts(slice(0, len(collection.corpus))))
    for query_id in list(found)[:5]:
        text = queries.texts[list(queries.ids).index(query_id)]
        exact = base @ encoder.encode([text], "query")[0]
        judged = {d for d, grade in qrels[query_id].items() if grade > 0}
        order = [collection.corpus.ids[int(i)] for i in np.argsort(-exact, kind="stable")]
        nearest = [d for d in order if d not in judged][:3]
        assert found[query_id] == nearest
        np.testing.assert_allclose(scores[query_id], [exact[collection.corpus.row(d)] for d in nearest], atol=1e-5)


@pytest.mark.slow
def test_two_devices_mine_what_one_does(place: Workspace) -> None:
    line = f"--retriever dense --num 3 {SHORT} --set encoder.shard_rows=700 --set search.block=500"
    one = mined(place, line)
    two = mined(place, f"{line} --devices 0-1 --set encoder.store=float16")
    again = mined(place, f"{line} --set encoder.store=float16")
    assert two[:2] == again[:2] and two[0].keys() == one[0].keys()


def test_codes_and_run_files_are_sources_too_and_provenance_names_them(place: Workspace) -> None:
    place.ok(f"encode {SHORT}")
    folder = place.ok(f"encode {SHORT} --json").json["folder"]
    made = place.ok(f"compress --method sq --data {folder} --json").json
    assert place.ok(f"runs show {made['run']} --json").json["dataset"] == "cranfield"
    bundle = place.ok("compress --method sq --data latest --json").json["bundle"]
    by_codes, _, file = mined(place, f"--index {bundle} --num 4 {SHORT}")
    about = json.loads(next(file.parent.glob(f"{file.name}*.json")).read_text())
    assert (
        about["retriever"] == "index" and about["settings"]["num"] == 4 and about["counts"]["queries"] == len(by_codes)
    )
    run_file = place.ok("search --retriever bm25 --split train -k 50 --json").json["run_file"]
    by_run, _, file = mined(place, f"--run {run_file} --num 4")
    by_bm25, _, _ = mined(place, "--retriever bm25 --num 4")
    assert by_run == by_bm25
    about = json.loads(next(file.parent.glob(f"{file.name}*.json")).read_text())
    assert about["retriever"] == "run" and about["run_file"] == run_file
    run = file.parent.parent.name
    shown = place.ok(f"runs show {run} --json").json
    assert shown["command"] == "hardneg" and shown["dataset"] == "cranfield"


def test_rank_window_margins_and_bounds_apply_and_random_picks_follow_the_seed(place: Workspace) -> None:
    all_, scores, _ = mined(place, "--retriever bm25 --num 20 --set hardneg.depth=60")
    window, _, _ = mined(place, "--retriever bm25 --num 5 --range 5:20 --set hardneg.depth=60")
    assert all(window[q] == all_[q][5:10] for q in window)
    bound = float(np.median([s for row in scores.values() for s in row]))
    low, low_scores, _ = mined(place, f"--retriever bm25 --num 5 --set hardneg.max_score={bound}")
    assert low and all(s <= bound for row in low_scores.values() for s in row)
    one, two = (mined(place, f"--retriever bm25 --num 5 --pick random --seed {s}")[0] for s in (1, 2))
    assert one != two and one == mined(place, "--retriever bm25 --num 5 --pick random --seed 1")[0]


@pytest.fixture(scope="module")
def twins(place: Workspace) -> Path:
    """d1 answers q1 and d2 is its copy; q2 is a document, q3 has the text of n3; n1 and n2 are copies of each other."""
    texts = {"d1": "heat shield of a blunt body", "n1": "heat of a plate", "n2": "heat of a plate", "q2": "heat shield"}
    texts |= {"d2": "heat shield of a blunt body", "n3": "heat of a wing", "n4": "a wing in flow of heat"}
    queries = {"q1": "heat", "q2": "heat shield", "q3": "heat of a wing"}
    return beir_folder(place.folder / "twins", texts, queries, train={q: {"d1": 1} for q in queries})


@pytest.mark.parametrize("retriever", ["bm25", "run", "dense", "index"])
def test_no_retriever_mines_a_copy_of_the_positive_or_the_query_itself(
    place: Workspace, twins: Path, retriever: str
) -> None:
    option = f"--retriever {retriever}"
    if retriever == "run":
        line = f"search --retriever bm25 --data {twins} --split train -k 20 --json"
        option = f"--run {place.ok(line).json['run_file']}"
    elif retriever == "index":
        vectors = place.ok(f"encode --data {twins} {SHORT} --json").json["folder"]
        option = f"--index {place.ok(f'compress --method flat --data {vectors} --json').json['bundle']}"
    found, _, _ = mined(place, f"{option} --data {twins} --num 9 --set eval.self_match=keep {SHORT}")
    # d2 is d1; q2 mines not itself, and q3 not the document of its text; a text is mined once
    assert {q: sorted({"n1" if d == "n2" else d for d in ids}) for q, ids in found.items()} == {
        "q1": ["n1", "n3", "n4", "q2"],
        "q2": ["n1", "n3", "n4"],
        "q3": ["n1", "n4", "q2"],
    }
    assert all(len(ids) == (4, 3, 3)[i] for i, ids in enumerate(found.values()))


def test_a_query_that_leaves_out_very_many_deepens_all_rankings_by_a_bound_only(
    twins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.data.collections.open import open_collection
    from irctl.pipelines.hardneg import left_out as hardneg_left_out

    left_out = hardneg_left_out.LeftOut(open_collection(str(twins)), "train", "none", "")
    assert [len(left_out.of(row)) for row in range(3)] == [3, 3, 4] and left_out.most() == 4
    monkeypatch.setattr(hardneg_left_out, "MOST", 2)
    assert left_out.most() == 2


@pytest.mark.slow
def test_a_cross_encoder_orders_the_candidates_and_a_stop_keeps_its_scores(
    place: Workspace, tmp_path: Path, short_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(short_tokenizer)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=1, **shape)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    found, scores, file = mined(
        place, f"--retriever bm25 --num 3 --set hardneg.depth=8 --set hardneg.rescore={tmp_path}"
    )
    collection = open_collection("cranfield")
    queries = collection.queries("train")
    query_id = next(iter(found))
    text = queries.texts[list(queries.ids).index(query_id)]
    pairs = [(text, collection.corpus.texts([collection.corpus.row(d)])[0]) for d in found[query_id]]
    expected = CrossEncoder(str(tmp_path), device="cpu").predict(pairs, show_progress_bar=False)
    np.testing.assert_allclose(scores[query_id], expected, atol=1e-5)
    assert scores[query_id] == sorted(scores[query_id], reverse=True)
    about = json.loads(next(file.parent.glob(f"{file.name}*.json")).read_text())
    assert about["rescored_by"] == str(tmp_path)
    line = f"hardneg --retriever bm25 --num 3 --set hardneg.depth=8 --set hardneg.rescore={tmp_path} --seed 7 --json"
    counted: list[int] = []
    stop_at = 5

    def predict(self: CrossEncoder, pairs: Any, **more: Any) -> Any:
        counted.append(len(pairs))
        if len(counted) == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return whole(self, pairs, **more)

    whole = CrossEncoder.predict
    monkeypatch.setattr(CrossEncoder, "predict", predict)
    stopped = place.run(line)
    assert stopped.code == errors.SIGTERM and "what is rescored" in stopped.err and len(counted) == 5
    again = place.ok(line)
    assert "continuing" in again.err and not list(Path(again.json["run_dir"]).rglob("rescored.jsonl"))
    asked, counted[:], stop_at = len(counted), [], 0
    assert Path(again.json["negatives_file"]).read_bytes() == file.read_bytes()
    place.ok(line.replace("--seed 7", "--seed 8"))
    assert asked == len(counted), "no query is rescored twice"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--retriever run", errors.USAGE, "Add --run FILE"),
        ("--run nowhere.trec", errors.DATA, "nowhere.trec"),
        ("--index nowhere", errors.DATA, "nowhere"),
        ("--retriever bm52", errors.USAGE, "bm52"),
        ("--retriever bm25 --range 5:50 --depth 20", errors.USAGE, "Set --depth to at least 50"),
        ("--retriever bm25 --set hardneg.min_score=3 --set hardneg.max_score=2", errors.USAGE, "no document can be"),
        ("--retriever bm25 --out x.jsonl --set hardneg.format=tsv", errors.USAGE, "ends in .tsv"),
        ("--retriever bm25 --set hardneg.rescore=no/such", errors.DATA, "no cross-encoder 'no/such'"),
    ],
)
def test_what_cannot_be_mined_is_one_line(place: Workspace, line: str, code: int, said: str) -> None:
    done = place.run(f"hardneg {line}")
    assert done.code == code and said in done.err.splitlines()[-1], done.err
