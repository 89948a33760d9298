"""What the rows of a compression bring up: values that do not fit, repeated ids, and which rows are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compressing import compressed, settings, tree, vectors

from irctl.data.vectors import parquet
from irctl.errors import DataError
from irctl.index.plan import draw_samples, read
from irctl.metrics.vectors.distortion import relative_mse
from irctl.pipelines.compress import dry_run, probe
from irctl.quantizers.shared import opening
from irctl.types import Silent


@pytest.mark.parametrize("workers", [1, 2])
def test_values_that_a_later_row_has_beyond_half_precision_are_told(tmp_path: Path, workers: int) -> None:
    # training looked at a thousand rows, and what encoding found was told to nobody
    x = vectors(2600)
    x[2500, 0] = 1e6
    np.save(tmp_path / "x.npy", x)
    keys = {"compress__method": "faiss", "faiss__factory": "SQfp16", "compress__workers": workers}
    reporter = Silent()
    compressed(tmp_path / "x.npy", tmp_path / "b", reporter, **keys, compress__train_size=100, compress__probe=0)
    assert sum("beyond 65504 are kept as 65504" in line for line in reporter.lines) == 1


def test_errors_are_of_rows_that_were_not_trained_on(tmp_path: Path) -> None:
    # 16 centroids a slice learn 90 random rows nearly by heart, and the error of those was called held out
    np.save(tmp_path / "x.npy", vectors(100))
    reporter = Silent()
    row = compressed(tmp_path / "x.npy", tmp_path / "b", reporter, pq__m=16, pq__bits=6)["results"][0]
    plan = read(tmp_path / "b")
    held, trained = draw_samples(100, plan.train_rows, plan.probe, plan.seed)
    quantizer, x = opening.load(tmp_path / "b" / "pq"), vectors(100)

    def error(rows: np.ndarray) -> float:
        return relative_mse(x[rows], quantizer.decode(quantizer.encode(x[rows])))

    assert row["relative_mse"] == pytest.approx(error(held)) and error(trained) < 0.7 * error(held)
    assert (row["held_out_rows"], row["sample_rows"], row["sample_trained_rows"]) == (10, 90, 90)
    assert row["measured_on"] == "10 held-out rows; recall among 90 others, 90 of them trained on"
    assert f"measuring on {row['measured_on']}" in reporter.lines


def test_recall_is_among_rows_that_were_not_trained_on_where_there_are_enough(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(probe, "_ENOUGH", 300)
    np.save(tmp_path / "x.npy", vectors(2000))
    row = compressed(tmp_path / "x.npy", tmp_path / "b", compress__method="sq", compress__train_size=1000)["results"][0]
    assert (row["sample_trained_rows"], row["held_out_rows"]) == (0, 200) and row["sample_rows"] > 300


def test_the_input_is_read_once_for_training_and_measuring(tmp_path: Path, monkeypatch) -> None:
    # it was read three times: for the training rows, for those to measure on, and for those they search
    pq.write_table(pa.table({"emb": list(vectors(3000))}), tmp_path / "x.parquet", row_group_size=1000)
    read, batches = [], parquet.read_batches

    def counting(file, name, rows, **options):
        for batch in batches(file, name, rows, **options):
            read.append(len(batch))
            yield batch

    monkeypatch.setattr(parquet, "read_batches", counting)
    compressed(tmp_path / "x.parquet", tmp_path / "b", train_only=True, compress__method="sq,flat")
    assert 2000 < sum(read) <= 3000 + 1  # one row tells the width


def test_what_a_reused_quantizer_was_trained_on_is_not_claimed_to_be_known(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", vectors(600))
    compressed(tmp_path / "x.npy", tmp_path / "a", compress__method="sq")
    again = compressed(tmp_path / "x.npy", tmp_path / "b", init=str(tmp_path / "a"), compress__method="sq")["results"][
        0
    ]
    assert "held_out_rows" not in again and "not known which of them trained on" in again["measured_on"]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_the_probe_asks_with_vectors_that_are_no_rows(tmp_path: Path, metric: str) -> None:
    # recall of queries of another length fell to .18 and the probe, asking with rows alone, said .94
    np.save(tmp_path / "x.npy", vectors(1500) + 1)
    keys = {"compress__method": "rabitq", "rabitq__bits": 4, "compress__metric": metric}
    row = compressed(tmp_path / "x.npy", tmp_path / "b", **keys)["results"][0]
    assert row["query_recall@10"] > 0.7 and row["query_recall@100"] > 0.7
    asked = probe.between(vectors(4), metric)
    lengths = np.linalg.norm(asked, axis=1) / np.linalg.norm(vectors(4), axis=1).mean()
    assert (lengths < 0.02).all() == (metric == "ip")


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_repeated_ids_are_found_before_anything_is_encoded(tmp_path: Path, kind: str) -> None:
    # found after the last of 53 million rows, with a folder left whose hint led to the same error
    ids = [f"d{i % 1100}" for i in range(1500)]
    (tmp_path / "in").mkdir()
    if kind == "parquet":
        pq.write_table(pa.table({"docid": ids, "emb": list(vectors(1500))}), tmp_path / "in" / "x.parquet")
    else:
        np.save(tmp_path / "in" / "x.npy", vectors(1500))
        (tmp_path / "in" / "ids.txt").write_text("".join(f"{i}\n" for i in ids))
    reporter = Silent()
    with pytest.raises(DataError, match="rows 0 and 1100 have the same id 'd0'") as e:
        compressed(tmp_path / "in", tmp_path / "b", reporter)
    assert "Nothing was encoded yet" in e.value.hint and reporter.lines == []
    assert not list((tmp_path / "b").rglob("*.json")) and not list((tmp_path / "b").rglob("*.npy"))
    compressed(tmp_path / "in", tmp_path / "b", compress__max_batches=2)  # of rows whose ids are distinct
    with pytest.raises(DataError, match="rows 0 and 1100"):
        compressed(tmp_path / "in", tmp_path / "b", reporter)
    assert not any(line.startswith("training") for line in reporter.lines)
    if kind == "npy":  # as the hint says
        (tmp_path / "in" / "ids.txt").unlink()
    else:
        pq.write_table(
            pa.table({"docid": ids, "own": list(map(str, range(1500))), "emb": list(vectors(1500))}),
            tmp_path / "in" / "x.parquet",
        )
    named = f"{tmp_path / 'in'}#emb,own" if kind == "parquet" else tmp_path / "in"
    assert compressed(named, tmp_path / "c")["results"][0]["rows"] == 1500


def test_ids_that_a_bundle_has_are_found_before_new_rows_are_encoded(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 100)):  # the last of the new rows is in the bundle
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", vectors(1200))
        ids = range(1199, -1, -1) if first == 0 else [*range(2000, 3199), 5]
        (tmp_path / name / "ids.txt").write_text("".join(f"d{i}\n" for i in ids))
    compressed(tmp_path / "a", tmp_path / "bundle")
    with pytest.raises(DataError, match="row 1199: document 'd5' is in the bundle already"):
        compressed(tmp_path / "b", append=str(tmp_path / "bundle"))
    assert not list((tmp_path / "bundle").glob("append-*"))


@pytest.mark.parametrize("kind", ["f8", ">f4", "fortran", "f2", "i1", "u1"])
def test_codes_of_an_array_in_any_type_and_order_are_those_of_float32_parquet(tmp_path: Path, kind: str) -> None:
    x = vectors(900)
    scaled = x * 120 + (125 if kind == "u1" else 0) if kind in ("i1", "u1") else x
    array = np.asfortranarray(x) if kind == "fortran" else scaled.astype(kind)
    np.save(tmp_path / "x.npy", array)
    rows = np.ascontiguousarray(array, dtype=np.float32).tolist()
    pq.write_table(pa.table({"emb": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
    made = {}
    for name in ("x.npy", "x.parquet"):
        compressed(tmp_path / name, tmp_path / f"{name}.out", compress__method="pq,sq")
        made[name] = {k: v for k, v in tree(tmp_path / f"{name}.out").items() if "/codes/" in k}
    assert len(made["x.npy"]) == 4 and made["x.npy"] == made["x.parquet"]


def test_an_empty_array_is_refused_with_its_shape_and_by_the_dry_run_too(tmp_path: Path) -> None:
    # the dry run divided by the number of rows
    np.save(tmp_path / "x.npy", vectors(0))
    config = settings(compress__source=tmp_path / "x.npy", compress__stream="true")
    for work in (lambda: compressed(tmp_path / "x.npy", tmp_path / "b"), lambda: dry_run.describe(config, ["sq"])):
        with pytest.raises(DataError, match=r"x\.npy: holds no vectors, found shape \(0, 32\)"):
            work()
