"""What `--dry-run` says of a compression: input, batches, memory and disk, without reading vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irctl.index.plan import check_batch
from irctl.pipelines.compress import checks
from irctl.pipelines.references import transforms, vectors

if TYPE_CHECKING:
    from irctl.config import Config

_ID_BYTES = 12  # a guess: ids are measured once they are written


def describe(config: Config, methods: Sequence[str], *, init: str | None = None, here: int = 1) -> dict[str, Any]:
    """Facts known before the run, which refuses what the run refuses. A remote input is not asked.

    init: bundle whose quantizer is used. here: workers that share this machine's memory.
    """
    settings = config.compress
    if settings.stream:
        check_batch(settings.batch)
    described: dict[str, Any] = {
        "methods": ", ".join(methods),
        "batch": settings.batch if settings.stream else "a file (without --stream)",
    }
    given = _open_input(config)
    if isinstance(given, str):
        return {**described, "input": given}
    checks.check_rows(given)
    largest = max(rows for _, rows in given.files)
    batch = min(settings.batch, largest) if settings.stream else largest
    batches = sum(-(-rows // batch) for _, rows in given.files)
    if settings.max_batches:
        batches = min(batches, settings.max_batches)
    stream = given.stream
    described |= {"input": given.name, "rows": stream.rows, "dimensions": stream.dim, "batches": batches}
    given, named = transforms.preview(given, config, init)
    described |= named
    if settings.workers > 1:
        described["array"] = _list_array_steps(settings.workers)
    rows = min(stream.rows, batches * batch)
    return described | {method: _describe_method(config, method, given, rows, here, init) for method in methods}


def _open_input(config: Config) -> vectors.Input | str:
    """The vectors, or where they will come from, in words, where that is not known before the run."""
    source = config.compress.source
    if "://" in source:
        return f"{source} (rows and width are known once its footers are read)"
    if source:
        return vectors.named(source, config)
    record = vectors.newest_named(config)
    return vectors.of_run(record) if record else f"{config.data.source}, encoded with {config.model.name} first"


def _list_array_steps(workers: int) -> list[str]:
    """The commands of an array of workers."""
    last = workers - 1
    return [
        "1. irctl compress ... --out FOLDER --train-only",
        f"2. the same with --shard i/{workers}, i from 0 to {last} (sbatch --array=0-{last})",
        "3. irctl compress ... --out FOLDER --finalize (after all of them: --dependency=afterok)",
    ]


def _describe_method(
    config: Config, method: str, given: vectors.Input, rows: int, here: int, init: str | None
) -> dict[str, str]:
    quantizer = checks.open_quantizer(config, method, given.stream.dim, init)
    train_rows = checks.count_train_rows(config.compress.train_size, quantizer, given.stream.rows)
    memory = checks.check_memory(config.compress, method, given, train_rows, here)
    size = int(quantizer.code_size)
    return {
        "bytes a row": str(size) if size else "decided in training",
        "codes on disk": f"{rows * size / 2**20:,.1f} MiB, ids about {rows * _ID_BYTES / 2**20:,.1f} MiB",
        "training rows": f"{train_rows:,}",
        "memory": memory.text,
    }
