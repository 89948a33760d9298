"""`irctl doctor --preflight`: a training recipe tried in small before a cluster gets it: two steps, then the proofs.

Nothing stays: runs, ledger and checkpoints lie in a temporary folder. Whatever takes longer than the limit has failed.
"""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irctl import paths
from irctl.errors import ConfigError, IrctlError, RunFailed, Stopped
from irctl.origins import derived
from irctl.pipelines.doctor.finding import Finding
from irctl.pipelines.train import preparation, start
from irctl.pipelines.train.trial import SMALL, elsewhere
from irctl.training import batch_plan, trackers
from irctl.training.loop import schedule
from irctl.training.objective import terms
from irctl.training.run_files import checkpoints, journal
from irctl.types import Silent

if TYPE_CHECKING:
    from types import FrameType

    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

TOLERANCE = 1e-6
TOY_QUERIES = 8
TEXTS = ("wing", "the lift of a wing", "a much longer text about the flow of heat around a blunt body " * 8)


@dataclass
class Trial:
    """What the checks hand on to each other: the recipe's settings, and the small training once it has run."""

    config: Config
    trained: dict[str, Any] = field(default_factory=dict)
    run: RunHandle | None = None

    @property
    def small(self) -> Config:
        return self.config.replace(SMALL, derived("preflight"))


def run(config: Config, *, limit_s: float) -> Iterator[Finding]:
    """The findings, one a check, as they come. The first failure ends it: what follows stands on it.

    Raises ConfigError for settings that are not of a training.
    """
    if not any(k.split(".")[0] in ("train", "loss", "batch") for k in config.origins):
        raise ConfigError("--preflight: these settings train nothing", hint="Name a training recipe with --recipe")
    trial = Trial(preparation.pin(start.settle(config)))
    checks: tuple[tuple[str, Callable[[Trial], str]], ...] = (
        ("data", _data), ("batch and schedule", _schedule), ("parameters", _parameters), ("save and load", _save_load),
        ("two steps", _two_steps), ("resume", _resume), ("evaluation", _evaluation),
    )  # fmt: skip
    with elsewhere():
        for name, check in checks:
            try:
                with _limit(name, limit_s):
                    detail = check(trial)
            except Stopped:
                raise
            except IrctlError as e:
                yield Finding(name, "error", e.message, e.hint or "Mend it, then try --preflight again")
                return
            yield Finding(name, "ok", detail)


def _data(trial: Trial) -> str:
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
    return f"{data.sizes.queries} training queries; cut: {checked['counts'].get('truncated', 'not counted')}"


def _schedule(trial: Trial) -> str:
    """The whole training's arithmetic: its steps, and that the learning rate gets to its peak."""
    config = trial.config
    trackers.check(config.train.report_to, config.origin("train.report_to"))
    plan = batch_plan.plan(config)
    sizes = preparation.kind_of(config.train.method).describe(config).sizes
    steps = batch_plan.steps(config, plan, sizes.queries if sizes else 0)
    shape = {"warmup": steps.warmup, "total": steps.total, "shape": config.train.warmup_shape}
    peak = max(schedule.factor(s, schedule=config.train.schedule, **shape) for s in range(steps.total))  # type: ignore[arg-type]
    if abs(peak - 1) > TOLERANCE:
        raise RunFailed(
            f"the learning rate reaches {peak:.3g} of train.lr", hint="Lower train.warmup_ratio or train.warmup_steps"
        )
    return (
        f"{steps.total} steps of {plan.global_} queries, peak learning rate {config.train.lr:g} at step {steps.warmup}"
    )


def _parameters(trial: Trial) -> str:
    from irctl.models.encoder import load_encoder

    parameters = list(load_encoder(trial.config).module.parameters())
    counted = [sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)]
    if not counted[1]:
        raise RunFailed("no parameter is trained", hint="Drop model.freeze_base, or set model.lora_r")
    return f"{counted[0]:,}, {counted[1]:,} of them trained"


