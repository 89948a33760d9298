"""Compression by an array of tasks: what each step takes from the plan, and what --finalize checks and adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compressing import compressed, save_vectors, tree

from irctl.errors import ConfigError, DataError
from irctl.index import shards
from irctl.index.bundle import open_bundle
from irctl.ledger import query
from irctl.pipelines.compress import manifest
from irctl.pipelines.references.bundles import load_quantizer


def by_two(source: Path, out: Path, **keys: object) -> None:
    """Train and let both workers of an array do their share."""
    compressed(source, out, train_only=True, compress__workers=2, **keys)
    for worker in range(2):
        compressed(source, out, shard=f"{worker}/2", compress__workers=2, **keys)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_an_array_that_stops_at_max_batches_finishes_and_continues(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy", 5000), tmp_path / "out"
    by_two(source, out, compress__max_batches=4)
    assert sorted(shards.find_done(out)) == [0, 1, 2, 3]
    row = compressed("", out, finalize=True, compress__max_batches=4)["results"][0]
    assert (row["coverage"], row["rows"]) == ("partial", 2000)
    assert open_bundle(out, load_quantizer).rows == 2000
    by_two(source, out)
    assert compressed("", out, finalize=True)["results"][0]["coverage"] == "full"
    compressed(source, tmp_path / "one", compress__workers=2)
    assert tree(out) == tree(tmp_path / "one")


def test_a_partial_manifest_has_no_gap_and_later_batches_are_kept(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    by_two(source, out)
    (out / "codes" / "pq_compressed_batch_0002.npy").unlink()
    compressed("", out, finalize=True, compress__max_batches=2)
    assert open_bundle(out, load_quantizer).rows == 1000 and sorted(shards.find_done(out)) == [3, 4, 5]
    compressed(source, out, shard="0/2", compress__workers=2)
    assert compressed("", out, finalize=True)["results"][0]["rows"] == 2600


def test_a_resubmitted_task_takes_the_number_of_workers_from_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out, train_only=True, compress__workers=3)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "1")
    payload = compressed(source, out)
    assert (payload["shard"], payload["workers"], payload["batches"]) == (2, 3, 2)
    with pytest.raises(ConfigError, match="task 2: there are 2 workers"):  # what was asked for counts
        compressed(source, out, compress__workers=2)


def test_training_alone_is_allowed_in_a_task_of_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    made = compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "out", train_only=True)
    assert made["results"][0]["code_size"] == 4


def test_finalize_finds_the_methods_of_the_folder(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    by_two(source, tmp_path / "sq", compress__method="sq")
    assert compressed("", tmp_path / "sq", finalize=True)["results"][0]["method"] == "sq"
    record = query.newest("compress")
    assert record is not None and record.columns["method"] == "sq"
    with pytest.raises(ConfigError, match="was begun with --method sq, asked for is pq"):
        compressed("", tmp_path / "sq", finalize=True, compress__method="pq")
    by_two(source, tmp_path / "both", compress__method="pq,sq")
    assert set(compressed("", tmp_path / "both", finalize=True)["bundles"]) == {"pq", "sq"}


def test_finalize_hashes_and_names_the_file_and_its_worker(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    by_two(source, out)
    victim = out / "codes" / "pq_compressed_batch_0004.npy"
    flipped(victim)
    with pytest.raises(
        DataError, match=r"batch_0004\.npy: is damaged.*expected sha256.*Remove that file alone, redo --array=1 "
    ):
        compressed("", out, finalize=True)
    assert not (out / "manifest.json").exists()
    victim.unlink()
    compressed(source, out, shard="1/2", compress__workers=2)
    compressed("", out, finalize=True)
    compressed(source, tmp_path / "one", compress__workers=2)
    assert tree(out) == tree(tmp_path / "one")


def test_times_of_the_steps_reach_the_ledger_and_not_the_bundle(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    by_two(source, out)
    row = compressed("", out, finalize=True)["results"][0]
    assert row["train_s"] > 0 and row["reader_rows_per_cpu_s"] > 0 and row["encoder_rows_per_cpu_s"] > 0
    record = query.newest("compress")
    assert record is not None
    assert {"train_s", "writer_rows_per_cpu_s"} <= {m["name"] for m in query.measures(record.id)}
    assert not (out / "journal").exists()


@pytest.mark.parametrize("spoilt", [False, True])
def test_spoilt_times_do_not_stop_a_finalize(tmp_path: Path, spoilt: bool) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    by_two(source, out)
    for path in (out / "journal").glob("*.json"):
        path.write_text("{") if spoilt else path.unlink()
    row = compressed("", out, finalize=True)["results"][0]
    assert row["rows"] == 2600 and "train_s" not in row and "reader_rows_per_cpu_s" not in row


def test_ids_that_repeat_are_refused_also_in_folders_that_were_begun_without_a_look_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save_vectors(folder / "x.npy", 1200)
    names = [f"d{i}" for i in range(1200)]
    names[1100] = "d7"
    (folder / "ids.txt").write_text("\n".join(names) + "\n")
    for train_only in (False, True):
        with pytest.raises(DataError, match="rows 7 and 1100 have the same id 'd7'"):
            compressed(folder, tmp_path / "none", train_only=train_only)
        assert not list((tmp_path / "none").rglob("*.json"))
    monkeypatch.setattr(manifest, "check_distinct", lambda *_: None)  # as earlier versions
    for out, run in (("one", lambda o: compressed(folder, o)), ("two", lambda o: by_two(folder, o))):
        with pytest.raises(DataError, match="rows 7 and 1100 have the same id 'd7'") as e:
            run(tmp_path / out)
            compressed("", tmp_path / out, finalize=True)
        assert "use another --out" in e.value.hint
        assert sorted(shards.find_done(tmp_path / out)) == [0, 1, 2]
        assert not (tmp_path / out / "manifest.json").exists()


def test_steps_of_an_array_are_given_one_at_a_time(tmp_path: Path) -> None:
    for first, second in (("train_only", "finalize"), ("shard", "finalize"), ("train_only", "shard")):
        with pytest.raises(ConfigError, match="cannot be given together"):
            compressed("", tmp_path / "a", **{first: "0/2", second: "0/2"})


def test_a_whole_run_joins_its_batches_where_that_is_asked_for(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    with pytest.raises(ConfigError, match=r"found compress\.max_batches = 2"):
        compressed(source, tmp_path / "a", compress__merge="true", compress__max_batches=2)
    compressed(source, tmp_path / "plain")
    codes = np.concatenate([c for _, c in open_bundle(tmp_path / "plain", load_quantizer).blocks(999)])
    for _ in range(2):
        compressed(source, tmp_path / "a", compress__merge="true")
        assert [p.name for p in (tmp_path / "a" / "codes").iterdir()] == ["part-00000.npy"]
        merged = open_bundle(tmp_path / "a", load_quantizer)
        assert (np.concatenate([c for _, c in merged.blocks(999)]) == codes).all()
    by_two(source, tmp_path / "b", compress__merge="true")  # the steps before --finalize may name it too
    assert len(list((tmp_path / "b" / "codes").iterdir())) == 6
