"""How long the trainings of a group take, and what they cost: steps, times what a step took in a run like it.

A run is like a training where model, texts, batch, loss, regularizer and hardware are the same. Nothing is guessed:
where the ledger has no such run, that is said, with the command that measures a few steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from irctl import slurm
from irctl.errors import ConfigError, DataError, EnvironmentUnfit, counted
from irctl.origins import derived
from irctl.pipelines.arms.arm_settings import settings_of
from irctl.pipelines.arms.asked import Asked
from irctl.pipelines.arms.chains import Chain
from irctl.training import batch_plan
from irctl.training.run_files import journal

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.query import RunRecord

ALIKE: tuple[str, ...] = ("model.", "encoder.", "batch.", "hardware.", "loss.name", "data.source", "data.group_size")
ALIKE += ("train.method", "train.regularizer", "train.gradient_checkpointing")
"""Settings that decide what a step takes, or what they begin with."""
MODELS_OF_THEIR_OWN = ("acerag",)
"""Methods whose own settings name model and texts."""
FEWEST = 2
"""Times between logged steps of a run that say how long one takes: the median."""


@dataclass(frozen=True)
class _Training:
    """One training. steps, seconds: None where nothing says it."""

    name: str
    steps: int | None
    seconds: float | None
    said: str

    @property
    def hours(self) -> float | None:
        return None if self.steps is None or self.seconds is None else self.steps * self.seconds / 3600


def describe(config: Config, asked: Asked, chains: Sequence[Chain]) -> dict[str, str]:
    """A line a training, and one of all of them; empty where the group trains nothing."""
    from irctl.ledger import query

    known = query.list_runs(command="train", status="completed")
    arms: dict[str, _Training] = {}
    jobs: dict[str, _Training] = {}
    for chain in chains:
        if any(words[0] == "train" for words in chain.lines):
            if chain.arm not in arms:
                arms[chain.arm] = _job(_on_its_device(config, asked, chain.arm), chain, known)
            jobs[chain.name] = arms[chain.arm]
    return {name: job.said for name, job in jobs.items()} | ({"all": _all(jobs, asked)} if jobs else {})


def check_devices(config: Config, asked: Asked, chains: Sequence[Chain]) -> None:
    """EnvironmentUnfit, with the arm, where a training that knows its memory does not fit a device of the profile."""
    from irctl.pipelines.train import preparation

    for arm in dict.fromkeys(c.arm for c in chains if any(words[0] == "train" for words in c.lines)):
        own = _on_its_device(config, asked, arm)
        if own.train.method in MODELS_OF_THEIR_OWN:
            try:
                preparation.kind_of(own.train.method).check(own)
            except EnvironmentUnfit as e:
                raise EnvironmentUnfit(f"{arm or asked.recipe}: {e.message}", hint=e.hint) from e


def _on_its_device(config: Config, asked: Asked, arm: str) -> Config:
    """The settings of an arm; --devices gives it one device."""
    own = settings_of(config, asked, arm)
    return own.replace({"hardware.devices": 1}, derived("--devices")) if asked.devices else own


def _job(config: Config, chain: Chain, known: Sequence[RunRecord]) -> _Training:
    steps, why = _steps(config)
    seconds, run = _seconds(config, known)
    said = counted(steps, "step") if steps is not None else f"steps unknown ({why})"
    if seconds is None:
        train = next(words for words in chain.lines if words[0] == "train")
        named = [w for w in train if w.startswith("{")]
        measure = "" if named else f": irctl {' '.join(train)} --set train.max_steps=10 measures it"
        said += f"; time unknown, no such training in the ledger{measure}"
    else:
        said += f" of {seconds:.3g} s (run {run})"
    job = _Training(chain.name, steps, seconds, said)
    return job if job.hours is None else _Training(chain.name, steps, seconds, f"{said}: {job.hours:.2f} h")


def _steps(config: Config) -> tuple[int | None, str]:
    """(steps, "") as the batch arithmetic counts them over the judged training queries, or texts; (None, why)."""
    from irctl.data.collections.open import open_for
    from irctl.data.collections.training_source import train_split
    from irctl.pipelines.train import preparation

    if config.train.max_steps:
        return config.train.max_steps, ""
    try:
        if not preparation.trains_encoder(config):
            sizes = preparation.kind_of(config.train.method).describe(config).sizes
            if sizes is None:
                return None, "its data or its model are not here"
            return batch_plan.steps(config, batch_plan.plan(config), sizes.queries).total, ""
        queries = len(open_for(config).qrels(train_split(config)))
        queries = min(queries, config.data.max_queries or queries)
        return batch_plan.steps(config, batch_plan.plan(config), queries).total, ""
    except (DataError, ConfigError) as e:
        return None, e.message


def _seconds(config: Config, known: Sequence[RunRecord]) -> tuple[float | None, str]:
    """Seconds a step and the run that took them: the newest run with these settings that logged enough steps."""
    mine = _alike(config.to_json(), config.train.method)
    for run in known:
        if _alike(json.loads(run.columns.get("config_json") or "{}"), config.train.method) == mine:
            took = journal.step_seconds(run.paths.metrics)
            if len(took) >= FEWEST:
                return median(took), run.id  # a dev evaluation or a checkpoint between two steps is none of theirs
    return None, ""


def _alike(settings: Mapping[str, Mapping[str, Any]], method: str) -> dict[str, Any]:
    alike = (*ALIKE, f"{method}.") if method in MODELS_OF_THEIR_OWN else ALIKE
    return {k: v["value"] for k, v in settings.items() if k.startswith(alike)}


def _all(jobs: Mapping[str, _Training], asked: Asked) -> str:
    """Device hours, the wall clock over the devices, and the price where the site says one."""
    hours = [job.hours for job in jobs.values()]
    known = [h for h in hours if h is not None]
    if not known:
        return "unknown; evaluations come on top"
    busy = [0.0] * max(1, len(asked.devices))
    for h in known:  # each to the device that is free first, as they run
        busy[busy.index(min(busy))] += h
    more = "" if len(known) == len(hours) else f", without {len(hours) - len(known)} that are unknown"
    price = slurm.site().price_per_hour
    cost = f"; {sum(known) * price:.2f} at {price:g} a device hour" if price else "; no price: IRCTL_SITE names none"
    return f"{sum(known):.2f} device hours, {max(busy):.2f} h on {len(busy)} devices{more}{cost}; evaluations on top"
