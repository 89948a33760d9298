"""The rules of one source: which of its judgements stay, and which label they get.

Order: subset of queries, then filter or min/max (min <= score < max, the upper end excluded), then group_*, then label.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl import hashing, tables
from irctl.data.files import column_names
from irctl.data.files.lines import read_first_line, read_json_lines, suffix
from irctl.data.judgements.expressions import compile_expression
from irctl.data.judgements.qrels_files import SYNTHETIC, read_judgements
from irctl.data.judgements.qrels_store import Keep, Label, Selection
from irctl.data.texts.records import read_texts
from irctl.errors import ConfigError

GROUP_KEYS = ("group_top_k", "group_bottom_k", "group_first_k", "group_random_k")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_transform(value: Any) -> bool:
    return tables.is_number(value) or value in ("floor", "ceil") or callable(value)


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "min_score": (tables.is_number, "a number"),
    "max_score": (tables.is_number, "a number"),
    "filter": (_is_text, "an expression in quotes, such as 'grade >= 2'"),
    "filter_fn": (callable, "a function, which only Python can give; a file says it in filter"),
    **dict.fromkeys(GROUP_KEYS, (tables.is_count, "a whole number above 0")),
    "group_filter_fn": (callable, f"a function, which only Python can give; a file has {', '.join(GROUP_KEYS)}"),
    "score_transform": (_is_transform, "a number, floor or ceil"),
    "label": (_is_text, "an expression in quotes, such as '1 if grade >= 2 else 0'; score_transform takes a number"),
}
"""key -> what its value must be, as a test and in words."""


@dataclass(frozen=True, kw_only=True)
class SourceRules:
    """Keys of a source object that choose and label; callables come from Python only and override their keys."""

    min_score: float | None = None
    max_score: float | None = None
    filter: str | None = None
    filter_fn: Callable[[dict[str, Any]], bool] | None = None
    group_top_k: int | None = None
    group_bottom_k: int | None = None
    group_first_k: int | None = None
    group_random_k: int | None = None
    group_filter_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    score_transform: float | str | Callable[[dict[str, Any]], float] | None = None
    label: str | None = None

    @classmethod
    def checked(cls, values: Mapping[str, Any], where: Callable[[str], str], place: str) -> SourceRules:
        """Rules from keys and values. Raises ConfigError with file:line for a value that cannot be."""

        for key, value in values.items():
            fits, expected = KINDS[key]
            if not fits(value):
                raise ConfigError(f"{where(key)}: {place}: {key}: expected {expected}, found {tables.shown(value)}")
        given = [k for k in GROUP_KEYS if k in values]
        if len(given) > 1:
            raise ConfigError(f"{where(given[1])}: {place}: {' and '.join(given)}", hint="At most one group_* key")
        for key in ("filter", "label"):
            if key in values:
                compile_expression(values[key], f"{where(key)}: {place}: {key}")
        for one, others in (("filter", ("min_score", "max_score")), ("label", ("score_transform",))):
            both = [k for k in others if k in values]
            if one in values and both:
                raise ConfigError(f"{where(one)}: {place}: {one} and {both[0]} say the same thing", hint="Keep one")
        return cls(**values)


def build_selection(rules: SourceRules, subset_files: Sequence[Path], where: str) -> Selection:
    """The rules as the functions that a store is built with."""
    callables = (rules.filter_fn, rules.group_filter_fn, rules.score_transform)
    group = next(((k.split("_")[1], getattr(rules, k)) for k in GROUP_KEYS[:3] if getattr(rules, k)), None)
    key: dict[str, Any] | None = None
    if not any(callable(c) for c in callables):
        # random_k is drawn anew each epoch, so it is no part of what is stored.
        plain = {f.name: getattr(rules, f.name) for f in dataclasses.fields(rules) if f.name != "group_random_k"}
        key = {k: v for k, v in plain.items() if v is not None}
        if subset_files:
            key["subset"] = [hashing.sha256_file(f) for f in subset_files]
    return Selection(
        key=key,
        subset=frozenset().union(*map(_query_ids, subset_files)) if subset_files else None,
        keep=_keep(rules, where),
        rule=_rule(rules),
        group=None if rules.group_filter_fn else group,
        regroup=rules.group_filter_fn,
        label=_label(rules, where),
    )


def _query_ids(path: Path) -> frozenset[str]:
    """Query ids of a query file, or of any file of judgements; the first record tells which it is."""
    if _holds_texts(path):
        return frozenset(r.id for r in read_texts(path))
    return frozenset(j.query_id for j in read_judgements(path))


def _holds_texts(path: Path) -> bool:
    kind = suffix(path)
    if kind not in (".jsonl", ".ndjson"):
        return kind == ".tsv" and read_first_line(path).count("\t") == 1
    record = next((value for _, value in read_json_lines(path)), {})
    name = column_names.id_name(record)
    return (
        column_names.text_name(record) is not None and name is not None and not SYNTHETIC.fullmatch(str(record[name]))
    )


def _rule(rules: SourceRules) -> str:
    """The rule that keeps or drops a judgement by itself, as it is written."""
    if rules.filter_fn is not None:
        return "filter_fn"
    names = ("filter", "min_score", "max_score")
    return ", ".join(f"{n} {getattr(rules, n)}" for n in names if getattr(rules, n) is not None)


def _keep(rules: SourceRules, where: str) -> Keep | None:
    if (call := rules.filter_fn) is not None:
        return lambda q, d, s: bool(call({"qid": q, "docid": d, "score": s}))
    if rules.filter is not None:
        test = compile_expression(rules.filter, f"{where}: filter")
        return lambda q, d, s: bool(test(s, q, d))
    if rules.min_score is None and rules.max_score is None:
        return None
    low = -math.inf if rules.min_score is None else rules.min_score
    high = math.inf if rules.max_score is None else rules.max_score
    return lambda q, d, s: low <= s < high


def _label(rules: SourceRules, where: str) -> Label | None:
    change = rules.score_transform
    if rules.label is not None:
        value = compile_expression(rules.label, f"{where}: label")
        return lambda q, d, s: value(s, q, d)
    if callable(change):
        return lambda q, d, s: change({"qid": q, "docid": d, "score": s})
    if change == "floor":
        return lambda q, d, s: math.trunc(s)
    if change == "ceil":
        return lambda q, d, s: math.ceil(s)
    return None if change is None else lambda q, d, s: float(change)
