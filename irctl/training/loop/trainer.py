"""The one training loop: transformers' Trainer, told what a step, a schedule and a checkpoint are.

Every default of transformers that could change a result is set by hand in `arguments`. accepts_loss_kwargs is False,
for transformers would otherwise multiply loss and gradient by accumulation x processes.
"""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback

from irctl.config import Config
from irctl.errors import RunFailed
from irctl.paths import RunPaths
from irctl.training import learning_rates, precision
from irctl.training.batch_plan import BatchPlan, StepPlan
from irctl.training.loop import epoch_models, schedule, tracking
from irctl.training.loop.loss_batches import Loader, LossBatches
from irctl.training.loop.save_and_stop import Flow
from irctl.training.loop.step_under_way import StateCopy, copy_buffers
from irctl.training.loop.time_left import TimeLeft
from irctl.training.loop.training_run import TrainingRun
from irctl.training.method import Method
from irctl.training.parallel import deepspeed_settings, gather
from irctl.training.parallel.tensors import read_weights, to_device, write_weights
from irctl.training.run_files import checkpoints

BEST = "nDCG@10"


def arguments(config: Config, plan: BatchPlan, paths: RunPaths) -> transformers.TrainingArguments:
    """Arguments for transformers; making them joins this process to the others of the run. max_steps is set later."""
    hardware = config.hardware
    return tracking.Arguments(
        output_dir=str(paths.checkpoints),
        per_device_train_batch_size=plan.local,
        gradient_accumulation_steps=plan.losses,
        max_steps=1,
        learning_rate=config.train.lr,
        weight_decay=config.train.weight_decay,
        max_grad_norm=config.train.clip,
        optim="adamw_torch",
        seed=config.run.seed,
        data_seed=config.run.seed,
        average_tokens_across_devices=False,
        remove_unused_columns=False,
        label_names=[],
        logging_strategy="steps",
        logging_steps=config.train.log_steps,
        logging_nan_inf_filter=False,
        eval_strategy="no",  # flow.py decides when to evaluate and save
        save_strategy="no",
        **tracking.arguments(config, paths),
        disable_tqdm=True,
        log_level="error",
        include_num_input_tokens_seen="no",
        ignore_data_skip=False,
        restore_callback_states_from_checkpoint=False,
        ddp_find_unused_parameters=True,  # poolers and heads that retrieval does not use get no gradient
        ddp_broadcast_buffers=False,
        ddp_timeout=deepspeed_settings.TIMEOUT_S,
        deepspeed=deepspeed_settings.settings(hardware) if deepspeed_settings.uses_deepspeed(hardware) else None,
        **precision.training_flags(hardware),
    )


class MethodModule(nn.Module):
    """A method as the module that data parallel wrappers see: one forward is one loss batch."""

    accepts_loss_kwargs = False

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        output = self.method.step(batch)
        return output.loss, output.parts, output.measures


