"""Negatives that are mined again while training goes on (hardneg.every, as ANCE does). Imports no torch.

At the end of such an epoch the training processes save a checkpoint and the model as it is, and end; the launcher mines
with that model and starts them again. So a run that was killed in between continues like any other.

ANCE: Xiong et al. 2021, arXiv 2007.00808.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from irctl.paths import RunPaths
from irctl.training.run_files import checkpoints

MODELS = "model-"
ROUNDING = 1e-6  # of an epoch, as checkpoints have it


def due(every: int, paths: RunPaths) -> int:
    """The epochs after which the negatives were mined that training needs now; 0 for those it started with.

    every: hardneg.every.
    """
    checkpoint = checkpoints.newest(paths.checkpoints) if every else None
    if checkpoint is None:
        return 0
    epochs = int(float(checkpoint.manifest["epoch"] or 0.0) + ROUNDING)
    return epochs // every * every


def file(paths: RunPaths, epochs: int) -> Path:
    """The negatives mined after so many epochs."""
    return paths.negatives / f"epoch-{epochs:04d}.jsonl"


def model(paths: RunPaths, epochs: int) -> Path:
    """The model as it was then; there, with its vectors beside it, only until the negatives are."""
    return paths.negatives / f"{MODELS}{epochs:04d}"


def drop_models(paths: RunPaths) -> None:
    """Remove models and vectors whose negatives are mined."""
    for left in paths.negatives.glob(f"{MODELS}*"):
        shutil.rmtree(left)


def current(every: int, paths: RunPaths) -> Path | None:
    """The negatives that training needs now, where they are mined; None for those it started with."""
    epochs = due(every, paths)
    found = file(paths, epochs)
    return found if epochs and found.is_file() else None


def earlier(every: int, paths: RunPaths) -> list[Path]:
    """The mined negatives that training needed before, oldest first."""
    epochs = due(every, paths)
    return [file(paths, n) for n in range(every, epochs, every) if file(paths, n).is_file()] if every else []


def is_wanted(every: int, paths: RunPaths) -> int:
    """The epochs after which negatives are still to be mined before training goes on; 0 where none are."""
    epochs = due(every, paths)
    return 0 if not epochs or file(paths, epochs).is_file() else epochs
