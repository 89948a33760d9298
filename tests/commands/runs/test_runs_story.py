"""The paragraph that opens `irctl runs show`, of every kind of run and of every end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_runs_listing import chain, journal, start

from irctl.commands.runs import story, view
from irctl.ledger import query
from irctl.ledger.files import run_folder
from irctl.ledger.recording import RunHandle
from irctl.pipelines.evaluate import files, paired_tests


def told(run: RunHandle) -> str:
    return story.paragraph(query.find_run(run.id))


def result(value: float, **more: Any) -> dict[str, Any]:
    cell: dict[str, Any] = {"dataset": "cranfield", "split": "test", "measure": "nDCG@10", "n_queries": 45}
    cell |= {"n_missing": 0, "self_match": "keep", "qrels_sha256": "q"}
    return {**cell, "value": value, **more}


def test_the_runs_of_a_chain_say_what_they_did_and_from_which_run() -> None:
    runs = chain()
    train, encode, compress = runs["train"].id, runs["encode"].id, runs["compress"].id
    assert told(runs["train"]).startswith(
        "Trained sentence-transformers/all-MiniLM-L6-v2 by sycl, loss ws2 on cranfield"
    )
    assert told(runs["encode"]).startswith(
        f"Encoded cranfield with run {train} (train sycl): 1,400 vectors of 384 dimensions. "
        "No other setting was changed by hand."
    )
    assert told(runs["compress"]).startswith(
        f"Compressed 1,400 vectors of cranfield to opq soft_whiten, 24 bytes each, encoded by run {train} "
        f"(train sycl), read from run {encode} (encode). Not by default: transform.name=soft_whiten. It took "
    )
    assert told(runs["codes"]).startswith(
        f"Evaluated the codes of run {compress} (compress opq) (opq soft_whiten, 24 bytes a vector) with the encoder "
        f"run {train} (train sycl) on cranfield. Not by default: search.k=100."
    )


def test_a_training_says_its_data_steps_and_dev_score() -> None:
    run = start("train", ("train.lr=1e-5",), method="dense", model="a/b", global_batch=8)
    run.artifact("in", "collection", "cranfield", sha256="c", n_rows=1400)
    run.metric("training_queries", 135)
    journal(run)
    paragraph = told(run)
    assert "on cranfield, split train (1,400 documents, 135 queries). Not by default: train.lr=1e-05." in paragraph
    assert paragraph.endswith(
        "3 steps of 8 queries; the model is of step 2. "
        "Result on dev: nDCG@10 over candidates 0.5000, 0.1000 before training."
    )


def test_a_training_says_what_its_method_set_and_it_measured_and_an_evaluation_not_what_a_collection_sets(
    capsys,
) -> None:
    train = start("train", ("train.lr=1e-5",), method="sycl", model="a/b")
    stored = json.loads(train.paths.config.read_text())
    stored |= {"data.selection": {"value": "spread", "origin": "method sycl"}}
    stored |= {"loss.temperature": {"value": 0.148716, "origin": "measured"}}
    stored |= {"train.epochs": {"value": 2.0, "origin": "collection cranfield"}}
    for run in (train, evaluation := start("eval", method="dense", model="a/b")):
        run.paths.config.write_text(json.dumps(stored))
        run.finish("completed")
    told_of = "By the method, or measured: data.selection=spread, loss.temperature=0.148716."
    assert f"Not by default: train.lr=1e-05, train.epochs=2.0. {told_of}" in told(train)
    view.print_run(query.find_run(evaluation.id))
    shown = capsys.readouterr().out
    assert "Not by default: train.lr=1e-05. " in shown and "measured:" not in shown
    assert "data.selection" in shown and "train.epochs" not in shown and "loss.temperature" not in shown


def test_a_run_of_another_version_is_shown_with_the_settings_that_this_one_has_not() -> None:
    run = start("train", ("train.lr=1e-5",), method="dense", model="a/b")
    stored = json.loads(run.paths.config.read_text())
    run.paths.config.write_text(json.dumps(stored | {"train.gone": {"value": 7, "origin": "--set"}}))
    run.finish("completed")
    assert "Not by default: train.lr=1e-05, train.gone=7." in told(run)


def test_an_evaluation_gives_its_result_with_its_queries_and_the_test_against_its_base() -> None:
    base, run = start("eval", method="bm25"), start("eval", method="dense", model="a/b")
    base.finish("completed")
    found = {"results": [result(0.48), result(0.76, measure="RR@10")], "searches": [{"rows": 1400}]}
    (run.out / files.EVAL).write_text(json.dumps(found))
    test = {"split": "test", "measure": "nDCG@10", "delta": 0.02, "ci_low": -0.01, "ci_high": 0.05}
    paired_tests.keep(run, [{**test, "p_adj": 0.031, "family": 3, "baseline": base.id}])
    run.finish("completed")
    paragraph = told(run)
    assert paragraph.startswith("Evaluated a/b on cranfield test (45 queries) over 1,400 documents.")
    assert "Result on test (45 queries): nDCG@10 0.4800, RR@10 0.7600." in paragraph
    assert paragraph.endswith(
        f"Against run {base.id} (eval bm25), test: nDCG@10 +0.0200 (95 % -0.0100 to +0.0500, p 0.031, "
        "Holm-corrected over 3)."
    )


def test_an_evaluation_of_answers_gives_each_kind_of_context() -> None:
    run = start("eval", method="answers", model="a/b", dataset="recall-test")
    parts = [result(v, part=p, measure="EM", n_queries=8) for p, v in (("whole context", 0.9), ("compressed 4x", 0.5))]
    found = {"task": "rag-qa", "results": parts, "searches": [{"model": "tiny-lm"}]}
    (run.out / files.EVAL).write_text(json.dumps(found))
    run.finish("completed")
    paragraph = told(run)
    assert paragraph.startswith(
        "Evaluated the answers of tiny-lm (rag-qa) by contexts that a/b compresses on cranfield test"
    )
    assert "Result, EM: whole context 0.9000 (8 questions), compressed 4x 0.5000 (8 questions)." in paragraph


@pytest.mark.parametrize(
    ("command", "artifact", "beginning"),
    [
        (
            "search",
            {"kind": "run_file", "n_rows": 45},
            "Searched cranfield, split test (1,400 documents, 45 queries) by BM25",
        ),
        (
            "hardneg",
            {"kind": "negatives", "n_rows": 540},
            "Mined 540 hard negatives on cranfield, split test (1,400 documents) by BM25",
        ),
        (
            "export",
            {"kind": "export", "n_rows": 600, "format": "faiss"},
            "Exported 600 rows of cranfield as faiss, 0.0 MiB",
        ),
    ],
)
def test_other_commands_say_how_much_they_made(command: str, artifact: dict[str, Any], beginning: str) -> None:
    run = start(command, ("data.split=test",), method="bm25")
    run.artifact("in", "collection", "cranfield", sha256="c", n_rows=1400)
    kind = artifact.pop("kind")
    (run.out / kind).write_text("made")
    run.artifact("out", kind, run.out / kind, **artifact)
    run.finish("completed")
    assert told(run).startswith(f"{beginning}.")


def test_an_export_of_a_card_is_none_of_vectors() -> None:
    runs = chain()
    card = start("export", method="export card", dataset="")
    card.artifact("in", "bundle", "codes-of-it", sha256="b1")
    card.finish("completed")
    assert told(card).startswith(f"Wrote the card of run {runs['compress'].id} (compress opq). ")


def test_a_group_counts_its_arms_and_names_those_that_are_not_done() -> None:
    run = start("arms", argv=["irctl", "recipes", "run", "sycl-compare", "--tiny"])
    lines = [["train", "--seed", "1"]]
    chains = [{"name": name, "arm": name, "lines": lines, "after": {}} for name in ("infonce", "ws2")]
    (run.out / "plan.json").write_text(json.dumps({"chains": chains}))
    run.finish("failed", exit_code=5, error_kind="PartlyDone", error_msg="2 of 2 runs failed")
    paragraph, again = told(run).splitlines()
    assert paragraph.startswith(
        "It failed: 2 of 2 runs failed (exit code 5). Its work: ran sycl-compare: 0 of 2 arms done"
    )
    assert "not done: infonce, ws2." in paragraph
    assert again == "Continue it: irctl recipes run sycl-compare --tiny"


@pytest.mark.parametrize(
    ("status", "more", "why"),
    [
        ("failed", {"exit_code": 3, "error_msg": "no corpus."}, "It failed: no corpus (exit code 3)."),
        (
            "killed",
            {"signal": 9, "exit_code": 1, "error_msg": "out of memory"},
            "It was killed by signal 9: out of memory",
        ),
        ("preempted", {"exit_code": 75}, "It was preempted (exit code 75)."),
        ("interrupted", {"exit_code": 130}, "It was interrupted (exit code 130)."),
        ("lost", {}, "It is lost: its process is gone without a word"),
    ],
)
def test_a_run_that_did_not_complete_says_why_and_what_continues_it(
    status: str, more: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = start("encode", argv=["irctl", "encode", "--data", "my data"], model="a/b", cwd=str(tmp_path))
    run.finish(status, **more)
    paragraph, again = told(run).splitlines()
    assert paragraph.startswith(why) and "Its work: encoded cranfield with a/b" in paragraph
    here = "" if Path.cwd() == tmp_path else f"cd {tmp_path} && "
    begins = "Mend that first, then" if more.get("exit_code") == 3 else "Continue it"
    assert again == f"{begins}: {here}irctl encode --data 'my data'"


def test_a_compression_that_failed_says_what_it_was_to_read() -> None:
    run = start("compress", dataset="", sets=["compress.source=vectors.npy"])
    run.finish("failed", exit_code=3, error_msg="no vectors")
    assert "Its work: compressed vectors of vectors.npy to" in told(run)


def test_a_run_that_goes_on_names_its_process_and_a_waiting_one_its_job() -> None:
    run = start("encode", model="a/b")
    assert told(run).splitlines()[1] == f"Watch it: irctl runs show {run.id} --follow"
    waiting = start("encode", model="a/b", status="queued", slurm_job_id="17")
    assert told(waiting).startswith("It waits for its Slurm job 17. Its work: encoded cranfield")
    run_folder.append_lines(run.paths.metrics)
    run.finish("completed")