def _save_load(trial: Trial) -> str:
    """A model that is saved and opened again gives the same vectors."""
    import numpy as np

    from irctl.models.encoder import load_encoder

    encoder = load_encoder(trial.config)
    before = encoder.encode(list(TEXTS))
    folder = paths.runs() / "saved"
    encoder.save(folder, {})
    again = load_encoder(trial.config.replace({"model.name": str(folder)}, derived("preflight"))).encode(list(TEXTS))
    difference = float(np.abs(before - again).max())
    if difference > TOLERANCE:
        raise RunFailed(
            f"vectors of the saved model differ by {difference:.2g}", hint="Report it: irctl doctor --issue"
        )
    return f"{len(TEXTS)} texts, the same vectors"


def _two_steps(trial: Trial) -> str:
    """Two optimizer steps: a finite loss, and no term of weight above 0 that is always 0."""
    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import train as training

    config = trial.small
    with start_run(command="train", argv=["irctl", "train"], config=config) as trial.run:
        trial.trained = training.train(config, trial.run, Silent())
    rows = journal.steps(trial.run.paths.metrics)
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


def _resume(trial: Trial) -> str:
    """One step, then another from its checkpoint, gives the weights of two steps without a break."""
    import numpy as np
    from safetensors.numpy import load_file

    from irctl.ledger.recording import start_run
    from irctl.pipelines.train import train as training

    assert trial.run is not None, "runs after the two steps"
    with start_run(command="train", argv=["irctl", "train"], config=trial.small) as second:
        first = checkpoints.at(trial.run.paths.checkpoints, 1)
        if first is None:
            raise RunFailed("no checkpoint of the first step was kept", hint="Report it: irctl doctor --issue")
        shutil.copytree(first.folder, second.paths.checkpoints / first.folder.name)
        training.train(trial.small, second, Silent(), resume=True)
    weights = [sorted(r.paths.model.rglob("*.safetensors")) for r in (trial.run, second)]
    difference = 0.0
    for whole, resumed in zip(*weights, strict=True):
        a, b = load_file(whole), load_file(resumed)
        difference = max(difference, *(float(np.abs(a[k].astype(np.float64) - b[k]).max(initial=0)) for k in a))
    if difference > TOLERANCE:
        raise RunFailed(f"weights after a resume differ by {difference:.2g}", hint="Report it: irctl doctor --issue")
    return f"weights differ by {difference:.1g}"


def _evaluation(trial: Trial) -> str:
    """A toy ranking by the trained model goes through the evaluation code."""
    from irctl.config import from_file, resolve
    from irctl.data.collections.training_source import open_training_source
    from irctl.metrics.ranking import evaluate
    from irctl.models.encoder import load_encoder
    from irctl.training.groups.sources import groups_of

    assert trial.run is not None, "runs after the two steps"
    config = resolve(from_file(trial.run.paths.config))  # with the negatives that were mined
    source = groups_of(config, open_training_source(config))
    groups = [source.group(i, 0) for i in range(min(TOY_QUERIES, len(source)))]
    encoder = load_encoder(config.replace({"model.name": str(trial.trained["model"])}, derived("preflight")))
    texts = {d: t for g in groups for d, t in zip(g.passage_ids, g.passages, strict=True)}
    scores = encoder.encode([g.query for g in groups], side="query") @ encoder.encode(list(texts.values())).T
    run = {g.query_id: dict(zip(texts, map(float, row), strict=True)) for g, row in zip(groups, scores, strict=True)}
    qrels = {g.query_id: {d: int(n) for d, n in zip(g.passage_ids, g.labels, strict=True) if n > 0} for g in groups}
    value = evaluate.evaluate(run, qrels, ["nDCG@10"]).means["nDCG@10"]
    if not 0 <= value <= 1:
        raise RunFailed(f"nDCG@10 of {len(groups)} queries is {value}", hint="Report it: irctl doctor --issue")
    return f"nDCG@10 {value:.3f} over {len(groups)} queries and {len(texts)} passages"


@contextmanager
def _limit(name: str, seconds: float) -> Iterator[None]:
    """A check that takes longer has failed; its processes end with it."""

    def late(number: int, frame: FrameType | None) -> None:
        raise RunFailed(f"{name}: not done after {seconds:g} s", hint="Raise --limit, or try the recipe with --tiny")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
