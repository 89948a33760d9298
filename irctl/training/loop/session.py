"""A worker's whole work: open, measure, resume or start, train, keep the best, save."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers

from irctl import tables
from irctl.config import Config
from irctl.data.collections.dataset_name import dataset_name
from irctl.errors import ConfigError, RunFailed
from irctl.ledger.files import peak_memory
from irctl.models import embed
from irctl.origins import MEASURED
from irctl.paths import RunPaths
from irctl.training import batch_plan, learning_rates, precision
from irctl.training.loop import epoch_models, tracking
from irctl.training.loop.loss_batches import LossBatches
from irctl.training.loop.save_and_stop import Flow, Times
from irctl.training.loop.step_under_way import StepUnderWay
from irctl.training.loop.trainer import BEST, MethodModule, Trainer, arguments
from irctl.training.loop.training_run import Build, TrainingRun
from irctl.training.method import Context, Method
from irctl.training.objective.objective import MEASURED_BATCHES
from irctl.training.parallel import deepspeed_settings, gather
from irctl.training.parallel.tensors import read_weights, to_device
from irctl.training.run_files import checkpoints, curve, epoch_folders, refreshed_negatives
from irctl.training.run_files.journal import TrainingJournal
from irctl.types import Advance, Reporter

LOCK_WAIT_S = 120.0
OTHER_SECTIONS = ("hardware", "run", "search", "compress")
OTHER_KEYS = (
    "train.keep", "train.log_steps", "train.report_to", "train.save_minutes", "train.epoch_models",
    "train.resume_from", "encoder.batch_tokens",
)  # fmt: skip
"""Settings that may differ between a checkpoint and its continuation."""


class JournalReporter:
    """A Reporter whose warnings reach the launcher through the journal; only the first process speaks."""

    def __init__(self, journal: TrainingJournal) -> None:
        self._journal = journal

    def say(self, line: str) -> None:
        if gather.world()[0] == 0:
            print(line, flush=True)  # noqa: T201  a worker's standard output is the run's log

    def warn(self, line: str) -> None:
        if gather.world()[0] == 0:
            self._journal.event("warn", message=line)

    def bar(self, label: str, total: int | None, done: int = 0, *, unit: str = "") -> AbstractContextManager[Advance]:
        def advance(n: int = 1, *, note: str = "") -> None:
            pass

        if label == embed.BAR and total and gather.world()[0] == 0:  # minutes, before the first step
            self._journal.event("encoding", texts=total - done)

        return nullcontext(advance)


def run(config: Config, paths: RunPaths, build: Build) -> None:
    """Train in a run folder, from its newest checkpoint if there is one, to metrics.jsonl and model/."""
    journal = TrainingJournal(paths, dataset_name(config.run.dataset, config.data.source))
    reporter = JournalReporter(journal)
    plan = batch_plan.plan(config)
    precision.check_device(config)
    if deepspeed_settings.uses_deepspeed(config.hardware) and config.hardware.device_kind == "cpu":
        deepspeed_settings.quiet_cpu_deepspeed(paths.control / "torch_extensions")
    if deepspeed_settings.uses_deepspeed(config.hardware):
        deepspeed_settings.load_without_pickle()
    args = arguments(config, plan, paths)
    under_way = StepUnderWay(
        paths.stop,
        journal.event,
        partial(tracking.mark_killed, config, paths),
        may_give_up=args.world_size == 1 and not deepspeed_settings.uses_deepspeed(config.hardware),
    )
    training = TrainingRun(config, Context(plan, reporter, paths, journal.event), journal, args, build, under_way)
    is_first = training.is_first
    with under_way.watched() if is_first else nullcontext(), _alone(paths, reporter) if is_first else nullcontext():
        if is_first:  # under the lock: to look for checkpoints puts away what is left of one
            under_way.continues(checkpoint.step if (checkpoint := _newest(config, paths)) else 0)
        transformers.set_seed(config.run.seed)
        method = build(config, training.context)
        groups = method.parameter_groups()
        learning_rates.check(config, groups)
        if not groups:
            raise ConfigError(
                "model.freeze_base: nothing is left to train", hint="Add LoRA with --set model.lora_r=16, or drop it"
            )
        _train(training, method)
        gather.barrier()


def _train(run: TrainingRun, method: Method) -> None:
    config, paths = run.config, run.context.paths
    checkpoint = _newest(config, paths)
    epoch_models.check(run, method)
    trainer = _open_trainer(run, method, checkpoint)
    flow, steps = trainer.flow, trainer.steps
    history = _take_over(run, trainer, checkpoint) if checkpoint else []
    if checkpoint is None:
        _measure(run, trainer)
    elif run.is_first:
        epoch_models.catch_up(run, method, trainer.step_module, steps, checkpoint)
    if run.is_first:
        filled = curve.Epochs.of(run.plan, steps, method.queries, config.train.log_steps)
        at = checkpoint.step if checkpoint else 0
        run.journal.event("plan", steps=steps.total, step=at, epochs=filled.as_dict(), inputs=method.inputs())
    is_over = checkpoint is not None and (checkpoint.step >= steps.total or flow.has_stalled(history))
    flow.mines = not is_over and bool(refreshed_negatives.is_wanted(config.hardneg.every, paths))
    if not is_over and not flow.mines:
        with tracking.marks_failure():
            trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
        history = trainer.state.log_history
    run.under_way.end()
    if not run.is_first:
        return
    if flow.is_stopped:
        run.journal.event("stopped", step=trainer.state.global_step, steps=steps.total)
    elif flow.mines:
        epochs = refreshed_negatives.due(config.hardneg.every, paths)
        last = checkpoints.whole(paths.checkpoints)[-1]
        _write_model(trainer, last, refreshed_negatives.model(paths, epochs))
        run.journal.event("mine", epochs=epochs, step=last.step)
    else:
        _finish(trainer, history)


def _newest(config: Config, paths: RunPaths) -> checkpoints.Checkpoint | None:
    """The checkpoint that this training goes on from."""
    return checkpoints.newest(paths.checkpoints) if config.train.save_state else None


def _open_trainer(run: TrainingRun, method: Method, checkpoint: checkpoints.Checkpoint | None) -> Trainer:
    """The trainer of a method. Raises ConfigError or DataError where it cannot go on from the checkpoint."""
    config = run.config
    steps = batch_plan.steps(config, run.plan, method.queries)
    if steps.notice:
        run.context.reporter.warn(steps.notice)
    times = Times(
        every=batch_plan.save_every(config, steps),
        minutes=config.train.save_minutes,
        patience=config.eval.patience,
        evaluates=config.eval.during != "off" and method.can_evaluate,
        steps_an_epoch=steps.steps_an_epoch,
        mines_every=config.hardneg.every,
        saves_epochs=config.train.epoch_models,
    )
    identity = {"config_sha256": science_sha256(config), "data": method.fingerprint}
    if checkpoint:
        zero_stage = config.hardware.zero_stage
        checkpoints.check_fits(checkpoint, **identity, processes=run.args.world_size, zero_stage=zero_stage)
    return Trainer(method, run, steps, Flow(run.context.paths.stop, times), identity)


def _take_over(run: TrainingRun, trainer: Trainer, checkpoint: checkpoints.Checkpoint) -> list[dict[str, Any]]:
    """Restore the method as a checkpoint has it; the history of its training."""
    trainer.method.restore(checkpoint.manifest["method"])
    run.context.reporter.say(f"continuing at step {checkpoint.step} of {trainer.steps.total}")
    history: list[dict[str, Any]] = tables.json_object(checkpoint.folder / "trainer_state.json")["log_history"]
    return history


def _measure(run: TrainingRun, trainer: Trainer) -> None:
    """Show the method its first loss batches, before the first step."""
    method, device, seed = trainer.method, run.args.device, run.config.run.seed
    trainer.step_module.to(device)
    batches = LossBatches(method.queries, run.plan.loss, seed)
    method.prepare([to_device(method.collate(items), device) for items in islice(batches, MEASURED_BATCHES)])
    # the same dropout masks on every process would tie their shares together
    torch.manual_seed(seed + run.args.process_index)


def _peak_memory_gib() -> float:
    """The most that this process had on its CUDA device so far, or in memory where it has none."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return round(peak_memory.of_process(), 3)


