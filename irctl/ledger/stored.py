"""Files that irctl wrote and hashed, checked as they are first read: damaged ones end what reads them.

A content is read for this once: the memo of irctl.hashing stands for it while path, size, times and inode stay the
same. `--hash none` leaves it out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from irctl import files, hashing, stopping
from irctl.command_line import CommandLine, Read
from irctl.errors import IrctlError
from irctl.ledger import damaged
from irctl.ledger.files import run_json
from irctl.paths import RunPaths

_THREADS = 4  # hashing one file takes one core; more threads than that wait for the disk
_LEVELS = 4  # folders between a file and the run or the output folder that it belongs to
_checked: set[tuple[object, ...]] = set()  # by this process; a file as young as the clock's tick leaves no memo
_trusted = False
_read: Read | None = None


def read_lines_with(read: Read) -> None:
    """How this process reads the command lines of the ledger, which it tells a user to repeat."""
    global _read
    _read = read


def line_reader() -> Read | None:
    """What `read_lines_with` was given last."""
    return _read


def trust() -> None:
    """Check nothing more in this process: the one that started it has."""
    global _trusted
    _trusted = True


def check(path: Path, expected: str) -> None:
    """DataError, with the command that makes the file again, unless it has this sha256; empty is not looked at."""
    files.is_input(path)
    if _trusted or not expected or hashing.mode() == "none":
        return
    try:
        stat = path.stat()
        state = (str(path), expected, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if state in _checked:
            return
        found = hashing.sha256_file(path)
    except OSError as e:
        raise files.read_error(path, e, hint=f"Make it again: {again(path)}") from None
    if found != expected:
        raise damaged.error(path, expected, found, f"Remove that file alone and make it again: {again(path)}")
    _checked.add(state)


def check_all(files: Iterable[tuple[Path, str]]) -> None:
    """`check` of many files, several at once. A signal ends it."""
    wanted = dict.fromkeys(files)  # a merged file stands for many batches
    if _trusted or hashing.mode() == "none":
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(check, path, expected) for path, expected in wanted]
        try:
            for done in waiting:
                stopping.check("nothing of this is kept")
                done.result()
        finally:
            for left in waiting:
                left.cancel()


def again(path: Path) -> str:
    """The command line that wrote a file, by the run folder that it lies in, else by the ledger; or words for it."""
    added = next((f for f in path.absolute().parents[:_LEVELS] if f.name.startswith("append-")), None)
    if added is not None:
        return f"repeat the command that appended it (irctl compress --append {added.parent} --data ...)"
    if _read is not None:
        with contextlib.suppress(IrctlError):  # a ledger, a run.json or a line that cannot be read leaves the words
            above = path.absolute().parents[:_LEVELS]
            for run in map(RunPaths, above):
                if run_json.is_run(run.folder):
                    line = _read(run_json.read(run.folder).get("argv", ()))
                    is_named = line.name != "compress" or line.has("--out") or line.has("--append")
                    return str(line if is_named else line.with_option("--out", str(run.out)))
            for folder in above:
                if wrote := _writer(folder, _read):
                    return str(wrote)
    return "run the command that wrote it again; the others stay"


def _writer(folder: Path, read: Read) -> CommandLine | None:
    """The newest command line that wrote this folder, and did not only add to it."""
    from irctl.ledger import query
    from irctl.ledger.database import indexing

    sql = (
        "SELECT r.argv_json FROM artifacts o JOIN runs r ON r.id = o.run_id WHERE o.role = 'out' "
        f"AND {indexing.IS_AT.format('?1')} ORDER BY r.created_at DESC"
    )
    lines = (read(json.loads(row["argv_json"])) for row in query.rows(sql, (str(folder),)) if row["argv_json"])
    return next((line for line in lines if not line.has("--append")), None)
