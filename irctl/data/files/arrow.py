"""Reading Arrow and parquet files: what is damaged, or of another kind, is one DataError with the file's name.

A damaged page shows itself only when its batch is read, far from where the file was opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from irctl import files
from irctl.errors import DataError


@contextmanager
def reading(name: str, what: str = "cannot be read") -> Iterator[None]:
    """What Arrow raises in here, as a DataError. name: the file. what: is wrong with it."""
    import pyarrow as pa

    try:
        yield
    except PermissionError as e:
        raise files.read_error(name, e) from None
    except (OSError, pa.ArrowException, UnicodeDecodeError, KeyError, IndexError) as e:
        said = (str(e).splitlines() or [type(e).__name__])[0]
        raise DataError(f"{name}: {what} ({said})", hint="Fetch it, or write it, again") from None


def open_parquet(source: Any, name: str, **options: Any) -> Any:
    """pyarrow.parquet.ParquetFile of a path or a file object."""
    import pyarrow.parquet as pq

    with reading(name, "not a parquet file"):
        return pq.ParquetFile(source, **options)


def read_batches(file: Any, name: str, rows: int, **options: Any) -> Iterator[Any]:
    """Record batches of an open parquet file."""
    found = file.iter_batches(rows, **options)
    while True:
        with reading(name):
            batch = next(found, None)
        if batch is None:
            return
        yield batch
