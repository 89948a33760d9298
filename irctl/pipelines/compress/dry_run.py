"""What `--dry-run` says of a compression: input, batches, memory and disk, without reading vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irctl.index.plan import check_batch
from irctl.pipelines.compress import checks
from irctl.pipelines.compress.memory import limit
from irctl.pipelines.references import vectors

if TYPE_CHECKING:
    from irctl.config import Config

_ID_BYTES = 12  # a guess: ids are measured once they are written


def compression(
    config: Config, methods: Sequence[str], runner: str, *, init: str | None = None, alone: bool = False
) -> dict[str, Any]:
    """Facts known before the run, which refuses what the run refuses. A remote input is not asked.

    runner: local workers share the memory. init: bundle whose quantizer is used. alone: one worker or step of several.
    """
    settings = config.compress
    if settings.stream:
        check_batch(settings.batch)
    source = settings.source
    plan: dict[str, Any] = {
        "methods": ", ".join(methods),
        "batch": settings.batch if settings.stream else "a file (without --stream)",
    }
    if not source:
        record = vectors.newest()
        if record is None:
            plan["input"] = f"{config.data.source}, encoded with {config.model.name} first"
            return plan
        given = vectors.of_run(record)
    elif "://" in source:
        plan["input"] = f"{source} (rows and width are known once its footers are read)"
        return plan
    else:
        given = vectors.named(source, config)
    stream = given.stream
    largest = max(rows for _, rows in given.files)
    batch = min(settings.batch, largest) if settings.stream else largest
    batches = sum(-(-rows // batch) for _, rows in given.files)
    if settings.max_batches:
        batches = min(batches, settings.max_batches)
    plan |= {"input": given.name, "rows": stream.rows, "dimensions": stream.dim, "batches": batches}
    rows = min(stream.rows, batches * batch)
    here = settings.workers if runner == "local" and not alone else 1
    if settings.workers > 1:
        last = settings.workers - 1
        plan["array"] = [
            "1. irctl compress ... --out FOLDER --train-only",
            f"2. the same with --shard i/{settings.workers}, i from 0 to {last} (sbatch --array=0-{last})",
            "3. irctl compress ... --out FOLDER --finalize (after all of them: --dependency=afterok)",
        ]
    for method in methods:
        plan[method] = _one(config, method, given, rows, here, init)
    return plan


def _one(
    config: Config, method: str, given: vectors.Input, rows: int, workers: int, init: str | None
) -> dict[str, str]:
    dim, stream = given.stream.dim, config.compress.stream
    quantizer = checks.quantizer(config, method, dim, init)
    train = checks.train_rows(config, quantizer, given.stream.rows)
    memory = checks.memory_needed(config, method, dim, train, given.files, stream=stream, here=workers)
    several = f" for {workers} local workers" if workers > 1 else ""
    size = int(quantizer.code_size)
    return {
        "bytes a row": str(size) if size else "decided in training",
        "codes on disk": f"{rows * size / 2**20:,.1f} MiB, ids about {rows * _ID_BYTES / 2**20:,.1f} MiB",
        "training rows": f"{train:,}",
        "memory": f"{memory / 2**30:.2f} GiB{several} of {limit(config) / 2**30:.1f} GiB",
    }
