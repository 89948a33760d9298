"""What may not be read or written ends every command with one exit code, in one line that names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from privileges import like_a_user
from workspace import Workspace

from irctl import errors

FILES = ("run.trec", "qrels.tsv", "negatives.jsonl", "vectors.npy", "vectors.parquet", "config.json", "recipe.toml")


@pytest.fixture(scope="module")
def closed(place: Workspace, tiny_encoder: Path) -> Path:
    """A folder of files that may not be read; `shut`, which may not be entered, and `fixed`, not written to."""
    folder = place.folder
    np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32))
    place.ok("compress --data x.npy --method sq --set sq.bits=8 --out codes")
    place.ok("search --retriever bm25 -k 3 --out open.trec")
    for name in FILES:
        (folder / name).write_text("q1 0 d1 1\n")
    for name in ("shut", "fixed"):
        (folder / name).mkdir()
    (folder / "collection").mkdir()
    (folder / "collection" / "corpus.jsonl").write_text('{"_id": "a", "text": "b"}\n')
    shutil.copytree(tiny_encoder, folder / "model")
    shutil.copytree(folder / "codes", folder / "sealed")
    part = next((folder / "sealed" / "codes").iterdir())
    for path in (*map(folder.joinpath, FILES), part, folder / "collection" / "corpus.jsonl"):
        path.chmod(0)
    (folder / "model" / "model.safetensors").chmod(0)
    (folder / "shut").chmod(0)
    (folder / "fixed").chmod(0o555)
    return folder


READ = {
    "eval run.trec --data cranfield": "run.trec",
    "eval open.trec --qrels qrels.tsv": "qrels.tsv",
    "search --fuse rrf run.trec run.trec": "run.trec",
    "hardneg --run run.trec": "run.trec",
    "train --loss infonce --negatives negatives.jsonl": "negatives.jsonl",
    "train --config config.json": "config.json",
    "recipes check recipe.toml": "recipe.toml",
    "compress --data vectors.npy": "vectors.npy",
    "compress --data vectors.parquet": "vectors.parquet",
    "search --index codes --queries vectors.npy": "vectors.npy",
    "search --index sealed --queries x.npy": "sealed/codes",
    "export sealed --to npy": "sealed/codes",
    "encode --data collection": "corpus.jsonl",
    "encode --data shut": "shut",
    "encode --model model": "model",
    "compress --data shut": "shut",
    "data check collection": "corpus.jsonl",
    "runs import negatives.jsonl": "negatives.jsonl",
}
WRITTEN = {
    "search --retriever bm25 -k 3 --out fixed/x.trec": "fixed/x.trec",
    "search --retriever bm25 -k 3 --out shut/x.trec": "shut/x.trec",
    "hardneg --retriever bm25 --out fixed/x.jsonl": "fixed/x.jsonl",
    "encode --data cranfield --out fixed/x": "fixed/x",
    "compress --data x.npy --method sq --out fixed/x": "fixed/x",
    "export codes --to npy --out fixed/x.npy": "fixed/x.npy",
    "train --loss infonce --out fixed/x": "fixed/x",
    "report -o fixed/x.md": "fixed/x.md",
    "runs export --to fixed/x.jsonl": "fixed/x.jsonl",
    "recipes cp cranfield-ws2 fixed/x.toml": "fixed/x.toml",
    "data convert cranfield fixed/x": "fixed/x",
}


@pytest.mark.parametrize("line", [*READ, *WRITTEN])
def test_a_place_that_is_closed_ends_a_command_with_4(line: str, place: Workspace, closed: Path) -> None:
    with like_a_user():
        done = place.run(line)
    last = done.err.splitlines()[-1]
    assert done.code == errors.ENVIRONMENT, f"{done.code}: {last}"
    assert {**READ, **WRITTEN}[line] in last and "ermission denied" in last and "internal" not in last, last


@pytest.mark.parametrize("name", ["IRCTL_RUNS", "IRCTL_CACHE"])
def test_a_closed_place_for_runs_or_cache_ends_a_command_with_4(
    name: str, place: Workspace, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(closed / "fixed" / "below"))
    with like_a_user():
        done = place.run("encode --data cranfield")
    last = done.err.splitlines()[-1]
    assert done.code == errors.ENVIRONMENT and "fixed/below" in last and f"Set {name}" in last, last


def test_a_closed_ledger_stops_nothing(place: Workspace, closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCTL_LEDGER", str(closed / "fixed" / "ledger.db"))
    with like_a_user():
        done = place.ok("runs ls")
    assert "compress" in done.out


FOLDER_FOR_FILE = {
    "search --retriever bm25 -k 3 --out codes": "expected a file or a new name, found a folder. Name another file",
    "encode --data cranfield --out x.npy": "expected a folder or a new name, found a file. Name another folder",
    "hardneg --run codes": "codes: expected a file, found a folder. Name a file",
    "train --config codes": "codes: expected a configuration file, found a folder. irctl recipes ls",
    "runs import codes": "codes: expected a file, found a folder. irctl runs export --to FILE writes one",
    "search --index codes --queries codes": "codes",
}


@pytest.mark.parametrize("line", FOLDER_FOR_FILE)
def test_a_folder_where_a_file_is_meant_is_said_as_such(line: str, place: Workspace, closed: Path) -> None:
    done = place.run(line)
    last = done.err.splitlines()[-1]
    assert done.code == errors.DATA and FOLDER_FOR_FILE[line] in last and "[Errno" not in last, last
