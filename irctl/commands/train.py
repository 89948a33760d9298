"""`irctl train`: fine-tune an encoder on binary or graded relevance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.group import run_group
from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Options, complete, with_options
from irctl.commands.frame.record import Job
from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {
    "train.method": "--method",
    "loss.name": "--loss",
    "data.source": "--data",
    "data.split": "--split",
    "data.negatives": "--negatives",
    "model.name": "--model",
    "train.init": "--init",
    "train.resume_from": "--resume",
    "train.index": "--index",
    "train.lr": "--lr",
    "train.epochs": "--epochs",
    "train.max_steps": "--max-steps",
    "batch.global": "--batch",
}


@with_options
def train(
    options: Options,
    method: Annotated[str | None, typer.Option(help="training method", autocompletion=complete("methods"))] = None,
    loss: Annotated[
        str | None, typer.Option(help="loss, or a sum such as ws2:1,infonce:0.1", autocompletion=complete("losses"))
    ] = None,
    model: Annotated[str | None, typer.Option(help="encoder to start from: folder, hub id or run")] = None,
    init: Annotated[str | None, typer.Option(help="weights to start from, in place of --model: folder or run")] = None,
    index: Annotated[
        str | None,
        typer.Option(help="bundle that the method reads: folder, run or RUN:METHOD; default: the newest that fits"),
    ] = None,
    data: Annotated[str | None, typer.Option(help="collection, folder, or mqrel JSON")] = None,
    split: Annotated[str | None, typer.Option(help="queries to train on")] = None,
    negatives: Annotated[str | None, typer.Option(help="mined negatives: file, run, or none")] = None,
    lr: Annotated[float | None, typer.Option(help="peak learning rate")] = None,
    epochs: Annotated[float | None, typer.Option(help="passes over the queries")] = None,
    max_steps: Annotated[int | None, typer.Option(help="stop after so many steps")] = None,
    batch: Annotated[int | None, typer.Option(help="queries a step, over all devices")] = None,
    out: Annotated[str | None, typer.Option(help="also copy the model to this folder")] = None,
    seeds: Annotated[str, typer.Option(help="train once a seed, such as 1,2,3, and evaluate each")] = "",
    launcher: Annotated[str, typer.Option(help="torchrun or deepspeed, for several devices")] = "torchrun",
    probe: Annotated[bool, typer.Option("--probe", help="with --dry-run: measure memory over two steps")] = False,
) -> None:
    """Train an encoder. The model in the run folder opens with SentenceTransformer(folder).

    With nothing given: the built-in collection, all-MiniLM-L6-v2, BM25 negatives mined once, 17 steps of 8 queries: a
    few minutes on two cores. The same command continues a run that was killed. --resume RUN:checkpoint_epoch_N (or
    RUN:step-N, RUN:best) begins a new run from a checkpoint of RUN.

    \b
    Examples:
      irctl train --method sycl --loss ws2
      irctl train --loss infonce --max-steps 4 --set encoder.passage_max_len=64
      irctl train --method sycl --loss ws2 --dry-run
      irctl train --method isotropic --max-steps 4 \\
        --set model.freeze_base=true --set train.regularizer=sigreg:0.02
      irctl train --loss listnet --profile v100x8 --dry-run
      irctl train --set train.regularizer=gor:.1,sigreg:.02 --dry-run
      irctl train --recipe sycl-compare --seeds 1,2,3 --dry-run
      irctl train --show
    """

    def work(job: Job) -> dict[str, object]:
        from irctl.pipelines.train import train as pipeline

        return pipeline.train(job.config, job.run, job.reporter, out=out, launcher=launcher)

    def describe(config: object) -> dict[str, object]:
        from irctl.pipelines.train import dry_run

        return dry_run.describe(config, probe=probe, out=out)  # type: ignore[arg-type]

    def check(config: Config) -> None:
        from irctl.training import precision

        precision.check_declared(config)

    def check_resume(folder: Path) -> None:
        from irctl.pipelines.train import train as pipeline

        pipeline.check_resume(folder)

    named = {
        "train.method": method,
        "loss.name": loss,
        "model.name": model,
        "train.init": init,
        "train.index": index,
        "data.source": data,
        "data.split": split,
        "data.negatives": negatives,
        "train.lr": lr,
        "train.epochs": epochs,
        "train.max_steps": max_steps,
        "batch.global": batch,
    }
    from irctl.models.locate import refuse_pickle
    from irctl.pipelines.arms import arms
    from irctl.pipelines.train import branch
    from irctl.training.processes import launch

    with guarded(options.json_, options.debug):
        launch.check_launcher(launcher)
        refuse_pickle(options.resume, "--resume")
        has_arms = arms.is_group(options.recipe, seeds)
        if branch.is_checkpoint(options.resume):
            branch.check_one_training(options.resume, has_arms=has_arms, runner=options.runner)
            named["train.resume_from"], options = options.resume, replace(options, resume="")
        if probe and (has_arms or not options.dry_run):
            raise ConfigError("--probe: goes with --dry-run of one training", hint="Add --dry-run, and name one arm")
    if has_arms:
        return run_group(options, named=named, names=NAMES, seeds=seeds)
    execute(
        "train", options, named=named, names=NAMES, work=work, describe=describe, check=check, check_resume=check_resume
    )
