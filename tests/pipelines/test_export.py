"""`irctl export`: other programs read what is written, and a plain faiss search ranks like irctl's."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compressing import DIM, compressed, new_run, save_vectors, settings, vectors

from irctl import files
from irctl.errors import ConfigError, DataError
from irctl.index import export as writing
from irctl.index import faiss_file
from irctl.index.bundle import open_bundle
from irctl.pipelines.export.export import ExportRequest, export
from irctl.pipelines.references.bundles import load_quantizer
from irctl.types import Silent


def exported(source: object, to: str, **options: Any) -> Path:
    config = settings()
    run = new_run("export", config)
    with run:
        return Path(export(config, run, Silent(), ExportRequest(source=str(source), to=to, **options))["export"])


def parquet(path: Path, ids: list[str]) -> Path:
    path.parent.mkdir()
    pq.write_table(pa.table({"docid": ids, "emb": list(vectors(len(ids)))}), path)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """1,200 rows with ids in three batches of PQ codes."""
    folder = tmp_path / "in"
    folder.mkdir()
    save_vectors(folder / "x.npy", 1200)
    (folder / "ids.txt").write_text("".join(f"d{i}\n" for i in range(1200)))
    compressed(folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def codes_of(folder: Path) -> np.ndarray:
    return np.concatenate([c for _, c in open_bundle(folder, load_quantizer).blocks(1000)])


def filled(quantizer: Any, codes: np.ndarray) -> Any:
    """The faiss index with all the codes in it."""
    index = quantizer.faiss_index()
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    inner.add_sa_codes(codes)
    index.ntotal = inner.ntotal
    if hasattr(inner, "nlist"):
        inner.nprobe = inner.nlist
    return index


@pytest.mark.parametrize("metric", ("ip", "l2", "cosine"))
@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("pq", {}),
        ("opq", {}),
        ("opq", {"opq__dim": 16}),
        ("sq", {}),
        ("sq", {"sq__bits": 16}),
        ("rabitq", {}),
        ("rabitq", {"rabitq__rotation": "none"}),
        ("flat", {}),
        ("flat", {"flat__dtype": "float32"}),
        ("faiss", {"faiss__factory": "PQ8x4np"}),
        ("faiss", {"faiss__factory": "IVF4,SQ8"}),
    ],
)
def test_plain_faiss_search_with_unrotated_queries_ranks_like_irctl(
    tmp_path: Path, method: str, keys: dict[str, object], metric: str
) -> None:
    compressed(
        save_vectors(tmp_path / "x.npy", 900), tmp_path / "b", compress__method=method, compress__metric=metric, **keys
    )
    path, ours = exported(tmp_path / "b", "faiss"), open_bundle(tmp_path / "b", load_quantizer)
    assert path.read_bytes() == faiss.serialize_index(filled(ours.quantizer, codes_of(tmp_path / "b"))).tobytes()
    index = faiss.read_index(str(path))
    queries = vectors(8, seed=4) * 3
    scores, rows = ours.quantizer.search(queries, codes_of(tmp_path / "b"), 10)
    if metric == "cosine":
        faiss.normalize_L2(queries)
    a = np.ones((8, 1), np.float32)
    if (
        method == "rabitq" and metric != "l2"
    ):  # faiss's own estimate depends on a query's length: as the file's json says
        inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
        center = faiss.vector_to_array(inner.center)
        turned = faiss.downcast_VectorTransform(index.chain.at(0)).apply(queries) if inner is not index else queries
        a = (turned @ center / (center @ center))[:, None]
        queries, scores, rows, a = queries[a[:, 0] > 0], scores[a[:, 0] > 0], rows[a[:, 0] > 0], a[a[:, 0] > 0]
        assert len(a)
    found, found_rows = index.search(queries / a, 10)
    found = found * a
    assert index.ntotal == 900 and (found_rows == rows).mean() > 0.9
    outside = 0 if metric != "l2" or "opq__dim" not in keys else found[:, :1] + scores[:, :1]
    np.testing.assert_allclose(found - outside, -scores if metric == "l2" else scores, rtol=2e-3, atol=2e-3)


def test_a_faiss_file_comes_with_its_ids_and_a_warning(bundle: Path) -> None:
    path, opened = exported(bundle, "faiss"), open_bundle(bundle, load_quantizer)
    assert path.read_bytes() == faiss.serialize_index(filled(opened.quantizer, codes_of(bundle))).tobytes()
    assert (path.parent / "index.faiss.ids.txt").read_text().splitlines() == [f"d{i}" for i in range(1200)]
    about = json.loads((path.parent / "index.faiss.json").read_text())
    assert about["search_only"] and about["queries"] == "unrotated" and about["rows"] == 1200


@pytest.mark.parametrize("factory", ("PQ8x4np", "IVF4,SQ8"))
def test_a_faiss_file_is_written_a_block_of_codes_at_a_time(
    tmp_path: Path, factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed(
        save_vectors(tmp_path / "x.npy", 20_000), tmp_path / "b", compress__method="faiss", faiss__factory=factory
    )
    sizes: list[int] = []
    write = files._Hashing.write
    monkeypatch.setattr(files._Hashing, "write", lambda sink, data: sizes.append(len(bytes(data))) or write(sink, data))
    monkeypatch.setattr(writing, "_CODES_AT_ONCE", 20_000, raising=False)
    monkeypatch.setattr(faiss_file, "_COPIED", 20_000)
    writing.write_faiss(tmp_path / "x.faiss", open_bundle(tmp_path / "b", load_quantizer))
    assert sum(sizes) > 80_000 and max(sizes) <= 20_000


@pytest.mark.parametrize("factory", ("PQ8x4np", "IVF4,SQ8"))
def test_a_faiss_file_that_cannot_be_finished_leaves_nothing(tmp_path: Path, factory: str) -> None:
    compressed(save_vectors(tmp_path / "x.npy", 900), tmp_path / "b", compress__method="faiss", faiss__factory=factory)
    last = open_bundle(tmp_path / "b", load_quantizer).parts[-1]["file"]
    (tmp_path / "b" / last).write_bytes((tmp_path / "b" / last).read_bytes()[:-8] + bytes(8))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="sha256"):
        exported(tmp_path / "b", "faiss", out=str(tmp_path / "out" / "x.faiss"))
    assert not list((tmp_path / "out").iterdir())


def test_a_faiss_file_of_rabitq_says_that_faiss_ranks_otherwise(tmp_path: Path) -> None:
    x = save_vectors(tmp_path / "x.npy", 300)
    for metric, differs in (("ip", True), ("l2", False)):
        compressed(x, tmp_path / metric, compress__method="rabitq", compress__metric=metric)
        path, config, reporter = tmp_path / f"{metric}.faiss", settings(), Silent()
        with new_run("export", config) as run:
            export(config, run, reporter, ExportRequest(source=str(tmp_path / metric), out=str(path)))
        about = json.loads((tmp_path / f"{metric}.faiss.json").read_text())
        said = [line for line in reporter.lines if "divide a query q by a" in line]
        assert ("scores" in about, len(said)) == (differs, int(differs))


def test_batches_have_the_names_and_shapes_of_the_streaming_guide(bundle: Path) -> None:
    folder = exported(bundle, "batches")
    files = sorted(folder.iterdir())
    assert [f.name for f in files] == [f"pq_compressed_batch_{i:04d}.npy" for i in range(3)]
    assert (np.concatenate([np.load(f) for f in files]) == codes_of(bundle)).all()


def test_batches_of_another_export_are_not_mixed(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "sq_compressed_batch_0000.npy").write_bytes(b"")
    with pytest.raises(DataError, match="batches of another export, such as sq_compressed_batch_0000"):
        exported(bundle, "batches", out=str(tmp_path / "b"))


@pytest.mark.parametrize("metric", ("ip", "l2"))
def test_what_saq_codes_mean_is_told_well_enough_to_score_them(tmp_path: Path, metric: str) -> None:
    np.save(tmp_path / "wide.npy", vectors(400, dim=256))
    compressed(tmp_path / "wide.npy", tmp_path / "saq", compress__method="saq", saq__bits=1.5, compress__metric=metric)
    path = exported(tmp_path / "saq", "npy")
    about = json.loads(path.with_name(path.name + ".json").read_text())
    trained = path.parent / about["quantizer"]
    mean, projection = (np.load(trained / f"{name}.npy") for name in ("mean", "projection"))
    codes, layout, query = np.load(path), about["layout"], vectors(1, seed=9, dim=256)[0]
    factors = layout["factors"]
    first = factors["first_byte"]
    size = 4 * int(np.prod(factors["shape"]))
    norms, g = np.ascontiguousarray(codes[:, first : first + size]).view("<f4").reshape(-1, *factors["shape"]).T
    norms, g, l2 = norms.T, g.T, metric == "l2"
    scores = np.full(len(codes), -((query - mean) ** 2).sum() if l2 else mean @ query)
    if tail := layout["tail_squared_norm"]:
        at = tail["first_byte"]
        scores -= np.ascontiguousarray(codes[:, at : at + 4]).view("<f4")[:, 0]
    for number, s in enumerate(s for s in layout["segments"] if s["bits"]):
        packed = codes[:, s["first_byte"] : s["first_byte"] + s["bytes"]]
        bits = np.unpackbits(packed, axis=1, bitorder="little").reshape(len(codes), s["dimensions"], s["bits"])
        values = bits @ (1 << np.arange(s["bits"])) + 0.5 - 2 ** (s["bits"] - 1)
        part = (query - mean * l2) @ projection[:, s["first_dimension"] : s["first_dimension"] + s["dimensions"]]
        scores += (2 if l2 else 1) * g[:, number] * (values @ part) - l2 * norms[:, number] ** 2
    ours = open_bundle(tmp_path / "saq", load_quantizer).quantizer.scores(query[None], codes)[0]
    np.testing.assert_allclose(scores, ours, rtol=1e-4, atol=1e-4)


def test_an_id_of_two_lines_is_refused_where_ids_are_lines(tmp_path: Path) -> None:
    source = parquet(tmp_path / "in" / "x.parquet", ["a\nb", *map(str, range(299))])
    with pytest.raises(DataError, match=r"the id 'a\\nb' breaks its line.*parquet takes any id"):
        exported(source, "ids")
    assert pq.read_table(exported(source, "parquet")).column("id")[0].as_py() == "a\nb"


def test_codes_as_npy_u8bin_and_parquet(bundle: Path) -> None:
    codes = codes_of(bundle)
    assert (np.load(exported(bundle, "npy")) == codes).all()
    content = exported(bundle, "u8bin").read_bytes()
    assert struct.unpack("<II", content[:8]) == codes.shape and content[8:] == codes.tobytes()
    table = pq.read_table(exported(bundle, "parquet"))
    assert table.column("id").to_pylist()[1199] == "d1199" and table.column("codes").type.byte_width == codes.shape[1]
    assert b"".join(table.column("codes").to_pylist()) == codes.tobytes()


def test_decoded_vectors_as_npy_fbin_fvecs_and_parquet(bundle: Path) -> None:
    opened = open_bundle(bundle, load_quantizer)
    decoded = opened.quantizer.decode(codes_of(bundle))
    half = np.load(exported(bundle, "npy", decoded=True))
    assert half.dtype == np.float16 and (half == decoded.astype(np.float16)).all()
    content = exported(bundle, "fbin").read_bytes()
    assert struct.unpack("<II", content[:8]) == (1200, DIM) and content[8:] == decoded.tobytes()
    records = np.frombuffer(exported(bundle, "fvecs").read_bytes(), "<i4").reshape(1200, DIM + 1)
    assert (records[:, 0] == DIM).all() and (np.ascontiguousarray(records[:, 1:]).view("<f4") == decoded).all()
    table = pq.read_table(exported(bundle, "parquet", decoded=True))
    assert (np.array(table.column("vector").to_pylist(), np.float32) == decoded).all()


def test_bulk_formats_of_three_engines(bundle: Path) -> None:
    decoded = open_bundle(bundle, load_quantizer).quantizer.decode(codes_of(bundle))
    feed = [json.loads(line) for line in exported(bundle, "vespa").read_text().splitlines()]
    assert len(feed) == 1200 and feed[3]["put"] == "id:documents:documents::d3"
    np.testing.assert_allclose(feed[3]["fields"]["embedding"]["values"], decoded[3], rtol=1e-6)
    bulk = [json.loads(line) for line in exported(bundle, "opensearch").read_text().splitlines()]
    assert bulk[6] == {"index": {"_index": "documents", "_id": "d3"}} and len(bulk[7]["embedding"]) == DIM
    copy = exported(bundle, "pgvector").read_text().splitlines()[3].split("\t")
    assert copy[0] == "d3"
    np.testing.assert_allclose(json.loads(copy[1]), decoded[3], rtol=1e-6)


def test_decoded_vectors_keep_what_half_precision_would_lose(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", vectors(300) * 1e6)
    compressed(tmp_path / "x.npy", tmp_path / "exact", compress__method="flat", flat__dtype="float32")
    assert (np.load(exported(tmp_path / "exact", "npy", decoded=True)) == np.load(tmp_path / "x.npy")).all()
    compressed(tmp_path / "x.npy", tmp_path / "sq", compress__method="sq")
    with pytest.raises(DataError, match=r"values beyond 65504, the largest of float16\. Use --to fbin"):
        exported(tmp_path / "sq", "npy", decoded=True)


def test_plain_vectors_are_exported_exactly(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy", 300)
    assert (np.load(exported(source, "npy")) == vectors(300)).all()
    assert exported(source, "ids").read_text().splitlines() == [str(i) for i in range(300)]
    with pytest.raises(ConfigError, match="holds vectors, not codes"):
        exported(source, "faiss")


def test_what_cannot_be_exported_says_why(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'parquet'"):
        exported(bundle, "parket")
    for to in ("faiss", "ids"):
        with pytest.raises(ConfigError, match=f"--decoded: --to {to} holds"):
            exported(bundle, to, decoded=True)
    with pytest.raises(ConfigError, match="has no codes"):
        exported(save_vectors(tmp_path / "v.npy", 20), "npy", decoded=True)
    with pytest.raises(ConfigError, match="--texts goes with --to parquet"):
        exported(bundle, "npy", texts=True)
    np.save(tmp_path / "wide.npy", vectors(300, dim=64))
    compressed(tmp_path / "wide.npy", tmp_path / "saq", compress__method="saq", saq__bits=2)
    with pytest.raises(DataError, match="faiss has no index for saq codes"):
        exported(tmp_path / "saq", "faiss")
    assert np.load(exported(tmp_path / "saq", "npy", decoded=True)).shape == (300, 64)
