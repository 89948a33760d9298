"""`irctl report --table compression` over recorded runs: recovery, overlap@10 and gap closed, found by lineage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from irctl.commands.report.report import report
from irctl.config import from_sets, resolve
from irctl.ledger.recording import RunHandle, start_run
from irctl.pipelines.evaluate import best_documents, files

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
QUERIES = [str(q) for q in range(20)]
EXACT = [f"d{i}" for i in range(10)]


def step(command: str, *sets: str, parents: Sequence[RunHandle] = (), kind: str, **measures: float) -> RunHandle:
    """A finished run that read the outputs of its parents, and measured something."""
    seed = next((int(s.partition("=")[2]) for s in sets if s.startswith("run.seed=")), 42)
    run = start_run(command=command, argv=["irctl", command], config=resolve(from_sets(sets)), seed=seed, model=MODEL)
    with run:
        for parent in parents:
            for path in parent.out.iterdir():
                run.artifact("in", path.name, path, sha256=f"content of {parent.id}")
        (run.out / kind).write_text(run.id)
        run.artifact("out", kind, run.out / kind, sha256=f"content of {run.id}")
        for name, value in measures.items():
            run.metric(name, value, dataset="cranfield")
    return run


def evaluation(parent: RunHandle, value: float, best: Sequence[str] = (), **search: Any) -> RunHandle:
    """nDCG@10 of `value` for every query, and the ten best documents of every query."""
    run = start_run(command="eval", argv=["irctl", "eval"], config=resolve(), dataset="cranfield")
    cell = {"dataset": "cranfield", "split": "test"}
    told = {**cell, "k": 1000, "model": MODEL, "method": "dense", **search}
    result = {"n_queries": 20, "n_missing": 0, "self_match": "keep", "qrels_sha256": "q", "k": 1000, "similarity": ""}
    rows = [{**cell, "query_id": q, "measure": "nDCG@10", "value": value, "n_relevant": 1, "n_retrieved": 9}
            for q in QUERIES]  # fmt: skip
    with run:
        for path in parent.out.iterdir():
            run.artifact("in", path.name, path, sha256=f"content of {parent.id}")
        files.write_per_query(run.out / files.PER_QUERY, rows)
        best_documents.write(
            run.out / best_documents.FILE, [{**cell, "query_id": q, "documents": list(best)} for q in QUERIES if best]
        )
        results = [{**cell, **result, "measure": "nDCG@10", "value": value}]
        (run.out / files.EVAL).write_text(json.dumps({"results": results, "searches": [told]}))
        run.artifact("out", "eval", run.out / files.EVAL)
        run.metric("queries_per_s", 100 * value, **cell)
    return run


@pytest.fixture
def ledger(own_folders: Path) -> RunHandle:
    """Vectors evaluated uncompressed (.50), three starts of OPQ (.42), sign bits (.48), PQ (.34), and larger OPQ.

    The last start of OPQ.
    """
    encode = step("encode", kind="embeddings")
    evaluation(encode, 0.50, EXACT, dim=384)

    def compressed(value: float, best: Sequence[str], size: int, *sets: str, **measures: float) -> RunHandle:
        run = step("compress", *sets, parents=(encode,), kind="bundle", **measures)
        method = sets[0].partition("=")[2]
        evaluation(run, value, best, compression=method, bytes_per_vector=size)
        return run

    for seed, value in enumerate((0.40, 0.42, 0.44), 1):
        shape = ("compress.method=opq", "opq.m=96", "opq.bits=4", f"run.seed={seed}")
        opq = compressed(value, EXACT[: 5 + seed], 48, *shape, bytes_per_row=48.1, bytes_per_row_with_ids=56.5)
    compressed(0.495, EXACT, 96, "compress.method=opq", "opq.m=96", "opq.bits=8")
    compressed(0.34, EXACT[:3], 48, "compress.method=pq", "pq.m=96", "pq.bits=4")
    compressed(0.48, ["x", *EXACT[:9]], 48, "compress.method=binary")
    compressed(0.499, [], 56, "compress.method=rabitq")
    return opq


def irctl(*argv: str) -> str:
    app = typer.Typer()
    app.command()(report)
    result = CliRunner().invoke(app, ["--table", "compression", *argv])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_recovery_overlap_and_gap_stand_beside_each_row(ledger: RunHandle) -> None:
    (table,) = json.loads(irctl("--json"))["tables"]
    columns = ("kept", "gap", "overlap@10", "bits", "bytes_per_row", "bytes_with_ids")
    shown = {
        r["system"].removeprefix("all-MiniLM-L6-v2").removeprefix(" + "): [r["cells"][c]["text"] for c in columns]
        for r in table["rows"]
    }
    assert shown == {
        "": ["100.0", "--", "100.0", "12,288", "1,536.0", "--"],
        "opq bits=8 m=96": ["99.0", "--", "100.0", "768", "96.0", "--"],  # less than .01 to close
        "rabitq": ["99.8", "--", "--", "448", "56.0", "--"],  # no OPQ of 56 bytes, no ranking kept
        "opq bits=4 m=96": ["84.0", "0.0", "70.0", "384", "48.1", "56.5"],
        "pq bits=4 m=96": ["68.0", "-100.0", "30.0", "384", "48.0", "--"],
        "binary": ["96.0", "75.0", "90.0", "384", "48.0", "--"],
    }
    (note,) = [n for n in table["notes"] if n.startswith("Gap closed")]
    name, opq = "all-MiniLM-L6-v2", "opq bits=4 m=96"
    assert f"OPQ for {name} + pq bits=4 m=96; {name} + binary: {name} + {opq} (0.4200, mean of 3 starts, runs " in note
    (cell,) = (r["cells"]["gap"] for r in table["rows"] if r["system"].endswith("binary"))
    assert [(o["system"].rpartition(" + ")[2], o["value"]) for o in cell["over"]] == [
        (name, 0.5), (opq, 0.4), (opq, 0.42), (opq, 0.44)
    ]  # fmt: skip
    found = {g["system"].rpartition(" + ")[2]: (g["gap"], g["low"], g["high"], g["starts"]) for g in table["gaps"]}
    assert found["binary"] == pytest.approx((0.75, 0.75, 0.75, 3))  # all queries differ alike


def test_markdown_has_the_intervals(ledger: RunHandle) -> None:
    text = irctl("--format", "markdown")
    assert "Gaps, 95 % intervals" in text and "binary closes 75 % [75 %, 75 %], n 20" in text
    assert "nDCG@10 recovery %" in text and "Overlap@10" in text


def test_recovery_is_another_name_of_the_share_kept(ledger: RunHandle) -> None:
    (table,) = json.loads(irctl("--json", "--columns", "nDCG@10,recovery,gap,queries_per_s"))["tables"]
    assert [c["key"] for c in table["columns"]] == ["nDCG@10", "kept", "gap", "queries_per_s"]


def test_a_row_of_trained_codes_has_the_references_of_the_codes_it_began_with(ledger: RunHandle) -> None:
    measured = {"imbalance.average.mean": 0.25, "row_error.mean": 0.125}
    train = step("train", "train.method=repconc", "loss.name=infonce", parents=(ledger,), kind="bundle", **measured)
    evaluation(train, 0.46, EXACT[:8], compression="repconc", bytes_per_vector=48)
    (table,) = json.loads(irctl("--json"))["tables"]
    (row,) = (r for r in table["rows"] if "repconc" in r["system"])
    assert row["system"] == f"{MODEL.rpartition('/')[2]} + repconc infonce bits=4 m=96"
    columns = ("kept", "gap", "overlap@10", "bits", "imbalance", "row_error")
    assert [row["cells"][c]["text"] for c in columns] == ["92.0", "33.3", "80.0", "384", "0.250", "0.125"]


def test_trained_codes_are_compared_with_the_start_that_they_began_with(ledger: RunHandle) -> None:
    train = step("train", "train.method=jpq", "loss.name=distill", parents=(ledger,), kind="bundle")
    evaluation(train, 0.46, compression="learned", bytes_per_vector=48)
    (table,) = json.loads(irctl("--json"))["tables"]
    (gap,) = (g for g in table["gaps"] if "learned" in g["system"])
    assert (gap["pairs"], gap["opq"]) == (1, pytest.approx(0.44))  # the mean of the three starts is .42
    assert gap["gap"] == pytest.approx((0.46 - 0.44) / (0.50 - 0.44))


def test_transformed_vectors_stand_beside_those_as_encoded(ledger: RunHandle) -> None:
    encode = step("encode", kind="embeddings")
    whitened = "soft_whiten(a=0.25)"
    evaluation(encode, 0.55, EXACT, dim=384, transform=whitened)
    opq = step("compress", "compress.method=opq", "opq.m=96", "opq.bits=4", parents=(encode,), kind="bundle")
    evaluation(opq, 0.46, EXACT[:8], compression="opq", bytes_per_vector=48, transform=whitened)
    (table,) = json.loads(irctl("--json"))["tables"]
    columns = ("kept", "gap", "overlap@10")
    shown = {r["system"]: [r["cells"][c]["text"] for c in columns] for r in table["rows"] if whitened in r["system"]}
    name = f"{MODEL.rpartition('/')[2]}, {whitened}"
    assert shown == {name: ["110.0", "--", "100.0"], f"{name} + opq bits=4 m=96": ["92.0", "50.0", "80.0"]}


def test_the_split_all_is_that_of_this_name_where_there_is_one() -> None:
    from report_records import record

    from irctl.pipelines.report.report import Wanted, narrow

    shown = [record("a", 0.5, split=split) for split in ("test", "dev+test", "all")]
    assert [r.split for r in narrow(shown, Wanted(split="all"))] == ["all"]
    assert [r.split for r in narrow(shown[:2], Wanted(split="all"))] == ["dev+test"]
