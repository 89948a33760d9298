"""What a file is by its first bytes, for the line that refuses one of another kind."""

from __future__ import annotations

from pathlib import Path

NPY = "a NumPy array (.npy)"
MAGIC = {
    b"\x93NUMPY": NPY,
    b"PK\x03\x04": "a zip archive (.npz, .zip)",
    b"PAR1": "Parquet",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"\x1f\x8b": "gzip",
    b"\x89HDF": "HDF5",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
VECTORS = (NPY, "Parquet")
HEAD = 512


def kind_of(path: Path) -> str:
    """`a NumPy array (.npy)`, `Parquet`, ..., `text`, `an empty file`, or `bytes of no known kind`."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "an empty file"
    if known := next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), ""):
        return known
    return "bytes of no known kind" if b"\0" in head else "text"
