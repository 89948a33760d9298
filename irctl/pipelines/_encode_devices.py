"""Encoding on several devices: one process a device, each with a contiguous share of the shards.

Started as `python -m irctl.pipelines._encode_devices CONFIG SIDE OUT INDEX COUNT`; the launcher finishes the folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from irctl import errors, stopping
from irctl.errors import RunFailed
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from irctl.config import Config

LOOK_EVERY_S = 0.2
# what a worker may end with that is no fault: done, others not done yet, asked to stop
EXPECTED = (errors.OK, errors.PARTLY_DONE, errors.SIGTERM)


def spread(
    config: Config,
    place: Path,
    side: str,
    folder: Path,
    workers: int,
    rows_done: Callable[[], int],
    rows: int,
    reporter: Reporter,
) -> None:
    """Run the workers to their end; what they finished is in the folder.

    place: where the settings that they read and their logs lie. A signal is passed on: each finishes its shard.
    Raises RunFailed with the last line of a worker that failed, after the others were stopped likewise.
    """
    saved = place / "encode.json"
    saved.write_text(json.dumps(config.to_json()))
    logs = [place / f"encode-{i}.log" for i in range(workers)]
    children: list[subprocess.Popen[bytes]] = []
    stopping.on_stop(lambda number: _stop(children))
    try:
        for index, log in enumerate(logs):
            command = [sys.executable, "-m", __name__, str(saved), side, str(folder), str(index), str(workers)]
            with log.open("wb") as file:
                children.append(subprocess.Popen(command, stderr=file, env=_environment(config, index, workers),
                                                 start_new_session=True))  # fmt: skip
        _watch(children, rows_done, rows, reporter)
    finally:
        _stop(children)
        for child in children:
            child.wait()
    for child, log in zip(children, logs, strict=True):
        if child.returncode not in EXPECTED:
            lines = log.read_text(errors="replace").strip().splitlines() or [f"exit {child.returncode}"]
            raise RunFailed(f"an encoding process failed: {lines[-1]}", hint=f"Its log: {log}")


def _watch(
    children: list[subprocess.Popen[bytes]], rows_done: Callable[[], int], rows: int, reporter: Reporter
) -> None:
    """Until all have ended, or one has failed."""
    before = first = rows_done()
    with reporter.bar(f"encoding on {len(children)} devices", rows, first) as advance:
        while any(child.poll() is None for child in children):
            if any(child.returncode not in (None, *EXPECTED) for child in children):
                return
            time.sleep(LOOK_EVERY_S)
            now = rows_done()
            advance(now - before)
            before = now


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)


def _environment(config: Config, index: int, workers: int) -> dict[str, str]:
    extra = {"LOCAL_RANK": str(index), "TOKENIZERS_PARALLELISM": "false"}
    if config.hardware.device_kind == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        extra["OMP_NUM_THREADS"] = str(config.hardware.omp_threads or max(1, cores // workers))
    return {**os.environ, **extra}


def main(saved: str, side: str, folder: str, index: str, count: str) -> int:
    """A worker: encode this share; the exit code. Its last line of stderr is the error."""
    from irctl import config as settings
    from irctl.models import embedding
    from irctl.models.encoder import load_encoder
    from irctl.pipelines import encode

    stopping.install()
    try:
        config = settings.resolve(settings.from_file(Path(saved)))
        texts = encode.texts(encode.collection_of(config), config, side)
        share = (int(index), int(count))
        embedding.embed_corpus(load_encoder(config), texts, config, Silent(), out=Path(folder), side=side, part=share)
    except errors.IrctlError as e:
        sys.stderr.write(f"{e}\n")
        return e.exit_code
    return errors.OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
