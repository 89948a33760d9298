"""One job in several processes: the bytes of one process, failures and signals in one line, and the same by Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compressed, save_vectors, tree, vectors
from toy_collections import beir_folder

from irctl import stopping
from irctl.config import from_sets, resolve
from irctl.errors import DataError, EnvironmentUnfit, RunFailed, Stopped
from irctl.index.bundle import open_bundle
from irctl.models import pieces
from irctl.pipelines.compress.encode_batches import compress_share
from irctl.pipelines.references import bundles
from irctl.pipelines.workers import local, ray_actors, spread, worker
from irctl.types import Silent

NOTHING = worker.Progress("working", 4, lambda: 0)


def refusing(job: dict[str, Any], index: int, count: int) -> dict[str, Any]:
    """A task whose last share fails."""
    if index == count - 1:
        raise DataError(f"share {index}: {job['why']}")
    return {"index": index}


REFUSING = f"{__name__}:refusing"


@pytest.fixture(autouse=True)
def workers_find_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), *map(str, here.parents[:2])]))


def codes_and_ids(folder: Path) -> dict[str, bytes]:
    return {k: v for k, v in tree(folder).items() if not k.endswith(("plan.json", "manifest.json"))}


def test_two_workers_write_the_codes_of_one_and_every_method_is_read_once(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "one", compress__method="pq,sq")
    made = compressed(source, tmp_path / "two", compress__method="pq,sq", compress__workers=2)
    assert codes_and_ids(tmp_path / "two") == codes_and_ids(tmp_path / "one")
    assert {r["coverage"] for r in made["results"]} == {"full"}
    assert all(r["reader_rows_per_cpu_s"] > 0 and r["encoder_rows_per_cpu_s"] > 0 for r in made["results"])


def test_workers_continue_what_one_worker_began_under_their_plan(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out, train_only=True, compress__workers=2)
    compressed(source, out, shard="1/2", compress__workers=2)
    reporter = Silent()
    made = compressed(source, out, reporter, compress__workers=2)
    bundle = open_bundle(out, bundles.load_quantizer)
    assert made["results"][0]["coverage"] == "full" and bundle.rows == 2600 and bundle.verify()


def test_a_share_of_an_input_that_changed_is_refused(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy"), tmp_path / "out"
    compressed(source, out, train_only=True, compress__workers=2)
    np.save(source, vectors(2600, seed=1))
    job = {"source": str(source), "root": "", "folders": {"pq": str(out)}, "limit": 0}
    with pytest.raises(DataError, match="The input changed"):
        compress_share(job, 0, 2)


def test_a_failing_worker_ends_the_others_and_its_line_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"refusing failed: share 1: no such thing") as e:
        spread.spread(REFUSING, {"why": "no such thing"}, 2, resolve().hardware, tmp_path, NOTHING, Silent())
    assert "refusing-1.log" in e.value.hint
    assert not list(tmp_path.glob("*.answer"))


@pytest.mark.slow
def test_a_signal_lets_workers_finish_their_batch_and_the_same_command_continues(tmp_path: Path) -> None:
    source, out = save_vectors(tmp_path / "x.npy", 20_000), tmp_path / "out"
    keys = {"compress__workers": 2, "compress__method": "rabitq", "rabitq__bits": 8}
    stopping.install()
    try:
        threading.Thread(target=_signal_after_one_batch, args=(out,), daemon=True).start()
        with pytest.raises(Stopped):
            compressed(source, out, **keys)
    finally:
        stopping.restore()
    assert not (out / "manifest.json").exists()
    compressed(source, out, **keys)
    compressed(source, tmp_path / "whole", **keys)
    assert tree(out) == tree(tmp_path / "whole")


def test_a_signal_before_a_worker_listens_is_a_stop_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_once(children: list[subprocess.Popen[bytes]], *others: object) -> None:
        signal.raise_signal(signal.SIGTERM)  # the children are interpreters that import

    monkeypatch.setattr(local, "_watch", stop_at_once)
    stopping.install()
    try:
        with pytest.raises(Stopped):
            compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "out", compress__workers=2)
    finally:
        stopping.restore()


def _signal_after_one_batch(out: Path) -> None:
    while not list((out / "codes").glob("*.npy")):
        threading.Event().wait(0.01)
    signal.raise_signal(signal.SIGTERM)


def test_local_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "count_cores", lambda: 8)
    assert local.make_environment(resolve().hardware, 1, 3)["OMP_NUM_THREADS"] == "2"
    asked = resolve(from_sets(["hardware.omp_threads=5"]))
    assert local.make_environment(asked.hardware, 0, 3)["OMP_NUM_THREADS"] == "5"


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentUnfit, match=r"Ray is not installed\. pip install 'irctl\[ray\]'"):
        ray_actors._start_ray()


@pytest.mark.slow
def test_ray_writes_the_bytes_of_local_workers_skips_what_is_done_and_names_a_failure(tmp_path: Path) -> None:
    source = save_vectors(tmp_path / "x.npy")
    compressed(source, tmp_path / "local", compress__workers=2)
    compressed(source, tmp_path / "ray", compress__workers=2, runner="ray")
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    shutil.copytree(tmp_path / "ray", tmp_path / "again")
    before = _times(tmp_path / "again")
    compressed(source, tmp_path / "again", compress__workers=2, runner="ray")
    assert _times(tmp_path / "again") == before
    with pytest.raises(RunFailed, match="share 1 of 2: share 1: nothing there"):
        spread.spread(
            REFUSING, {"why": "nothing there"}, 2, resolve().hardware, tmp_path, NOTHING, Silent(), runner="ray"
        )


def _times(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "codes").iterdir()}


@pytest.fixture(scope="module")
def encoded_by() -> Callable[..., Path]:
    def encode(folder: Path, encoder: Path, texts: Path, **options: Any) -> Path:
        from irctl.ledger.recording import start_run
        from irctl.pipelines import encode as pipeline

        sets = [f"data.source={texts}", f"model.name={encoder}", "encoder.shard_rows=2"]
        config = resolve(from_sets([*sets, *options.pop("sets", ())]))
        run = start_run(command="encode", argv=["irctl", "encode"], config=config)
        with run:
            pipeline.encode(config, run, Silent(), pipeline.EncodeRequest(out=str(folder), **options))
        return folder

    return encode


@pytest.mark.slow
def test_ray_encodes_to_the_bytes_of_one_process(
    tmp_path: Path, tiny_encoder: Path, encoded_by: Callable[..., Path]
) -> None:
    documents = {f"d{i}": f"text {i}" for i in range(5)}
    texts = beir_folder(tmp_path / "toy", documents, {"q": "lift"}, test={"q": {"d1": 1}})
    one = encoded_by(tmp_path / "one", tiny_encoder, texts)
    two = encoded_by(tmp_path / "two", tiny_encoder, texts, runner="ray")
    assert tree(two) == tree(one)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"sets": ["hardware.devices=2"]}, {"runner": "ray"}], ids=["local", "ray"])
def test_workers_that_are_stopped_inside_their_shards_continue_to_the_bytes_of_one_process(
    options: dict[str, Any], tmp_path: Path, tiny_encoder: Path, encoded_by: Callable[..., Path]
) -> None:
    documents = {f"d{i}": f"text {i} " * 20 for i in range(2000)}
    texts = beir_folder(tmp_path / "toy", documents, {"q": "lift"}, test={"q": {"d1": 1}})
    small = ["encoder.shard_rows=1000", "encoder.batch_tokens=64", *options.pop("sets", ())]
    journal = tmp_path / "out" / "journal"

    over = threading.Event()

    def stop_inside() -> None:
        while not over.wait(0.01):
            if list(journal.glob("pieces.*")):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    stopping.install()
    try:
        threading.Thread(target=stop_inside, daemon=True).start()
        with pytest.raises(Stopped):
            encoded_by(tmp_path / "out", tiny_encoder, texts, sets=small, **options)
    finally:
        over.set()
        stopping.restore()
    kept, _ = pieces.count(tmp_path / "out", (), 64)
    assert 0 < kept < 2000 and not list((tmp_path / "out").rglob("*.npy"))
    encoded_by(tmp_path / "out", tiny_encoder, texts, sets=small, **options)
    assert tree(tmp_path / "out") == tree(encoded_by(tmp_path / "one", tiny_encoder, texts, sets=small[:2]))


@pytest.mark.slow
def test_ray_actors_import_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "irctl").mkdir()
    for name in ("irctl/__init__", "numpy", "ray"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__ + chr(10))")
    monkeypatch.chdir(tmp_path)
    compressed(save_vectors(tmp_path / "x.npy"), tmp_path / "out", compress__workers=2, runner="ray")
    assert not (tmp_path / "executed").exists()
