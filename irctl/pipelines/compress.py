"""`irctl compress`: a trained quantizer, then batches of vectors to batches of codes, then a bundle.

Two phases: sample the whole input and train once; stream the input in batches that are fixed by a plan. Every finished
batch has a journal line; the manifest comes last. Several methods read the input once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.index import shards
from irctl.index.plan import shard_of
from irctl.pipelines import _results, _vectors
from irctl.pipelines._compression import Work
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def compress(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    out: str | None = None,
    stream: bool = False,
    verify: bool = False,
    init: str | None = None,
    train_only: bool = False,
    finalize: bool = False,
    shard: str | None = None,
    append: str | None = None,
    runner: str = "local",
) -> dict[str, Any]:
    """Compress the input into one bundle a method; the payload of --json.

    out: folder of the bundle (one sub-folder a method if there are several). init: bundle whose quantizer is reused.
    shard, train_only, finalize: the steps of an array of workers over one shared folder. append: bundle to add to.
    runner: local, or ray for workers that are actors of Ray.
    """
    if append is not None:
        from irctl.pipelines import _append

        return _append.append(config, run, reporter, bundle=append, stream=stream)
    methods = _methods(config)
    worker, workers = shard_of(shard or "", os.environ, config.compress.workers)
    folders = _folders(config, run, out, methods, shared=worker is not None or finalize)
    if verify and not (finalize or train_only) and all((f / shards.MANIFEST).is_file() for f in folders.values()):
        return _results.verified(folders, reporter)
    if finalize:
        return _results.finalized(folders, config, run, reporter, verify=verify)
    given = (
        _vectors.default(config, reporter)
        if not config.compress.source
        else _vectors.named(config.compress.source, config)
    )
    here = workers if worker is None and not train_only and runner == "local" else 1
    work = Work(config, run, reporter, given, folders, init=init, stream=stream, workers=workers, here=here)
    work.plan_and_train(may_train=worker is None)
    if train_only:
        return _results.trained(work)
    done = work.encode(worker, verify=verify, runner=runner)
    return _results.finished(work, done) if worker is None else _results.shard_done(work, worker, done)


def _methods(config: Config) -> list[str]:
    methods = [m.strip() for m in config.compress.method.split(",")]
    if len(set(methods)) < len(methods):
        raise ConfigError(f"compress.method: names one method twice: {config.compress.method}")
    return methods


def _folders(
    config: Config, run: RunHandle, out: str | None, methods: Sequence[str], *, shared: bool
) -> dict[str, Path]:
    if shared and not out:
        raise ConfigError("--shard and --finalize work on the folder of another step", hint="Name it with --out")
    base = Path(out) if out else run.out
    return {m: base / m if len(methods) > 1 else base for m in methods}


def describe(config: Config, *, runner: str = "local") -> dict[str, Any]:
    """What --dry-run prints: input, batches, memory and disk, as far as they are known without reading vectors."""
    from irctl.pipelines import _describe

    return _describe.compression(config, _methods(config), runner)
