"""A new training that goes on from a checkpoint of another run: `--resume RUN:checkpoint_epoch_N`, train.resume_from.

The checkpoint's files are linked into the new run's folder; nothing of the other run is written or removed. Whether
settings and data are the same is checked where the training opens it, as for any checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import ConfigError, DataError
from irctl.training.run_files import checkpoints, epoch_folders, refreshed_negatives

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle

LATEST = "latest"


def is_checkpoint(text: str) -> bool:
    """Whether a --resume names a checkpoint of a run rather than a run: RUN:NAME, and `latest:NAME` is a run."""
    run, colon, name = text.rpartition(":")
    return bool(colon) and not Path(text).is_dir() and (run != LATEST or _is_a_name(name))


def _is_a_name(name: str) -> bool:
    return name == epoch_folders.BEST or name.startswith((epoch_folders.PREFIX, checkpoints.PREFIX))


def check_one_training(text: str, *, has_arms: bool, runner: str) -> None:
    """ConfigError where --resume RUN:NAME goes to several trainings, or to a job that continues its own run."""
    if has_arms:
        raise ConfigError(f"--resume {text}: is of one training", hint="Name one arm, as --recipe GROUP:ARM")
    if runner == "slurm":
        raise ConfigError(
            f"--resume {text}: a submitted job continues its own run", hint=f"Use --set train.resume_from={text}"
        )


def find(text: str) -> tuple[RunRecord, checkpoints.Checkpoint]:
    """(the run, its checkpoint) that RUN:NAME means.

    Raises DataError where there is none, with the names of those there are, ConfigError for a run of another command.
    """
    from irctl.ledger import query

    ref, colon, name = text.rpartition(":")
    if not colon:
        raise ConfigError(
            f"train.resume_from={text}: expected RUN:NAME", hint="Such as latest:checkpoint_epoch_1, or RUN:best"
        )
    run = query.find_run(ref, command="train")
    if run.columns.get("command") != "train":
        raise ConfigError(
            f"--resume {text}: run {run.id} is of '{run.columns.get('command')}', not of 'train'",
            hint="irctl runs ls --command train lists those with checkpoints",
        )
    there = epoch_folders.states(run.paths.checkpoints)
    if name not in there:
        raise DataError(
            f"--resume {text}: run {run.id} has no checkpoint '{name}'; it has {', '.join(there) or 'none'}",
            hint="train.epoch_models=true keeps one after each epoch; train.keep says how many others",
        )
    if not there[name].manifest.get("has_state"):
        raise DataError(
            f"--resume {text}: {there[name].folder} was written without optimizer state (train.save_state=false)",
            hint="Start from its weights with --init and the run's model",
        )
    return run, there[name]


def begin(config: Config, run: RunHandle) -> None:
    """Give a new run the checkpoint that train.resume_from names, and record where it is from.

    A run that has come further is left as it is: it was killed, and goes on from its own.
    """
    if not config.train.resume_from:
        return
    other, checkpoint = find(config.train.resume_from)
    own = checkpoints.newest(run.paths.checkpoints)
    if own is not None and own.step >= checkpoint.step:
        return
    _take_negatives(config, other, checkpoint, run)
    run.note(parent_id=other.id)
    run.artifact("in", "checkpoint", checkpoint.folder / checkpoints.WEIGHTS)
    epoch_folders.adopt(checkpoint, run.paths.checkpoints)


def _take_negatives(config: Config, other: RunRecord, checkpoint: checkpoints.Checkpoint, run: RunHandle) -> None:
    """The negatives that were mined again before the checkpoint, by a model that is gone."""
    every = config.hardneg.every
    epoch = float(checkpoint.manifest["epoch"] or 0.0)
    due = int(epoch + refreshed_negatives.ROUNDING) // every * every if every else 0
    if not due:
        return
    source, target = (refreshed_negatives.file(r.paths, due) for r in (other, run))
    if source.is_file():
        epoch_folders.link(source, target)
    elif epoch > due + refreshed_negatives.ROUNDING:  # else this checkpoint's model mines them
        raise DataError(
            f"{source}: the negatives that this training used at epoch {epoch:.2f} are gone",
            hint="Resume from the end of an epoch after which they were mined",
        )
