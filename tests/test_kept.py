"""No output that a user names is put over, or among, what irctl keeps: ledger, runs, bundles, vectors, cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace

from irctl import files
from irctl.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def made(place: Workspace) -> Workspace:
    """x.npy, its bundle b, vectors emb of a collection col, and the runs that made them."""
    rng = np.random.default_rng(0)
    np.save(place.folder / "x.npy", rng.standard_normal((300, 16)).astype(np.float32))
    (place.folder / "col" / "qrels").mkdir(parents=True)
    for name in ("corpus", "queries"):
        lines = [json.dumps({"_id": f"{name[0]}{i}", "text": f"wing flow {i}"}) for i in range(9)]
        (place.folder / "col" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (place.folder / "col/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tc1\t1\n")
    place.ok("compress --method sq --data x.npy --out b")
    place.ok("encode --data col --out emb")
    place.ok("encode --data col")
    return place


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder but SQLite's own beside the ledger."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file() and "ledger.db" not in p.name)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def targets(place: Workspace) -> list[str]:
    run = next((place.folder / "runs").glob("*/run.json")).parent.relative_to(place.folder)
    cached = next(p for p in (place.folder / "cache").rglob("*.npy")).relative_to(place.folder)
    in_run = [f"{run}/{n}" for n in ("run.json", "config.json", "events.jsonl", "metrics.jsonl", "log.txt", "new.tex")]
    in_bundle = ["b/manifest.json", "b/plan.json", "b/quantizer/quantizer.json", "b/codes/new.tex", "b/new.tex"]
    ledger = ["runs/ledger.db", "runs/ledger.db-wal", "runs/ledger.db-shm"]
    return [*ledger, *in_run, *in_bundle, "emb/manifest.json", str(cached), "cache/new.tex"]


LINES = ("report --format csv -o {}", "runs export --to {}", "recipes cp stream-opq {} --force")


@pytest.mark.parametrize("line", LINES)
def test_no_file_of_a_user_replaces_a_record(made: Workspace, line: str) -> None:
    before = contents(made.folder)
    for target in targets(made):
        done = made.run(line.format(target))
        assert done.code == 3, (target, done.out, done.err)
        assert len(done.err.splitlines()) == 1 and done.err.startswith(f"error: {target}: expected a file"), done.err
    assert contents(made.folder) == before
    assert made.ok("runs ls --quiet").out.count("\n") >= 3


def test_a_link_to_the_ledger_is_the_ledger(made: Workspace) -> None:
    link = made.folder / "table.csv"
    link.symlink_to("runs/ledger.db")
    done = made.run("report --format csv -o table.csv")
    link.unlink()
    assert done.code == 3 and "found the ledger" in done.err


def test_a_database_that_lies_elsewhere_is_not_written_over(made: Workspace) -> None:
    shutil.copy(made.folder / "runs/ledger.db", made.folder / "copy.db")
    assert "found a database" in made.run("report --format csv -o copy.db").err


WORK = (
    "search --index b --queries x.npy --out {}/new.trec",
    "hardneg --retriever bm25 --data col --split test --force --num 1 --out {}/new.jsonl",
    "search --retriever bm25 --data col --split test --out {}/new.trec",
    "export b --to npy --out {}/new.npy",
    "export b --to batches --out {}",
    "report --figure pareto -o {}",
    "train --out {}/new",
    "data convert col {}/new",
    "compress --method sq --data x.npy --out {}/new",
    "encode --data col --out {}/new",
)


@pytest.mark.parametrize("line", WORK)
def test_neither_a_bundle_nor_another_run_nor_the_cache_takes_an_output(made: Workspace, line: str) -> None:
    run = next((made.folder / "runs").glob("*/run.json")).parent.relative_to(made.folder)
    for folder in ("b", str(run), "cache"):
        before = contents(made.folder / folder)
        done = made.run(line.format(folder))
        assert done.code == 3 and done.err.splitlines()[-1].startswith(f"error: {folder}"), (folder, done.err)
        assert "or a new name, found " in done.err, done.err
        assert contents(made.folder / folder) == before


def test_a_run_may_write_in_its_own_folder_but_not_over_its_records(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260731-142233417-k3f9"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"argv": [], "command": "search"}))
    with pytest.raises(DataError, match="found a place in run 2026"):
        files.check_file(folder / "out" / "run.trec")
    files.begin_run(folder)
    files.check_file(folder / "out" / "run.trec")
    with pytest.raises(DataError, match="found a record of this run"):
        files.check_file(folder / "run.json")
    files.end_run(folder)
    with pytest.raises(DataError, match="found a place in run 2026"):
        files.check_file(folder / "out" / "run.trec")


def test_a_compression_goes_on_in_its_own_folder_also_in_the_out_of_another_run(made: Workspace) -> None:
    made.ok("compress --method sq --data x.npy --out b")
    run = next((made.folder / "runs").glob("*/run.json")).parent.relative_to(made.folder)
    made.ok(f"compress --method sq --data x.npy --out {run}/out/shared")


def test_files_that_others_call_run_json_and_manifest_json_are_theirs(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"name": "mine"}')
    (tmp_path / "manifest.json").write_text('{"format": "web"}')
    files.check_file(tmp_path / "manifest.json")
    files.check_folder(tmp_path / "figures")


@pytest.mark.parametrize("line", ["compress --method sq --data x.npy", "export b --to batches", "encode --data col"])
def test_a_collection_takes_neither_codes_nor_vectors(made: Workspace, line: str) -> None:
    before = contents(made.folder / "col")
    done = made.run(f"{line} --out col")
    assert done.code == 3 and "col: expected a folder for outputs, found a collection there" in done.err, done.err
    assert contents(made.folder / "col") == before


def test_a_dash_is_no_name_for_an_output(made: Workspace) -> None:
    for line in ("report -o -", "runs export --to -", "search --index b --queries x.npy --out -", "encode --out -"):
        done = made.run(line)
        assert done.code == 2 and "--out -: expected the name of a f" in done.err, done.err
        assert not (made.folder / "-").exists()
    with pytest.raises(ConfigError, match="stdout"):
        files.check_file(Path("-"))
