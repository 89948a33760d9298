"""Where outputs may lie: not below a Slurm job's TMPDIR, which is deleted when the job ends. Caches may."""

from __future__ import annotations

import os
from pathlib import Path

from irctl.errors import ConfigError


def check(folder: Path, hint: str = "Choose another --out") -> None:
    """ConfigError for an output that would be deleted with the job's TMPDIR."""
    tmp = os.environ.get("TMPDIR", "")
    if tmp and "SLURM_JOB_ID" in os.environ and folder.resolve().is_relative_to(Path(tmp).resolve()):
        raise ConfigError(f"{folder}: lies below TMPDIR, which is deleted when the job ends", hint=hint)
