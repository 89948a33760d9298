"""A run folder speaks of what lies in it, wherever it is copied or moved, and nothing outside of it is touched."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import dump, finished, start
from workspace import line_of

from irctl import paths
from irctl.errors import DataError, PartlyDone
from irctl.index import shards
from irctl.ledger import query
from irctl.ledger.database import reindex
from irctl.ledger.database.store import Ledger
from irctl.ledger.files import places
from irctl.ledger.recording import RunHandle
from irctl.ledger.runs import cleanup, reproduce, tags_and_notes

OTHER = "20260101-120000000-aaaa"


def trained() -> RunHandle:
    """A completed training with model, checkpoints and a run file."""
    run = start("train")
    for folder in (run.paths.model, run.paths.checkpoints):
        folder.mkdir()
        (folder / "weights").write_text("w" * 100)
    run.artifact("out", "model", run.paths.model, sha256="aa")
    (run.out / "run.trec").write_text("q1 Q0 d1 1 2.0 t\n")
    run.artifact("out", "run_file", run.out / "run.trec")
    run.finish("completed")
    return run


def as_before(run: RunHandle) -> None:
    """Make the run one that was recorded with absolute paths."""
    record = json.loads(run.paths.run_json.read_text())
    for artifact in record["artifacts"]:
        artifact["path"] = str(run.paths.folder.absolute() / artifact["path"])
    run.paths.run_json.write_text(json.dumps(record))
    reindex.reindex()


def rename(run: RunHandle, run_id: str) -> None:
    """Give the run another id in its run.json and in the ledger, as far as that goes."""
    record = json.loads(run.paths.run_json.read_text())
    run.paths.run_json.write_text(json.dumps({**record, "id": run_id}))
    for file in paths.runs().glob("ledger.db*"):
        file.unlink()


def test_what_lies_in_the_run_folder_is_recorded_relative_to_it(tmp_path: Path) -> None:
    run = trained()
    (tmp_path / "elsewhere").write_text("x")
    reader = start("eval")
    reader.artifact("in", "run_file", tmp_path / "elsewhere")
    reader.artifact("in", "model", "hub/name", sha256="ab")
    reader.finish("completed")
    assert [a["path"] for a in json.loads(run.paths.run_json.read_text())["artifacts"]] == ["model", "out/run.trec"]
    made = [a["path"] for a in query.artifacts(query.find_run(run.id))]
    assert made == [str(run.paths.model.absolute()), str(run.out.absolute() / "run.trec")]
    read = [a["path"] for a in query.artifacts(query.find_run(reader.id))]
    assert read == [str(tmp_path / "elsewhere"), "hub/name"]


@pytest.mark.parametrize("absolute", [False, True], ids=["now", "recorded before with absolute paths"])
def test_a_copy_of_the_runs_speaks_of_itself_alone(
    absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained()
    if absolute:
        as_before(run)
    copy = tmp_path / "y" / "runs"
    shutil.copytree(paths.runs(), copy)
    monkeypatch.setenv("IRCTL_RUNS", str(copy))
    for _ in range(2):  # before it is indexed again, and after
        found = query.find_run(run.id)
        assert found.folder == copy / run.id and found.columns["run_dir"] == str(copy / run.id)
        assert [a["path"] for a in query.artifacts(found, "out", "model")] == [str(copy / run.id / "model")]
        reindex.reindex()
    tags_and_notes.note(query.find_run("latest"), "of the copy")
    assert "of the copy" not in run.paths.events.read_text()
    tags_and_notes.note(query.find_run("latest"), "")
    assert [w.path for w in cleanup.find()] == [copy / run.id / "checkpoints"]
    cleanup.remove(cleanup.find())
    assert run.paths.checkpoints.is_dir() and not (copy / run.id / "checkpoints").exists()


@pytest.mark.parametrize("absolute", [False, True], ids=["now", "recorded before with absolute paths"])
def test_moved_runs_are_found_where_they_are(absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained()
    reader = start("search", argv=["irctl", "search", "--index", "latest"])
    reader.artifact("in", "embeddings", run.paths.model, sha256="aa")
    reader.artifact("in", "run_file", run.out / "run.trec")
    reader.finish("completed")
    if absolute:
        as_before(run)
    there = tmp_path / "moved"
    paths.runs().rename(there)
    monkeypatch.setenv("IRCTL_RUNS", str(there))
    assert query.outputs("model", "aa") == [there / run.id / "model"]
    read = [a["path"] for a in query.artifacts(query.find_run(reader.id))]
    assert read == [str(there / run.id / "model"), str(there / run.id / "out" / "run.trec")]
    assert query.lineage(reader.id)["from"][0]["id"] == run.id
    assert f"--index {there / run.id / 'model'}" in reproduce.recipe(query.find_run(reader.id), line_of)["command"]
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "new"))  # by folder, from a place whose ledger knows none of them
    found = query.find_run(str(there / reader.id))
    assert [a["path"] for a in query.artifacts(found)] == read


def test_of_two_runs_with_the_same_output_the_one_that_was_read_is_linked_also_after_a_move(tmp_path: Path) -> None:
    one, two = trained(), trained()
    reader = start("eval")
    reader.artifact("in", "run_file", one.out / "run.trec")
    reader.finish("completed")
    assert [r["id"] for r in query.lineage(reader.id)["from"]] == [one.id] != [two.id]
    live = dump(paths.ledger())
    reindex.reindex()
    assert dump(paths.ledger()) == live


def test_a_copied_run_beside_the_original_is_named_and_the_original_counts() -> None:
    run = trained()
    shutil.copytree(run.paths.folder, paths.runs() / "0-copy")
    count, skipped = reindex.reindex()
    assert count == 1 and len(skipped) == 1 and "0-copy: holds the same run as" in skipped[0]
    assert query.find_run(run.id).folder == run.paths.folder.absolute()


@pytest.mark.parametrize("given", ["../precious", "absolute"])
def test_an_id_is_no_path(given: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "checkpoints").mkdir(parents=True)
    (precious / "model").mkdir()
    run, other = trained(), trained()
    rename(run, str(precious) if given == "absolute" else given)
    assert [w.run_id for w in cleanup.find()] == [other.id]
    assert [r.id for r in query.list_runs()] == [other.id]
    with pytest.raises(DataError, match=r"run\.json: id: expected one such as"):
        query.find_run(str(run.paths.folder))
    assert (precious / "checkpoints").is_dir()


def test_an_id_of_a_row_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "run.json").write_text("{}")
    assert places.run_folder("../precious", "/recorded") == Path("/recorded")


def test_an_artifact_outside_its_folder_by_dots_is_refused() -> None:
    run = trained()
    text = run.paths.run_json.read_text()
    run.paths.run_json.write_text(text.replace('"out/run.trec"', '"out/../../x"'))
    assert "expected a path in the run folder or an absolute one" in reindex.reindex()[1][0]


def test_cleaning_up_follows_no_link_and_leaves_runs_of_other_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked, whole = trained(), trained()
    shutil.move(linked.paths.checkpoints, tmp_path / "kept")
    linked.paths.checkpoints.symlink_to(tmp_path / "kept")
    shutil.move(whole.paths.folder, tmp_path / "run")
    whole.paths.folder.symlink_to(tmp_path / "run")
    (tmp_path / "run" / "x.tmp").write_text("half")
    (linked.out / "link.tmp").symlink_to(tmp_path / "kept")
    reindex.reindex()
    assert cleanup.find() == []
    monkeypatch.setenv("IRCTL_LEDGER", str(paths.ledger()))
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "other"))
    assert cleanup.find() == []
    assert (tmp_path / "kept" / "weights").is_file() and (tmp_path / "run" / "checkpoints").is_dir()


def test_a_cleanup_that_fails_half_way_leaves_ledger_and_folders_agreeing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [start("train") for _ in range(3)]
    for run in runs:
        run.finish("failed", exit_code=1)
    waste = cleanup.find(failed=True, older_than_days=0)
    locked, half = waste[0].path, waste[1].path
    real_replace, real_rmtree = Path.replace, shutil.rmtree

    def replace(self: Path, target: Path) -> Path:
        if self == locked / "run.json":
            raise PermissionError(13, "Permission denied", str(self))
        return real_replace(self, target)

    def rmtree(path: Path) -> None:
        if path == half:
            raise PermissionError(13, "Permission denied", str(path))
        real_rmtree(path)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with pytest.raises(PartlyDone, match=r"2 of 3 places could not be removed, such as .*run\.json: Permission denied"):
        cleanup.remove(waste)
    assert [r.id for r in query.list_runs()] == [waste[0].run_id]  # as the folders say: the second is no run any more
    assert not waste[2].path.exists()
    live = dump(paths.ledger())
    assert reindex.reindex() == (1, [])
    assert dump(paths.ledger()) == live


def test_a_cleanup_that_the_ledger_does_not_take_leaves_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("train")
    run.finish("failed", exit_code=1)
    before, real = dump(paths.ledger()), Ledger.write

    def full(self: Ledger, work: Any) -> None:
        def rolled_back(connection: sqlite3.Connection) -> None:
            work(connection)
            raise sqlite3.DatabaseError("database or disk is full")

        real(self, rolled_back)

    waste = cleanup.find(failed=True, older_than_days=0)
    with monkeypatch.context() as patched, pytest.raises(DataError, match="disk is full"):
        patched.setattr(Ledger, "write", full)
        cleanup.remove(waste)
    assert dump(paths.ledger()) == before and query.find_run(run.id).paths.run_json.is_file()


@pytest.mark.parametrize(
    "manifest",
    [
        {"parts": [{"file": "../x.npy"}]},
        {"parts": [{"file": "/etc/passwd"}]},
        {"parts": [{"file": "a.npy", "ids": "ids/../../x"}]},
        {"parts": [], "quantizer": {"folder": "../q"}},
        {"parts": [], "appended": [{"folder": "/q"}]},
    ],
)
def test_a_manifest_names_only_what_lies_in_its_folder(manifest: dict[str, Any], tmp_path: Path) -> None:
    parts = [{"rows": 1, "bytes": 1, "sha256": "a", **part} for part in manifest["parts"]]
    told = {"format": "irctl-bundle", "version": 1, **manifest, "parts": parts}
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"manifest\.json: expected names of files in its own folder, found '"):
        shards.read_manifest(tmp_path, "irctl-bundle")


def test_a_journal_names_only_what_lies_in_its_folder(tmp_path: Path) -> None:
    shards.ShardJournal(tmp_path).add({"index": 0, "file": "../x", "bytes": 1, "sha256": "a"})
    with pytest.raises(DataError, match=r"expected names of files in its own folder, found '\.\./x'"):
        shards.find_done(tmp_path)


def test_notes_that_wait_speak_of_the_copy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished()
    (paths.runs() / "spool").mkdir()
    (paths.runs() / "spool" / "a.jsonl").write_text(json.dumps({"run_dir": str(run.paths.folder.absolute())}) + "\n")
    shutil.copytree(paths.runs(), tmp_path / "copy")
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "copy"))
    (row,) = query.rows("SELECT run_dir FROM runs")
    assert row["run_dir"] == str(tmp_path / "copy" / run.id)
