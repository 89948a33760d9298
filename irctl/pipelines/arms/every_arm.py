"""`irctl eval --model latest:GROUP`: every arm of a group on other data, as it was evaluated in the group.

Trained arms by their models; arms that encode, and those that only measure, by the encoder that they read, with their
transforms. Codes belong to one corpus and are left out, as is an arm that is not trained yet; both are named. The
evaluations get the group's id, so that `irctl report --run GROUP` has them all.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from irctl import paths
from irctl.command_line import CommandLine, Read, Role
from irctl.errors import DataError
from irctl.ledger.recording import GROUP
from irctl.pipelines.arms import members
from irctl.pipelines.arms.arms import tell_failed
from irctl.pipelines.arms.chains import BRACES, Chain, DoneLines, Pool
from irctl.pipelines.arms.steps import in_words
from irctl.pipelines.lineage.run_settings import changed
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.ledger.recording import RunHandle

FRONT = "--transforms"
"""What makes an evaluation a front of forms of one corpus' vectors."""
KEPT = ("--model", "--set")
"""Of a group's own evaluation, beside --index: what is measured. On which data, and by what, the user says."""


def plan(group: RunRecord, line: CommandLine, read: Read) -> tuple[list[Chain], dict[str, str]]:
    """(an evaluation of each arm, arm -> why it has none). line: as typed. Raises DataError where none has one."""
    asked = line.without(Role.START, Role.DISPLAY, "--model")
    chains: dict[tuple[str, ...], Chain] = {}
    left_out: dict[str, str] = {}
    for chain in members.read_group(group):
        try:
            words = _measuring(chain, asked, read).words
        except DataError as e:
            left_out[chain.name] = str(e)
            continue
        chains.setdefault(words, Chain(chain.name, (words,), arm=chain.arm))
    if not chains:
        first = next(iter(left_out.items()), ("it", "has no arms"))
        raise DataError(f"group {group.id}: no arm to evaluate: {first[0]}: {first[1]}")
    return list(chains.values()), left_out


def _measuring(chain: Chain, asked: CommandLine, read: Read) -> CommandLine:
    own = next((words for words in chain.lines if words[0] == "eval"), None)
    if own is None:
        raise DataError("the group does not evaluate it")
    words = chain.filled(own)
    if any(BRACES.fullmatch(word) for word in words):
        raise DataError("not trained yet", hint=f"The command of the group trains it: {shlex.join(chain.lines[0])}")
    line = read(words)
    if line.has(FRONT):
        raise DataError(
            "a front is of one corpus", hint="irctl recipes run isotropy-front --data NAME prints another's"
        )
    line = read(("eval", *measured_by(line.words)))
    for option in asked.options:
        if option.name == "--set":
            line = line.with_option("--set", *line.values("--set"), option.value or "")
        else:
            line = line.with_option(option.name, *(() if option.value is None else (option.value,)))
    return line


def measured_by(words: Sequence[str]) -> list[str]:
    """Options of an evaluation that say what it measures, vectors by their encoder. Raises DataError for codes."""
    kept: list[str] = []
    for option, value in pairwise(words):
        if option in KEPT:
            kept += (option, value)
        elif option == "--index":
            model, used = _encoder_of(value)
            kept += ("--model", model, *(word for setting in used for word in ("--set", setting)))
    return kept


def _encoder_of(index: str) -> tuple[str, list[str]]:
    """(the encoder of a run's vectors, the settings KEY=VALUE that it read texts by). Raises DataError for codes."""
    from irctl.ledger import query

    run = query.find_run(index)
    if run.columns.get("command") != "encode":
        raise DataError("its codes are of one corpus", hint="irctl eval --index searches them")
    chosen = {k: v for k, v in changed(run).items() if k.startswith("encoder.")}
    return str(run.columns["model"]), [f"{k}={in_words(v)}" for k, v in chosen.items()]


def run(
    group: RunRecord, chains: Sequence[Chain], handle: RunHandle, reporter: Reporter, devices: Sequence[int], cuda: bool
) -> dict[str, Any]:
    """Run the evaluations, one a device; payload: group, runs (name, eval), lines. PartlyDone, RunFailed as a group."""
    slots = [{GROUP: group.id} | ({"CUDA_VISIBLE_DEVICES": str(n)} if cuda else {}) for n in devices]
    pool = Pool(DoneLines(handle.out / members.DONE, paths.runs()), handle.out / "logs", slots or [{GROUP: group.id}])
    pool.run(chains, reporter)
    lines = _table(group.id, [run_id for c in chains for run_id in c.runs])
    tell_failed(chains, lines, reporter)
    return {
        "schema": "irctl/arms-eval/1",
        "group": group.id,
        "runs": [{"name": c.name, "eval": c.runs[0]} for c in chains],
        "lines": lines,
    }


def _table(group: str, evals: Sequence[str]) -> list[str]:
    """One column a data set, as Markdown; empty where nothing was evaluated."""
    if not evals:
        return []
    from irctl.pipelines.report.records import gather, open_per_query
    from irctl.pipelines.report.report import Wanted, build_tables
    from irctl.reports.formats import markdown

    wanted = Wanted(table="beir", command=f"irctl report --run {group} --table beir")
    text = "\n".join(markdown.render(t) for t in build_tables(gather(evals), wanted, open_per_query()))
    return text.splitlines()
