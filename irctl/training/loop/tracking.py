"""What trackers (train.report_to) get besides what transformers gives them: irctl's settings, run id and dev scores.

Steps go through transformers' own callbacks, which open a tracker's run as training begins and close it as it ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irctl.config import Config
from irctl.ledger.files.secrets import Masker
from irctl.paths import RunPaths
from irctl.training import trackers

if TYPE_CHECKING:
    from transformers.trainer_callback import CallbackHandler

PROJECT = "irctl"
AT_ONCE = 100  # parameters that mlflow takes in one call
PREFIX = "eval_"  # by which transformers tells scores from the values of steps


def arguments(config: Config, paths: RunPaths) -> dict[str, Any]:
    """Arguments of transformers for the trackers; their places are set where the user has not set them."""
    names = trackers.names(config.train.report_to)
    run_id = paths.folder.name
    if names:
        os.environ.setdefault("WANDB_PROJECT", PROJECT)
        os.environ.setdefault("WANDB_RUN_ID", run_id)  # a run that is continued goes on there too
        os.environ.setdefault("WANDB_RESUME", "allow")
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(paths.folder / "tensorboard"))
    title = f"{config.run.name} {run_id}".strip()
    return {"report_to": names or trackers.NONE, "run_name": title, "project": PROJECT}


class TrackedSettings(TrainerCallback):
    """Gives every tracker the resolved settings, once its run is open and before the first score, which trackio sends
    them with.
    """

    def __init__(self, config: Config, paths: RunPaths) -> None:
        self.names = trackers.names(config.train.report_to)
        flat = {**config.flat(), "irctl.run_id": paths.folder.name}
        self.settings: dict[str, Any] = Masker((), os.environ).value(flat)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        if "trackio" in self.names:
            import trackio

            trackio.config.update(self.settings)
        if "wandb" in self.names:
            import wandb

            wandb.config.update(self.settings, allow_val_change=True)
        if "mlflow" in self.names:
            import mlflow

            listed = list(self.settings.items())
            for start in range(0, len(listed), AT_ONCE):
                mlflow.log_params(dict(listed[start : start + AT_ONCE]))
            mlflow.set_tag("irctl.run_id", self.settings["irctl.run_id"])
        if "tensorboard" in self.names:
            from torch.utils.tensorboard import SummaryWriter

            with SummaryWriter(os.environ["TENSORBOARD_LOGGING_DIR"]) as writer:
                writer.add_text("irctl", json.dumps(self.settings, indent=1))


class FinalScores(TrainerCallback):
    """Gives every tracker the dev score before training and the best, with its step: first of the callbacks."""

    def __init__(self, handler: CallbackHandler, measure: str) -> None:
        self.handler, self.measure = handler, measure

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        dev = {row["step"]: row[f"dev_{self.measure}"] for row in state.log_history if f"dev_{self.measure}" in row}
        trained = {step: value for step, value in dev.items() if step}
        if not trained:
            return
        best = max(trained, key=lambda step: trained[step])
        final = {f"best_{self.measure}": trained[best], "best_step": float(best)}
        if 0 in dev:
            final[f"untrained_{self.measure}"] = dev[0]
        tell(self.handler, args, state, control, final)


def tell(
    handler: CallbackHandler,
    args: TrainingArguments,
    state: TrainerState,
    control: TrainerControl,
    scores: Mapping[str, float],
) -> None:
    """Scores to every tracker, at the step of now."""
    if state.is_world_process_zero and scores:
        handler.on_log(args, state, control, {f"{PREFIX}{name}": float(value) for name, value in scores.items()})


def callbacks(config: Config, paths: RunPaths) -> Sequence[TrainerCallback]:
    """Those that begin after the trackers' own and before others; none without trackers."""
    return [TrackedSettings(config, paths)] if trackers.names(config.train.report_to) else []
