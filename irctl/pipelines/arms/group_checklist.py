"""What of a group is done, an arm and seed a row: trained, its model whole, evaluated on which sets, what is missing.

Backing models up is the user's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import recipes_index, tables
from irctl.errors import ConfigError, DataError
from irctl.models.fingerprints import read_header
from irctl.pipelines.arms import members
from irctl.pipelines.arms.chains import Chain
from irctl.pipelines.arms.every_arm import FRONT, measured_by
from irctl.pipelines.evaluate import written
from irctl.pipelines.evaluate.files import EVAL
from irctl.reports.columns import is_forum
from irctl.reports.notes.footnotes import GROUPS

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

TELLING = ("transform.", "search.similarity")
"""Settings that make two evaluations of one model two arms."""


@dataclass(frozen=True)
class Member:
    """One arm with one seed. checkpoint: whole, what is wrong with it, or empty where nothing is trained.

    sets: evaluated, as `DATASET SPLIT`. missing: data sets that others of the group, or its recipe, have. command: what
    does the next missing thing; empty where nothing is.
    """

    arm: str
    status: str
    checkpoint: str
    sets: tuple[str, ...]
    missing: tuple[str, ...]
    command: str


def members_of(group: RunRecord) -> list[Member]:
    """Every arm and seed of a group, in its order. Raises DataError where the group kept no plan."""
    from irctl.ledger import query

    mine = [r for r in query.list_runs() if r.columns.get("group_id") == group.id]
    evals = {r.id: r for r in mine if r.columns.get("command") == "eval" and r.columns.get("status") == "completed"}
    found = {run: dict(_places(record)) for run, record in evals.items()}
    chains = members.read_group(group)
    of_arm = {c.name: _evaluations(c, evals) for c in chains}
    measured = {c.name: {p: s for run in of_arm[c.name] for p, s in found[run].items()} for c in chains}
    wanted = {d: s for places in measured.values() for (d, _), s in places.items()} | _of_recipe(group)
    again = shlex.join(json.loads(group.columns.get("argv_json") or "[]"))
    rows = []
    for chain in chains:
        if not any(words[0] == "eval" for words in chain.lines) and chain.next_line is None:
            continue  # it only made what others read
        sets = measured[chain.name]
        missing = {d: s for d, s in wanted.items() if d not in {name for name, _ in sets}}
        missing = {} if _is_of_one_corpus(chain) else missing
        if chain.next_line is not None:
            command = again
        else:
            command = shlex.join(_evaluating(chain, missing)) if missing else ""
        shown = tuple(f"{d} {s}" for d, s in sets)
        rows.append(Member(chain.name, _status(chain, mine), _checkpoint(chain), shown, tuple(missing), command))
    return rows


def _of_recipe(group: RunRecord) -> dict[str, str]:
    """The data sets that the group's recipe names beside its own, each as --data takes it."""
    words = json.loads(group.columns.get("argv_json") or "[]")
    for name in (after for word, after in pairwise(words) if word in ("--recipe", "run")):
        try:
            named = str(recipes_index.read(name).get("meta", {}).get("sets", ""))
        except (ConfigError, DataError):
            continue
        return {d: d for word in named.split(",") if word for d in sorted(GROUPS.get(word, (word,)))}
    return {}


def _places(run: RunRecord) -> Iterator[tuple[tuple[str, str], str]]:
    """((data set, split), what --data was) of what an evaluation measured."""
    file = Path(run.folder) / "out" / EVAL
    if not file.is_file():
        return
    source = str(json.loads(run.columns.get("config_json") or "{}").get("data.source", {}).get("value", ""))
    for r in written.read_means(run)["results"]:
        if not is_forum(r["dataset"]):
            yield (r["dataset"], r["split"]), source if "," not in source and source not in GROUPS else r["dataset"]


def _evaluations(chain: Chain, evals: Mapping[str, RunRecord]) -> list[str]:
    """The evaluations of an arm: its own lines, and others of the group that measure the same model alike."""
    own = [run for run in chain.runs_of("eval") if run in evals]
    if _is_front(chain):
        return own
    alike = _identity(_evaluating(chain, {}))
    if not alike[0]:  # codes, which are of one corpus
        return own
    others = [r for r, record in evals.items() if _identity(json.loads(record.columns["argv_json"])) == alike]
    return list(dict.fromkeys([*own, *others]))


def _is_of_one_corpus(chain: Chain) -> bool:
    """Whether other data cannot be searched with what it measures: a front, or codes."""
    return _is_front(chain) or "--index" in _evaluating(chain, {})


def _is_front(chain: Chain) -> bool:
    """Whether it measures forms of one corpus' vectors, and nothing that other data could be searched with."""
    return any(FRONT in words for words in chain.lines)


def _evaluating(chain: Chain, missing: Mapping[str, str]) -> list[str]:
    """The command line that evaluates an arm on these sets; all of a group of sets by the group's name."""
    first = next((words for words in chain.lines if words[0] == "eval"), ("eval",))
    words = chain.filled(first)
    try:
        kept = measured_by(words)
    except DataError:  # codes, or vectors that are not made yet
        kept = list(words[1:])
    whole = [name for name, members_ in GROUPS.items() if members_ == set(missing)]
    data = ",".join(whole or dict.fromkeys(missing.values()))
    return ["irctl", "eval", *kept, *(("--data", data) if data else ())]


def _identity(words: Sequence[str]) -> tuple[str, frozenset[str]]:
    pairs = list(pairwise(words))
    model = next((value for option, value in pairs if option == "--model"), "")
    return model, frozenset(value for option, value in pairs if option == "--set" and value.startswith(TELLING))


def _status(chain: Chain, runs: Sequence[RunRecord]) -> str:
    """completed; else how the next line ended or that it was not started, and which it is."""
    if (words := chain.next_line) is None:
        return "completed"
    tried = [r for r in runs if json.loads(r.columns.get("argv_json") or "[]")[1 : 1 + len(words)] == list(words)]
    how = str(tried[0].columns.get("status")) if tried else "not started"
    return f"{words[0]} {how}"


def _checkpoint(chain: Chain) -> str:
    """Whether the files of a trained model are there, each as long as its header says."""
    if chain.main_command != "train":
        return "" if all(words[0] != "train" for words in chain.lines) else "none"
    from irctl.ledger import query

    folder = query.find_run(chain.main).paths.model
    try:
        listed = tables.parse_json((folder / "modules.json").read_bytes(), str(folder / "modules.json"))
        places = [folder / str(entry["path"]) for entry in listed]
        if lost := [p for p in places if not p.is_dir()]:
            return f"{lost[0].name}/ is not there"
        weights = sorted(folder.rglob("*.safetensors"))
        if broken := [f for f in weights if not _is_whole(f)]:
            return f"{broken[0].relative_to(folder)} is cut short"
    except (OSError, DataError, TypeError, KeyError) as e:
        return str(e)
    return "whole" if weights else "no weights"


def _is_whole(file: Path) -> bool:
    header, start = read_header(file)
    ends: list[Any] = [entry["data_offsets"][1] for entry in header.values()]
    return file.stat().st_size == start + max(ends, default=0)
