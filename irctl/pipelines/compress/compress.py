"""`irctl compress`: a trained quantizer, then batches of vectors to batches of codes, then a bundle.

Two phases: sample the whole input and train once; stream the input in batches that are fixed by a plan. Every finished
batch has a journal line; the manifest comes last. Several methods read the input once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files
from irctl.errors import ConfigError
from irctl.index import plan as planning
from irctl.index.plan import shard_of
from irctl.pipelines.compress import results
from irctl.pipelines.compress.finalize import finalized
from irctl.pipelines.compress.verify import is_whole, verified
from irctl.pipelines.compress.work import Work
from irctl.pipelines.references import vectors
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
    verify: hash finished batches again, and nothing else where the bundle is whole.
    runner: local, or ray for workers that are actors of Ray.
    """
    check_steps(
        config, out=out, append=append, init=init, shard=shard, train_only=train_only, finalize=finalize, verify=verify
    )
    if append is not None:
        from irctl.pipelines.compress.append import append_to

        return append_to(config, run, reporter, bundle=append, stream=stream)
    if out:
        files.check_folder(Path(out), goes_on=True)
    methods = _methods(config)
    worker, workers = shard_of(shard or "", os.environ, _workers(config, out, methods))
    folders = _folders(run, out, methods, shared=worker is not None or finalize)
    there = (_there(config, out) if finalize or verify else {}) or folders
    if finalize:  # always hashes what the workers wrote
        return finalized(there, config, run, reporter)
    repairs = bool(config.compress.source)  # the input is named, so lost files can be made again
    if verify and not train_only and all(is_whole(f, files=repairs) for f in there.values()):
        return verified(there, config, reporter)
    given = (
        vectors.default(config, reporter)
        if not config.compress.source
        else vectors.named(config.compress.source, config)
    )
    here = workers if worker is None and not train_only and runner == "local" else 1
    work = Work(config, run, reporter, given, folders, init=init, stream=stream, workers=workers, here=here)
    work.plan_and_train(may_train=worker is None or train_only)
    if train_only:
        return results.trained(work)
    done = work.encode(worker, verify=verify, runner=runner)
    return results.finished(work, done) if worker is None else results.shard_done(work, worker, done)


def check_steps(
    config: Config,
    *,
    out: str | None,
    append: str | None,
    init: str | None,
    shard: str | None,
    train_only: bool,
    finalize: bool,
    verify: bool,
) -> None:
    """Raise ConfigError for options that are none, or that do not go together."""
    steps = {"--train-only": train_only, "--shard": bool(shard), "--finalize": finalize}
    if append is not None:
        _refuse_together({"--append": True, "--out": bool(out), "--init": bool(init), **steps, "--verify": verify})
        return
    _refuse_together(steps)
    if config.compress.merge and config.compress.max_batches:
        raise ConfigError(
            f"compress.merge joins the batches of a whole input: found compress.max_batches = "
            f"{config.compress.max_batches}",
            hint="Leave out one of them",
        )
    if shard:
        shard_of(shard, {}, config.compress.workers)
    if (shard or finalize) and not out:
        raise ConfigError("--shard and --finalize work on the folder of another step", hint="Name it with --out")


def _refuse_together(options: dict[str, bool]) -> None:
    """ConfigError if more than one of these was given."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]}: cannot be given together", hint=f"Leave out {given[1]}")


def _there(config: Config, out: str | None) -> dict[str, Path]:
    """Folders by method as the plans below --out have them; empty where the user named a method or nothing is there."""
    if not out or "compress.method" in config.origins:
        return {}
    base = Path(out)
    plans = [base / planning.FILE] if (base / planning.FILE).is_file() else sorted(base.glob(f"*/{planning.FILE}"))
    return {planning.read(p.parent).method: p.parent for p in plans}


def _workers(config: Config, out: str | None, methods: Sequence[str]) -> int:
    """Writers by the settings; for a task of an array where those are silent, by the plan that it finds in --out."""
    silent = "compress.workers" not in config.origins and "SLURM_ARRAY_TASK_ID" in os.environ
    folder = Path(out or ".") / (methods[0] if len(methods) > 1 else "")
    if not out or not silent or not (folder / planning.FILE).is_file():
        return config.compress.workers
    return planning.read(folder).workers


def _methods(config: Config) -> list[str]:
    methods = [m.strip() for m in config.compress.method.split(",")]
    if len(set(methods)) < len(methods):
        raise ConfigError(f"compress.method: names one method twice: {config.compress.method}")
    return methods


def _folders(run: RunHandle, out: str | None, methods: Sequence[str], *, shared: bool) -> dict[str, Path]:
    if shared and not out:
        raise ConfigError("--shard and --finalize work on the folder of another step", hint="Name it with --out")
    base = Path(out) if out else run.out
    return {m: base / m if len(methods) > 1 else base for m in methods}


def describe(
    config: Config,
    *,
    runner: str = "local",
    append: str | None = None,
    init: str | None = None,
    alone: bool = False,
    encodes: bool = True,
) -> dict[str, Any]:
    """What --dry-run prints: input, batches, memory and disk, as far as they are known without reading vectors.

    append, init: bundles, as for `compress`. alone: one worker or step of several. encodes: False for --finalize and
    --verify, which make no quantizer.
    """
    from irctl.pipelines.compress import dry_run

    methods = _methods(config) if encodes else []
    if append is not None:
        from irctl.pipelines.compress import append as compress_append

        config, methods, init = compress_append.like(config, append)
    return dry_run.compression(config, methods, runner, init=init, alone=alone)
