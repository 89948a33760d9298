"""Several samples of one input in one pass: the rows are those that `take` gives, whatever the input is kept in."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_stream import ArrayStream, vectors

from irctl.data.vectors.open import open_vectors
from irctl.errors import DataError, RunFailed
from irctl.index.samples import Waiting, take_apart

X = vectors(3000)


def stream_of(folder: Path, kind: str, x_ND: np.ndarray = X) -> object:
    if kind == "array":
        return ArrayStream(x_ND)
    (folder / "two").mkdir()
    for number, rows_ND in enumerate(np.split(x_ND, [1234])):
        path = folder / "two" / f"{number}.{kind}"
        if kind == "npy":
            np.save(path, rows_ND)
        else:
            pq.write_table(pa.table({"emb": list(rows_ND)}), path, row_group_size=700)
    return open_vectors(folder / "two")


@pytest.mark.parametrize("kind", ["npy", "parquet", "array"])
def test_samples_that_overlap_are_those_that_take_gives(tmp_path: Path, kind: str) -> None:
    rng, stream = np.random.default_rng(1), stream_of(tmp_path, kind)
    train, held, others = (np.sort(rng.permutation(len(X))[:n]) for n in (900, 40, 600))
    x_ND, waiting, later = np.empty((900, 16), np.float32), Waiting(tmp_path, 16), Waiting(tmp_path, 16)
    take_apart(stream, [(train, x_ND), (held, waiting), (others, later)])
    assert [p.name for p in tmp_path.iterdir() if p.name != "two"] == []  # nobody has to clear up after a kill
    for rows, found in ((train, x_ND), (held, waiting.load()), (others, later.load())):
        np.testing.assert_array_equal(found, X[rows])


def test_a_sample_of_no_rows_is_empty(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, 16)
    take_apart(stream_of(tmp_path, "npy"), [(np.arange(5), np.empty((5, 16), np.float32)), (np.arange(0), waiting)])
    assert waiting.load().shape == (0, 16)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_row_that_is_not_finite_is_named_by_its_file(tmp_path: Path, kind: str) -> None:
    x = X.copy()
    x[2000, 3] = np.nan
    stream = stream_of(tmp_path, kind, x)
    with pytest.raises(DataError, match=rf"1\.{kind}: row 766: expected finite numbers"):
        take_apart(stream, [(np.arange(1500), np.empty((1500, 16))), (np.arange(1900, 2100), Waiting(tmp_path, 16))])


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(tmp_path, 16)

    class Full:
        def write(self, _: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(waiting, "_file", Full())
    with pytest.raises(RunFailed, match="no space left on the disk"):
        waiting[0:1] = X[:1]
