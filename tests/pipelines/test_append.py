"""Rows added to a finished bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, save_vectors, tree, vectors

from irctl.errors import ConfigError, DataError
from irctl.index.bundle import open_bundle, quantizer_folder
from irctl.index.shards import Journal
from irctl.pipelines._bundles import load_quantizer
from irctl.types import Silent


def source(folder: Path, n: int, first: int, seed: int = 0) -> Path:
    """Rows with ids d<first> ..."""
    folder.mkdir()
    save_vectors(folder / "x.npy", n, seed)
    (folder / "ids.txt").write_text("".join(f"d{first + i}\n" for i in range(n)))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    compressed(source(tmp_path / "old", 1200, 0), tmp_path / "b")
    return tmp_path / "b"


def test_new_rows_follow_the_old_ones_by_the_same_quantizer(tmp_path: Path, bundle: Path) -> None:
    before = open_bundle(bundle, load_quantizer)
    codes = np.concatenate([c for _, c in before.blocks(500)])
    payload = compressed(source(tmp_path / "new", 700, 5000, seed=3), append=str(bundle))
    assert (payload["rows"], payload["added"]) == (1900, 700)
    after = open_bundle(bundle, load_quantizer)
    expected = np.concatenate([codes, before.quantizer.encode(vectors(700, seed=3))])
    assert (np.concatenate([c for _, c in after.blocks(999)]) == expected).all()
    assert [after.ids[i] for i in (1199, 1200, 1899)] == ["d1199", "d5000", "d5699"]
    assert after.verify() == 2 * (3 + 2)


def test_the_same_rows_are_added_once(tmp_path: Path, bundle: Path) -> None:
    new = source(tmp_path / "new", 700, 5000, seed=3)
    compressed(new, append=str(bundle))
    whole, reporter = tree(bundle), Silent()
    sub = next(bundle.glob("append-*"))
    Journal(sub).add({"index": 0})  # as a kill just after the manifest leaves it
    shutil.copytree(quantizer_folder(bundle, "pq"), quantizer_folder(sub, "pq"))
    assert tree(bundle) != whole
    assert compressed(new, None, reporter, append=str(bundle))["added"] == 0
    assert tree(bundle) == whole and "these rows are in the bundle already" in reporter.lines
    assert not (sub / "journal").exists()


def test_a_document_that_is_there_already_is_named_and_the_bundle_unchanged(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(DataError, match="row 0: document 'd1199' is in the bundle already"):
        compressed(source(tmp_path / "new", 10, 1199), append=str(bundle))
    twice = source(tmp_path / "twice", 10, 7000)
    (twice / "ids.txt").write_text("x\n" * 10)
    with pytest.raises(DataError, match="row 1: document 'x'"):
        compressed(twice, append=str(bundle))
    assert (bundle / "manifest.json").read_bytes() == before


def test_rows_without_ids_do_not_mix_with_documents(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match="Give both ids or neither"):
        compressed(save_vectors(tmp_path / "x.npy", 20), append=str(bundle))
    with pytest.raises(ConfigError, match="name the rows to add"):
        compressed("", append=str(bundle))


def test_the_first_command_still_finds_its_own_rows_done(tmp_path: Path, bundle: Path) -> None:
    compressed(source(tmp_path / "new", 700, 5000, seed=3), append=str(bundle))
    whole, reporter = tree(bundle), Silent()
    compressed(tmp_path / "old", bundle, reporter)
    assert tree(bundle) == whole and "3 of 3 batches are done already" in reporter.lines


def test_merging_and_rescoring_know_the_new_rows(tmp_path: Path, bundle: Path) -> None:
    from test_search import ranking, save_queries, searched, settings

    compressed(source(tmp_path / "new", 700, 5000, seed=3), append=str(bundle))
    compressed(tmp_path / "old", bundle, finalize=True, compress__merge="true")
    queries = save_queries(tmp_path / "q.npy")
    found = ranking(searched(settings(search__k=5, search__rerank=1900), index=str(bundle), queries=queries))
    x = np.concatenate([vectors(1200), vectors(700, seed=3)])
    names = [f"d{i}" for i in range(1200)] + [f"d{5000 + i}" for i in range(700)]
    order = np.argsort(-(np.load(queries) @ x.T), axis=1)[:, :5]
    assert found == {str(q): [names[r] for r in rows] for q, rows in enumerate(order)}