class Trainer(transformers.Trainer):
    """Trains one method in one run folder."""

    def __init__(
        self,
        method: Method,
        run: TrainingRun,
        steps: StepPlan,
        flow: Flow,
        identity: Mapping[str, Any],
    ) -> None:
        self.time_left = TimeLeft(flow.times, partial(self._tell, "estimate"))
        run.args.max_steps = steps.total
        self.step_module = MethodModule(method)  # transformers calls it `model`, and may wrap it
        paths = run.context.paths
        tracked = tracking.callbacks(run.config, paths, method.state)
        under_way = run.under_way.attach(self._copy, self._save_before, flow.look_at_once)
        own = [flow, self.time_left, under_way]
        super().__init__(model=self.step_module, args=run.args, callbacks=[*tracked, *own])
        self.remove_callback(PrinterCallback)
        handler = self.callback_handler
        handler.callbacks[:0] = tracking.first_callbacks(run.config, paths, handler, BEST, flow)
        self.method, self.run, self.config, self.steps = method, run, run.config, steps
        self.flow, self.identity = flow, dict(identity)
        self._parts: dict[str, float] = {}
        self._measures: dict[str, float] = {}
        self._parts_seen = 0
        flow.evaluate = self.evaluate

    def get_train_dataloader(self) -> Loader:
        batches = LossBatches(self.method.queries, self.run.plan.loss, self.config.run.seed)
        on_gpu = self.args.device.type == "cuda"
        return Loader(batches, self.method.collate, workers=self.config.hardware.workers, pin_memory=on_gpu)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            train, groups = self.config.train, self.method.parameter_groups()
            placed = {id(p) for group in groups for p in group["params"]}
            left_out = [n for n, p in self.step_module.named_parameters() if p.requires_grad and id(p) not in placed]
            assert not left_out, f"parameters in no group of the optimizer: {left_out}"
            self.optimizer = torch.optim.AdamW(
                groups,
                lr=train.lr,
                betas=(0.9, 0.999),
                eps=1e-8,
                weight_decay=train.weight_decay,
            )
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        if self.lr_scheduler is None:
            train, steps = self.config.train, self.steps

            def factor(step: int) -> float:
                return schedule.factor(
                    step,
                    warmup=steps.warmup,
                    total=steps.total,
                    shape=train.warmup_shape,
                    schedule=train.schedule,
                    begin=train.warmup_from,
                )

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.create_optimizer(), factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        try:
            loss, parts, measures = model(inputs)
        except RunFailed as e:
            raise RunFailed(f"step {self.state.global_step + 1}: {e.message}", hint=e.hint) from None
        if not torch.isfinite(loss):
            raise RunFailed(
                f"step {self.state.global_step + 1}: the loss is {loss.item()} "
                f"({', '.join(f'{name} {float(value):.4g}' for name, value in parts.items())})",
                hint="Lower train.lr, set train.clip, or train in fp32; the last checkpoint is kept",
            )
        for sums, values in ((self._parts, parts), (self._measures, measures)):
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        self._parts_seen += 1
        return (loss, parts) if return_outputs else loss

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """To the device, dtypes untouched: under DeepSpeed transformers would round labels to half precision."""
        moved: dict[str, Any] = to_device(inputs, self.args.device)
        return moved

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(dict(logs), start_time)
        if "loss" not in logs or not self.is_world_process_zero():
            return
        seen = max(1, self._parts_seen)
        parts, measures = ({n: v / seen for n, v in sums.items()} for sums in (self._parts, self._measures))
        self._parts, self._measures, self._parts_seen = {}, {}, 0
        values = {"loss": logs["loss"], "lr": logs["learning_rate"], "grad_norm": logs.get("grad_norm", math.nan)}
        assert self.optimizer is not None, "a step was taken"
        values |= learning_rates.logged(self.optimizer.param_groups, logs["learning_rate"])
        if len(parts) > 1:
            values |= {f"loss.{name}": value for name, value in parts.items()}
        self.run.journal.step(self.state.global_step, round(self.state.epoch or 0.0, 6), values | measures)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Development scores; every process learns the one that selects."""
        scores: dict[str, float] = {}
        first = self.is_world_process_zero()
        if first or self.config.hardware.zero_stage == 3:  # sliced parameters come together only if all take part
            if first:
                self.run.journal.event("evaluating")
            began, was_training = time.monotonic(), self.step_module.training
            self.step_module.eval()
            with torch.no_grad():
                scores = self.method.evaluate()
            self.step_module.train(was_training)
            self.time_left.evaluation_s = time.monotonic() - began
        if first:
            epoch = round(self.state.epoch or 0.0, 6)
            self.run.journal.dev(self.state.global_step, epoch, scores, self.method.measured_on)
            tracking.tell(self.callback_handler, self.args, self.state, self.control, scores)
        value = gather.from_first(scores.get(BEST, math.nan), self.args.device)
        if not math.isnan(value):  # a loss that is measured chooses nothing
            self.state.log_history.append({"step": self.state.global_step, f"dev_{BEST}": value})
        return {f"eval_{BEST}": value}

    def _tell(self, event: str, **words: Any) -> None:
        if self.is_world_process_zero():
            self.run.journal.event(event, **words)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Keep the step with the highest score; of equals, the earliest. The untrained model does not take part."""
        value, best = metrics[f"eval_{BEST}"], self.state.best_metric
        if self.state.global_step == 0 or math.isnan(value) or (best is not None and value <= best):
            return False
        self.state.best_metric, self.state.best_global_step = value, self.state.global_step
        return True

    def _copy(self) -> StateCopy:
        """Random states are in transformers' own files: it reads them again, too."""
        random = self.run.context.paths.control / "random"
        self._save_rng_state(str(random))
        return StateCopy(copy_buffers(self.step_module), copy.deepcopy(self.method.state()), random)

    def _save_before(self, copies: StateCopy) -> None:
        """The checkpoint of the last step while the next is under way. Where it fails, nothing of it takes up space."""
        try:
            self._write_checkpoint(copies)
        except BaseException:
            staged = checkpoints.staging(self.run.context.paths.checkpoints, self.state.global_step)
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._write_checkpoint()

    def _write_checkpoint(self, copies: StateCopy | None = None) -> None:
        """The checkpoint of the last step. copies: in place of what the next one has changed since."""
        folder, step = self.run.context.paths.checkpoints, self.state.global_step
        first = self.is_world_process_zero()
        if first:
            checkpoints.open_staging(folder, step)
        gather.barrier()
        staged = checkpoints.staging(folder, step)
        weights = self.accelerator.get_state_dict(self.model_wrapped)  # collective under ZeRO-3
        if copies:  # of one process, which has them: under ZeRO-3 others have none
            weights |= copies.buffers
        if first:
            write_weights(staged / checkpoints.WEIGHTS, weights)
        if self.config.train.save_state:
            self._save_optimizer_and_scheduler(str(staged))
            self._save_scaler(str(staged))
            if copies:
                shutil.copytree(copies.random, staged, dirs_exist_ok=True)
            else:
                self._save_rng_state(str(staged))
        if first:
            self.state.save_to_json(str(staged / "trainer_state.json"))
        gather.barrier()
        if first:
            checkpoints.publish(
                folder,
                step,
                {
                    **self.identity,
                    "epoch": self.state.epoch,
                    "best": {"step": self.state.best_global_step, BEST: self.state.best_metric},
                    "method": copies.method if copies else self.method.state(),
                    "has_state": self.config.train.save_state,
                    "processes": self.args.world_size,
                },
            )
            if epoch_models.is_due(self.run, self.steps, step):
                saved = checkpoints.at(folder, step)
                assert saved is not None, "just published"
                epoch_models.write(self.method, saved, step // self.steps.steps_an_epoch)
            if write := getattr(self.method, "write_checkpoint", None):
                write(checkpoints.model_of(folder, step), weights)
            checkpoints.rotate(folder, self.config.train.keep, self.state.best_global_step)
        gather.barrier()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        read_weights(Path(resume_from_checkpoint) / checkpoints.WEIGHTS, model or self.step_module)
