"""What a compression refuses before anything is read or written: for the real run, its dry run and doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.pipelines.compress import manifest, memory
from irctl.pipelines.references import bundles

if TYPE_CHECKING:
    from irctl.config import Config


def quantizer(config: Config, name: str, dim: int, init: str | None) -> Any:
    """A new quantizer for vectors of this width, or the trained one of the bundle `init`.

    Raises ConfigError where the settings do not fit the width, or the bundle.
    """
    from irctl.quantizers.shared import opening

    seed, metric = config.run.seed, config.compress.metric
    if init is None:
        return opening.make(name, config.plugin(name), dim, metric, seed)
    made = bundles.quantizer_of(init)
    found = (type(made).__module__.rpartition(".")[2], made.dim, made.metric)
    if found != (name, dim, metric):
        raise ConfigError(
            f"--init {init}: is {found[0]} for {found[1]} dimensions and {found[2]}, "
            f"asked for is {name} for {dim} and {metric}",
            hint=f"--method {found[0]} --set compress.metric={found[2]}"
            if found[1] == dim
            else "A quantizer fits vectors of one width: leave out --init to train one for these",
        )
    manifest.check_settings(init, name, asdict(made.config), config.plugin(name))
    return made


def train_rows(config: Config, made: Any, rows: int) -> int:
    """Rows that a quantizer is trained on, of an input of so many."""
    most, wanted = config.compress.train_size, getattr(made, "train_rows", None)
    return min(most, rows, most if wanted is None else int(wanted))


def memory_needed(
    config: Config, method: str, dim: int, trained: int, files: Sequence[tuple[str, int]], *, stream: bool, here: int
) -> int:
    """Bytes. Raises ConfigError beyond the limit. trained: rows trained on. here: workers on this machine at once."""
    return memory.check(
        method,
        dim,
        trained,
        config.compress.batch if stream else max(rows for _, rows in files),
        memory.limit(config),
        stream=stream,
        workers=here,
        is_cosine=config.compress.metric == "cosine",
    )
