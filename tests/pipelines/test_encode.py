"""irctl encode as a pipeline: what it returns, records and refuses."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_embedding import content
from toy_collections import beir_folder

from irctl import stopping
from irctl.config import Config, from_sets, resolve
from irctl.data.collections.open import open_for
from irctl.errors import ConfigError, DataError, Stopped
from irctl.ledger.query import artifacts, find_run
from irctl.ledger.recording import RunHandle, start_run
from irctl.models.embedding_folder import EmbeddingFolder
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.pipelines import encode as pipeline
from irctl.pipelines.workers import spread, worker
from irctl.types import Silent


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Four documents, one of them empty; of two queries, one is judged in test."""
    documents = {f"d{i}": {"title": f"title {i}", "text": f"text {i}"} for i in range(3)} | {"d3": ""}
    return beir_folder(tmp_path / "toy", documents, {"q1": " lift ", "q2": "drag"}, test={"q1": {"d1": 1}})


def settings(beir: Path, model: Path, *sets: str) -> Config:
    return resolve(from_sets([f"data.source={beir}", f"model.name={model}", "encoder.shard_rows=2", *sets]))


def encoded(config: Config, reporter: Silent | None = None, **more: Any) -> tuple[dict[str, Any], RunHandle]:
    run = start_run(command="encode", argv=["irctl", "encode"], config=config)
    with run:
        return pipeline.encode(config, run, reporter or Silent(), pipeline.EncodeRequest(**more)), run


def test_corpus_is_encoded_once_with_titles_and_recorded(beir: Path, tiny_encoder: Path) -> None:
    config = settings(beir, tiny_encoder)
    payload, run = encoded(config)
    made = EmbeddingFolder(Path(payload["folder"]))
    texts = ["title 0 text 0", "title 1 text 1", "title 2 text 2", ""]
    np.testing.assert_allclose(made.array(), load_encoder(config).encode(texts), atol=1e-6)
    assert list(made.document_ids() or ()) == ["d0", "d1", "d2", "d3"]
    assert {k: payload[k] for k in ("rows", "dim", "cached", "key")} == {
        "rows": 4,
        "dim": 32,
        "cached": False,
        "key": made.fingerprint,
    }
    assert payload["tokens"] > 8 and payload["tokens_per_second"] > 0
    (out,) = artifacts(find_run(run.id), role="out", kind="embeddings")
    assert (out["sha256"], out["n_rows"], out["dim"], out["format"]) == (made.fingerprint, 4, 32, "float32")
    (model,) = artifacts(find_run(run.id), role="in", kind="model")
    assert model["sha256"] == load_encoder(config).fingerprint("passage")
    again, _ = encoded(config, verify=True)
    assert again["cached"] and again["folder"] == payload["folder"] and again["tokens"] == payload["tokens"]


