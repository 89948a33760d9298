"""What the options of `irctl compress` ask for beside the settings; the same for the run and its dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.settings import Compress


@dataclass(frozen=True, kw_only=True)
class CompressRequest:
    """One mode of compress: append, finalize, verify, train_only, a shard; or all of it at once, where none is named.

    out: folder of the bundle (one sub-folder a method if there are several); None: the run folder.
    runner: local, or ray for workers that are actors of Ray.
    """

    out: str | None = None
    init: str | None = None  # bundle whose quantizer is reused
    append: str | None = None  # bundle to add the rows to
    shard: str | None = None  # i/n: one of n workers over the shared folder `out`
    train_only: bool = False  # the step before the workers
    finalize: bool = False  # the step after them
    verify: bool = False  # hash finished batches again, and nothing else where the bundle is whole
    runner: str = "local"

    def check(self, settings: Compress) -> None:
        """Raise ConfigError for options that are none, or that do not go together."""
        steps = {"--train-only": self.train_only, "--shard": bool(self.shard), "--finalize": self.finalize}
        if self.append is not None:
            given = {"--append": True, "--out": bool(self.out), "--init": bool(self.init), **steps}
            return _refuse_together({**given, "--verify": self.verify})
        _refuse_together(steps)
        if settings.merge and settings.max_batches:
            raise ConfigError(
                f"compress.merge joins the batches of a whole input: found compress.max_batches = "
                f"{settings.max_batches}",
                hint="Leave out one of them",
            )
        if self.shard:
            from irctl.index.plan import parse_shard

            parse_shard(self.shard, {}, settings.workers)
        if (self.shard or self.finalize) and not self.out:
            raise ConfigError("--shard and --finalize work on the folder of another step", hint="Name it with --out")


def _refuse_together(options: dict[str, bool]) -> None:
    """ConfigError if more than one of these was given."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]}: cannot be given together", hint=f"Leave out {given[1]}")
