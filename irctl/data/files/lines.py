"""Reading text files line by line: plain or gzip, UTF-8, every complaint with its file and line.

Lines end at a line feed only: str.splitlines and text mode also cut at characters that occur inside MS MARCO passages.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from irctl import files, tables
from irctl.data.files.kinds import VECTORS, kind_of
from irctl.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
COMMENT = "#"
BLANKS = " \t\n\v\f\r"
"""What C's isspace takes for white space."""


def line_error(path: Path, line: int | str, expected: str, found: object, hint: str = "") -> DataError:
    """The error for one line: file:line (or what else names the place), what was expected, what is there."""
    shown = str(found)
    place = f":{line}" if isinstance(line, int) else f": {line}"
    return DataError(
        f"{path}{place}: expected {expected}, found {shown if len(shown) <= 80 else shown[:77] + '...'}", hint=hint
    )


def open_bytes(path: Path) -> BinaryIO:
    """The file's content as bytes, unpacked if it is gzip (by its first bytes, not its name)."""
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as e:
        raise files.read_error(path, e) from None
    magic = raw.read(2)
    raw.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb")) if magic == GZIP_MAGIC else raw


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """The file of `open_bytes`; a gzip file that is damaged is a DataError wherever in here that shows."""
    with open_bytes(path) as file:
        try:
            yield file
        except DAMAGED_GZIP as e:
            raise DataError(f"{path}: gzip file is damaged ({e})", hint="Fetch it again") from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text without its line end). Blank lines are left out.

    Raises DataError for bytes that are not UTF-8 and for a gzip file that is cut short.
    """
    number = 0
    with open_bytes(path) as file:
        try:
            for number, raw in enumerate(file, 1):
                line = raw[len(BOM) :] if number == 1 and raw.startswith(BOM) else raw
                text = line.decode("utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
        except UnicodeDecodeError as e:
            if (kind := kind_of(path)) not in ("text", "gzip"):
                hint = "Vectors are read by irctl compress --data, and by --queries" if kind in VECTORS else ""
                raise DataError(f"{path}: expected text (JSON lines or TSV), found {kind}", hint=hint) from None
            raise DataError(
                f"{path}:{number}: expected UTF-8, found byte 0x{e.object[e.start]:02x} at column {e.start + 1}"
            ) from None
        except DAMAGED_GZIP as e:
            raise DataError(f"{path}: gzip file is damaged after line {number} ({e})", hint="Fetch it again") from None


def read_entries(path: Path, *, indented: bool = False) -> Iterator[tuple[int, str]]:
    """Numbered lines of judgements or of a run, without comments: lines that begin with #, as in trec_eval 10.

    indented: also after blanks, as trec_eval takes them in runs.
    """
    return ((n, text) for n, text in read_lines(path) if not (text.lstrip() if indented else text).startswith(COMMENT))


def split_words(text: str) -> list[str]:
    """The columns of a line as trec_eval splits it: at C's isspace on bytes, so a no-break space is part of a word."""
    return [w.decode() for w in text.encode().split()]


def read_first_line(path: Path) -> str:
    """The first line that is not blank, or an empty string."""
    return next((text for _, text in read_lines(path)), "")


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON-lines file."""
    for number, text in read_lines(path):
        yield number, parse_json_line(path, number, text)


def parse_json_line(path: Path, number: int, text: str) -> dict[str, Any]:
    """One line as a JSON object."""
    found = tables.parse_json(text, f"{path}:{number}: expected a JSON object, found {text[:40]!r}")
    if not isinstance(found, dict):
        raise line_error(path, number, "a JSON object", text)
    return found


def as_id(value: object) -> str | None:
    """An id as a string: text as it is, whole JSON numbers in decimal; None for anything else or for nothing."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def refuse_pickle(path: Path, instead: str) -> None:
    """Raise DataError for a pickle, which would run code as it is read."""
    if suffix(path) in (".pkl", ".pickle"):
        raise DataError(f"{path}: pickle files are never loaded", hint=f"Convert it to {instead}")


def stem(path: Path) -> str:
    """File name without .gz and without its last ending: `queries.dev.small.tsv.gz` -> `queries.dev.small`."""
    name = path.name.removesuffix(".gz")
    return name[: name.rindex(".")] if "." in name else name


def suffix(path: Path) -> str:
    """Last ending without .gz, lower case: `.tsv` of `a.TSV.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()
