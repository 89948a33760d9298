"""Names of ranking measures: presets, synonyms, parsing. `nDCG@10 RR(rel=2)@10 R_cap@100` in ir_measures' syntax.

Only measures whose engine reads the canonical run are offered. Exponential gain is not: ir_measures sends it to gdeval.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from irctl.errors import ConfigError

DEPTHS = (1, 3, 5, 10, 100, 1000)

PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("nDCG@10", "RR@10", "R@100"),
    "msmarco": ("RR@10", "R@50", "R@100", "R@1000", "nDCG@10"),
    # Binary measures take grade >= 2 on TREC-DL passages, nDCG takes all grades.
    "trec-dl": ("nDCG@10", "AP(rel=2)@1000", "R(rel=2)@100", "R(rel=2)@1000", "RR(rel=2)@10"),
    "beir": (*(f"{name}@{k}" for name in ("nDCG", "AP", "R", "P") for k in DEPTHS), "RR@10", "R_cap@100", "Judged@10"),
    "repconc": (*(f"{name}@{k}" for name in ("nDCG", "AP", "R", "P") for k in (1, 3, 5, 10, 100)), "RR@10", "RR@100"),
}

# name -> whether a cut-off is needed. RR without one would be trec_eval's recip_rank, which differs from every RR@k.
NAMES = {
    "AP": False,
    "Judged": True,
    "nDCG": False,
    "P": True,
    "R": True,
    "R_cap": True,
    "Rprec": False,
    "RR": True,
    "Success": True,
}
UNCUT = ("Rprec",)

SYNONYMS = {name.lower(): name for name in NAMES} | {
    "map": "AP",
    "mrr": "RR",
    "recall": "R",
    "precision": "P",
    "prec": "P",
    "hit": "Success",
    "hitrate": "Success",
    "capped_recall": "R_cap",
}

_SHAPE = re.compile(r"(?P<name>[A-Za-z_]+)(?:\((?P<params>[^()]*)\))?(?:@(?P<cutoff>\d+))?")


@dataclass(frozen=True)
class Measure:
    """One measure. name: the full text, as tables and the ledger hold it; rel: lowest grade that counts as relevant."""

    name: str
    family: str
    cutoff: int | None
    rel: int
    judged_only: bool = False

    def engine(self) -> Any:
        """The ir_measures object; R_cap is our own and has none."""
        import ir_measures

        return ir_measures.parse_measure(self.name)


def split_list(text: str) -> list[str]:
    """Names of a list separated by blanks or commas; commas inside brackets belong to the name."""
    return [part for part in re.split(r"[,\s]+(?![^()]*\))", text.strip()) if part]


def parse(wanted: str | Iterable[str], *, default: str = "default") -> list[Measure]:
    """Measures of a preset, a list or several of both, in order, without repeats.

    Raises ConfigError naming every bad name with the nearest legal one.
    """
    parts = split_list(wanted) if isinstance(wanted, str) else [p for text in wanted for p in split_list(text)]
    names = [name for part in parts or [default] for name in PRESETS.get(part, (part,))]
    found: dict[str, Measure] = {}
    bad: list[str] = []
    for name in names:
        try:
            measure = parse_one(name)
        except ConfigError as e:
            bad.append(f"{e.message} ({e.hint})" if e.hint else e.message)
        else:
            found.setdefault(measure.name, measure)
    if bad:
        raise ConfigError(
            "; ".join(bad), hint=f"Presets: {', '.join(PRESETS)}; names as {' '.join(PRESETS['default'])}"
        )
    return list(found.values())


@cache
def parse_one(text: str) -> Measure:
    """One measure from its name or a synonym such as `mrr@10`. Raises ConfigError."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ConfigError(f"'{text}' is not a measure", hint="expected NAME@K or NAME(rel=2)@K")
    family = SYNONYMS.get(shape["name"].lower())
    if family is None:
        close = difflib.get_close_matches(shape["name"].lower(), list(SYNONYMS), n=1, cutoff=0.5)
        depth = f"@{shape['cutoff']}" if shape["cutoff"] else ""
        hint = f"did you mean '{SYNONYMS[close[0]]}{depth}'?" if close else f"known: {', '.join(NAMES)}"
        raise ConfigError(f"no measure named '{text}'", hint=hint)
    cutoff = int(shape["cutoff"]) if shape["cutoff"] else None
    if cutoff == 0:
        raise ConfigError(f"{text}: the cut-off must be at least 1", hint=f"did you mean '{family}@10'?")
    if cutoff is None and NAMES[family]:
        raise ConfigError(
            f"{text}: needs a cut-off", hint=f"did you mean '{family}@{100 if family in ('R', 'R_cap') else 10}'?"
        )
    if cutoff is not None and family in UNCUT:
        raise ConfigError(f"{text}: takes no cut-off", hint=f"did you mean '{family}'?")
    rel, judged_only = _parameters(text, family, shape["params"] or "")
    given = [f"rel={rel}"] if rel != 1 else []
    given += ["judged_only=True"] if judged_only else []
    name = family + (f"({','.join(given)})" if given else "") + (f"@{cutoff}" if cutoff else "")
    return Measure(name, family, cutoff, rel, judged_only)


def _parameters(text: str, family: str, params: str) -> tuple[int, bool]:
    """(rel, judged_only) of the text in brackets."""
    rel, judged_only = 1, False
    for part in filter(None, (p.strip() for p in params.split(","))):
        key, _, value = (s.strip() for s in part.partition("="))
        if key == "rel" and family not in ("nDCG", "Judged"):
            if not value.isdigit() or int(value) < 1:
                raise ConfigError(f"{text}: rel must be a grade of at least 1, found '{value}'")
            rel = int(value)
        elif key == "judged_only" and family not in ("Judged", "R_cap", "RR") and value in ("True", "False"):
            judged_only = value == "True"
        else:
            raise ConfigError(f"{text}: {family} does not take '{part}'", hint="binary measures take rel=GRADE")
    return rel, judged_only
