"""What a group that was started consists of: its chains of command lines, kept with it, and which of them are done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import paths, recipes_index, shipped_files, tables
from irctl.errors import DataError
from irctl.index.shards import write_json
from irctl.ledger.files.identity import ID_PATTERN
from irctl.pipelines.arms.chains import Chain, DoneLines

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

PLAN = "plan.json"
DONE = "done.jsonl"
LATEST = "latest:"
COMMAND = "arms"
_CHAIN = {"name": str, "arm": str, "lines": [list], "after": dict}


def keep_plan(out: Path, chains: Sequence[Chain]) -> None:
    """Keep what the group consists of beside what is done of it."""
    rows = [
        {"name": c.name, "arm": c.arm, "lines": c.lines, "after": {b: p.name for b, p in c.after.items()}}
        for c in chains
    ]
    write_json(out / PLAN, {"chains": rows})


def find_group(name: str) -> RunRecord | None:
    """The group that a name means: a run of one, by its id; the newest of a recipe with arms, RECIPE or latest:RECIPE.

    None for any other name, and for a recipe whose arms were never started as a group.
    """
    from irctl.ledger import query

    if ID_PATTERN.fullmatch(name):
        run = query.find_run(name)
        return run if run.columns.get("command") == COMMAND else None
    recipe = name.removeprefix(LATEST)
    is_recipe = recipe in shipped_files.names("recipes") or (recipe.endswith(".toml") and Path(recipe).is_file())
    if not is_recipe or not recipes_index.arms(recipe):
        return None
    return next((r for r in query.list_runs(command=COMMAND) if _ran(r, recipe)), None)


def _ran(group: RunRecord, recipe: str) -> bool:
    words = json.loads(group.columns.get("argv_json") or "[]")
    named = [after for word, after in pairwise(words) if word == "--recipe"]
    return recipe in (words if words[1:3] == ["recipes", "run"] else named) or f"--recipe={recipe}" in words


def read_group(group: RunRecord) -> list[Chain]:
    """The chains of a group with the runs of what is done. Raises DataError where the group kept no plan."""
    file = Path(group.folder) / "out" / PLAN
    if not file.is_file():
        raise DataError(f"group {group.id}: {file} is not there", hint="The command of the group, again, writes it")
    table = tables.json_object(file)
    tables.check(table, {"chains": [_CHAIN]}, str(file))
    memory = DoneLines(file.parent / DONE, paths.runs())
    return _recalled({row["name"]: row for row in table["chains"]}, memory)


def _recalled(rows: Mapping[str, Mapping[str, Any]], memory: DoneLines) -> list[Chain]:
    made: dict[str, Chain] = {}

    def make(name: str) -> Chain:
        if name not in made:
            row = rows[name]
            after = {brace: make(parent) for brace, parent in row["after"].items()}
            chain = Chain(name, tuple(map(tuple, row["lines"])), after=after, arm=row["arm"])
            while (words := chain.next_line) is not None and (run := memory.recall(words)) is not None:
                chain.runs.append(run)
            made[name] = chain
        return made[name]

    return [make(name) for name in rows]
