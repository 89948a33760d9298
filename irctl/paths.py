"""Where things lie: every folder and file name that irctl chooses, in one place.

Environment variables set places only: IRCTL_RUNS, IRCTL_LEDGER, IRCTL_CACHE, IRCTL_SITE; and IRCTL_LEDGER_JOURNAL, the
ledger's journal mode on a file system that irctl misjudges.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from irctl.errors import DataError

PACKAGE = Path(__file__).parent


def runs() -> Path:
    """Folder of run folders."""
    return Path(os.environ.get("IRCTL_RUNS") or "runs")


def ledger() -> Path:
    """The SQLite index of the run folders."""
    return Path(os.environ.get("IRCTL_LEDGER") or runs() / "ledger.db")


def cache() -> Path:
    """Content-keyed artefacts that can be made again: embeddings, parsed corpora, mined negatives."""
    if given := os.environ.get("IRCTL_CACHE"):
        return Path(given).absolute()  # paths below it are recorded
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "irctl"


def shipped(kind: str) -> Path:
    """Files that come with irctl: profiles, slurm, recipes, collections. A checkout has the first two at its top."""
    inside = PACKAGE / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def tested_versions() -> Path:
    """The constraints file of the package versions that this irctl was tested with."""
    inside = PACKAGE / "constraints.txt"
    return inside if inside.is_file() else PACKAGE.parent / ".ci" / "constraints.txt"


def check_inside(name: Any, where: Path) -> str:
    """The name that a manifest, `where`, gives to a file of its own folder. DataError if it leads out of it."""
    path = PurePosixPath(name) if isinstance(name, str) and name and "\0" not in name else None
    if path is None or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: expected names of files in its own folder, found {name!r}", hint="Make it again")
    return str(name)


class RunPaths:
    """Every file name inside a run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_json = folder / "run.json"
        self.config = folder / "config.json"
        self.events = folder / "events.jsonl"
        self.metrics = folder / "metrics.jsonl"
        self.log = folder / "log.txt"
        self.launch = folder / "launch.json"
        self.job = folder / "job.sbatch"
        self.deepspeed = folder / "ds_config.json"
        self.control = folder / "control"
        self.stop = folder / "control" / "stop"
        self.head = folder / "control" / "head.npz"
        self.checkpoints = folder / "checkpoints"
        self.model = folder / "model"
        self.bundle = folder / "bundle"
        self.negatives = folder / "negatives"
        self.out = folder / "out"
