"""How every command ends: an error becomes one line (or one JSON object) and the documented exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from irctl import errors
from irctl.files import CLOSED, FULL, find_remedy


@contextmanager
def guarded(
    json_: bool = False,
    debug: bool = False,
    log: Callable[[], Path | None] = lambda: None,
    scrub: Callable[[str], str] = str,
) -> Iterator[None]:
    """Turn an error into its line and exit code; its traceback, scrubbed, goes to the run's log (debug: to stderr)."""
    from irctl import console

    try:
        with system_errors():
            yield
    except errors.IrctlError as e:
        _keep_traceback(debug, log(), scrub)
        if json_:
            emit_error(e.kind, e.message, e.hint, e.exit_code)
        console.error(mask_secrets(str(e)))
        if e.exit_code == errors.PREEMPTED:
            from irctl import slurm

            slurm.requeue()
        raise typer.Exit(e.exit_code) from None
    except KeyboardInterrupt:
        if json_:
            emit_error("Stopped", "interrupted", "The same command continues", errors.SIGINT)
        console.error("interrupted; the same command continues")
        raise typer.Exit(errors.SIGINT) from None
    except console.ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        raise typer.Exit(errors.OK) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as e:  # noqa: BLE001  the last resort: a fault of ours still ends in one line and a code
        where = log()
        _keep_traceback(debug, where, scrub)
        at = traceback.extract_tb(e.__traceback__)[-1]
        message = (
            f"internal error: {type(e).__name__}: {' '.join(str(e).split())} ({Path(at.filename).name}:{at.lineno})"
        )
        message = mask_secrets(message)
        hint = f"Traceback in {where}" if where else "Run again with --debug for the traceback"
        if json_:
            emit_error("InternalError", message, hint, errors.RUN_FAILED)
        console.error(f"{message}. {hint}")
        raise typer.Exit(errors.RUN_FAILED) from None


def mask_secrets(text: str) -> str:
    """The text without secrets of the command line and the environment: errors of libraries repeat addresses whole."""
    from irctl.ledger.files.secrets import Masker

    return Masker(sys.argv, os.environ).text(text)


def check_text() -> None:
    """ConfigError for bytes that are no UTF-8 on the command line or in its places: no record could hold them."""
    given = {f"argument {i}": word for i, word in enumerate(sys.argv[1:], 1)}
    given |= {name: value for name, value in os.environ.items() if name.startswith("IRCTL_")}
    try:
        given["the current folder"] = str(Path.cwd())
    except FileNotFoundError:
        raise errors.EnvironmentUnfit("the current folder is gone", hint="cd to one that is there") from None
    for where, text in given.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise errors.ConfigError(f"{where}: expected UTF-8, found {_short(ascii(text))}") from None


@contextmanager
def system_errors() -> Iterator[None]:
    """A full disk fails the run (1), a place that may not be written is an unfit environment (4): said in one line."""
    try:
        yield
    except OSError as e:
        where = _short(str(e.filename or "a file"))
        if e.errno in FULL:
            raise errors.RunFailed(f"{where}: {e.strerror}", hint="Free some space; the same command continues") from e
        if e.errno in CLOSED:
            raise errors.EnvironmentUnfit(f"{where}: {e.strerror}", hint=find_remedy(e)) from e
        if e.filename:  # anything else about a file that was named: too long a name, a folder where a file should be
            kind = errors.ConfigError if e.errno == errno.ENAMETOOLONG else errors.DataError
            raise kind(f"{where}: {e.strerror}") from e
        raise
    except MemoryError as e:
        raise errors.RunFailed(
            f"out of memory{f' ({e})' if str(e) else ''}", hint="Ask for less at a time, or use a larger machine"
        ) from e


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:100]}...{name[-97:]}"


def emit_error(kind: str, message: str, hint: str, code: int) -> None:
    """The one JSON object of a command that failed, without secrets."""
    from irctl import console

    with suppress(OSError):  # standard output may be what failed; the line on stderr still comes
        said = {"message": mask_secrets(message), "hint": mask_secrets(hint)}
        console.emit_json({"schema": "irctl/error/1", "kind": kind, **said, "exit_code": code})


def _keep_traceback(debug: bool, log: Path | None, scrub: Callable[[str], str]) -> None:
    text = mask_secrets(scrub(traceback.format_exc()))
    with suppress(OSError):  # a full disk, perhaps the error itself: its line still comes
        if log is not None and log.parent.is_dir():
            with log.open("a") as f:
                f.write(text)
    if debug:
        sys.stderr.write(text)
