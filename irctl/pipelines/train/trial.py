"""A training tried in small: two steps, in a folder that is gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from irctl import stopping
from irctl.origins import derived
from irctl.types import Silent

if TYPE_CHECKING:
    from irctl.config import Config

SMALL = {
    "train.max_steps": 2, "train.epochs": 1.0, "train.save": "1", "train.keep": 2, "train.save_state": True,
    "train.log_steps": 1, "train.report_to": "none", "eval.during": "off", "eval.patience": 0, "train.warmup_steps": 0,
}  # fmt: skip


def peak_memory_gib(config: Config) -> float:
    """Memory that two steps of the whole batch took at the most, in GiB: of the first device, or of its process."""
    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import preparation
    from irctl.pipelines.train import train as training

    config = preparation.pin(config)
    with elsewhere():
        tried = config.replace({**SMALL, "train.save_state": False}, derived("--probe"))
        with start_run(command="train", argv=["irctl", "train"], config=tried) as run:
            return float(training.train(tried, run, Silent())["peak_memory_gib"])


@contextmanager
def elsewhere() -> Iterator[None]:
    """Runs and ledger in a temporary folder for as long as this lasts; a signal ends it at once, and nothing stays."""
    before = {k: os.environ.get(k) for k in ("IRCTL_RUNS", "IRCTL_LEDGER")}
    with tempfile.TemporaryDirectory(prefix="irctl-preflight-") as folder:
        os.environ.pop("IRCTL_LEDGER", None)
        os.environ["IRCTL_RUNS"] = folder
        stopping.install()
        try:
            with stopping.at_once("nothing of a trial is kept"):
                yield
        finally:
            stopping.restore()
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
