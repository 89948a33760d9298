"""Settings as a run recorded them, and which of them tell it from others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from irctl.data.collections.split_names import POOL
from irctl.origins import COMMAND_LINE, Kind, parse

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord


# Settings that say where or how fast, not what: two runs that differ in them are the same system.
NOT_SCIENCE = (
    "hardware.",
    "run.",
    "data.root",
    "train.index",  # which codes they are is told by their own settings
    "train.save",
    "train.keep",
    "train.log_steps",
    "train.report_to",
    "compress.workers",
)

OF_TRAINING = ("batch.", "train.", "loss.", "data.group_size")
"""Settings that a profile, a collection or a recipe gives to every command, and that only a training reads."""
TRAININGS = ("train", "arms")
NOT_CHOSEN = (Kind.DEFAULT, Kind.MEASURED, Kind.MINED, Kind.TAKEN)
"""Origins of values that nobody chose."""


def settings(record: RunRecord) -> Mapping[str, Any]:
    """Resolved settings of a run by key."""
    return _stored(record.columns.get("config_json"))[0]


def changed(record: RunRecord) -> dict[str, Any]:
    """Settings of a run that somebody chose and that belong to the science.

    What the run found out itself (a temperature, the file of its negatives) follows from them, and differs by seed.
    """
    return dict(_stored(record.columns.get("config_json"))[1])


@lru_cache(maxsize=256)  # the runs of one lineage are asked many times, and a grid has few texts, of some kilobytes
def _stored(text: str | None) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """(every value, values that somebody chose and that belong to the science) of a config.json."""
    stored: dict[str, dict[str, Any]] = json.loads(text or "{}")
    chosen = [k for k, v in stored.items() if _is_chosen(v["origin"]) and not k.startswith(NOT_SCIENCE)]
    every = MappingProxyType({k: v["value"] for k, v in stored.items()})  # every caller has the same
    return every, {k: stored[k]["value"] for k in chosen}


def concerns(command: str, key: str, origin: str) -> bool:
    """Whether a setting says something of a run of this command: what only a training reads, of others where typed."""
    return command in TRAININGS or not key.startswith(OF_TRAINING) or parse(origin).kind in COMMAND_LINE


@cache
def _is_chosen(origin: str) -> bool:
    return parse(origin).kind not in NOT_CHOSEN


def short_name(model: str) -> str:
    """Last part of a hub name or folder."""
    return model.rstrip("/").rsplit("/", 1)[-1]


def selected_on(line: Sequence[RunRecord]) -> set[tuple[str, str]]:
    """(data set, split) pairs that a checkpoint of this lineage was chosen on: those that its trainings measured on.

    Training queries that were held out are a split of another name, such as `6 of train`.
    """
    from irctl.ledger import query

    trainings = [record for record in line if record.columns.get("command") == "train"]
    return {
        (str(record.columns.get("dataset") or ""), str(row["split"]))
        for record in trainings
        for row in query.measures(record.id)
        if row["split"]
    }


def is_selected(selected: set[tuple[str, str]], dataset: str, split: str) -> bool:
    """Whether one of these pairs is the split, or one of the splits of a pool (dev+test)."""
    return any((dataset, part) in selected for part in split.split(POOL))
