"""Files that appear whole or not at all: a hidden name in the same folder, fsync, rename, fsync of the folder.

Two kinds: those that irctl names (`write_atomic`), and those that a user named (`write_out`), where a link is followed
and only a regular file is written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from irctl import kept
from irctl.errors import ConfigError, DataError, EnvironmentUnfit, IrctlError, RunFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Errors of the system that are about rights and limits, not about what was named."""
_read: set[tuple[int, int]] = set()  # device and inode of the inputs of the run at work: names may be links
_own: list[Path] = []  # its folder, and others that irctl itself has chosen to write in


class Written(NamedTuple):
    """What became of one file: its size and the sha256 computed while it was written."""

    bytes: int
    sha256: str


class _Hashing(io.RawIOBase):
    """A file that hashes what passes through it."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner, self.sha256, self.count = inner, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # a view of nothing cannot be cast
        self.inner.write(view)
        self.sha256.update(view)
        self.count += len(view)
        return len(view)

    def tell(self) -> int:
        return self.count


def write_atomic(
    path: Path,
    content: bytes | str | NDArray[Any] | Callable[[Any], object],
    *,
    last: Callable[[Path], None] | None = None,
) -> Written:
    """Write bytes, text, an array (.npy) or what `content(file)` writes, so that the file appears whole or not at all.

    A link in its place is replaced. last: looks at the place once the content is
    made, which may have read inputs. Raises RunFailed when the disk is full, EnvironmentUnfit when the folder cannot be
    written.
    """
    tmp = path.with_name(f".{path.name}.tmp.{socket.gethostname()}.{os.getpid()}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tmp.open("wb") as file:
                sink = _Hashing(file)
                if callable(content):
                    content(sink)
                elif isinstance(content, (bytes, str)):
                    sink.write(content.encode() if isinstance(content, str) else content)
                else:
                    _write_array(sink, content)
                file.flush()
                os.fsync(file.fileno())
            if last is not None:
                last(path)
            tmp.replace(path)
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            tmp.unlink()
        raise
    return Written(sink.count, sink.sha256.hexdigest())


def _write_array(sink: _Hashing, array: NDArray[Any]) -> None:
    """What numpy's `write_array` writes, without its two copies of every value."""
    import numpy as np

    array = np.ascontiguousarray(array)
    if array.dtype.hasobject or array.dtype.names:
        np.lib.format.write_array(sink, array, allow_pickle=False)
        return
    np.lib.format.write_array_header_1_0(sink, np.lib.format.header_data_from_array_1_0(array))
    sink.write(array.reshape(-1).view(np.uint8))


def write_out(path: Path, content: bytes | str | NDArray[Any] | Callable[[Any], object]) -> Written:
    """write_atomic for a file that a user named: what a link names is written. Raises DataError as check_file does."""
    check_file(path)
    return write_atomic(path.resolve() if path.is_symlink() else path, content, last=check_file)


def expand(name: str) -> Path:
    """A path as it was typed. One of a user that this machine does not have stays as it is, and is found missing."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  pathlib's raises RuntimeError for ~nobody


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; none does under a name that is too long for one."""
    try:
        return path.exists()
    except OSError as e:
        if e.errno != errno.ENAMETOOLONG:
            raise
        return False


def is_input(path: Path) -> None:
    """An output of this run may not be written over this file from now on: what was read could not be read again.

    The run's own outputs may: it reads them to see whether they still hold.
    """
    with contextlib.suppress(OSError):  # who reads it says that it is not there
        if not any(path.resolve().is_relative_to(own) for own in _own):
            stat = path.stat()
            _read.add((stat.st_dev, stat.st_ino))


def begin_run(folder: Path) -> None:
    """A new run begins in this process: the outputs of the last may be its inputs, and the other way round."""
    _read.clear()
    _own[:] = [folder.resolve()]


def end_run(folder: Path) -> None:
    """The run is over: what comes after it in this process is a user's again."""
    _own[:] = [own for own in _own if own != folder.resolve()]


