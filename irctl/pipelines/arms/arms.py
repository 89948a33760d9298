"""A group recipe, or one recipe over several seeds: chains of plain irctl command lines, then its tables.

Each line runs as a process of its own, one at a time or one a device. The same command continues: what is finished is
skipped, what failed is tried again. Every run carries the group's id, so `irctl report --run GROUP` finds them all.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from irctl import paths, recipes_index
from irctl.errors import PartlyDone, RunFailed
from irctl.ledger.recording import GROUP
from irctl.pipelines.arms import arm_settings, estimate, held_out, members
from irctl.pipelines.arms.asked import Asked
from irctl.pipelines.arms.chains import BRACES, Chain, DoneLines, Pool
from irctl.pipelines.arms.group_report import REPORT, report_group, together
from irctl.pipelines.arms.steps import left_out, plan
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

_QUOTED = re.compile(f"'({BRACES.pattern})'")


def is_group(recipe: str, seeds: str = "") -> bool:
    """Whether a recipe has more than one run to start."""
    if seeds:
        return True
    return bool(recipe) and ":" not in recipe and "arms" in recipes_index.read(recipe)


def run_group(config: Config, run: RunHandle, reporter: Reporter, asked: Asked) -> dict[str, Any]:
    """Run the group and report it. Payload: group, runs (name, run by command, evals; of an arm that only measures the
    latter), report where anything was measured; markdown lines.

    Raises PartlyDone if a run failed and others did not, RunFailed if all did; the table of the rest is printed first.
    """
    chains, absent = plan(config, asked), left_out(config, asked)
    estimate.check_devices(config, asked, chains)
    for names, why in together(absent).items():
        reporter.say(f"left out: {names}: {why}")
    is_cuda = config.hardware.device_kind == "cuda"
    slots = [{GROUP: run.id} | ({"CUDA_VISIBLE_DEVICES": str(n)} if is_cuda else {}) for n in asked.devices]
    members.keep_plan(run.out, chains)
    pool = Pool(DoneLines(run.out / members.DONE, paths.runs()), run.out / "logs", slots or [{GROUP: run.id}])
    pool.run(chains, reporter)
    lines = report_group(run, chains, asked.meta, partial(held_out.splits, config), absent)
    tell_failed(chains, lines, reporter)
    runs = [
        {"name": c.name, **({c.main_command: c.main} if c.main else {}), "evals": c.runs_of("eval")}
        for c in chains
        if any(c.runs)
    ]
    written = {"report": str(report)} if (report := run.out / REPORT).is_file() else {}
    return {"group": run.id, "runs": runs, **written, "lines": lines}


def tell_failed(chains: Sequence[Chain], lines: Sequence[str], reporter: Reporter) -> None:
    """Print the report of the rest and raise RunFailed if all chains failed, PartlyDone if some did, or in part."""
    failed = [c for c in chains if c.error]
    if not failed and not any(c.partly for c in chains):
        return
    for line in lines:
        reporter.say(line)
    again = "The same command tries again"
    if not failed:
        partly = [c for c in chains if c.partly]
        raise PartlyDone(
            f"{len(partly)} of {len(chains)} runs partly done, such as {partly[0].name}: {partly[0].partly}", hint=again
        )
    kind = RunFailed if len(failed) == len(chains) else PartlyDone
    raise kind(f"{len(failed)} of {len(chains)} runs failed, such as {failed[0].name}: {failed[0].error}", hint=again)


def describe(config: Config, asked: Asked) -> dict[str, Any]:
    """What --dry-run prints: the arms' settings; each command line; {run} and {ARM} are ids that lines before it print.

    Where the collection is not on this machine, the lines as its usual splits would make them, and what is missing.
    """
    from irctl.data.collections.open import NotHere, NotPublic
    from irctl.data.files.hub import NotFetched

    try:
        chains, absent, missing = plan(config, asked), left_out(config, asked), ""
    except (NotHere, NotPublic, NotFetched) as e:
        chains, absent, missing = plan(config, asked, is_check=True), {}, str(e)
    estimate.check_devices(config, asked, chains)
    pace = f"{len(asked.devices)} at a time, one a device" if asked.devices else "one after another"
    lines = [_QUOTED.sub(r"\1", f"irctl {shlex.join(words)}") for c in chains for words in c.lines]
    waits = {c.name: ", ".join(p.name for p in c.after.values()) for c in chains if c.after}
    more = {"after": waits, "left out": together(absent), "missing": missing}
    more["estimate"] = estimate.describe(config, asked, chains)
    more["settings"] = arm_settings.lines(config, asked, list(dict.fromkeys(c.arm for c in chains if c.arm)))
    return {"command lines": f"{len(lines)}, {pace}", "lines": lines, **{k: v for k, v in more.items() if v}}
