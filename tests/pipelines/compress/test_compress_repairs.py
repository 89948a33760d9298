"""Bundles that lost or changed a file, what --verify does of them, and what a reused quantizer must agree with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compressing import DIM, compressed, save_vectors, tree, vectors

from irctl.errors import ConfigError, DataError
from irctl.index.bundle import open_bundle
from irctl.pipelines.references.bundles import load_quantizer
from irctl.types import Silent


def two_files(folder: Path) -> Path:
    folder.mkdir()
    for name, rows in (("a", 1200), ("b", 800)):
        save_vectors(folder / f"{name}.npy", rows, seed=rows)
    (folder / "ids.txt").write_text("".join(f"d{i}\n" for i in range(2000)))
    return folder


@pytest.mark.parametrize("lost", ["codes/part-00000.npy", "codes/part-00001.npy", "ids/part-00000.arrow"])
def test_a_merged_bundle_that_lost_a_file_is_merged_again(tmp_path: Path, lost: str) -> None:
    source, out = two_files(tmp_path / "in"), tmp_path / "out"
    compressed(source, out)
    compressed(source, out, finalize=True, compress__merge="true")
    whole = tree(out)
    (out / lost).unlink()
    compressed(source, out)
    assert list(open_bundle(out, load_quantizer).ids) == [f"d{i}" for i in range(2000)]
    compressed(source, out, finalize=True, compress__merge="true")
    assert tree(out) == whole and open_bundle(out, load_quantizer).verify() == 4


@pytest.mark.parametrize("merge", ["false", "true"])
def test_a_changed_file_alone_is_removed_and_the_same_command_makes_it_again(tmp_path: Path, merge: str) -> None:
    source, out = two_files(tmp_path / "in"), tmp_path / "out"
    compressed(source, out, compress__merge=merge)
    whole = tree(out)
    victim = sorted((out / "codes").iterdir())[-1]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(DataError, match=rf"{victim.name}: is damaged.*expected sha256.*Remove that file alone"):
        compressed(source, out, verify=True, compress__merge=merge)
    victim.unlink()
    compressed(source, out, verify=True, compress__merge=merge)
    assert tree(out) == whole


def test_verify_continues_a_partial_bundle(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out, compress__max_batches=2)
    assert compressed(source, out, verify=True)["results"][0]["coverage"] == "full"
    assert compressed(source, out, verify=True)["verified"] == {"pq": 8}


def test_verify_refuses_a_bundle_of_something_else(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out, compress__method="sq")
    assert compressed("", out, verify=True)["verified"] == {"sq": 8}
    with pytest.raises(ConfigError, match="is a bundle of sq, asked for is pq"):
        compressed(source, out, verify=True, compress__method="pq")
    with pytest.raises(ConfigError, match=r"trained with sq\.bits = 8, asked for is 4"):
        compressed(source, out, verify=True, compress__method="sq", sq__bits=4)
    with pytest.raises(ConfigError, match=r"was made of .*x\.npy, asked for is .*y\.npy"):
        compressed(save_vectors(tmp_path / "y.npy", seed=1), out, verify=True)
    save_vectors(source, seed=2)
    with pytest.raises(ConfigError, match="which has changed since"):
        compressed(source, out, verify=True)


def test_a_file_that_is_gone_is_named_where_the_input_is_not_given(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out)
    (out / "codes" / "pq_compressed_batch_0001.npy").unlink()
    with pytest.raises(DataError, match=r"batch_0001\.npy: expected .* found no file"):
        compressed("", out, verify=True)


def test_a_reused_quantizer_has_the_settings_that_are_asked_for(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a", compress__method="sq")
    with pytest.raises(ConfigError, match=r"trained with sq.bits = 8, asked for is 4\. Leave out sq.bits"):
        compressed(source, tmp_path / "b", init=str(tmp_path / "a"), compress__method="sq", sq__bits=4)
    reporter = Silent()
    compressed(source, tmp_path / "b", reporter, init=str(tmp_path / "a"), compress__method="sq", sq__bits=8)
    manifests = [open_bundle(tmp_path / name, load_quantizer).manifest for name in "ab"]
    assert manifests[0]["train_rows"] == 2340 and "train_rows" not in manifests[1]
    np.save(tmp_path / "narrow.npy", np.load(source)[:, :16].copy())
    with pytest.raises(ConfigError, match="vectors of one width"):
        compressed(tmp_path / "narrow.npy", tmp_path / "c", init=str(tmp_path / "a"), compress__method="sq")


@pytest.mark.parametrize("method", ["pq", "opq", "sq", "flat", "rabitq"])
def test_vectors_whose_distances_overflow_are_refused_with_file_and_row(method: str, tmp_path: Path) -> None:
    """1e30 is finite, its square is not: faiss ended the process over it."""
    x_ND = vectors(600)
    x_ND[7, 3] = 1e30
    np.save(tmp_path / "x.npy", x_ND)
    with pytest.raises(DataError, match=r"x\.npy: row 7: expected a length of at most 9\.0e\+18, found 1e\+30"):
        compressed(tmp_path / "x.npy", tmp_path / "out", compress__method=method, compress__probe=0)


def test_a_damaged_page_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"emb": pa.FixedSizeListArray.from_arrays(pa.array(vectors(2000).round(1).reshape(-1)), DIM)})
    pq.write_table(table, path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[2000:2100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read"):
        compressed(path, tmp_path / "out")


@pytest.mark.parametrize("where", [None, "nowhere"])
def test_verify_without_a_bundle_compresses_nothing(tmp_path: Path, where: str | None) -> None:
    out = tmp_path / where if where else None
    with pytest.raises(ConfigError, match="--verify: no bundle in"):
        compressed("", out, verify=True)
    assert not (tmp_path / "nowhere").exists() or not list((tmp_path / "nowhere").iterdir())