def _finish(trainer: Trainer, history: list[dict[str, Any]]) -> None:
    """Save the best checkpoint on dev, or the last one, as the run's model."""
    run, paths = trainer.run, trainer.run.context.paths
    last = checkpoints.whole(paths.checkpoints)[-1]
    best = last.manifest["best"]["step"] if trainer.flow.times.evaluates else None
    chosen = (checkpoints.at(paths.checkpoints, best) if best else None) or last
    if best not in (None, chosen.step):
        run.context.reporter.warn(f"the weights of step {best}, the best on dev, are not kept: the model is the last")
    about = _write_model(trainer, chosen, paths.model)
    if run.config.train.epoch_models:
        _name_models(trainer, chosen, last)
    dev = {row["step"]: row[f"dev_{BEST}"] for row in history if f"dev_{BEST}" in row}
    losses = {int(row["step"]): float(row["loss"]) for row in history if "loss" in row}
    epochs = curve.Epochs.of(run.plan, trainer.steps, trainer.method.queries, run.config.train.log_steps)
    # negatives mined again are harder than those before: no loss compares with an earlier one
    means = None if run.config.hardneg.every else curve.means(losses, epochs)
    run.journal.event(
        "done",
        steps=last.step,
        model_step=chosen.step,
        dev_before=dev.get(0),
        dev_after=dev.get(chosen.step),
        first_loss=means[0] if means else None,
        last_loss=means[1] if means else None,
        state=chosen.manifest["method"],
        peak_memory_gib=_peak_memory_gib(),
        params=sum(p.numel() for group in trainer.method.parameter_groups() for p in group["params"]),
        **about,
    )


