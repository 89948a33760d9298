"""Files of the user appear whole or not at all, where the user's name points, and nowhere else."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from workspace import Workspace

from irctl import files
from irctl.commands.frame.guard import guarded
from irctl.errors import DataError, RunFailed
from irctl.ledger.files import run_folder


def names(place: Path) -> list[str]:
    return sorted(p.name for p in place.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.tex"
    files.write_out(path, "old")

    def torn(file) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFailed, match=r"table\.tex: no space left on the disk"):
        files.write_out(path, torn)

    def stopped(file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_out(path, stopped)
    assert path.read_text() == "old" and names(tmp_path) == ["table.tex"]


def test_a_source_that_cannot_be_read_is_not_called_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"):
        files.write_out(tmp_path / "runs.jsonl", lambda file: file.write((tmp_path / "source").read_bytes()))
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/in/runs\.jsonl: expected a folder, found a file"):
        files.write_out(tmp_path / "file" / "in" / "runs.jsonl", "x")


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to("real/there.txt")
    for text in ("new", "newer"):  # first to nothing, then to a file
        files.write_out(link, text)
        assert link.is_symlink() and (tmp_path / "real/there.txt").read_text() == text
    assert names(tmp_path / "real") == ["there.txt"]


def test_devices_pipes_and_folders_are_no_places_for_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", Path("/dev/null"), tmp_path):
        with pytest.raises(DataError, match="expected a file or a new name, found"):
            files.write_out(path, "x")
    assert Path("/dev/null").is_char_device() and (tmp_path / "null").is_symlink()


def test_an_input_of_the_run_is_no_place_for_an_output_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "q.npy").write_text("vectors")
    (tmp_path / "link.npy").symlink_to("q.npy")
    files.is_input(tmp_path / "link.npy")
    for name in ("q.npy", "link.npy"):
        with pytest.raises(DataError, match=rf"{name}: expected a file or a new name, found an input of this run"):
            files.write_out(tmp_path / name, "ranks")
    assert (tmp_path / "q.npy").read_text() == "vectors"
    files.begin_run(tmp_path / "run")  # as the next run in this process does
    files.write_out(tmp_path / "q.npy", "ranks")


def test_a_link_to_itself_is_no_place_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop: expected a file or a new name, found Too many levels of symbolic links"):
        files.write_out(tmp_path / "loop", "x")


def test_lines_that_are_appended_to_a_full_disk_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunFailed, match=r"events\.jsonl: no space left on the disk"):
        run_folder.append_lines(tmp_path / "events.jsonl", {"a": 1})


def test_a_full_disk_ends_in_one_line_though_the_log_cannot_be_written(tmp_path: Path, capsys) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with pytest.raises(typer.Exit) as ended, guarded(log=lambda: tmp_path / "log.txt"):
        run_folder.append_lines(tmp_path / "log.txt", {"a": 1})
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path / 'log.txt'}: no space left on the disk. Free some; the same command continues"
    ]


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=np.uint8).reshape(2, 3), np.zeros((0, 7), np.float32), np.float64(3.5), np.arange(4)[::2],
     np.asfortranarray(np.eye(3)), np.array([True, False]), np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])],
    ids=["codes", "empty", "scalar", "strided", "fortran", "bool", "fields"],
)  # fmt: skip
def test_an_array_is_the_file_that_numpy_writes(tmp_path: Path, array: np.ndarray) -> None:
    written = files.write_atomic(tmp_path / "ours.npy", array)
    np.save(tmp_path / "numpy.npy", np.ascontiguousarray(array))
    expected = (tmp_path / "numpy.npy").read_bytes()
    assert (tmp_path / "ours.npy").read_bytes() == expected
    assert written == (len(expected), hashlib.sha256(expected).hexdigest())


def test_numpy_is_not_imported_for_text() -> None:
    code = "import sys; from irctl import files; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


LINES = (
    "report --out {}",
    "report --format latex -o {}",
    "runs export --to {}",
    "recipes cp stream-opq {} --force",
    "search --retriever bm25 --out {}",
    "hardneg --num 1 --out {}",
    "train --out {}",
    "encode --out {}",
    "compress --out {}",
)


@pytest.mark.parametrize("line", LINES)
def test_outputs_that_are_no_regular_files_are_refused_before_the_work(place: Workspace, line: str) -> None:
    for target in ("/dev/null", "pipe"):
        if target == "pipe" and not (place.folder / "pipe").exists():
            os.mkfifo(place.folder / "pipe")
        done = place.run(line.format(target))
        assert done.code == 3, done.err
        assert done.err.splitlines()[-1].startswith(f"error: {target}: expected a "), done.err
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_of_models_and_checkpoints_have_the_mode_of_the_umask(
    umask: int, mode: int, tiny_encoder: Path, tmp_path: Path
) -> None:
    import torch

    from irctl import config as settings
    from irctl.models.encoder import load_encoder
    from irctl.training.parallel.tensors import write_weights
    from irctl.training.run_files import checkpoints

    encoder = load_encoder(settings.resolve(), str(tiny_encoder))
    before = os.umask(umask)
    try:
        encoder.save(tmp_path / "model")
        staged = checkpoints.open_staging(tmp_path / "kept", 3)
        write_weights(staged / checkpoints.WEIGHTS, {"w": torch.zeros(2)})
        checkpoints.publish(tmp_path / "kept", 3, {})
        assert os.umask(umask) == umask, "left as it was"
    finally:
        os.umask(before)
    made = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {"model.safetensors", checkpoints.WEIGHTS} <= {p.name for p in made}
    assert {oct(p.stat().st_mode & 0o777) for p in made} == {oct(mode)}


def test_a_place_below_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    for check in (files.check_file, files.check_folder):
        with pytest.raises(DataError, match="b/c: expected a folder, found a file: "):
            check(tmp_path / "a.txt" / "b" / "c")
