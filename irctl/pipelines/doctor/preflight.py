"""`irctl doctor --preflight`: a training, or every trained arm of a group, tried in small before a cluster gets it.

Every check runs, whatever failed before it, except those that need what failed: these say `not tried`. Checks of the
data are shared by arms that read the same. Nothing stays: runs, ledger and checkpoints lie in a temporary folder.
Whatever takes longer than the limit has failed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irctl.errors import ENVIRONMENT, ConfigError, IrctlError, RunFailed, Stopped
from irctl.pipelines.doctor import trial_checks
from irctl.pipelines.doctor.finding import Finding
from irctl.pipelines.doctor.term_checks import check_terms
from irctl.pipelines.doctor.trial_checks import REPORT, Trial
from irctl.pipelines.train import preparation, start
from irctl.pipelines.train.trial import elsewhere

if TYPE_CHECKING:
    from types import FrameType

    from irctl.config import Config

GRACE_S = 30.0
"""How long after the limit a check may still take to end by itself."""
MEND = "Mend it, then try --preflight again"
OF_THE_DATA = ("data.", "encoder.", "hardneg.", "prompts.", "model.name", "model.revision", "train.method")
"""Settings that a check of the data reads: arms that have the same share it."""


@dataclass(frozen=True)
class Proof:
    """name: as it is printed. needs: the checks that must have passed."""

    name: str
    work: Callable[[Trial], str]
    needs: tuple[str, ...] = ()


ROOM = Proof("disk", trial_checks.check_room)
DATA = Proof("data", trial_checks.check_data)
CHECKS = (
    Proof("batch and schedule", trial_checks.check_schedule, ("data",)),
    Proof("two steps", trial_checks.check_steps, ("data", "batch and schedule")),
    Proof("parameters", trial_checks.check_parameters, ("two steps",)),
    Proof("terms", check_terms, ("parameters",)),
    Proof("save and load", trial_checks.check_save_load, ("parameters",)),
    Proof("resume", trial_checks.check_resume, ("two steps",)),
    Proof("evaluation", trial_checks.check_evaluation, ("two steps",)),
)


def run(trainings: Sequence[tuple[str, Config]], *, limit_s: float) -> Iterator[Finding]:
    """The findings, one a check, as they come. trainings: (name of the arm, or '' where there is one, its settings)."""
    refuse_others([config for _, config in trainings])
    of_data: dict[str, Finding] = {}
    for arm, config in trainings:
        yield from _try_training(arm, config, of_data, limit_s)


def refuse_others(configs: Sequence[Config]) -> None:
    """ConfigError where settings are not of a training, or a group has none."""
    sections = [{key.split(".")[0] for key in config.origins} for config in configs]
    if not sections or not all(found & {"train", "loss", "batch"} for found in sections):
        raise ConfigError("--preflight: these settings train nothing", hint="Name a training recipe with --recipe")


def _try_training(arm: str, config: Config, of_data: dict[str, Finding], limit_s: float) -> Iterator[Finding]:
    """of_data: what the check of the data found, by the settings that it reads; it grows."""
    passed: set[str] = set()

    def name_of(check: str) -> str:
        return f"{arm}: {check}" if arm else check

    def try_one(check: Proof, trial: Trial) -> Finding:
        if missing := [need for need in check.needs if need not in passed]:
            return Finding(name_of(check.name), "warning", f"not tried: needs {missing[0]}", f"Mend {missing[0]} first")
        return _try(check, name_of(check.name), trial, limit_s)

    try:
        settled = preparation.pin(preparation.settle(start.settle(config)))
    except IrctlError as e:
        yield Finding(name_of("settings"), "error", e.message, e.hint or MEND)
        return
    trial = Trial(settled)
    yield try_one(ROOM, trial)
    with elsewhere():
        key = repr(sorted((k, v) for k, v in settled.flat().items() if k.startswith(OF_THE_DATA)))
        if key not in of_data:
            of_data[key] = try_one(DATA, trial)
            yield of_data[key]
        if of_data[key].level == "ok":
            passed.add(DATA.name)
        for check in CHECKS:
            found = try_one(check, trial)
            if found.level == "ok":
                passed.add(check.name)
            yield found


def _try(check: Proof, name: str, trial: Trial, limit_s: float) -> Finding:
    try:
        with _limit(check.name, limit_s):
            return Finding(name, "ok", check.work(trial))
    except Stopped:
        raise
    except IrctlError as e:
        return Finding(name, "error", e.message, e.hint or MEND)
    except Exception as e:  # noqa: BLE001  a fault of irctl fails its check; the others are still tried
        return Finding(name, "error", f"internal error: {type(e).__name__}: {e}", REPORT)


def _give_up(name: str, seconds: float) -> None:
    """No signal gets through to native code: end the process, that nobody takes a hang for a pass."""
    sys.stderr.write(
        f"FAIL  {name}: not done after {seconds:g} s, and hangs outside Python; what follows is not tried\n"
    )
    sys.stderr.flush()
    os._exit(ENVIRONMENT)


@contextmanager
def _limit(name: str, seconds: float) -> Iterator[None]:
    """A check that takes longer has failed; its processes end with it, and this one where it hangs outside Python."""

    def late(number: int, frame: FrameType | None) -> None:
        raise RunFailed(f"{name}: not done after {seconds:g} s", hint="Raise --limit, or try the recipe with --tiny")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    stuck = threading.Timer(seconds + GRACE_S, _give_up, (name, seconds))
    stuck.daemon = True
    stuck.start()
    try:
        yield
    finally:
        stuck.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
