"""irctl hardneg from the codes of a bundle: the lists are RepCONC's, found and checked before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from toy_collections import beir_folder
from workspace import Workspace

from irctl import errors
from irctl.data.collections.open import open_collection
from irctl.data.judgements.runs import read_run
from irctl.data.texts.copies import open_copies
from irctl.data.texts.store import TextPool
from irctl.index.bundle import open_bundle
from irctl.quantizers.shared import opening

SHORT = "--set encoder.passage_max_len=16 --set encoder.query_max_len=16"
OPQ = "--set opq.m=8 --set opq.bits=4"


@pytest.fixture(scope="module")
def bundle(place: Workspace) -> Path:
    place.ok(f"encode {SHORT}")
    return Path(place.ok(f"compress --method opq {OPQ} --json").json["bundle"])


@pytest.fixture(scope="module")
def mined(place: Workspace, bundle: Path) -> dict[str, Any]:
    return place.ok(f"hardneg --index {bundle} --split train --num 200 {SHORT} --json").json


def lists(file: str) -> dict[str, dict[str, Any]]:
    return {r["qid"]: r for r in map(json.loads, Path(file).read_text().splitlines())}


def test_every_query_has_the_200_best_codes_that_nobody_judged(
    place: Workspace, bundle: Path, mined: dict[str, Any]
) -> None:
    from irctl.config import from_sets, resolve
    from irctl.models.encoder import load_encoder

    collection = open_collection("cranfield")
    queries, qrels = collection.queries("train"), collection.qrels("train")
    sets = ["encoder.passage_max_len=16", "encoder.query_max_len=16"]
    encoder = load_encoder(resolve(from_sets(sets)), "sentence-transformers/all-MiniLM-L6-v2")
    opened = open_bundle(bundle, opening.load)
    codes_NC = np.concatenate([np.load(bundle / part["file"]) for part in opened.parts])
    decoded_ND = opened.quantizer.decode(codes_NC)
    flat = faiss.IndexFlatIP(decoded_ND.shape[1])
    flat.add(np.ascontiguousarray(decoded_ND))
    copies = open_copies(TextPool([collection.corpus.store]), collection.corpus.title_join)
    found = lists(mined["negatives_file"])
    assert list(found) == list(queries.ids) and {len(r["docid"]) for r in found.values()} == {200}
    scores_QN, rows_QN = flat.search(np.asarray(encoder.encode(list(queries.texts), "query")), len(codes_NC))
    for i in range(0, len(queries), 9):
        entry, judged = found[queries.ids[i]], qrels[queries.ids[i]]  # grade 0 is judged too
        unfit = {r for d in judged for r in copies.rows_of(collection.corpus.texts([collection.corpus.row(d)])[0])}
        unfit |= {collection.corpus.row(d) for d in judged}
        free = [(s, r) for s, r in zip(scores_QN[i], rows_QN[i], strict=True) if int(r) not in unfit]
        assert not set(entry["docid"]) & set(judged)
        assert entry["score"] == sorted(entry["score"], reverse=True)
        np.testing.assert_allclose(entry["score"][:50], [s for s, _ in free[:50]], atol=1e-4)


def test_the_ranking_is_kept_as_a_run_file_and_the_provenance_names_the_bundle(
    place: Workspace, bundle: Path, mined: dict[str, Any]
) -> None:
    run, qrels = read_run(Path(mined["run_file"])), open_collection("cranfield").qrels("train")
    found = lists(mined["negatives_file"])
    assert run.keys() == found.keys()
    for query_id, ranked in run.items():
        assert len(ranked) >= 200 + len(qrels[query_id])  # as many more as are judged, which may fill the top
        assert set(found[query_id]["docid"]) <= set(ranked)
    about = json.loads(Path(f"{mined['negatives_file']}.provenance.json").read_text())
    assert about["bundle"] == str(bundle) and about["compression"] == "opq" and about["model_fingerprint"]
    again = place.ok(f"hardneg --run {mined['run_file']} --split train --num 0 --json").json
    assert [r["score"] for r in lists(again["negatives_file"]).values()] == [r["score"] for r in found.values()]
    place.ok(f"eval {mined['run_file']} --split train --measures R@100")


def test_lists_that_fall_short_are_told(place: Workspace, tmp_path: Path) -> None:
    texts = {f"d{i}": f"wing number {i}" for i in range(6)}
    folder = beir_folder(tmp_path / "six", texts, {"q": "wing", "r": "flow"}, train={"q": {"d1": 1}, "r": {"d2": 1}})
    place.ok(f"encode --data {folder} {SHORT}")
    codes = place.ok(f"compress --method flat --data latest --out {tmp_path / 'codes'} --json").json["bundle"]
    done = place.ok(f"hardneg --index {codes} --data {folder} --num 200 {SHORT} --json")
    assert done.json["short"] == 2 and done.json["negatives"] == 10
    assert "2 of 2 queries have fewer than 200 negatives" in done.err


@pytest.mark.parametrize("split", ["dev", "test", "dev+test", "all"])
def test_a_split_that_is_evaluated_is_not_mined_unless_forced(place: Workspace, split: str) -> None:
    for more in ("", "--dry-run"):
        refused = place.run(f"hardneg --retriever bm25 --split {split} {more}")
        assert refused.code == errors.USAGE and "a split that is evaluated" in refused.err and "--force" in refused.err
    if "+" not in split and split != "all":
        assert place.ok(f"hardneg --retriever bm25 --split {split} --force --json").json["negatives"]


def test_names_of_evaluated_splits_are_known_and_a_lone_split_may_be_mined() -> None:
    from irctl.pipelines.hardneg.judged_split import EVALUATED

    shown = ("dev", "dev.small", "test", "test2019", "trec19", "dl20", "val", "validation", "valid", "eval")
    assert all(EVALUATED.fullmatch(s) for s in shown)
    assert not any(EVALUATED.fullmatch(s) for s in ("train", "valued", "developers", "tested", "qrel", "dlx"))


def test_a_negative_that_is_no_document_is_refused_before_training_with_its_line(
    place: Workspace, tmp_path: Path
) -> None:
    query = open_collection("cranfield").queries("train").ids[0]
    file = tmp_path / "negatives.jsonl"
    file.write_text(json.dumps({"qid": query, "docid": ["1", "no-such"], "score": [2, 1]}) + "\n")
    done = place.run(f"train --loss infonce --negatives {file} --dry-run")
    assert done.code == errors.DATA and f"{file}:1" in done.err and "'no-such'" in done.err, done.err


def test_the_newest_codes_of_this_corpus_are_mined_where_none_is_named(
    place: Workspace, bundle: Path, mined: dict[str, Any], tmp_path: Path
) -> None:
    texts = {f"d{i}": f"wing number {i}" for i in range(40)}
    other = beir_folder(tmp_path / "forty", texts, {"q": "wing"}, train={"q": {"d1": 1}})
    place.ok(f"encode --data {other} {SHORT}")
    for line in (f"--retriever index --data {other}", f"--index latest --data {other} --dry-run"):
        missing = place.run(f"hardneg {line}")
        assert missing.code == errors.DATA and "irctl compress --method opq --data" in missing.err, missing.err
    of_other = place.ok("compress --method opq --set opq.m=8 --set opq.bits=4 --data latest --json").json["bundle"]
    about = place.ok(f"hardneg --index latest --data {other} {SHORT} --json").json
    assert of_other in Path(f"{about['negatives_file']}.provenance.json").read_text()
    for line in (f"--index latest --num 200 {SHORT}", f"--retriever index --num 200 {SHORT}"):
        again = place.ok(f"hardneg {line} --json").json  # of the built-in collection: the older one
        assert Path(again["negatives_file"]).read_bytes() == Path(mined["negatives_file"]).read_bytes()
    assert "forty, 40 documents" in place.ok(f"hardneg --index {of_other} --dry-run").out  # an index brings its data
