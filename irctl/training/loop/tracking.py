"""What trackers (train.report_to) get besides what transformers gives them: irctl's settings, run id and dev scores.

Steps go through transformers' own callbacks, which open a tracker's run as training begins and close it as it ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irctl.config import Config
from irctl.ledger.files.secrets import Masker
from irctl.paths import RunPaths
from irctl.training import trackers
from irctl.training.loop.save_and_stop import Flow
from irctl.training.objective.terms import replace_measured

if TYPE_CHECKING:
    from transformers.trainer_callback import CallbackHandler

PROJECT = "irctl"
AT_ONCE = 100  # parameters that mlflow takes in one call
PREFIX = "eval_"  # by which transformers tells scores from the values of steps
RUN_ID = "irctl.run_id"  # a tag by which a run that is continued is found again


def arguments(config: Config, paths: RunPaths) -> dict[str, Any]:
    """Arguments of transformers for the trackers; their places are set where the user has not set them."""
    names = trackers.names(config.train.report_to)
    run_id, folder = paths.folder.name, paths.folder.absolute()
    if names:
        os.environ.setdefault("WANDB_PROJECT", PROJECT)
        os.environ.setdefault("WANDB_RUN_ID", run_id)  # a run that is continued goes on there too
        os.environ.setdefault("WANDB_RESUME", "allow")
        if not Path("wandb/settings").is_file():  # `wandb offline` wrote it for this folder
            os.environ.setdefault("WANDB_DIR", str(folder))
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
    title = f"{config.run.name} {run_id}".strip()
    return {"report_to": names or trackers.NONE, "run_name": title, "project": PROJECT}


class Arguments(TrainingArguments):
    """Those of transformers; trackers get none of them, for their defaults (num_train_epochs) contradict the settings
    that `TrackedSettings` gives.
    """

    def to_dict(self) -> dict[str, Any]:
        return {}


class TrackedSettings(TrainerCallback):
    """Gives every tracker the resolved settings, once its run is open and before the first score, which trackio sends
    them with.
    """

    def __init__(self, config: Config, paths: RunPaths, state: Callable[[], Mapping[str, Any]]) -> None:
        self.names = trackers.names(config.train.report_to)
        self.config, self.run_id, self.state = config, paths.folder.name, state
        self.settings: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        flat = replace_measured(self.config, self.state()).flat()  # temperatures are measured by now
        self.settings = Masker((), os.environ).value({**flat, RUN_ID: self.run_id})
        if "trackio" in self.names:
            import trackio

            trackio.config.update(self.settings)
        if "wandb" in self.names:
            import wandb

            wandb.config.update(self.settings, allow_val_change=True)
        if "mlflow" in self.names:
            import mlflow

            own = mlflow.active_run()
            assert own is not None, "opened by MlflowRun"
            known = mlflow.get_run(own.info.run_id).data.params  # it lets no value be changed
            listed = [(key, value) for key, value in self.settings.items() if key not in known]
            for start in range(0, len(listed), AT_ONCE):
                mlflow.log_params(dict(listed[start : start + AT_ONCE]))
        if "tensorboard" in self.names:
            with trackers.load("tensorboard").SummaryWriter(os.environ["TENSORBOARD_LOGGING_DIR"]) as writer:
                writer.add_text("irctl", json.dumps(self.settings, indent=1))


class MlflowRun(TrainerCallback):
    """Opens the run of mlflow before transformers does, which then leaves it alone: one run also where a training is
    continued, and finished only where the training is.
    """

    def __init__(self, config: Config, paths: RunPaths, flow: Flow) -> None:
        self.run_id, self.flow = paths.folder.name, flow
        self.title = f"{config.run.name} {self.run_id}".strip()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        import mlflow

        own = _find_in_mlflow(self.run_id)
        mlflow.start_run(own, run_name=None if own else self.title, tags={RUN_ID: self.run_id})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            import mlflow

            mlflow.end_run("KILLED" if self.flow.is_stopped else "SCHEDULED" if self.flow.mines else "FINISHED")


def _find_in_mlflow(run_id: str) -> str | None:
    """mlflow's own id of a run of irctl, in the experiment that is set here; None where it has none yet."""
    import mlflow

    experiment = mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    found = mlflow.MlflowClient().search_runs(
        [experiment.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", max_results=1
    )
    return str(found[0].info.run_id) if found else None


def mark_killed(config: Config, paths: RunPaths) -> None:
    """Tell mlflow of the end of a process that does not come to `on_train_end`; other trackers see it themselves."""
    if "mlflow" in trackers.names(config.train.report_to) and (own := _find_in_mlflow(paths.folder.name)):
        import mlflow

        mlflow.MlflowClient().set_terminated(own, "KILLED")


@contextmanager
def marks_failure() -> Iterator[None]:
    """mlflow would call a run finished whose process ends by an error."""
    try:
        yield
    except BaseException:
        if (mlflow := sys.modules.get("mlflow")) is not None:
            mlflow.end_run("FAILED")
        raise


class FinalScores(TrainerCallback):
    """Gives every tracker the dev score before training and the best, with its step, once the training is whole."""

    def __init__(self, handler: CallbackHandler, measure: str, flow: Flow) -> None:
        self.handler, self.measure, self.flow = handler, measure, flow

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        dev = {row["step"]: row[f"dev_{self.measure}"] for row in state.log_history if f"dev_{self.measure}" in row}
        trained = {step: value for step, value in dev.items() if step}
        if not trained or self.flow.is_stopped or self.flow.mines:
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


def callbacks(config: Config, paths: RunPaths, state: Callable[[], Mapping[str, Any]]) -> Sequence[TrainerCallback]:
    """Those that begin after the trackers' own and before others; none without trackers. state: of the method."""
    return [TrackedSettings(config, paths, state)] if trackers.names(config.train.report_to) else []


def first_callbacks(
    config: Config, paths: RunPaths, handler: CallbackHandler, measure: str, flow: Flow
) -> Sequence[TrainerCallback]:
    """Those that come before the trackers' own, which close their runs as training ends; none without trackers."""
    names = trackers.names(config.train.report_to)
    runs = [MlflowRun(config, paths, flow)] if "mlflow" in names else []
    return [FinalScores(handler, measure, flow), *runs] if names else []