def test_queries_of_the_split_go_to_a_folder_of_ones_own(beir: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    config = settings(beir, tiny_encoder, "encoder.query_max_len=4")
    payload, _ = encoded(config, side="query", out=str(tmp_path / "queries"))
    made = EmbeddingFolder(tmp_path / "queries")
    assert payload["folder"] == str(tmp_path / "queries") and list(made.document_ids() or ()) == ["q1"]
    np.testing.assert_allclose(made.array(), load_encoder(config).encode(["lift"], "query"), atol=1e-6)
    with pytest.raises(ConfigError, match="--side both"):
        encoded(config, side="both")


@pytest.mark.parametrize("tokens", [1, 1000])
def test_a_signal_ends_the_run_after_the_batch_in_hand_with_its_exit_code(
    tokens: int, beir: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(beir, tiny_encoder, "encoder.batch_tokens=1")  # one text each
    whole = TextEncoder.forward

    def forward(self: TextEncoder, *args: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return whole(self, *args)

    stopping.install()
    try:
        monkeypatch.setattr(TextEncoder, "forward", forward)
        with pytest.raises(Stopped, match="SIGTERM: 0 of 2 shards and 1 row of the next are kept") as e:
            encoded(config)
    finally:
        stopping.restore()
    assert (e.value.exit_code, e.value.status) == (143, "interrupted")
    monkeypatch.setattr(TextEncoder, "forward", whole)
    config = settings(beir, tiny_encoder, f"encoder.batch_tokens={tokens}")
    run, encoder = start_run(command="encode", argv=["irctl", "encode"], config=config), load_encoder(config)
    rows = pipeline.texts(open_for(config), "", "passage")
    with run:
        made, computed = pipeline.encode_rows(encoder, rows, config, run, Silent())
    assert made.rows == 4 and 0 < computed < made.tokens, "tokens of the batch that was kept are not counted again"
    assert made.tokens - computed == len(encoder.features(["title 0 text 0"])["input_ids"][0])


def test_tokens_computed_are_all_where_the_kept_batches_are_too_large_now(
    beir: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, passes = TextEncoder.forward, []

    def forward(self: TextEncoder, *args: Any) -> Any:
        passes.append(signal.raise_signal(signal.SIGTERM) if not passes else None)
        return whole(self, *args)

    monkeypatch.setattr(TextEncoder, "forward", forward)
    stopping.install()
    try:
        with pytest.raises(Stopped):
            encoded(settings(beir, tiny_encoder, "encoder.batch_tokens=12", "encoder.shard_rows=4"))
    finally:
        stopping.restore()
    config = settings(beir, tiny_encoder, "encoder.batch_tokens=1")
    run = start_run(command="encode", argv=["irctl", "encode"], config=config)
    rows = pipeline.texts(open_for(config), "", "passage")
    with run:
        made, computed = pipeline.encode_rows(load_encoder(config), rows, config, run, Silent())
    assert computed == made.tokens > 0


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_of_ones_own_takes_what_the_cache_holds(
    links: bool, beir: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(beir, tiny_encoder)
    cached, _ = encoded(config)

    def refuse(*args: Any, **more: Any) -> Any:
        raise OSError(errno.EXDEV, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(TextEncoder, "encode", refuse)
    said = Silent()
    # another size of shards changes nothing: the vectors are the same
    made, _ = encoded(settings(beir, tiny_encoder, "encoder.shard_rows=3"), said, out=str(tmp_path / "mine"))
    assert (made["cached"], made["rows"], made["tokens"]) == (True, 4, cached["tokens"])
    (line,) = [s for s in said.lines if "cache" in s]
    assert "2 shards taken from the cache, hashes checked" in line and "these vectors are there" not in str(said.lines)
    theirs, mine = content(Path(cached["folder"])), content(tmp_path / "mine")
    assert mine == theirs
    part = "vectors/part-00000.npy"
    assert (tmp_path / "mine" / part).samefile(Path(cached["folder"]) / part) == links
    again, _ = encoded(config, said, out=str(tmp_path / "mine"))
    assert again["cached"] and "these vectors are there already" in said.lines[-1]


def test_a_folder_begun_takes_the_rest_from_the_cache_and_damage_there_is_named(
    beir: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = settings(beir, tiny_encoder)
    encoded(config, out=str(tmp_path / "whole"))  # into no cache
    cached, _ = encoded(config)
    assert not cached["cached"], "the cache is not filled from a folder of one's own"
    (tmp_path / "whole" / "vectors" / "part-00001.npy").unlink()
    said = Silent()
    encoded(config, said, out=str(tmp_path / "whole"))
    assert "1 shard taken from the cache" in str(said.lines)
    assert content(tmp_path / "whole") == content(Path(cached["folder"]))
    path = Path(cached["folder"]) / "vectors" / "part-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"part-00000\.npy: is damaged"):
        encoded(config, out=str(tmp_path / "other"))


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one_and_a_failing_one_is_named(
    beir: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    one, _ = encoded(settings(beir, tiny_encoder), out=str(tmp_path / "one"))
    config = settings(beir, tiny_encoder, "hardware.devices=2")
    two, run = encoded(config, out=str(tmp_path / "two"))
    assert (two["tokens"], two["cached"]) == (one["tokens"], False)
    files = [p.relative_to(tmp_path / "one") for p in sorted((tmp_path / "one").rglob("*")) if p.is_file()]
    assert all((tmp_path / "two" / f).read_bytes() == (tmp_path / "one" / f).read_bytes() for f in files)
    assert (run.paths.folder / "encode_share-1.log").is_file()
    gone = settings(beir, tmp_path / "gone", "hardware.devices=2")
    job = {"config": gone.to_json(), "side": "passage", "folder": str(tmp_path / "x")}
    with pytest.raises(DataError, match="no such folder"):
        spread.spread(pipeline.SHARE, job, 2, gone.hardware, tmp_path, worker.Progress("", 4, lambda: 0), Silent())


def test_dry_run_names_encoder_rows_and_disk_without_loading_anything(beir: Path, minilm: Path) -> None:
    config = resolve(from_sets([f"data.source={beir}"]))
    described = pipeline.describe(config)["encoding"]
    assert str(minilm) in described["encoder"] and described["collection"] == "toy, 4 documents"
    assert described["disk"].endswith("MiB of 384 dimensions")
    far = resolve(from_sets([f"data.source={beir}", "model.name=some/model"]))
    assert "from the hub" in pipeline.describe(far)["encoding"]["encoder"]
