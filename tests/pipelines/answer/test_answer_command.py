"""`irctl eval --task` as a command: the ledger, the files of the run, a collection's passages, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from workspace import Workspace

from irctl.ledger import query
from irctl.metrics.answers import em, f1
from irctl.pipelines.evaluate import files

EVAL = "irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json"
FAST = "--set acerag.new_tokens=2 --set acerag.ratios=2,4"


@pytest.fixture(scope="module")
def evaluated(place: Workspace, asked: Path) -> dict:
    done = place.run(
        f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json --controls {FAST} --json"
    )
    assert done.code == 0, done.err
    return done.json


def test_each_system_is_a_result_of_the_ledger_with_its_values_by_question(place: Workspace, evaluated: dict) -> None:
    run = query.find_run(evaluated["run"])
    per_query = files.read_per_query(run.folder / "out" / files.PER_QUERY)
    parts = {r["part"] for r in evaluated["results"]}
    assert {"whole context", "no context", "compressed 1x", "compressed 4x", "truncated 4x", "pruned 4x"} <= parts
    assert {"untrained encoder 4x", "of other questions 4x", "rows of zeros 4x"} <= parts
    metrics = {(m["name"], m["split"]): m["value"] for m in query.metrics(run.id)}
    for r in evaluated["results"]:
        values = per_query["recall", f"all: {r['part']}", r["measure"]]
        assert len(values) == r["n_queries"] == 24
        assert sum(values.values()) / 24 == pytest.approx(r["value"])
        assert metrics[r["measure"], f"all: {r['part']}"] == pytest.approx(r["value"])


def test_every_score_can_be_computed_again_from_the_answers_file(
    place: Workspace, asked: Path, evaluated: dict
) -> None:
    folder = query.find_run(evaluated["run"]).folder / "out"
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 24 * len({r["part"] for r in evaluated["results"]}) and lines[0]["tokens"] == 32
    asked = (asked / "recall.json").read_text().splitlines()
    per_query = files.read_per_query(folder / files.PER_QUERY)
    for line in lines:
        name, number = line["row"].split(":")
        assert name == "recall.json" and line["references"] == [
            json.loads(asked[int(number) - 1])["conversations"][-1]["content"]
        ]
        for measure in (em, f1):
            kept = per_query["recall", f"all: {line['part']}", "EM" if measure is em else "F1"][line["query_id"]]
            assert measure.score(line["answer"], line["references"], line["classes"]) == kept


@pytest.mark.parametrize("more", ["", " --dry-run"])
def test_a_baseline_is_looked_up_before_anything_is_answered(place: Workspace, asked: Path, more: str) -> None:
    before = len(query.list_runs(status="completed"))
    done = place.run(EVAL.format(asked=asked) + f" {FAST} --baseline nothing{more}")
    assert done.code == 3 and "nothing" in done.err and "questions of" not in done.err, done.err
    assert len(query.list_runs(status="completed")) == before


def test_tokens_used_are_printed_and_equal_at_a_ratio(evaluated: dict) -> None:
    tokens = {s["part"]: s["facts"]["tokens"] for s in evaluated["searches"]}
    for ratio in (2, 4):
        alike = {tokens[f"{kind} {ratio}x"] for kind in ("compressed", "truncated", "pruned", "untrained encoder")}
        assert len(alike) == 1
    assert tokens["whole context"] == 32 and tokens["no context"] == 0


def test_two_evaluations_answer_alike_and_are_compared_question_by_question(
    place: Workspace, asked: Path, evaluated: dict
) -> None:
    done = place.run(
        f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json {FAST} --json "
        f"--baseline {evaluated['run']}"
    )
    assert done.code == 0, done.err
    mine = {(r["part"], r["measure"]): r["run_sha256"] for r in done.json["results"]}
    theirs = {(r["part"], r["measure"]): r["run_sha256"] for r in evaluated["results"]}
    assert mine.items() <= theirs.items()
    assert any(c["baseline"] == evaluated["run"] for c in done.json["comparisons"])


def test_passages_of_a_retrieval_run_are_the_context(place: Workspace, asked: Path) -> None:
    folder = place.folder / "toy"
    (folder / "qrels").mkdir(parents=True)
    texts = {f"d{i}": f"k{i}v1 n1 n2" for i in range(7)}
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": d, "text": t}) + "\n" for d, t in texts.items()))
    queries = {"q1": "k0?", "q2": "k3?", "q3": "k5?"}
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": t}) + "\n" for q, t in queries.items()))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td0\t1\nq2\td3\t1\nq3\td5\t1\n")
    run, answers = place.folder / "toy.trec", place.folder / "toy-answers.json"
    order = {"q1": "d0 d1 d2 d3 d4 d5", "q2": "d3 d6", "q3": "d1 d5"}
    run.write_text(
        "".join(
            f"{q} Q0 {d} {rank} {9 - rank} x\n" for q, docs in order.items() for rank, d in enumerate(docs.split(), 1)
        )
    )
    answers.write_text(json.dumps({"q1": ["k0v1"], "q2": ["k3v1", "k3"]}))
    line = f"irctl eval --task rag-qa --model {asked}/encoder --data {folder} --run {run} --answers {answers} {FAST}"
    done = place.run(f"{line} --cached --json")
    assert done.code == 0, done.err
    facts = {s["part"]: s["facts"] for s in done.json["searches"]}
    assert {r["n_queries"] for r in done.json["results"]} == {2}  # q3 has no answers
    assert (
        facts["by passage 2x"]["tokens"] == (5 * 4 + 2 * 4) / 2
    )  # ceil(3 / 2) rows and a label of five and of two passages
    assert facts["by passage 2x"]["encoded"] == 6  # d0 to d4, d3 once, and d6
    again = place.run(f"{line} --cached --json").json
    kept = [s["facts"] for s in again["searches"] if s["kind"] == "by passage"]
    assert len(kept) == 3 and all(f["encoded"] == 0 and f["law"] <= 1 for f in kept)

    answers.write_text(json.dumps({"q1": "k0v1"}))
    assert place.run(line).code == 3


@pytest.mark.parametrize(
    "line, code, words",
    [
        ("irctl eval --controls", 2, "--controls: is of --task"),
        (
            "irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json -k 5",
            2,
            "-k: is of rankings",
        ),
        (
            "irctl eval --task rag-qa --model {asked}/encoder --data {asked}/nothing.json",
            3,
            "no such file of questions",
        ),
        (
            "irctl eval --task rag-qa --model {asked}/lm --data {asked}/recall.json",
            2,
            "names no language model",
        ),
        (
            "irctl eval --task summary --model {asked}/encoder --data {asked}/recall.json",
            2,
            "expected rag-qa, sum",
        ),
        ("irctl train --method acerag --set acerag.ratio=4", 2, "acerag.ratio: is not of training"),
        (f"{EVAL} --set acerag.layers=2", 2, "acerag.layers (from --set): irctl eval --task does not read it"),
        (f"{EVAL} --set acerag.ratio=4", 2, "acerag.ratio (from --set): irctl eval --task does not read it"),
        (f"{EVAL} --set acerag.ratios=", 2, "expected whole numbers of 1 or more, each once"),
        (f"{EVAL} --split dev", 2, "--split dev: a file of questions has none"),
        (f"{EVAL} --set acerag.new_tokens=512 --set acerag.lm_tokens=256", 2, "leaves no room for a prompt in the 256"),
        (
            "irctl eval --task rag-qa --model {asked}/encoder --data {asked}/none.json --dry-run",
            3,
            "no such file of quest",
        ),
        (
            EVAL.replace("rag-qa", "reasoning"),
            3,
            "recall.json:1: --task reasoning measures Choice, and no answer has a",
        ),
        (
            "irctl encode --method acerag --model {asked}/encoder --set acerag.stage=ft --dry-run",
            2,
            "acerag.stage (from --set): irctl encode --method acerag does not read it",
        ),
    ],
)
def test_what_is_refused(place: Workspace, asked: Path, line: str, code: int, words: str) -> None:
    done = place.run(line.format(asked=asked))
    assert done.code == code, done.err
    assert words in done.err and "internal error" not in done.err


def test_legal_names_of_tasks_are_said_once(place: Workspace) -> None:
    far, near = (place.run(f"irctl eval --task {name} --model x --data y").err for name in ("foo", "reasonin"))
    assert far.count("reasoning") == 1 and "Did you mean 'reasoning'?" in near


def test_a_dry_run_says_what_would_be_answered(place: Workspace, asked: Path) -> None:
    done = place.run(f"irctl eval --task icl --model {asked}/encoder --data {asked}/recall.json --dry-run")
    assert done.code == 0, done.err
    assert "compressed 8x" in done.out and "Class-match" in done.out


def test_passages_that_were_encoded_cost_an_evaluation_no_encoder(place: Workspace, asked: Path) -> None:
    line = f"irctl encode --method acerag --model {asked}/encoder --data {place.folder}/toy --set acerag.ratio=8 --json"
    first, again = place.run(line), place.run(line)
    assert first.code == 0, first.err
    assert first.json["passages"] == 7 and first.json["encoded"] == 7 and first.json["rows"] == 7
    assert again.json["encoded"] == 0 and again.json["folder"] == first.json["folder"]
    (place.folder / "toy-answers.json").write_text(json.dumps({"q1": ["k0v1"]}))
    done = place.run(
        f"irctl eval --task rag-qa --model {asked}/encoder --data {place.folder}/toy --run {place.folder}/toy.trec "
        f"--answers {place.folder}/toy-answers.json --set acerag.ratios=8 --set acerag.new_tokens=2 --cached --json"
    )
    facts = {s["part"]: s["facts"] for s in done.json["searches"]}
    assert facts["by passage 8x"]["encoded"] == 0
    assert "flops" not in facts["by passage 8x"] and facts["by passage 8x"]["law"] < facts["compressed 8x"]["law"]


@pytest.mark.parametrize(
    "more, words",
    [
        ("--method dense", "--method dense: expected acerag"),
        ("--method acerag --side query", "--side: is of vectors"),
        ("--method acerag --set acerag.ratios=2", "at one ratio"),
    ],
)
def test_what_encode_refuses(place: Workspace, asked: Path, more: str, words: str) -> None:
    done = place.run(f"irctl encode --model {asked}/encoder {more}")
    assert done.code == 2 and words in done.err, done.err


def test_the_report_shows_each_system_once(place: Workspace, evaluated: dict) -> None:
    table = place.run(f"irctl report --table acerag --run {evaluated['run']} --format csv")
    assert table.code == 0, table.err
    rows = list(csv.reader(io.StringIO(table.out)))
    labels = [row[1] for row in rows]
    for part in {r["part"] for r in evaluated["results"]}:
        assert labels.count(part) == 1, (part, labels)
    figure = place.run(f"irctl report --figure ratios --run {evaluated['run']} -o {place.folder}/figures")
    assert figure.code == 0 and (place.folder / "figures" / "ratios.csv").is_file(), figure.err


@pytest.mark.parametrize("scoring", ["sentence", "token"])
def test_adaptive_rows_are_scored_and_are_as_many(
    place: Workspace, asked: Path, tiny_encoder: Path, scoring: str
) -> None:
    done = place.run(
        f"irctl eval --task rag-qa --model {asked}/encoder --data {asked}/recall.json {FAST} --json "
        f"--set acerag.selection=adaptive --set acerag.scoring={scoring} --set acerag.scorer={tiny_encoder} "
        "--set acerag.rows_per_file=4"
    )
    assert done.code == 0, done.err
    assert f"rows kept by adaptive ({scoring}s scored by {tiny_encoder}), in training by stride" in done.err
    table = place.run(f"irctl report --table acerag --run {done.json['run']}")
    assert f"Compressed contexts keep rows by adaptive by {scoring}, in training by stride." in table.out, table.out
    facts = {s["part"]: s["facts"] for s in done.json["searches"]}
    assert facts["compressed 4x"]["tokens"] == facts["truncated 4x"]["tokens"] == 8  # ceil(32 / 4), whatever the chunks
    assert {r["n_queries"] for r in done.json["results"]} == {4}
