"""What a compression refuses before anything is read or written: for the real run, its dry run and doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError
from irctl.pipelines.compress import manifest, memory
from irctl.pipelines.references import bundles

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.references.vectors import Input
    from irctl.settings import Compress


def open_quantizer(config: Config, name: str, dim: int, init: str | None) -> Any:
    """A new quantizer for vectors of this width, or the trained one of the bundle `init`.

    Raises ConfigError where the settings do not fit the width, or the bundle.
    """
    from irctl.quantizers.shared import opening

    seed, metric = config.run.seed, config.compress.metric
    if init is None:
        return opening.make(name, config.plugin(name), dim, metric, seed)
    trained = bundles.quantizer_of(init)
    method = type(trained).__module__.rpartition(".")[2]
    if (method, trained.dim, trained.metric) != (name, dim, metric):
        raise ConfigError(
            f"--init {init}: is {method} for {trained.dim} dimensions and {trained.metric}, "
            f"asked for is {name} for {dim} and {metric}",
            hint=f"--method {method} --set compress.metric={trained.metric}"
            if trained.dim == dim
            else "A quantizer fits vectors of one width: leave out --init to train one for these",
        )
    manifest.check_settings(init, name, asdict(trained.config), config.plugin(name))
    return trained


def check_rows(given: Input) -> None:
    """DataError for an input without rows."""
    if not given.stream.rows:
        raise DataError(f"{given.name}: holds no vectors, found shape (0, {given.stream.dim})")


def count_train_rows(most: int, quantizer: Any, rows: int) -> int:
    """Rows that a quantizer is trained on, of an input of so many. most: compress.train_size."""
    wanted = getattr(quantizer, "train_rows", None)
    return min(most, rows, most if wanted is None else int(wanted))


def check_memory(settings: Compress, method: str, given: Input, train_rows: int, here: int) -> memory.Estimate:
    """What the compression takes of the memory that there is. Raises ConfigError beyond the limit.

    here: workers that share this machine's memory.
    """
    sizes = memory.Sizes(
        method=method,
        dim=given.stream.dim,
        train_rows=train_rows,
        batch_rows=settings.batch if settings.stream else max(rows for _, rows in given.files),
        workers=here,
        is_cosine=settings.metric == "cosine",
    )
    return memory.check(sizes, memory.find_limit(settings.memory_gib), stream=settings.stream)
