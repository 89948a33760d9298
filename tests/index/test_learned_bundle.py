"""The bundle of a training: its parent's codes, linked, and a query side; every byte of it accounted for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from learning import TRAINED, child_bundle, move_query_side, opened, parent_bundle

from irctl.errors import DataError
from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import fingerprint_folder, write_learned
from irctl.quantizers import learned


@pytest.fixture
def parent(tmp_path: Path) -> Bundle:
    return parent_bundle(tmp_path)


def test_codes_and_ids_are_links_to_those_of_the_parent_which_may_go(tmp_path: Path, parent: Bundle) -> None:
    child = child_bundle(tmp_path / "child", parent)
    assert (child.method, child.rows, child.metric) == ("learned", parent.rows, parent.metric)
    for part in parent.parts:
        assert (parent.folder / part["file"]).samefile(child.folder / part["file"])
        assert (parent.folder / part["ids"]).samefile(child.folder / part["ids"])
    assert [p["sha256"] for p in child.parts] == [p["sha256"] for p in parent.parts]
    assert child.manifest["parent"] == {"method": "opq", "manifest": parent.fingerprint}
    assert child.manifest["about"]["trained"] == TRAINED["trained"]
    assert child.manifest["source"] == parent.manifest["source"]
    shutil.rmtree(parent.folder)
    assert child.verify() == 2 * len(child.parts) and list(child.ids)[:2] == ["d0", "d1"]


def test_where_there_are_no_links_files_are_copied(
    tmp_path: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    child = child_bundle(tmp_path / "child", parent)
    assert not (parent.folder / parent.parts[0]["file"]).samefile(child.folder / child.parts[0]["file"])
    assert child.verify() == 2 * len(child.parts)


def test_scores_are_of_the_query_side_and_codes_of_the_parent(tmp_path: Path, parent: Bundle) -> None:
    child, queries = child_bundle(tmp_path / "child", parent), np.load(tmp_path / "in" / "x.npy")[:4]
    codes = child.take(np.arange(200))
    assert (codes == parent.take(np.arange(200))).all()
    assert (child.quantizer.encode(queries) == parent.quantizer.encode(queries)).all()
    assert not np.allclose(child.quantizer.scores(queries, codes), parent.quantizer.scores(queries, codes), atol=1e-3)


@pytest.mark.parametrize("mapped", (True, False))
def test_bytes_on_disk_are_codes_centroids_rotation_map_ids_and_headers(
    tmp_path: Path, parent: Bundle, mapped: bool
) -> None:
    child = child_bundle(tmp_path / "child", parent, mapped=mapped)
    n, c, d = child.rows, child.code_size, child.dim
    m, k = child.quantizer.config.m, 1 << child.quantizer.config.bits
    header = 128  # of a .npy file
    arrays = 2 * (4 * k * d + header) + (2 if mapped else 1) * (4 * d * d + header)
    codes = n * c + len(child.parts) * header
    ids = sum(int(p["ids_bytes"]) for p in child.parts)
    texts = sum((child.folder / name).stat().st_size for name in ("manifest.json", "pq/quantizer.json"))
    found = sum(f.stat().st_size for f in child.folder.rglob("*") if f.is_file())
    assert found == codes + arrays + ids + texts and m * (d // m) == d


def test_a_query_encoder_is_copied_and_known_by_its_bytes(tmp_path: Path, parent: Bundle) -> None:
    model = tmp_path / "model"
    (model / "1_Pooling").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "1_Pooling" / "config.json").write_text("{}")
    child = child_bundle(tmp_path / "child", parent, query_encoder=model)
    own = child.manifest["query_encoder"]
    assert own == {"folder": "query_encoder", "fingerprint": fingerprint_folder(model)}
    (model / "config.json").write_text('{"later": 1}')  # the training's folder may change; the bundle's does not
    assert fingerprint_folder(child.folder / "query_encoder") == own["fingerprint"] != fingerprint_folder(model)


def test_a_bundle_appears_whole_or_not_at_all(tmp_path: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learned.Quantizer, "save", fail)
        child_bundle(tmp_path / "child", parent)
    assert not (tmp_path / "child").exists()
    first = child_bundle(tmp_path / "child", parent).fingerprint
    assert child_bundle(tmp_path / "child", parent).fingerprint == first  # again, in place of the first
    assert not list(tmp_path.glob(".child.tmp.*"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no bundle"):
        child_bundle(tmp_path / "notes", parent)


def test_a_quantizer_of_other_codes_and_damaged_codes_are_refused(tmp_path: Path, parent: Bundle) -> None:
    other = learned.Quantizer.of_arrays(None, np.zeros((4, 16, parent.dim // 4)))
    with pytest.raises(DataError, match="the trained quantizer makes"):
        write_learned(tmp_path / "child", parent, other, about={})
    path = parent.folder / parent.parts[0]["file"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="sha256"):
        write_learned(tmp_path / "child", opened(parent.folder), move_query_side(parent), about={})
    assert not (tmp_path / "child").exists()
