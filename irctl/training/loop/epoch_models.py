"""The models that a training leaves at each epoch's end and at its own end (train.epoch_models)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from irctl.errors import ConfigError
from irctl.training.batch_plan import StepPlan
from irctl.training.loop.training_run import TrainingRun
from irctl.training.method import Method
from irctl.training.parallel.tensors import read_weights
from irctl.training.run_files import checkpoints, epoch_folders
from irctl.training.run_files.checkpoints import Checkpoint


def check(run: TrainingRun, method: Method) -> None:
    """ConfigError where a method cannot write its model while it is trained."""
    config = run.config
    if not config.train.epoch_models:
        return
    if not getattr(method, "saves_a_model_alone", False):
        raise ConfigError(
            f"train.epoch_models (from {config.origin('train.epoch_models')}): the method {config.train.method} writes "
            "more than a model, once its training is over",
            hint="Drop it; checkpoints are kept by train.save and train.keep",
        )


def is_due(run: TrainingRun, steps: StepPlan, step: int) -> bool:
    """Whether a step ends an epoch whose model is kept."""
    return run.config.train.epoch_models and step > 0 and step % steps.steps_an_epoch == 0


def write(method: Method, checkpoint: Checkpoint, epoch: int) -> None:
    """The model as it is now, with the state of its checkpoint."""
    folder = checkpoint.folder.parent
    target = epoch_folders.folder_of(folder, epoch)
    staged = epoch_folders.open_staging(folder, target.name)
    method.save(staged)
    epoch_folders.add_state(staged, checkpoint, epoch_folders.best_of(checkpoint))
    epoch_folders.publish(staged, target)


def catch_up(run: TrainingRun, method: Method, module: nn.Module, steps: StepPlan, checkpoint: Checkpoint) -> None:
    """Write the epoch's model that a killed run has a checkpoint of, but not the folder. It leaves these weights."""
    epoch = checkpoint.step // steps.steps_an_epoch
    folder = checkpoint.folder.parent
    if is_due(run, steps, checkpoint.step) and not epoch_folders.folder_of(folder, epoch).exists():
        read_weights(checkpoint.folder / checkpoints.WEIGHTS, module)
        write(method, checkpoint, epoch)


def find(folder: Path, steps: StepPlan, checkpoint: Checkpoint) -> Path | None:
    """The epoch folder that holds a checkpoint's model, if there is one."""
    found = epoch_folders.folder_of(folder, checkpoint.step // steps.steps_an_epoch)
    return found if checkpoint.step % steps.steps_an_epoch == 0 and found.is_dir() else None
