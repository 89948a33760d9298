"""`irctl compress` from vectors to a bundle: layout, resume, refusals, several methods, and what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from compressing import DIM, compressed, new_run, save_vectors, settings, tree, vectors

from irctl.errors import ConfigError, DataError, PartlyDone, RunFailed
from irctl.files import write_atomic
from irctl.index import shards
from irctl.index.bundle import open_bundle
from irctl.ledger import query
from irctl.pipelines.compress import compress as pipeline
from irctl.pipelines.references.bundles import load_quantizer
from irctl.types import Silent


def test_names_are_those_of_the_plan_and_start_at_0000(tmp_path: Path) -> None:
    compressed(save_vectors(tmp_path / "x.npy", 2600), tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out" / "codes").iterdir())
    assert names == [f"pq_compressed_batch_{i:04d}.npy" for i in range(6)]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"plan.json", "manifest.json", "probe.json", "codes", "pq"}
    shapes = [np.load(p).shape for p in sorted((tmp_path / "out" / "codes").iterdir())]
    assert shapes == [(500, 4)] * 5 + [(100, 4)]


def test_codes_are_those_of_the_trained_quantizer_for_every_row(tmp_path: Path) -> None:
    payload = compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "out")
    bundle = open_bundle(tmp_path / "out", load_quantizer)
    codes = np.concatenate([c for _, c in bundle.blocks(1000)])
    assert (codes == bundle.quantizer.encode(vectors(2600))).all()
    assert payload["bundle"] == str(tmp_path / "out") and bundle.rows == 2600 and bundle.ids.are_rows


def test_batch_size_and_streaming_do_not_change_a_code(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    whole = compressed(source, tmp_path / "a", compress__stream="false", compress__method="rabitq")
    compressed(source, tmp_path / "b", compress__batch=1500, compress__method="rabitq")
    codes = [np.concatenate([c for _, c in open_bundle(tmp_path / n, load_quantizer).blocks(999)]) for n in "ab"]
    assert (codes[0] == codes[1]).all() and whole["results"][0]["batches"] == 1


def test_a_second_run_of_the_same_command_changes_no_byte(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a")
    before = tree(tmp_path / "a")
    reporter = Silent()
    compressed(source, tmp_path / "a", reporter)
    compressed(source, tmp_path / "b")
    assert tree(tmp_path / "a") == before == tree(tmp_path / "b")
    assert "6 of 6 batches are done already" in reporter.lines and not any(
        "training" in line for line in reporter.lines
    )


def test_the_ledger_holds_sizes_quality_and_lineage(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, run__dataset="msmarco-streaming", compress__method="sq")
    record = query.newest("compress")
    assert record is not None and record.columns["dataset"] == "msmarco-streaming"
    found = {m["name"]: m["value"] for m in query.measures(record.id)}
    sizes = sum(p.stat().st_size for p in (record.folder / "out" / "codes").iterdir())
    assert found["bytes_per_row"] == pytest.approx(sizes / 2600) and found["code_size"] == DIM
    assert found["ratio"] == pytest.approx(4 * DIM * 2600 / sizes)
    assert 0 < found["relative_mse"] < 0.001 and abs(found["estimator_bias"]) < 0.01 and found["recall@10"] > 0.9
    assert {"encoder_rows_per_cpu_s", "reader_rows_per_cpu_s", "writer_rows_per_cpu_s", "train_s"} <= set(found)
    kinds = {(a["role"], a["kind"]) for a in query.artifacts(record)}
    assert kinds == {("in", "embeddings"), ("out", "bundle")}


def test_probe_rows_are_not_among_those_they_search(tmp_path: Path) -> None:
    # the first half of the rows is repeated: a probe finds its twin, but never itself
    x = vectors(800)
    np.save(tmp_path / "x.npy", x)
    found = compressed(tmp_path / "x.npy", compress__method="flat", flat__dtype="float32")["results"][0]
    assert found["recall@10"] == 1.0 and found["relative_mse"] == 0.0


def test_several_methods_read_the_input_once_and_equal_single_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irctl.data.vectors.stream import VectorStream

    source = save_vectors(tmp_path / "x.npy")
    starts: list[int] = []
    plain = VectorStream.blocks

    def counted(self, size, start=0, stop=None):  # type: ignore[no-untyped-def]
        for block in plain(self, size, start, stop):
            starts.append(block.start)
            yield block

    monkeypatch.setattr(VectorStream, "blocks", counted)
    payload = compressed(source, tmp_path / "both", compress__method="pq,sq")
    assert starts == [0, 500, 1000, 1500, 2000, 2500]
    compressed(source, tmp_path / "sq", compress__method="sq")
    both, single = tree(tmp_path / "both" / "sq" / "codes"), tree(tmp_path / "sq" / "codes")
    assert both == single and [r["method"] for r in payload["results"]] == ["pq", "sq"]


def test_max_batches_makes_a_partial_bundle_that_a_later_run_completes(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    payload = compressed(source, tmp_path / "a", compress__max_batches=2)
    assert payload["results"][0]["coverage"] == "partial" and "partial" in payload["lines"][-1]
    assert open_bundle(tmp_path / "a", load_quantizer).rows == 1000
    compressed(source, tmp_path / "a")
    compressed(source, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_ids_beside_the_vectors_become_the_bundles(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save_vectors(folder / "x.npy", 1200)
    (folder / "ids.txt").write_text("".join(f"doc{i}\n" for i in range(1200)))
    compressed(folder, tmp_path / "out")
    bundle = open_bundle(tmp_path / "out", load_quantizer)
    assert [bundle.ids[i] for i in (0, 777, 1199)] == ["doc0", "doc777", "doc1199"]
    assert bundle.manifest["parts"][1]["first_id"] == "doc500"


def test_settings_that_changed_are_refused_with_both_values(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a")
    with pytest.raises(ConfigError, match="begun with batch = 500, now it is 1000"):
        compressed(source, tmp_path / "a", compress__batch=1000)
    with pytest.raises(ConfigError, match="method"):
        compressed(source, tmp_path / "a", compress__method="sq")
    save_vectors(source, 2600, seed=9)
    with pytest.raises(ConfigError, match="fingerprint"):
        compressed(source, tmp_path / "a")


def test_batches_of_another_quantizer_are_refused(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a", compress__max_batches=2)
    described = tmp_path / "a" / "pq" / "quantizer.json"
    described.write_text(described.read_text().replace('"faiss"', '"Faiss"'))
    with pytest.raises(ConfigError, match="was encoded by another quantizer"):
        compressed(source, tmp_path / "a")


def test_a_trained_quantizer_is_reused(tmp_path: Path) -> None:
    compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "a")
    other = save_vectors(tmp_path / "y.npy", 700, seed=5)
    reporter = Silent()
    compressed(other, tmp_path / "b", reporter, init=str(tmp_path / "a"))
    files = ("pq/quantizer.json", "pq/centroids.npy")
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert not any("training" in line for line in reporter.lines)
    with pytest.raises(ConfigError, match=r"--init .*: is pq for 32 dimensions and ip, asked for is sq"):
        compressed(other, tmp_path / "c", init=str(tmp_path / "a"), compress__method="sq")


def test_workers_that_share_a_plan_give_the_bytes_of_one(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "one", compress__workers=3)
    out = tmp_path / "many"
    trained = compressed(source, out, train_only=True, compress__workers=3)
    assert trained["results"][0]["code_size"] == 4 and not (out / "codes").exists()
    for worker in (2, 0):
        payload = compressed(source, out, shard=f"{worker}/3", compress__workers=3)
        assert payload["batches"] == 2
    with pytest.raises(PartlyDone, match=r"2 of 6 batches are missing, the first is 2.*--array=1 ") as e:
        compressed(source, out, finalize=True, compress__workers=3)
    assert e.value.exit_code == 5
    compressed(source, out, shard="1/3", compress__workers=3)
    compressed(source, out, shard="1/3", compress__workers=3)  # twice is harmless
    compressed(source, out, finalize=True, compress__workers=3)
    assert tree(out) == tree(tmp_path / "one")


def test_a_shard_without_a_quantizer_or_a_folder_says_what_to_do(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    with pytest.raises(DataError, match="--train-only"):
        compressed(source, tmp_path / "a", shard="0/2", compress__workers=2)
    with pytest.raises(ConfigError, match="--out"):
        compressed(source, shard="0/2", compress__workers=2)


def test_verify_finds_a_changed_shard(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a")
    assert compressed(source, tmp_path / "a", verify=True)["verified"] == {"pq": 8}
    victim = tmp_path / "a" / "codes" / "pq_compressed_batch_0003.npy"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(DataError, match=r"batch_0003\.npy: is damaged.*expected sha256"):
        compressed(source, tmp_path / "a", verify=True)


def test_a_shard_that_vanished_is_made_again(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a")
    before = tree(tmp_path / "a")
    (tmp_path / "a" / "codes" / "pq_compressed_batch_0003.npy").unlink()
    compressed(source, tmp_path / "a")
    assert tree(tmp_path / "a") == before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"compress__batch": 700}, "multiple of 500"),
        ({"compress__memory_gib": 0.4}, "needs 0.5 GiB of memory, the limit is 0.4 GiB"),
        ({"pq__m": 7}, "7 slices do not divide 32 dimensions"),
        ({"pq__bits": 12}, r"12 bits need at least 4096 training rows, found 2340.*--set pq.bits=11"),
        ({"compress__method": "pq,pq"}, "twice"),
    ],
)
def test_what_cannot_be_is_refused_before_or_in_training(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "a", **keys)
    assert not (tmp_path / "a" / "codes").exists()


def test_few_training_rows_are_said_once(tmp_path: Path) -> None:
    reporter = Silent()
    compressed(save_vectors(tmp_path / "x.npy", 1400), tmp_path / "a", reporter, pq__bits=8)
    assert sum("1260 training rows for 256 centroids" in line for line in reporter.lines) == 1


def test_a_row_with_nan_names_file_and_row(tmp_path: Path) -> None:
    x = vectors(1600)
    x[1234, 5] = np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=r"x\.npy.*row 1234"):
        compressed(tmp_path / "x.npy", tmp_path / "a", compress__train_size=200, compress__probe=0)


def test_codes_below_a_jobs_tmpdir_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_vectors(tmp_path / "x.npy")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(ConfigError, match="deleted when the job ends"):
        compressed(source, tmp_path / "scratch" / "out")


def test_an_array_task_takes_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "a", train_only=True, compress__workers=2)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "1")  # this task alone was resubmitted
    assert compressed(source, tmp_path / "a", compress__workers=2)["batches"] == 3
    assert sorted(shards.find_done(tmp_path / "a")) == [3, 4, 5]


def test_the_newest_encoded_corpus_is_the_default_input(tmp_path: Path) -> None:
    run = new_run("encode")
    with run:
        folder = run.out / "emb"
        part = write_atomic(folder / "vectors" / "part-00000.npy", vectors(900))
        ids = shards.write_ids(folder / "ids" / "part-00000.arrow", [f"d{i}" for i in range(900)])
        line = {"file": "vectors/part-00000.npy", "rows": 900, "bytes": part.bytes, "sha256": part.sha256}
        line |= {"ids": "ids/part-00000.arrow", "ids_bytes": ids.bytes, "ids_sha256": ids.sha256}
        shards.write_manifest(
            folder,
            {
                "format": "irctl-embeddings", "version": 1, "rows": 900, "dim": DIM, "dtype": "float32",
                "similarity": "cosine", "key": "abc", "key_parts": {"side": "passage", "content": "c", "weights": "w"},
                "parts": [line],
            },
        )  # fmt: skip
        run.note(dataset="toy", model="some/encoder")
        run.artifact("out", "embeddings", folder, sha256="abc", n_rows=900, dim=DIM)
    reporter = Silent()
    compressed("", tmp_path / "a", reporter)
    assert f"compressing the vectors of run {run.id}" in reporter.lines
    about = json.loads((tmp_path / "a" / "manifest.json").read_text())["about"]
    assert about["model"] == "some/encoder" and about["collection"] == "toy" and about["encoder"]["weights"] == "w"
    made = query.newest("compress")
    assert made is not None and made.columns["dataset"] == "toy"
    links = query.rows("SELECT src_run, dst_run FROM links")
    assert [(row["src_run"], row["dst_run"]) for row in links] == [(run.id, made.id)]


def test_merged_files_hold_the_same_rows_and_merging_twice_is_harmless(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, rows in (("a", 1200), ("b", 800)):
        save_vectors(folder / f"{name}.npy", rows, seed=rows)
    (folder / "ids.txt").write_text("".join(f"d{i}\n" for i in range(2000)))
    compressed(folder, tmp_path / "out")
    plain = open_bundle(tmp_path / "out", load_quantizer)
    codes, ids = np.concatenate([c for _, c in plain.blocks(700)]), list(plain.ids)
    for _ in range(2):
        compressed(folder, tmp_path / "out", finalize=True, compress__merge="true")
        assert sorted(p.name for p in (tmp_path / "out" / "codes").iterdir()) == ["part-00000.npy", "part-00001.npy"]
        assert sorted(p.name for p in (tmp_path / "out" / "ids").iterdir()) == ["part-00000.arrow", "part-00001.arrow"]
        merged = open_bundle(tmp_path / "out", load_quantizer)
        assert [p["rows"] for p in merged.parts] == [1200, 800] and list(merged.ids) == ids
        assert [merged.parts[1][key] for key in ("first_id", "last_id")] == ["d1200", "d1999"] == [ids[1200], ids[-1]]
        assert (np.concatenate([c for _, c in merged.blocks(700)]) == codes).all()
    reporter = Silent()
    compressed(folder, tmp_path / "out", reporter)
    assert "5 of 5 batches are done already" in reporter.lines


def test_a_corrupted_batch_is_not_merged(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 1400)
    compressed(source, tmp_path / "a")
    victim = tmp_path / "a" / "codes" / "pq_compressed_batch_0001.npy"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(DataError, match=r"batch_0001\.npy"):
        compressed(source, tmp_path / "a", finalize=True, compress__merge="true")
    assert len(list((tmp_path / "a" / "codes").glob("*.npy"))) == 3


def test_a_folder_below_a_file_is_exit_3(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 700)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="expected a folder, found a file") as e:
        compressed(source, tmp_path / "file" / "out")
    assert e.value.exit_code == 3


def test_a_full_disk_ends_the_run_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "whole")
    plain = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "pq_compressed_batch_0003.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunFailed, match=r"rows 1500-1999: .*no space left") as e:
        compressed(source, tmp_path / "a")
    assert e.value.exit_code == 1 and "same command continues" in e.value.hint
    assert not (tmp_path / "a" / "manifest.json").exists()
    monkeypatch.undo()
    compressed(source, tmp_path / "a")
    assert tree(tmp_path / "a") == tree(tmp_path / "whole")


def test_a_torn_manifest_is_named(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 700)
    compressed(source, tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text()[:100])
    with pytest.raises(DataError, match=r"manifest\.json.*: not valid JSON"):
        compressed(source, tmp_path / "a")


def test_an_array_of_workers_is_spelled_out_by_a_dry_run(tmp_path: Path) -> None:
    config = settings(compress__source=save_vectors(tmp_path / "x.npy"), compress__workers=16)
    steps = pipeline.describe(config)["array"]
    assert "--train-only" in steps[0] and "--array=0-15" in steps[1] and "--finalize" in steps[2]


def test_a_reused_quantizer_is_measured_on_the_new_rows(tmp_path: Path) -> None:
    compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "a", compress__method="sq")
    other = save_vectors(tmp_path / "y.npy", 900, seed=5)
    row = compressed(other, tmp_path / "b", init=str(tmp_path / "a"), compress__method="sq")["results"][0]
    assert 0 < row["relative_mse"] < 0.01
