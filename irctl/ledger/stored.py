"""Files that irctl wrote and hashed, checked as they are first read: damaged ones end what reads them.

A content is read for this once: the memo of irctl.hashing stands for it while path, size, times and inode stay the
same. `--hash none` leaves it out.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from irctl import files, hashing, stopping
from irctl.errors import DataError, IrctlError
from irctl.ledger import damaged
from irctl.ledger.files import run_json
from irctl.paths import RunPaths

_THREADS = 4  # hashing one file takes one core; more threads than that wait for the disk
_LEVELS = 4  # folders between a file and the run or the output folder that it belongs to
_checked: set[tuple[object, ...]] = set()  # by this process; a file as young as the clock's tick leaves no memo
_trusted = False


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
        raise DataError(f"{path}: cannot be read ({e.strerror})", hint=f"Make it again: {again(path)}") from None
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
    with contextlib.suppress(IrctlError):  # a ledger or a run.json that cannot be read leaves the words
        above = path.absolute().parents[:_LEVELS]
        for run in map(RunPaths, above):
            if run_json.is_run(run.folder):
                argv = list(run_json.read(run.folder).get("argv", ()))
                named = "compress" not in argv or any(w.partition("=")[0] in ("--out", "--append") for w in argv)
                return shlex.join(argv if named else [*argv, "--out", str(run.out)])
        for folder in above:
            if found := _written(folder):
                return shlex.join(found)
    return "run the command that wrote it again; the others stay"


def _written(folder: Path) -> list[str]:
    """The words of the newest command that wrote this folder."""
    from irctl.ledger import query
    from irctl.ledger.database import indexing

    sql = (
        "SELECT r.argv_json FROM artifacts o JOIN runs r ON r.id = o.run_id WHERE o.role = 'out' "
        f"AND {indexing.IS_AT.format('?1')} ORDER BY r.created_at DESC"
    )
    found = [json.loads(row["argv_json"] or "[]") for row in query.rows(sql, (str(folder),))]
    return next(([str(w) for w in argv] for argv in found if not any(str(w).startswith("--append") for w in argv)), [])
