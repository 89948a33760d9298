"""Command lines over runs that were copied or moved, beside files of other programs, with a spoilt run among them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder `x` with runs/ in it: a compression and a search in its codes, whose queries are the rows themselves."""
    monkeypatch.setenv("IRCTL_RUNS", "runs")
    folder = tmp_path / "x"
    folder.mkdir()
    np.save(folder / "v.npy", np.random.default_rng(0).standard_normal((64, 16)).astype("f4"))
    (folder / "q.qrels").write_text("0 0 0 1\n1 0 1 1\n")
    made = Workspace(folder)
    made.ok("compress --method sq --data v.npy -q")
    made.ok("search --index latest --queries v.npy --k 5 -q")
    return made


def ids(place: Workspace, command: str) -> str:
    return place.ok(f"runs ls --command {command} -q").out.split()[0]


def test_moved_runs_are_searched_measured_and_exported(
    project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, found = ids(project, "compress"), ids(project, "search")
    there = tmp_path / "elsewhere"
    (project.folder / "runs").rename(there)
    monkeypatch.setenv("IRCTL_RUNS", str(there))
    for index in ("latest", codes):
        done = project.ok(f"search --index {index} --queries v.npy --k 5 --rerank 10 --json").json
        assert Path(done["bundle"]) == there / codes / "out"
    assert project.ok(f"eval {found} --qrels q.qrels --json").json["results"][0]["value"] == 1.0
    assert project.ok(f"export {codes} --to npy --json").json["source"] == str(there / codes / "out")
    assert str(project.folder / "runs") not in project.ok(f"runs show {found} --json").out
    monkeypatch.setenv("IRCTL_RUNS", "other")  # another ledger, which knows none of them
    assert project.ok(f"export {there / codes} --to npy --json").json["source"] == str(there / codes / "out")


def test_a_copy_reads_and_removes_its_own_files_alone(project: Workspace, tmp_path: Path) -> None:
    codes = ids(project, "compress")
    for name in ("model", "checkpoints"):
        (project.folder / "runs" / codes / name).mkdir()
    shutil.copytree(project.folder, tmp_path / "y")
    copy = Workspace(tmp_path / "y")
    copy.ok("runs reindex")
    here = tmp_path / "y" / "runs" / codes
    assert copy.ok("export latest --to npy --json").json["source"] == str(here / "out")
    copy.ok(f"runs note {codes} written-in-y")
    assert "written-in-y" in (here / "events.jsonl").read_text()
    assert "written-in-y" not in (project.folder / "runs" / codes / "events.jsonl").read_text()
    copy.ok(f"runs note {codes} ''")
    assert [row["path"] for row in copy.ok("runs gc --json").json["items"]] == [str(here / "checkpoints")]
    assert not (here / "checkpoints").exists() and (project.folder / "runs" / codes / "checkpoints").is_dir()


def test_a_run_json_of_another_program_above_a_file_stops_nothing(project: Workspace) -> None:
    (project.folder / "run.json").write_text('{"q_1": {"doc_1": 0.1}}')
    out = project.folder / "out"
    out.mkdir()
    (out / "r.trec").write_text("0 Q0 0 1 2.0 t\n")
    shutil.copy(project.folder / "v.npy", out / "v.npy")
    assert project.ok("eval out/r.trec --qrels q.qrels --json").err.count("run.json") == 0
    project.ok("search --fuse rrf out/r.trec out/r.trec --out f.run -q")
    project.ok("compress --method sq --data out/v.npy --out b -q")
    shutil.copy(project.folder / "run.json", out / "run.json")
    project.ok("compress --method sq --data out --out c -q")  # a folder of vectors beside such a file


def test_a_spoilt_run_among_others_is_named_once_and_left_out(project: Workspace) -> None:
    found = ids(project, "search")
    path = project.folder / "runs" / ids(project, "compress") / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "sleeping"}))
    for file in (project.folder / "runs").glob("ledger.db*"):
        file.unlink()
    assert project.ok("runs ls -q").out.split() == [found]
    assert project.ok(f"eval {found} --qrels q.qrels --json").json["results"][0]["value"] == 1.0
    done = project.run("runs reindex")
    assert done.code == 5 and done.err.count("status: expected one of") == 1
