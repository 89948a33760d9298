"""What a preflight proves of one training: each check a function of the trial, that says what it saw or raises.

The training is the recipe's own but for its length; what it writes lies in a temporary folder.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths
from irctl.errors import RunFailed, counted
from irctl.origins import derived
from irctl.pipelines.train import memory, preparation
from irctl.pipelines.train.learning_rate import scale_lr
from irctl.pipelines.train.trial import SMALL
from irctl.training import batch_plan, learning_rates, trackers
from irctl.training.loop import schedule
from irctl.training.objective import terms
from irctl.training.run_files import checkpoints, journal
from irctl.types import Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

TOLERANCE = 1e-6
REPORT = "Report it: irctl doctor --issue"
TOY = "wing flow heat shock jet plate cone wave".split()
TEXTS = ("wing", "the lift of a wing", "a much longer text about the flow of heat around a blunt body " * 8)


@dataclass
class Trial:
    """What the checks of a training hand on to each other: its settings, and the small training once it has run."""

    config: Config
    trained: dict[str, Any] = field(default_factory=dict)
    run: RunHandle | None = None
    opened: Any = None  # training/method.py, as the training builds it

    @property
    def small(self) -> Config:
        return self.config.replace(SMALL, derived("preflight"))

    @property
    def done(self) -> RunHandle:
        assert self.run is not None, "asked after the two steps"
        return self.run


def check_data(trial: Trial) -> str:
    """Every row is read; the first wrong one is named with file and line. Shares of texts that are cut."""
    from irctl.pipelines import data as collections

    config = trial.config
    data = preparation.kind_of(config.train.method).describe(config)
    if data.sizes is None or not data.sizes.queries:
        raise RunFailed(f"{config.data.source}: no training query", hint="irctl train --dry-run says what was dropped")
    if config.data.source.endswith(".json"):
        return (
            f"{data.sizes.queries} training queries; {len(data.lists.get('sources', ()))} sources read to the last line"
        )
    checked = collections.check(
        config.data.source,
        max_len=config.encoder.passage_max_len or 256,
        model=config.model.name,
        limit=1,
        root=config.data.root,
    )
    if checked["errors"]:
        first = next(f for f in checked["findings"] if f["level"] == "error")
        raise RunFailed(
            f"{first['where']}: {first['what']} ({checked['errors']} errors)", hint="irctl data check lists all"
        )
    counts = checked["counts"]
    tokens = f"; tokens of a passage: {counts['tokens']}" if "tokens" in counts else ""
    return f"{data.sizes.queries} training queries{tokens}; cut: {counts.get('truncated', 'not counted')}"


def check_schedule(trial: Trial) -> str:
    """The whole training's arithmetic: its steps, and that every learning rate gets to its peak."""
    config = scale_lr(trial.config, Silent())
    trackers.check(config.train.report_to, config.origin("train.report_to"))
    plan = batch_plan.plan(config)
    sizes = preparation.kind_of(config.train.method).describe(config).sizes
    steps = batch_plan.steps(config, plan, sizes.queries if sizes else 0)
    train, most = config.train, range(min(steps.total, steps.warmup + 2))  # it only falls after that
    factors = [
        schedule.factor(
            s,
            warmup=steps.warmup,
            total=steps.total,
            shape=train.warmup_shape,
            schedule=train.schedule,
            begin=train.warmup_from,
        )
        for s in most
    ]
    if abs(max(factors) - 1) > TOLERANCE:
        raise RunFailed(
            f"the learning rate reaches {max(factors):.3g} of its peak",
            hint="Lower train.warmup_ratio or train.warmup_steps",
        )
    own = learning_rates.own_rates(train)
    rates = "".join(f", {part} {rate:g}" for part, rate in own.items())
    told = f"; {steps.notice}" if steps.notice else ""
    at = f"at step {steps.warmup}{told}"
    said = f"{counted(steps.total, 'step')} of {counted(plan.global_, 'query')}"
    return f"{said}, peak learning rate {train.lr:g}{rates} {at}"


def check_room(trial: Trial) -> str:
    """Checkpoints and models of the whole training fit on the disk of the runs that are not of this trial."""
    config = trial.config
    memory.check_disk(config, config.hardware.devices, paths.runs())
    return f"{memory.free_gib(paths.runs()):.1f} GiB free for checkpoints and models"


def check_steps(trial: Trial) -> str:
    """Two optimizer steps: finite losses, and no term of weight above 0 that is always 0."""
    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import train as training

    config = trial.small
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        trial.trained = training.train(config, run, Silent())
    trial.run = run
    rows = journal.steps(run.paths.metrics)
    losses = [rows[s]["loss"] for s in sorted(rows)]
    for part in terms.parts(config):
        values = [row.get(f"loss.{part.name}", row["loss"]) for row in rows.values()]
        if part.weight > 0 and not any(values):
            raise RunFailed(
                f"loss {part.name} has weight {part.weight:g} and is 0 at every step", hint="Look at its data"
            )
    if len(losses) != SMALL["train.max_steps"] or not all(map(math.isfinite, losses)):
        raise RunFailed(f"losses {losses}: expected two finite numbers", hint="Lower train.lr")
    return "loss " + ", ".join(f"{v:.4f}" for v in losses)


