"""From an evaluation back to what was measured: trainings named `latest`, folders of one name, files from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_collections import word_pairs
from workspace import Workspace

from irctl import hashing
from irctl.data.judgements.runs import read_run
from irctl.ledger import query

pytestmark = pytest.mark.usefixtures("in_process")
TRAIN = (
    "train --data toy --set data.negatives=none --max-steps 2 --batch 4 --set batch.micro=4 "
    "--set train.warmup_ratio=0 --set eval.during=candidates --set data.group_size=2"
)


def table(place: Workspace, *options: str) -> dict[str, dict[str, Any]]:
    done = place.ok(" ".join(["report --json", *options])).json
    return {r["system"]: {k: c["value"] for k, c in r["cells"].items()} for t in done["tables"] for r in t["rows"]}


def ranked(place: Workspace, command: str) -> list[str]:
    """The first query's documents as the evaluation kept them."""
    folder = Path(place.ok(f"{command} --json").json["run_dir"])
    (kept,) = folder.rglob("run.trec.gz")
    return list(next(iter(read_run(kept).values())))


@pytest.fixture(autouse=True)
def empty(place: Workspace) -> None:
    """Every test starts with an empty ledger; TOY is a collection whose texts are encoded at once."""
    word_pairs(place.folder / "toy")
    shutil.rmtree(os.environ["IRCTL_RUNS"], ignore_errors=True)


@pytest.fixture(scope="module")
def foreign(place: Workspace) -> Path:
    """A run file that irctl did not write: document 1 first for every test query."""
    from irctl.data.collections.open import open_collection

    ids = open_collection("cranfield").queries("test").ids
    path = place.folder / "their.trec"
    path.write_text("".join(f"{q} Q0 {d} {rank} {9 - rank} them\n" for q in ids for rank, d in enumerate("123", 1)))
    return path


def test_a_run_file_from_elsewhere_is_a_row_of_its_own_and_not_the_default_model(
    place: Workspace, foreign: Path
) -> None:
    genuine = place.ok("eval --data cranfield --model all-MiniLM-L6-v2 -k 50 --json").json
    theirs = place.ok(f"eval {foreign} --json").json
    rows = table(place, "--mixed")
    sha = theirs["results"][0]["run_sha256"]
    assert set(rows) == {"all-MiniLM-L6-v2", f"their.trec {sha[:8]}"}
    assert rows["all-MiniLM-L6-v2"]["nDCG@10"] == genuine["average"]["values"]["nDCG@10"]
    assert rows["all-MiniLM-L6-v2"]["kept"] == 1.0 and rows[f"their.trec {sha[:8]}"]["kept"] is None
    columns = query.find_run(theirs["run"]).columns
    assert (columns["method"], columns["model"]) == ("run", "")


def test_the_same_file_stored_before_it_was_told_apart_is_read_alike(place: Workspace, foreign: Path) -> None:
    theirs = place.ok(f"eval {foreign} --json").json
    file = Path(theirs["run_dir"]) / "out" / "eval.json"
    old = json.loads(file.read_text())
    old["searches"] = [{k: s[k] for k in ("run_file", "dataset", "split")} for s in old["searches"]]
    file.write_text(json.dumps(old))
    about = Path(theirs["run_dir"]) / "run.json"  # as if it had been written so
    record = json.loads(about.read_text())
    record["artifacts"] = [
        a | {"sha256": hashing.compute_sha256(file)} if a["kind"] == "eval" else a for a in record["artifacts"]
    ]
    about.write_text(json.dumps(record))
    place.ok("runs reindex")
    assert set(table(place)) == {f"their.trec {theirs['results'][0]['run_sha256'][:8]}"}


def test_a_search_that_wrote_its_file_elsewhere_is_found_by_the_bytes(place: Workspace) -> None:
    out = place.folder / "mine.trec"
    place.ok(f"search --retriever bm25 --split test -k 20 --out {out}")
    place.ok(f"eval {out}")
    assert set(table(place)) == {"BM25"}


def test_equal_bytes_alone_are_no_origin(place: Workspace) -> None:
    """An empty file once took over k and method of whichever search had found nothing."""
    made = place.folder / "made.trec"
    place.ok(f"search --retriever bm25 --split test -k 7 --out {made}")
    tagless = place.folder / "tagless.trec"
    lines = [" ".join([*line.split()[:5], "theirs"]) for line in made.read_text().splitlines()]
    for file in (made, tagless):  # what the ledger says a search wrote, and the same bytes elsewhere
        file.write_text("\n".join(lines) + "\n")
    folder = place.folder / "runs" / query.newest(command="search").id
    record = json.loads((folder / "run.json").read_text())
    record["artifacts"] = [
        a | {"sha256": hashing.compute_sha256(made)} if a["kind"] == "run_file" else a for a in record["artifacts"]
    ]
    (folder / "run.json").write_text(json.dumps(record))
    place.ok("runs reindex")
    assert place.ok(f"eval {made} --json").json["results"][0]["k"] == 7
    assert place.ok(f"eval {tagless} --split test --json").json["results"][0]["k"] is None
    empty = place.folder / "empty.trec"
    empty.write_text("")
    assert place.run(f"eval {empty}").code == 3


