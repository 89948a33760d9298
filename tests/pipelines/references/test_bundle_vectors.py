"""The float vectors behind a bundle, and how a bundle that a training wrote is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, new_run, settings, vectors
from learning import child_bundle, opened, parent_bundle, trained_run

from irctl.errors import DataError
from irctl.index.bundle import Bundle
from irctl.pipelines.references import bundles
from irctl.pipelines.references.bundle_vectors import open_source
from irctl.pipelines.references.run_files import run_file_of
from irctl.pipelines.search import opened_index


@pytest.fixture
def parent(tmp_path: Path) -> Bundle:
    return parent_bundle(tmp_path)


def test_row_i_is_the_vector_of_code_row_i_of_parent_child_and_appended(tmp_path: Path, parent: Bundle) -> None:
    np.save(tmp_path / "more.npy", vectors(40, seed=5))
    (tmp_path / "more").mkdir()
    shutil.move(tmp_path / "more.npy", tmp_path / "more" / "x.npy")
    (tmp_path / "more" / "ids.txt").write_text("".join(f"n{i}\n" for i in range(40)))
    child = child_bundle(tmp_path / "child", parent)
    compressed(tmp_path / "more", append=str(child.folder))
    child = opened(child.folder)
    stream = open_source(child, settings())
    assert (stream.rows, stream.dim) == (1240, parent.dim)
    rows = np.array([1239, 0, 700])
    assert (child.quantizer.encode(stream.take(rows)) == child.take(rows)).all()
    assert (open_source(parent, settings()).take(rows[1:]) == stream.take(rows[1:])).all()


def test_vectors_that_are_gone_or_changed_are_an_error_that_names_the_way_back(tmp_path: Path, parent: Bundle) -> None:
    np.save(tmp_path / "in" / "x.npy", vectors(1200, seed=8))
    with pytest.raises(DataError, match="not here any more, or have changed") as e:
        open_source(parent, settings())
    assert "Put them back" in e.value.hint and str(tmp_path / "in") in e.value.message and e.value.exit_code == 3
    path = parent.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["about"] = {"model": "some/model", "data": "cranfield"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError) as e:
        open_source(opened(parent.folder), settings())
    assert "irctl encode --model some/model --data cranfield" in e.value.hint


def test_a_training_that_wrote_a_bundle_is_named_as_a_compression_is(parent: Bundle) -> None:
    run = trained_run(parent)
    for name in (run.id, f"{run.id}:learned", "latest", "latest:learned", "latest:jpq", str(run.paths.folder)):
        assert bundles.folder_of(name) == run.out / "bundle", name
        opened_bundle = opened_index.open_index(name, settings()).bundle
        assert opened_bundle is not None and opened_bundle.method == "learned"
    assert bundles.folder_of("latest:opq") == parent.folder
    with new_run("train"):
        pass  # a training without a bundle is none
    assert bundles.folder_of("latest") == run.out / "bundle"
    with pytest.raises(DataError, match="holds no run file") as e:
        run_file_of(run.id)
    assert f"--index {run.id}" in e.value.hint