def check_parameters(trial: Trial) -> str:
    """What is trained, counted in the model as the training opens it, with the weights of its first checkpoint."""
    from irctl import plugins
    from irctl.config import from_file, resolve
    from irctl.training.loop.trainer import MethodModule
    from irctl.training.method import Context
    from irctl.training.parallel.tensors import read_weights

    run = trial.done
    first = checkpoints.at(run.paths.checkpoints, 1)
    if first is None:
        raise RunFailed("no checkpoint of the first step was kept", hint=REPORT)
    config = resolve(from_file(run.paths.config))  # with the negatives that were mined
    config = config.replace({"hardware.devices": 1, "hardware.zero_stage": 0}, derived("preflight"))
    if config.model.head_init == "pca":  # its start stands in the checkpoint, and takes a pass over a sample of texts
        config = config.replace({"model.head_init": "torch"}, derived("preflight"))
    build = plugins.load("methods", config.train.method).Method.build
    trial.opened = build(config, Context(batch_plan.plan(config), Silent(), run.paths))
    read_weights(first.folder / checkpoints.WEIGHTS, MethodModule(trial.opened))
    trial.opened.restore(first.manifest["method"])  # the temperatures that were measured
    groups = trial.opened.parameter_groups()
    sizes: dict[str, int] = {}
    for group in groups:
        name = str(group.get("name", "others"))
        sizes[name] = sizes.get(name, 0) + sum(p.numel() for p in group["params"])
    if not sum(sizes.values()):
        raise RunFailed("no parameter is trained", hint="Drop model.freeze_base, or set model.lora_r")
    whole = sum(p.numel() for p in trial.opened.parameters())
    parts = ", ".join(f"{name} {n:,}" for name, n in sizes.items())
    return f"{whole:,}, {sum(sizes.values()):,} of them trained ({parts})"


def check_save_load(trial: Trial) -> str:
    """A model that is saved and opened again gives the same vectors."""
    import numpy as np

    from irctl.models.encoder import load_encoder

    used = getattr(trial.opened, "encoder", None) or load_encoder(trial.config)
    encoder = getattr(used, "encoder", used)  # the whole model, where the training holds kept vectors of a frozen base
    encoder.module.cpu()
    before = encoder.encode(list(TEXTS))
    folder = paths.runs() / f"saved-{trial.done.id}"
    encoder.save(folder, {})
    opened = trial.config.replace(
        {"model.name": str(folder), "model.revision": "", "model.output_dim": "", "model.lora_r": 0},
        derived("preflight"),
    )
    again = load_encoder(opened)
    again.module.cpu()
    difference = float(np.abs(before - again.encode(list(TEXTS))).max())
    if difference > TOLERANCE:
        raise RunFailed(f"vectors of the saved model differ by {difference:.2g}", hint=REPORT)
    return f"{len(TEXTS)} texts, the same vectors"


def check_resume(trial: Trial) -> str:
    """A new run from the checkpoint of the first step has the weights of two steps without a break."""
    import numpy as np
    from safetensors.numpy import load_file

    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import train as training

    first = trial.done
    again = trial.small.replace({"train.resume_from": f"{first.paths.folder}:step-1"}, derived("preflight"))
    with start_run(command="train", argv=["irctl", "train"], config=again) as second:
        training.train(again, second, Silent())
    weights = [sorted(r.paths.model.rglob("*.safetensors")) for r in (first, second)]
    difference = 0.0
    for whole, resumed in zip(*weights, strict=True):
        a, b = load_file(whole), load_file(resumed)
        difference = max(difference, *(float(np.abs(a[k].astype(np.float64) - b[k]).max(initial=0)) for k in a))
    if difference > TOLERANCE:
        raise RunFailed(f"weights after a resume differ by {difference:.2g}", hint=REPORT)
    return f"weights differ by {difference:.1g}"


def check_evaluation(trial: Trial) -> str:
    """`irctl eval` of the trained model on a toy BEIR folder."""
    from irctl.config import resolve
    from irctl.ledger.recording import start_run
    from irctl.pipelines.evaluate import evaluate
    from irctl.pipelines.evaluate.request import EvalRequest

    model = trial.trained.get("model")
    if not model:
        return "nothing to evaluate by itself: no model, but a bundle for the vectors it was trained on"
    folder = _write_toy(paths.runs() / "toy")
    hardware = {k: (v, derived("preflight")) for k, v in trial.config.flat().items() if k.startswith("hardware.")}
    own = {"model.name": str(model), "data.source": str(folder), "eval.measures": "nDCG@10"}
    config = resolve(hardware, {k: (v, derived("preflight")) for k, v in own.items()})
    with _own_cache(), start_run(command="eval", argv=["irctl", "eval"], config=config) as run:
        payload = evaluate.evaluate(config, run, Silent(), EvalRequest(model=str(model), split="test"))
    value = next(row["value"] for row in payload["results"] if row["measure"] == "nDCG@10")
    if not 0 <= value <= 1:
        raise RunFailed(f"nDCG@10 of {len(TOY)} queries is {value}", hint=REPORT)
    return f"nDCG@10 {value:.3f} over {len(TOY)} queries of a toy folder"


def _write_toy(folder: Path) -> Path:
    """Document i has word i twice and the word before it; query i is word i."""
    if folder.is_dir():
        return folder
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{i}", "title": "", "text": f"{w} {w} {TOY[i - 1]}"} for i, w in enumerate(TOY)]
    queries = [{"_id": f"q{i}", "text": w} for i, w in enumerate(TOY)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(len(TOY)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@contextmanager
def _own_cache() -> Iterator[None]:
    """Vectors of a model that is gone tomorrow stay out of the cache."""
    before = os.environ.get("IRCTL_CACHE")
    os.environ["IRCTL_CACHE"] = str(paths.runs() / "cache")
    try:
        yield
    finally:
        os.environ.pop("IRCTL_CACHE") if before is None else os.environ.__setitem__("IRCTL_CACHE", before)
