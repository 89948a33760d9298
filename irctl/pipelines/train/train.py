"""Training: prepare data, start the processes, follow them, record the model. Imports no torch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths, stopping
from irctl.errors import DataError, RunFailed, counted
from irctl.ledger import taken
from irctl.ledger.files.run_folder import write_json
from irctl.models import locate
from irctl.origins import TAKEN
from irctl.paths import RunPaths
from irctl.pipelines.train import branch, checks, memory, preparation, regularizer_lines
from irctl.pipelines.train.follow import Follow
from irctl.training import batch_plan
from irctl.training.objective import terms
from irctl.training.parallel import deepspeed_settings
from irctl.training.processes import launch
from irctl.training.run_files import checkpoints, journal, refreshed_negatives
from irctl.training.run_files.dev_measure import MEASURE, dev_measure
from irctl.types import Reporter

COLLAPSED = 0.5
"""Of the dev score before training, below which the end is said to be a collapse."""

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


FORMAT = "sentence-transformers"


def train(
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    out: str | None = None,
    launcher: str = "torchrun",
    resume: bool = False,
) -> dict[str, Any]:
    """Train in the run's folder, from its newest checkpoint if there is one.

    out: also copy the model there. resume: the user asked to continue, so a checkpoint must be there.
    Payload: model, steps, dev scores before and after, temperatures, negatives_per_query, and the mean loss of the
    first and the last whole epoch, over full batches (None where there is one epoch, or negatives changed).
    """
    started, asked = time.monotonic(), config
    if resume:
        check_resume(run.paths.folder)
    config, plan = checks.check(config, reporter, out)
    memory.check_disk(config, plan.devices, paths.runs(), run.paths.checkpoints)
    branch.begin(config, run)
    command = launch.argv(config, run.paths.folder, launcher)
    if config.train.init:
        run.note(model=config.model.name)
    run.note(global_batch=plan.global_)  # of its negatives nothing is known before the groups are drawn
    data = preparation.kind_of(config.train.method).prepare(config, run, reporter)
    if data.config.model.name != config.model.name:
        run.note(model=data.config.model.name)  # the index says whose queries it takes
    config = data.config
    _record_taken(asked, config, run)
    if data.sizes:
        plan = batch_plan.plan(config, data.sizes)
        run.note(negatives_per_query=plan.negatives_per_query)
        run.metric("training_queries", data.sizes.queries)
    for line in regularizer_lines.notices(config, plan, data.sizes):
        reporter.warn(line)
    write_json(run.paths.config, config.to_json())
    if deepspeed_settings.uses_deepspeed(config.hardware):
        write_json(run.paths.deepspeed, deepspeed_settings.settings(config.hardware))
    done = _follow_to_the_end(config, run, reporter, command, data.for_workers)
    stopping.forget()  # asked after the last step: the training is whole
    if preparation.trains_encoder(config):
        config = terms.replace_measured(config, done["state"])
    write_json(run.paths.config, run.scrub_value(config.to_json()))
    if warning := collapse_warning(done["dev_before"], done["dev_after"], _measure_of(config)):
        reporter.warn(warning)
    return _record(config, run, plan, done, out, time.monotonic() - started)


def _record_taken(asked: Config, config: Config, run: RunHandle) -> None:
    """Say which index, negatives and start were meant by their absence, or by `latest`."""
    if config.train.index and (
        config.origin("train.index") == TAKEN or (asked.train.index and taken.is_open(asked.train.index))
    ):
        taken.record(run, "--index", taken.name_of(Path(config.train.index)))
    if asked.data.negatives and taken.is_open(asked.data.negatives):
        taken.record(run, "--negatives", config.data.negatives)
    if asked.train.init and taken.is_open(asked.train.init):
        taken.record(run, "--init", locate.resolve_run_name(asked.train.init))


def _follow_to_the_end(
    config: Config, run: RunHandle, reporter: Reporter, command: list[str], for_workers: Mapping[str, Any]
) -> dict[str, Any]:
    """Run the training processes, anew after each time that negatives are mined again; what they say of the model."""
    follow = Follow(run, reporter, _measure_of(config))
    surroundings = {**launch.environment(config), **run.secrets()}
    try:
        with follow:
            follow.wanted = True
            while follow.wanted:
                follow.wanted = False
                stopping.check("the last checkpoint is kept")
                reporter.say("loading model")
                launch.run(command, surroundings, run.paths, on_row=follow, also=for_workers)
                if follow.wanted:
                    _mine_again(config, run, reporter)
                refreshed_negatives.drop_models(run.paths)  # also those of a run that was killed before it came here
    except launch.Killed as e:
        run.finish("killed", exit_code=e.exit_code, signal=e.signal, error_kind=e.kind, error_msg=str(e))
        raise
    if follow.done is None:
        raise RunFailed(f"training ended without a model; see {run.paths.log}")
    return follow.done


def _mine_again(config: Config, run: RunHandle, reporter: Reporter) -> None:
    from irctl.hashing import sha256_file
    from irctl.pipelines.hardneg.for_training import mine_again

    epochs = refreshed_negatives.is_wanted(config.hardneg.every, run.paths)
    target = refreshed_negatives.file(run.paths, epochs)
    mine_again(config, refreshed_negatives.model(run.paths, epochs), target, run, reporter)
    run.artifact("out", "negatives", target, sha256=sha256_file(target))


def check_resume(folder: Path) -> None:
    """Raise DataError unless the run in this folder has a checkpoint to continue from."""
    if checkpoints.newest(RunPaths(folder).checkpoints) is None:
        raise DataError(f"--resume {folder.name}: no checkpoint there", hint="Drop --resume to start new")


def _record(
    config: Config, run: RunHandle, plan: batch_plan.BatchPlan, done: Mapping[str, Any], out: str | None, seconds: float
) -> dict[str, Any]:
    for made in done.get("artifacts", ()):
        run.artifact("out", made["kind"], made["path"], **{k: v for k, v in made.items() if k not in ("kind", "path")})
    payload = {
        **_record_model(run, done, out),
        **{made["kind"]: made["path"] for made in done.get("artifacts", ())},
        "method": config.train.method,
        "loss": config.loss.name if preparation.trains_encoder(config) else "cross-entropy of answers",
        "steps": done["steps"],
        "model_step": done["model_step"],
        "first_loss": done["first_loss"],
        "last_loss": done["last_loss"],
        "dev_before": done["dev_before"],
        "dev_after": done["dev_after"],
        "temperatures": done["state"].get("learned_temperatures") or done["state"].get("temperatures", {}),
        "global_batch": plan.global_,
        "negatives_per_query": plan.negatives_per_query,
        "peak_memory_gib": done["peak_memory_gib"],
        "params": done["params"],
        "seconds": round(seconds, 1),
    }
    for event in journal.events(run.paths.metrics):
        if event["event"] == "regularizers":
            payload["regularizers"] = event["shares"]
            for name, share in event["shares"].items():
                run.metric(f"gradient_share.{name}", share)
    run.metric("train_memory_gib", done["peak_memory_gib"])
    run.metric("params", done["params"])
    for name, value in journal.last_measures(run.paths.metrics).items():
        run.metric(name, value)
    lines = [f"{kind}: {payload[kind]}" for kind in ("model", "bundle") if payload.get(kind)]
    lines.append(counted(done["steps"], "step"))
    if done["first_loss"] is not None:
        lines[-1] += f", loss {done['first_loss']:.4f} -> {done['last_loss']:.4f} (means of the first and last epoch)"
    if done["dev_before"] is not None and done["dev_after"] is not None:
        lines.append(dev_line(done["dev_before"], done["dev_after"], done["model_step"], _measure_of(config)))
    return {**payload, "lines": lines}


def _record_model(run: RunHandle, done: Mapping[str, Any], out: str | None) -> dict[str, Any]:
    """Record the model, and copy it where it was asked for; nothing where a training of vectors alone has none."""
    from irctl.ledger import query
    from irctl.pipelines.cards import model_card

    sha256 = done.get("fingerprint")
    if not sha256:
        return {}
    run.note(model_fingerprint=sha256)
    run.artifact("out", "model", run.paths.model, sha256=sha256, dim=done["dim"], format=done.get("format", FORMAT))
    model_card.write(query.find_run(str(run.paths.folder.absolute())))
    model = run.paths.model
    if out:
        model = Path(out).resolve() if Path(out).is_symlink() else Path(out)
        staged = model.with_name(f".{model.name}.tmp")
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(run.paths.model, staged)
        shutil.rmtree(model, ignore_errors=True)
        staged.rename(model)
    return {"model": str(model), "model_fingerprint": sha256}


def _measure_of(config: Config) -> str:
    return dev_measure(config.train.method, config.eval.during)


def dev_line(before: float, after: float, step: int, measure: str = MEASURE) -> str:
    """The dev score without training and that of the model, which is of the best step after it: which is better."""
    told = f"dev {measure} {before:.4f} -> {after:.4f}"
    if after > before:
        return f"{told} (step {step}, the best)"
    better = "step 0, before training, was better" if after < before else "no better than step 0, before training"
    return f"{told} (step {step}, the best of those trained; {better})"


def collapse_warning(before: float | None, after: float | None, measure: str = MEASURE) -> str:
    """What to say of a model that ends below half of what it was before training; empty where there is nothing."""
    if before is None or after is None or after >= COLLAPSED * before:
        return ""
    return (
        f"dev {measure} fell from {before:.4f} before training to {after:.4f}, below half: the model forgot what "
        "it knew. Lower train.lr or the weights of regularizers, or begin a head by model.head_init=pca"
    )