def _name_models(trainer: Trainer, chosen: checkpoints.Checkpoint, last: checkpoints.Checkpoint) -> None:
    """best_model and final_model beside the checkpoints."""
    paths = trainer.run.context.paths
    folder = paths.checkpoints
    epoch_folders.copy_model(paths.model, folder, epoch_folders.BEST_MODEL)
    made = paths.model if chosen.step == last.step else epoch_models.find(folder, trainer.steps, last)
    if made is None:
        _write_model(trainer, last, folder / epoch_folders.FINAL_MODEL)
    else:
        epoch_folders.copy_model(made, folder, epoch_folders.FINAL_MODEL)


def _write_model(trainer: Trainer, chosen: checkpoints.Checkpoint, target: Path) -> dict[str, Any]:
    """The model of a checkpoint, if it has one, as a folder that appears whole; what the ledger should know of it."""
    run, method, module = trainer.run, trainer.method, trainer.step_module
    if run.config.hardware.zero_stage == 3:  # the trained module holds only this process's slices
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
        method = run.build(run.config, run.context)
        module = MethodModule(method)
    read_weights(chosen.folder / checkpoints.WEIGHTS, module)
    method.restore(chosen.manifest["method"])
    staged = target.with_name(f".tmp-{target.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.parent.mkdir(parents=True, exist_ok=True)
    module.float().cpu()
    about = method.save(staged)
    shutil.rmtree(target, ignore_errors=True)
    if staged.is_dir():  # vectors without texts have no encoder
        staged.rename(target)
    return about


def leave() -> None:
    """Part from the other processes; not after an error, when they may never answer."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def science_sha256(config: Config) -> str:
    """Hash of what must be the same for a checkpoint to go on: all but hardware, names and what is measured."""
    flat = {k: v for k, v in config.flat().items() if k.split(".")[0] not in OTHER_SECTIONS and k not in OTHER_KEYS}
    flat["run.seed"] = config.run.seed
    for key in [k for k in flat if k.endswith(".temperature") and config.origin(k) == MEASURED]:
        del flat[key]
    if config.loss.temperature == "auto":
        del flat["loss.temperature"]
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()


@contextmanager
def _alone(paths: RunPaths, reporter: Reporter) -> Iterator[None]:
    """Hold the run folder's lock. A worker whose launcher was killed saves and leaves within seconds: wait for it."""
    paths.control.mkdir(parents=True, exist_ok=True)
    with (paths.control / "worker.lock").open("w") as handle:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunFailed(
                        f"{paths.folder}: another process still trains here",
                        hint="Wait for it, or end it, and try again",
                    ) from None
                time.sleep(0.5)
            except OSError as e:  # some shared file systems have no locks
                reporter.warn(
                    f"{paths.folder}: cannot be locked ({e.strerror}); see that only one process trains there"
                )
                break
        yield
