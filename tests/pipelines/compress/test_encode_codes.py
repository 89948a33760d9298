"""`irctl encode --codes`: text becomes a bundle of document-side codes and leaves no vectors behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, new_run, settings, tree
from learning import child_bundle, encoded, move_query_side, opened
from toy_collections import beir_folder

from irctl import paths, stopping
from irctl.errors import ConfigError, DataError, Stopped
from irctl.index import encode_stream
from irctl.index.bundle import Bundle
from irctl.ledger import query
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.pipelines import encode as pipeline
from irctl.pipelines.encode import EncodeRequest
from irctl.pipelines.evaluate.evaluate import evaluate
from irctl.pipelines.evaluate.request import EvalRequest
from irctl.pipelines.references.bundle_vectors import open_source
from irctl.types import Silent

WORDS = "wing flow shock boundary layer heat panel flutter body cone speed nozzle jet plate drag lift".split()


def texts(n: int, seed: int = 0, name: str = "d") -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {f"{name}{i}": " ".join(rng.choice(WORDS, rng.integers(3, 9))) for i in range(n)}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    queries = texts(5, 1, "q")
    judged = {q: {f"d{i}": 1 for i in range(40)} for q in queries}
    return beir_folder(tmp_path_factory.mktemp("codes") / "toy", texts(1200), queries, test=judged)


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beir_folder(tmp_path_factory.mktemp("codes") / "more", texts(60, 2, "n"), {"q": "wing"})


@pytest.fixture
def parent(toy: Path, tiny_encoder: Path) -> Bundle:
    """OPQ codes of the toy's vectors, by way of stored floats."""
    made = compressed(encoded(toy, tiny_encoder), compress__method="opq", opq__m=8, opq__bits=4, compress__batch=10000)
    return opened(made["bundle"])


@pytest.fixture
def model(tmp_path: Path, parent: Bundle, tiny_encoder: Path) -> Path:
    """A model with the quantizer that was trained with it in its folder."""
    load_encoder(settings(), str(tiny_encoder)).save(tmp_path / "model")
    move_query_side(parent, mapped=False).save(tmp_path / "model" / "pq")
    return tmp_path / "model"


def codes_of(source: Path | None, reporter: Silent | None = None, **keys: Any) -> dict[str, Any]:
    """Run `encode --codes`; options by name, settings with __ for the dot."""
    options = {k: str(keys.pop(k)) for k in list(keys) if "__" not in k}
    config = settings(**{**({"data__source": source} if source else {}), **keys})
    run = new_run("encode", config)
    with run:
        return pipeline.encode(config, run, reporter or Silent(), EncodeRequest(codes=True, **options))


def all_codes(bundle: Bundle) -> np.ndarray:
    return bundle.take(np.arange(bundle.rows))


def test_codes_are_those_of_encoding_and_compressing_and_no_vectors_are_stored(
    tmp_path: Path, toy: Path, parent: Bundle, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path / "new" / "cache"))
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "new" / "runs"))
    made = codes_of(toy, index=parent.folder, out=tmp_path / "new" / "b", compress__batch=10000)
    bundle = opened(made["bundle"])
    assert (all_codes(bundle) == all_codes(parent)).all() and list(bundle.ids) == list(parent.ids)
    assert bundle.method == "opq" and bundle.manifest["about"]["corpus"] == parent.manifest["about"]["corpus"]
    assert bundle.manifest["about"]["encoder"] == parent.manifest["about"]["encoder"]
    assert bundle.manifest["source"]["key"] == parent.manifest["source"]["key"]
    assert not (tmp_path / "new" / "cache" / "emb").exists()
    left = {f: f.stat().st_size for f in (tmp_path / "new").rglob("*") if f.is_file() and "corpora" not in f.parts}
    assert max(v for f, v in left.items() if f.suffix != ".db") < 1200 * 32 * 2  # bytes of the floats, in halves


