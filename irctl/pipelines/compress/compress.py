"""`irctl compress`: a trained quantizer, then batches of vectors to batches of codes, then a bundle.

Two phases: sample the whole input and train once; stream the input in batches that are fixed by a plan. Every finished
batch has a journal line; the manifest comes last. Several methods read the input once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files
from irctl.errors import ConfigError
from irctl.index import plan as planning
from irctl.index import shards
from irctl.index.plan import parse_shard
from irctl.models.transforms.files import FOLDER
from irctl.pipelines.compress import results
from irctl.pipelines.compress.faiss_codes import import_codes, is_faiss
from irctl.pipelines.compress.finalize import finalize
from irctl.pipelines.compress.request import CompressRequest
from irctl.pipelines.compress.verify import is_whole, verify
from irctl.pipelines.compress.work import Work
from irctl.pipelines.references import bundles, kept_transforms, newest, transforms, vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

WHOLE = CompressRequest()
"""Everything at once, into the run folder."""


def compress(config: Config, run: RunHandle, reporter: Reporter, request: CompressRequest = WHOLE) -> dict[str, Any]:
    """Compress the input into one bundle a method; the payload of --json."""
    request.check(config.compress)
    request = replace(
        request,
        init=newest.settle_bundle(request.init, run, "--init"),
        append=newest.settle_bundle(request.append, run, "--append"),
    )
    if is_faiss(config.compress.source):
        return import_codes(config, run, reporter, request)
    if request.append is not None:
        from irctl.pipelines.compress.append import append

        named = vectors.settle(config, run, reporter) if config.compress.source else config
        return append(named, run, reporter, request.append)
    if request.out:
        files.check_folder(Path(request.out), goes_on=True)
    methods = _split_methods(config.compress.method)
    worker, workers = parse_shard(request.shard or "", os.environ, _count_workers(config, request.out, methods))
    folders = _choose_folders(run.out, request.out, methods, shared=worker is not None or request.finalize)
    begun = (_find_begun(config, request.out) if request.finalize or request.verify else {}) or folders
    if request.finalize:  # always hashes what the workers wrote
        return finalize(begun, config.compress, config.run.dataset, run, reporter)
    repairs = bool(config.compress.source)  # the input is named, so lost files can be made again
    if request.verify and not repairs:
        _refuse_without_bundle(begun)
    if request.verify and not request.train_only and all(is_whole(f, files=repairs) for f in begun.values()):
        return verify(begun, config, reporter)
    is_alone = worker is not None or request.train_only or request.runner != "local"
    here = 1 if is_alone else workers
    config = vectors.settle(config, run, reporter)
    given = _open_input(config, reporter, next(iter(folders.values())), request.init)
    work = Work(config, run, reporter, given, folders, init=request.init, workers=workers, here=here)
    if request.train_only:
        return _train(work)
    if worker is not None:
        return _encode_shard(work, worker, request)
    return _encode_all(work, request)


def _refuse_without_bundle(folders: Mapping[str, Path]) -> None:
    """ConfigError where there is nothing to verify: what a default names would be compressed instead."""
    if not any((folder / name).is_file() for folder in folders.values() for name in (shards.MANIFEST, planning.FILE)):
        raise ConfigError(
            f"--verify: no bundle in {' or '.join(map(str, folders.values()))}",
            hint="Name its folder with --out; to compress, name the vectors with --data",
        )


def _train(work: Work) -> dict[str, Any]:
    """--train-only: plan and quantizers, for the workers that follow."""
    work.plan_and_train(may_train=True)
    return results.report_training(work)


def _encode_shard(work: Work, worker: int, request: CompressRequest) -> dict[str, Any]:
    """--shard, or a task of a Slurm array: one worker's batches, by the quantizer that --train-only left."""
    work.plan_and_train(may_train=False)
    return results.report_shard(work, worker, work.encode(worker, verify=request.verify, runner=request.runner))


def _encode_all(work: Work, request: CompressRequest) -> dict[str, Any]:
    """Training, every batch and the manifest."""
    work.plan_and_train(may_train=True)
    return results.finish(work, work.encode(None, verify=request.verify, runner=request.runner))


def _open_input(config: Config, reporter: Reporter, folder: Path, init: str | None) -> vectors.Input:
    """The vectors, through the transform of the settings or their own; with --init through that of its bundle.

    folder: of a bundle, where an earlier step may have left the transform.
    """
    source = config.compress.source
    given = vectors.named(source, config) if source else vectors.default(config, reporter)
    if init:
        own = kept_transforms.of_folder(bundles.folder_of(init))
        kept_transforms.refuse_others(f"--init {init}", own, config)
        return transforms.with_transform(given, own) if own else given
    return transforms.apply(given, config, config.compress.metric, reporter, kept=folder / FOLDER)


def _find_begun(config: Config, out: str | None) -> dict[str, Path]:
    """Folders by method as the plans below --out have them; empty where the user named a method, or none is there."""
    if not out or "compress.method" in config.origins:
        return {}
    base = Path(out)
    plans = [base / planning.FILE] if (base / planning.FILE).is_file() else sorted(base.glob(f"*/{planning.FILE}"))
    return {planning.read(p.parent).method: p.parent for p in plans}


def _count_workers(config: Config, out: str | None, methods: Sequence[str]) -> int:
    """Writers by the settings; for a task of an array where those are silent, by the plan that it finds in --out."""
    is_silent = "compress.workers" not in config.origins and "SLURM_ARRAY_TASK_ID" in os.environ
    folder = Path(out or ".") / (methods[0] if len(methods) > 1 else "")
    if not out or not is_silent or not (folder / planning.FILE).is_file():
        return config.compress.workers
    return planning.read(folder).workers


def _split_methods(names: str) -> list[str]:
    methods = [m.strip() for m in names.split(",")]
    if len(set(methods)) < len(methods):
        raise ConfigError(f"compress.method: names one method twice: {names}")
    return methods


def _choose_folders(run_out: Path, out: str | None, methods: Sequence[str], *, shared: bool) -> dict[str, Path]:
    if shared and not out:
        raise ConfigError("--shard and --finalize work on the folder of another step", hint="Name it with --out")
    base = Path(out) if out else run_out
    return {m: base / m if len(methods) > 1 else base for m in methods}


def describe(config: Config, request: CompressRequest = WHOLE) -> dict[str, Any]:
    """What --dry-run prints: input, batches, memory and disk, as far as they are known without reading vectors."""
    from irctl.pipelines.compress import dry_run

    request.check(config.compress)
    if is_faiss(config.compress.source):
        return {"input": config.compress.source, "methods": "product codes of faiss, taken as they are"}
    makes_quantizers = not (request.finalize or request.verify)
    methods = _split_methods(config.compress.method) if makes_quantizers else []
    init = request.init
    if request.append is not None:
        from irctl.pipelines.compress.append import follow_bundle

        config, methods, init = follow_bundle(config, request.append)
    is_alone = request.train_only or bool(request.shard) or request.runner != "local"
    return dry_run.describe(config, methods, init=init, here=1 if is_alone else config.compress.workers)
