"""Rows added to a finished bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, save_vectors, tree, vectors

from irctl.errors import ConfigError, DataError, PartlyDone
from irctl.index.bundle import locate_quantizer, open_bundle
from irctl.index.shards import ShardJournal
from irctl.pipelines.references.bundles import load_quantizer
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
    ShardJournal(sub).add({"index": 0})  # as a kill just after the manifest leaves it
    shutil.copytree(locate_quantizer(bundle, "pq"), locate_quantizer(sub, "pq"))
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


def test_rows_are_appended_all_or_not_at_all(tmp_path: Path, bundle: Path) -> None:
    new, before = source(tmp_path / "new", 1700, 5000, seed=3), tree(bundle)
    with pytest.raises(ConfigError, match=r"adds all rows or none: found compress\.max_batches = 2"):
        compressed(new, append=str(bundle), compress__max_batches=2)
    for key, message in (("merge", "compress.merge = true"), ("workers", "compress.workers = 2")):
        with pytest.raises(ConfigError, match=message):
            compressed(new, append=str(bundle), **{f"compress__{key}": {"merge": "true", "workers": 2}[key]})
    assert tree(bundle) == before


def test_a_batch_that_is_missing_leaves_the_manifest_alone(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.pipelines.compress.work import Work

    before = (bundle / "manifest.json").read_bytes()
    encode = Work.encode

    def short(self, *given, **named):  # type: ignore[no-untyped-def]
        return {name: {i: line for i, line in of.items() if i} for name, of in encode(self, *given, **named).items()}

    monkeypatch.setattr(Work, "encode", short)
    with pytest.raises(PartlyDone, match="1 of 2 batches are missing, the first is 0"):
        compressed(source(tmp_path / "new", 700, 5000, seed=3), append=str(bundle))
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_partial_bundle_takes_no_new_rows_and_keeps_those_it_was_given(tmp_path: Path, bundle: Path) -> None:
    compressed(tmp_path / "old", tmp_path / "part", compress__max_batches=1)
    new = source(tmp_path / "new", 700, 5000, seed=3)
    with pytest.raises(DataError, match=r"holds 500 rows, a part of its input only.*without --max-batches"):
        compressed(new, append=str(tmp_path / "part"))
    compressed(new, append=str(bundle))
    whole = tree(bundle)
    (bundle / "codes" / "pq_compressed_batch_0002.npy").unlink()
    with pytest.raises(DataError, match=r"appended after row 1199, but only 1000 .*without --max-batches"):
        compressed(tmp_path / "old", bundle, compress__max_batches=2)
    compressed(tmp_path / "old", bundle)
    assert tree(bundle) == whole


@pytest.mark.parametrize("kind", ["codes", "ids"])
def test_a_lost_file_of_appended_rows_is_made_again_by_the_same_command(
    tmp_path: Path, bundle: Path, kind: str
) -> None:
    new = source(tmp_path / "new", 1200, 5000, seed=3)
    compressed(new, append=str(bundle))
    whole, reporter = tree(bundle), Silent()
    lost = sorted((next(bundle.glob("append-*")) / kind).iterdir())[1]
    lost.unlink()
    with pytest.raises(DataError, match=rf"{lost.name}: is missing.*--append {bundle} --data {new}"):
        compressed(tmp_path / "old", bundle)
    with pytest.raises(DataError, match=rf"{lost.name}: is missing"):
        compressed(source(tmp_path / "third", 10, 9000), append=str(bundle))
    for folder in bundle.glob("append-*"):  # what the refused --append has not begun
        assert folder == lost.parent.parent
    assert compressed(new, None, reporter, append=str(bundle))["added"] == 0
    assert tree(bundle) == whole and "1 lost parts were made again" in reporter.lines[-1]
    assert open_bundle(bundle, load_quantizer).verify() == 12


def test_a_lost_file_that_comes_out_otherwise_is_not_put_in_its_place(tmp_path: Path, bundle: Path) -> None:
    new = source(tmp_path / "new", 700, 5000, seed=3)
    compressed(new, append=str(bundle))
    (lost, *_) = sorted((next(bundle.glob("append-*")) / "codes").iterdir())
    lost.unlink()
    manifest = bundle / "manifest.json"
    told = json.loads(manifest.read_text())
    told["parts"][3]["sha256"] = "0" * 64  # as if another machine had made it
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"cannot be made again: expected sha256 0000"):
        compressed(new, append=str(bundle))
    assert not lost.exists() and json.loads(manifest.read_text()) == told


def test_vectors_of_another_width_are_told_so(tmp_path: Path, bundle: Path) -> None:
    np.save(tmp_path / "narrow.npy", vectors(20, dim=16))
    with pytest.raises(DataError, match=r"its rows have 32 dimensions, those of .*narrow\.npy have 16"):
        compressed(tmp_path / "narrow.npy", append=str(bundle))


@pytest.mark.parametrize(
    ("option", "value"),
    [("out", "x"), ("init", "x"), ("shard", "0/2"), ("train_only", True), ("finalize", True), ("verify", True)],
)
def test_options_that_an_append_would_ignore_are_refused(tmp_path: Path, option: str, value: object) -> None:
    name = "--" + option.replace("_", "-")
    with pytest.raises(ConfigError, match=f"--append and {name}: cannot be given together"):
        compressed(tmp_path / "x.npy", append=str(tmp_path / "b"), **{option: value})


def test_another_method_metric_or_setting_than_the_bundles_is_refused(tmp_path: Path, bundle: Path) -> None:
    new = source(tmp_path / "new", 700, 5000, seed=3)
    with pytest.raises(ConfigError, match=r"compress.method = pq, asked for is sq"):
        compressed(new, append=str(bundle), compress__method="sq")
    with pytest.raises(ConfigError, match=r"compress.metric = ip, asked for is l2"):
        compressed(new, append=str(bundle), compress__metric="l2")
    with pytest.raises(ConfigError, match=r"trained with pq.m = 8, asked for is 4"):
        compressed(new, append=str(bundle), pq__m=4)