def test_two_models_in_folders_of_one_name_are_two_rows(place: Workspace, tiny_encoder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    shutil.copytree(tiny_encoder, place.folder / "x" / "final")
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    with torch.no_grad():
        next(model.parameters()).normal_(std=0.5)
    model.save(str(place.folder / "y" / "final"))
    for folder in ("x", "y"):
        place.ok(f"eval --data toy --model {folder}/final -k 20")
    assert set(table(place)) == {"x/final", "y/final"}


def test_latest_is_the_training_it_meant_when_it_was_evaluated(place: Workspace) -> None:
    first = place.ok(f"{TRAIN} --loss infonce --json").json
    by_eval = place.ok("eval --model latest --data toy --split dev -k 20 --json").json
    place.ok("search --model latest --data toy --split dev -k 20")
    by_search = place.ok("eval --json").json
    second = place.ok(f"{TRAIN} --loss infonce --set train.lr=1e-3 --json").json
    later = place.ok("eval --model latest --data toy --split dev -k 20 --json").json
    for run, training in ((by_eval, first), (by_search, first), (later, second)):
        record = query.find_run(run["run"])
        assert record.columns["model"] == training["run"] and record.columns["selected_on_eval"] == 1
        assert training["run"] in {r.id for r in query.ancestors(record.id)}
    assert by_search["searches"][0]["dim"] == 32 and by_search["searches"][0]["similarity"] == "dot"
    done = place.ok("report --json --split dev --columns nDCG@10,bytes,negatives,seeds").json
    rows = {r["system"]: r["cells"] for r in done["tables"][0]["rows"]}
    assert set(rows) == {"dense infonce", "dense infonce lr=0.001"}
    assert {c["bytes"]["value"] for c in rows.values()} == {128.0}
    assert all(c["negatives"]["value"] and c["seeds"]["value"] == 1 for c in rows.values())
    assert rows["dense infonce"]["nDCG@10"]["runs"] == [by_search["run"]]
    assert any("Selected on the split" in note for note in done["tables"][0]["notes"])
    assert "was selected on the split" in place.run(f"runs diff {by_eval['run']} {later['run']}").err


def test_a_model_is_found_by_its_method_after_its_evaluation(place: Workspace) -> None:
    trained = place.ok(f"{TRAIN} --json").json["run"]
    for _ in range(2):
        run = place.ok("eval --model latest:dense --data cranfield --split dev -k 20 --json").json["run"]
        assert query.find_run(run).columns["model"] == trained


def test_reproduce_names_the_sources_that_were_measured(place: Workspace) -> None:
    first = place.ok(f"{TRAIN} --json").json
    by_model = place.ok("eval --model latest --data toy --split dev -k 20 --json").json
    searched = place.ok("search --retriever bm25 --data toy --split dev -k 20 --json").json
    bare = place.ok("eval --json").json
    line = place.ok(f"runs reproduce {by_model['run']}").out
    assert f"--model {first['run']}" in line and "latest" not in line
    assert f"eval {searched['run']} --json" in place.ok(f"runs reproduce {bare['run']}").out
    named = place.ok(f"eval --json {searched['run_file']}").json  # after an option, and not twice
    assert place.ok(f"runs reproduce {named['run']}").out.count(searched["run"]) == 1


def test_an_input_that_has_changed_is_among_the_checks(place: Workspace, foreign: Path) -> None:
    copy = place.folder / "copy.trec"
    copy.write_text(foreign.read_text())
    run = place.ok(f"eval {copy} --json").json
    assert "copy.trec" not in place.ok(f"runs reproduce {run['run']}").err
    copy.write_text(foreign.read_text().replace("them", "us"))
    checks = place.ok(f"runs reproduce {run['run']} --json").json["checks"]
    assert [c["same"] for c in checks if c["what"] == f"input run_file {copy}"] == [False]


def test_several_splits_are_a_run_file_each_and_evaluated_together(place: Workspace) -> None:
    made = place.ok("search --retriever bm25 --split dev,test -k 20 --json").json
    assert [Path(f).name for f in made["run_files"]] == ["run.dev.trec.gz", "run.test.trec.gz"]
    whole = place.ok("eval --json").json
    one = place.ok(f"eval {made['run']} --split test --json").json
    assert {r["split"] for r in whole["results"]} == {"dev", "test"}
    assert [r for r in whole["results"] if r["split"] == "test"] == one["results"]
    done = place.run("search --retriever bm25 --split dev,test --out a.trec")
    assert done.code == 2 and "{split}" in done.err


def test_searches_are_fused_by_reference_and_two_fusions_are_two_rows(place: Workspace) -> None:
    bm25 = place.ok("search --retriever bm25 --split test -k 20 --json").json["run"]
    dense = place.ok("search --split test -k 20 --json").json["run"]
    place.ok(f"search --fuse rrf latest:search {bm25} --data cranfield --split test")
    place.ok("eval")
    place.ok(f"search --fuse rrf {bm25} {bm25} --data cranfield --split test")
    place.ok("eval")
    assert len(table(place)) == 2 and dense in {r.id for r in query.ancestors(query.list_runs(command="eval")[1].id)}
    assert place.run("search --fuse rrf nothing.trec other.trec").code == 3


def test_options_of_dense_search_are_refused_elsewhere(place: Workspace) -> None:
    done = place.run("search --retriever bm25 --model all-MiniLM-L6-v2")
    assert done.code == 2 and "--model" in done.err and "bm25" in done.err


def test_ranks_are_trusted_where_asked(place: Workspace, foreign: Path) -> None:
    reversed_ = place.folder / "reversed.trec"
    reversed_.write_text("".join(line.replace(" 8 ", " 0 ") + "\n" for line in foreign.read_text().splitlines()))
    assert ranked(place, f"eval {reversed_} --trust-rank") == ["1", "2", "3"]
    assert ranked(place, f"eval {reversed_}") == ["2", "3", "1"]
    assert place.run("eval --trust-rank").code == 2