@contextlib.contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Meanwhile irctl itself writes below this folder, by functions that also serve files that users name."""
    _own.append(folder.resolve())
    try:
        yield
    finally:
        _own.remove(folder.resolve())


def check_file(path: Path) -> None:
    """Raise DataError where a file cannot be put: a folder, device, pipe, input or record of irctl, also by a link."""
    _check_name(path, "file")
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        _check_place(path)
        return _refuse(path, kept.record_at(path, _own), "file")
    except OSError as e:
        if e.errno in CLOSED:
            raise write_error(path, e) from None
        if e.errno != errno.ELOOP:
            return  # who writes there says what is wrong
        raise DataError(
            f"{path}: expected a file or a new name, found {e.strerror}", hint="Name another file"
        ) from None
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no regular file (a device, pipe or socket)"
        raise DataError(f"{path}: expected a file or a new name, found {found}", hint="Name another file")
    if (stat.st_dev, stat.st_ino) in _read:
        raise DataError(f"{path}: expected a file or a new name, found an input of this run", hint="Name another file")
    _refuse(path, kept.record_at(path, _own), "file")


def check_folder(path: Path, *, goes_on: bool = False) -> None:
    """Raise DataError where an output folder cannot be: what stands there is no folder, or a record of irctl.

    goes_on: the command continues in a folder of vectors or codes that it has begun.
    """
    _check_name(path, "folder")
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: expected a folder or a new name, found a link to nothing", hint="Name another folder")
    if path.exists() and not path.is_dir():
        found = "a file" if path.is_file() else "a device, pipe or socket"
        raise DataError(f"{path}: expected a folder or a new name, found {found}", hint="Name another folder")
    _check_place(path)
    _refuse(path, kept.records_around(path, _own, goes_on=goes_on), "folder")


def _check_place(path: Path) -> None:
    """EnvironmentUnfit where nothing may be made in what is there of `path`, DataError for a file: before the work."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if there != path and there.is_file():
        raise DataError(f"{path}: expected a folder, found a file: {there}", hint="Name another place")
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        raise write_error(path, OSError(number, os.strerror(number)))


def _refuse(path: Path, found: str, kind: str) -> None:
    if found:
        raise DataError(f"{path}: expected a {kind} or a new name, found {found}", hint=f"Name another {kind}")


def _check_name(path: Path, kind: str) -> None:
    """ConfigError for `-`: elsewhere it means stdout, here it would be a file of that name."""
    if str(path) == "-":
        raise ConfigError(
            f"--out -: expected the name of a {kind}; stdout gets what a command prints without it",
            hint=f"Leave it out, or name a {kind}",
        )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name `path` in what a failed write raises: the system's own error of a full disk names no file.

    An error about another file, one that is read for what is written, stays as it is.
    """
    try:
        yield
    except OSError as e:
        if isinstance(e.filename, str) and not _is_of(Path(e.filename), path):
            raise
        raise write_error(path, e) from e


def write_error(path: Path, e: OSError, hint: str = "Choose another folder") -> IrctlError:
    """The error a user gets for an OSError while writing `path`. hint: for a place that cannot be written."""
    if e.errno == errno.EFBIG:
        said = "larger than a file may be here"
        return RunFailed(f"{path}: {said}", hint="Raise the limit (ulimit -f), or write elsewhere")
    if e.errno in FULL:
        return RunFailed(f"{path}: no space left on the disk", hint="Free some; the same command continues")
    if e.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{path}: cannot be written ({e.strerror})", hint="Choose a shorter name")
    return EnvironmentUnfit(f"{path}: cannot be written ({e.strerror or e})", hint=hint)


class Closed(EnvironmentUnfit, DataError):
    """A file that is there and may not be read: the machine's fault, and no data for whoever goes on without it."""


def read_error(thing: object, e: OSError, *, hint: str = "", kind: type[IrctlError] = DataError) -> IrctlError:
    """The error for an OSError while reading `thing`: Closed for want of rights, else of this kind, with this hint."""
    if e.errno in CLOSED:
        return Closed(f"{thing}: cannot be read ({os.strerror(e.errno)})", hint=find_remedy(e))
    if e.errno == errno.EISDIR:
        return kind(f"{thing}: expected a file, found a folder", hint=hint or "Name a file")
    return kind(f"{thing}: cannot be read ({e.strerror or e})", hint=hint)


def find_remedy(e: OSError) -> str:
    """What a user can do where the system refuses."""
    if e.errno in (errno.EMFILE, errno.ENFILE):
        return "Raise the limit of open files (ulimit -n); irctl doctor checks it"
    if e.errno == errno.EROFS:
        return "Name a place that can be written"
    return "See its rights with ls -ld, or name another place"


def find_closed(folder: Path) -> Path | None:
    """A file below a folder that this process may not read, for libraries that take it for one that is not there."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return next((p for p in found if not os.access(p, os.R_OK, effective_ids=True)), None)


def _is_of(found: Path, path: Path) -> bool:
    """Whether an error about `found` is about writing `path`: itself, its temporary name, or a folder above."""
    return path.is_relative_to(found) or found.name.startswith(f".{path.name}.tmp.")


def open_modes(folder: Path) -> None:
    """Give the files below a folder that this process made the mode that its umask gives: safetensors writes 0600."""
    umask = os.umask(0o077)  # there is no other way to read it
    os.umask(umask)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o666 & ~umask)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