def test_vectors_that_were_never_stored_are_found_once_somebody_encodes_them(
    tmp_path: Path, toy: Path, parent: Bundle, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = opened(codes_of(toy, index=parent.folder, out=tmp_path / "b")["bundle"])
    exact = open_source(parent, settings()).take(np.arange(5))
    monkeypatch.setenv("IRCTL_CACHE", str(tmp_path / "new" / "cache"))
    monkeypatch.setenv("IRCTL_RUNS", str(tmp_path / "new" / "runs"))
    with pytest.raises(DataError, match="never stored") as e:
        open_source(bundle, settings())
    assert e.value.hint == f"irctl encode --model {tiny_encoder} --data {toy} makes them again"
    encoded(toy, tiny_encoder)
    assert (open_source(bundle, settings()).take(np.arange(5)) == exact).all()


def test_the_quantizer_in_the_models_folder_is_used_and_the_bundle_is_searched(toy: Path, model: Path) -> None:
    bundle = opened(codes_of(toy, model__name=model)["bundle"])
    assert bundle.method == "learned" and bundle.quantizer.query_centroids_MKd is not None
    config = settings(data__source=toy, eval__measures="R@1000")
    run = new_run("eval", config)
    with run:
        found = evaluate(config, run, Silent(), EvalRequest(index=str(bundle.folder)))
    assert found["results"][0]["value"] > 0 and found["searches"][0]["model"] == str(model)
    assert bundle.folder == query.find_run("latest:encode").folder / "out"


def test_a_model_without_codes_and_a_bundle_of_another_model_are_refused(
    toy: Path, parent: Bundle, model: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no quantizer was trained with it") as e:
        codes_of(toy, model__name=tiny_encoder)
    assert "--index BUNDLE" in e.value.hint and "--method repconc" in e.value.hint
    import torch

    other = load_encoder(settings(), str(tiny_encoder))
    with torch.no_grad():
        next(other.module.parameters()).add_(0.01)
    other.save(tmp_path / "other")
    with pytest.raises(DataError, match=r"encoded by another model than .*weights differ"):
        codes_of(toy, model__name=tmp_path / "other", index=parent.folder)
    with pytest.raises(DataError, match="no finished training by repconc"):
        codes_of(toy)
    for options, said in (
        ({"index": "b"}, "--index: goes with --codes"),
        ({"codes": True, "side": "query"}, "are of documents"),
        ({"codes": True, "append": "x"}, "name the bundle"),
        ({"codes": True, "append": "x", "index": "b", "out": "o"}, "--append and --out"),
    ):
        with pytest.raises(ConfigError, match=said):
            EncodeRequest(**options).check()  # type: ignore[arg-type]


def test_new_documents_get_the_document_side_codes_of_the_bundles_own_encoder(
    tmp_path: Path, toy: Path, more: Path, parent: Bundle, tiny_encoder: Path
) -> None:
    child = child_bundle(tmp_path / "child", parent, mapped=False)
    done = codes_of(None, index=child.folder, append=more)
    grown = opened(child.folder)
    encoder = load_encoder(settings(), str(tiny_encoder))
    vectors_ND = encoder.encode(list(texts(60, 2, "n").values()))
    expected = parent.quantizer.encode(vectors_ND)
    assert done["added"] == 60 and list(grown.ids)[-60:] == [f"n{i}" for i in range(60)]
    assert (all_codes(grown)[1200:] == expected).mean() > 0.99  # other model batches, other last bits
    by_query_side = type(child.quantizer).of_arrays(child.quantizer.rotation_ED, child.quantizer.query_centroids_MKd)
    assert (by_query_side.encode(vectors_ND) != expected).mean() > 0.02
    assert codes_of(None, index=child.folder, append=more)["added"] == 0  # again: it is there
    with pytest.raises(DataError, match="document 'd0' is in the bundle already"):
        codes_of(None, index=child.folder, append=toy)
    with pytest.raises(ConfigError, match="names the documents, and so does --data"):
        codes_of(toy, index=child.folder, append=more)
    np.save(tmp_path / "v.npy", vectors_ND)
    (tmp_path / "given").mkdir()
    np.save(tmp_path / "given" / "x.npy", vectors_ND[:7])
    (tmp_path / "given" / "ids.txt").write_text("".join(f"v{i}\n" for i in range(7)))
    assert codes_of(None, index=child.folder, append=tmp_path / "given")["added"] == 7  # vectors need no encoder
    assert (all_codes(opened(child.folder))[1260:] == parent.quantizer.encode(vectors_ND[:7])).all()
    with pytest.raises(DataError, match="have ids, the new rows have none"):
        codes_of(None, index=child.folder, append=tmp_path / "v.npy")


def test_a_signal_keeps_finished_batches_and_the_same_command_gives_the_same_bytes(
    tmp_path: Path, toy: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = codes_of(toy, index=parent.folder, out=tmp_path / "whole")["bundle"]
    wrote = encode_stream._write_one

    def write_and_stop(*args: Any) -> None:
        wrote(*args)
        stopping._received.append(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(encode_stream, "_write_one", write_and_stop)
        with pytest.raises(Stopped, match="batches"):
            codes_of(toy, index=parent.folder, out=tmp_path / "stopped")
    stopping.forget()
    assert not (tmp_path / "stopped" / "manifest.json").exists() and list((tmp_path / "stopped").glob("codes/*"))
    said = Silent()
    codes_of(toy, said, index=parent.folder, out=tmp_path / "stopped")
    assert any("batches are done already" in line for line in said.lines)
    assert tree(tmp_path / "stopped") == tree(Path(whole))


def test_several_processes_write_the_codes_of_one(
    tmp_path: Path, toy: Path, parent: Bundle, shares_here: list[str]
) -> None:
    one = opened(codes_of(toy, index=parent.folder, out=tmp_path / "one")["bundle"])
    two = opened(codes_of(toy, index=parent.folder, out=tmp_path / "two", hardware__devices=2)["bundle"])
    assert shares_here == ["compress_share:2"] and (all_codes(one) == all_codes(two)).all()
    assert list(one.ids) == list(two.ids)


def test_memory_is_a_batch_whatever_the_corpus(
    tmp_path: Path, toy: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = TextEncoder.encode

    def count(self: TextEncoder, some: Any, *more: Any) -> Any:
        seen.append(len(some))
        return encode(self, some, *more)

    monkeypatch.setattr(TextEncoder, "encode", count)
    codes_of(toy, index=parent.folder, out=tmp_path / "b")
    assert seen == [500, 500, 200]  # each batch once, none again


@pytest.mark.slow
def test_kill_9_between_batches_loses_nothing_that_was_finished(tmp_path: Path, toy: Path, parent: Bundle) -> None:
    whole = codes_of(toy, index=parent.folder, out=tmp_path / "whole")["bundle"]
    script = textwrap.dedent(f"""
        import os, signal
        from irctl.index import encode_stream
        from irctl.cli import main
        import sys
        wrote = encode_stream._write_one
        def write_and_die(*args):
            wrote(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        encode_stream._write_one = write_and_die
        sys.argv = {["irctl", "encode", "--codes", "--index", str(parent.folder), "--data", str(toy), "--out",
                     str(tmp_path / "killed"), "--set", "compress.batch=500"]!r}
        main()
    """)  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "killed" / "manifest.json").exists() and paths.runs().is_dir()
    codes_of(toy, index=parent.folder, out=tmp_path / "killed")
    assert tree(tmp_path / "killed") == tree(Path(whole))


def test_new_documents_are_read_at_the_length_of_those_that_are_there(
    tmp_path: Path, toy: Path, tiny_encoder: Path
) -> None:
    short = {"encoder__passage_max_len": 4, "encoder__override": True}
    made = encoded(toy, tiny_encoder, **short)
    bundle = opened(compressed(made, compress__method="opq", opq__m=8, opq__bits=4)["bundle"])
    copies = {f"c{i}": text for i, text in enumerate(list(texts(1200).values())[:50])}
    again = beir_folder(tmp_path / "again", copies, {"q": "wing"})
    with pytest.raises(DataError, match=r"were read with encoder\.passage_max_len=4, asked for is 6"):
        codes_of(None, index=bundle.folder, append=again, encoder__passage_max_len=6, encoder__override=True)
    assert codes_of(None, index=bundle.folder, append=again)["added"] == 50
    grown = all_codes(opened(bundle.folder))
    assert (grown[1200:] == grown[:50]).mean() > 0.99
