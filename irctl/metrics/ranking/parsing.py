"""Reading names of ranking measures: `nDCG@10 RR(rel=2)@10 R_cap@100` in ir_measures' syntax, synonyms, presets.

A measure is a file of measures/ that says what may be asked of it. Only those whose engine reads the canonical run are
there; nDCG with exponential gain is not: ir_measures sends it to gdeval.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from typing import Any

from irctl import plugins
from irctl.errors import ConfigError

MEASURES = "metrics/ranking/measures"
DEPTHS = (1, 3, 5, 10, 100, 1000)

PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("nDCG@10", "RR@10", "R@100"),
    "msmarco": ("RR@10", "R@50", "R@100", "R@1000", "nDCG@10"),
    # Binary measures take grade >= 2 on TREC-DL passages, nDCG takes all grades.
    "trec-dl": ("nDCG@10", "AP(rel=2)@1000", "R(rel=2)@100", "R(rel=2)@1000", "RR(rel=2)@10"),
    "beir": (*(f"{name}@{k}" for name in ("nDCG", "AP", "R", "P") for k in DEPTHS), "RR@10", "R_cap@100", "Judged@10"),
    "repconc": (*(f"{name}@{k}" for name in ("nDCG", "AP", "R", "P") for k in (1, 3, 5, 10, 100)), "RR@10", "RR@100"),
}

PARAMETERS = {"rel": "rel=GRADE", "judged_only": "judged_only=True", "p": "p=0.8"}
PERSISTENCE = 0.8
"""ir_measures' default."""

_DECIMAL = re.compile(r"[0-9]*\.?[0-9]+")
_SHAPE = re.compile(r"(?P<name>[A-Za-z_]+)(?:\((?P<params>[^()]*)\))?(?:@(?P<cutoff>\d+))?")


@dataclass(frozen=True)
class Family:
    """What a file of measures/ declares of its measure.

    name: as tables have it; the file's name is the same in lower case. synonyms: other names, in lower case.
    cutoff: whether @K is needed, optional or none. parameters: of rel, judged_only and p. usual: the cut-off in hints.
    reads: what it takes from the judgements beside grades from 0 up: the top grade of the collection's scale, or
    negative grades as documents that were not judged.
    """

    name: str
    synonyms: tuple[str, ...]
    cutoff: str
    parameters: tuple[str, ...]
    usual: int
    reads: tuple[str, ...]

    @property
    def takes(self) -> str:
        """Its parameters as hints show them."""
        return ", ".join(PARAMETERS[p] for p in self.parameters) or "no parameters"


@dataclass(frozen=True)
class Measure:
    """One measure. name: the full text, as tables and the ledger hold it; rel: lowest grade that counts as relevant.

    p: persistence of RBP's reader.
    """

    name: str
    family: str
    cutoff: int | None
    rel: int
    judged_only: bool = False
    p: float = PERSISTENCE

    def reads(self, what: str) -> bool:
        """Whether its file says that it reads this: top_grade or negative_grades."""
        return what in list_families()[self.family.lower()].reads

    def own(self, top_grade: int) -> Callable[[Sequence[str], Mapping[str, int]], float] | None:
        """`value` of its file with what the name and the scale say filled in, or None where ir_measures computes it."""
        value = getattr(plugins.load(MEASURES, self.family.lower()), "value", None)
        if value is None:
            return None
        given: dict[str, Any] = {n: getattr(self, n) for n in list_families()[self.family.lower()].parameters}
        given |= {"top_grade": top_grade} if self.reads("top_grade") else {}
        return partial(value, k=self.cutoff, **given)

    def engine(self) -> Any:
        """The ir_measures object of a measure without an `own` value."""
        import ir_measures

        return ir_measures.parse_measure(self.name)


@cache
def list_families() -> dict[str, Family]:
    """Every measure by the names it may be given, in lower case: first the files in their order, then synonyms."""
    found = {name: _read_family(name) for name in plugins.names(MEASURES)}
    return found | {synonym: family for family in found.values() for synonym in family.synonyms}


def _read_family(name: str) -> Family:
    declared = ("NAME", "SYNONYMS", "CUTOFF", "PARAMETERS", "USUAL", "READS")
    label, synonyms, cutoff, parameters, usual, reads = (plugins.literal(MEASURES, name, n) for n in declared)
    return Family(label, synonyms or (), cutoff, parameters or (), usual or 10, reads or ())


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
    family = list_families().get(shape["name"].lower())
    if family is None:
        close = difflib.get_close_matches(shape["name"].lower(), list(list_families()), n=1, cutoff=0.5)
        depth = f"@{shape['cutoff']}" if shape["cutoff"] else ""
        known = ", ".join(dict.fromkeys(f.name for f in list_families().values()))
        if _is_of_ir_measures(shape["name"]):  # a name that was meant: the nearest of ours is another measure
            raise ConfigError(f"{text}: a measure of ir_measures that irctl does not compute", hint=f"known: {known}")
        hint = f"did you mean '{list_families()[close[0]].name}{depth}'?" if close else f"known: {known}"
        raise ConfigError(f"no measure named '{text}'", hint=hint)
    cutoff = int(shape["cutoff"]) if shape["cutoff"] else None
    if cutoff == 0:
        raise ConfigError(f"{text}: the cut-off must be at least 1", hint=f"did you mean '{family.name}@10'?")
    if cutoff is None and family.cutoff == "needed":
        raise ConfigError(f"{text}: needs a cut-off", hint=f"did you mean '{family.name}@{family.usual}'?")
    if cutoff is not None and family.cutoff == "none":
        raise ConfigError(f"{text}: takes no cut-off", hint=f"did you mean '{family.name}'?")
    measure = Measure(text, family.name, cutoff, **_parameters(text, family, shape["params"] or ""))
    given = [f"rel={measure.rel}"] if measure.rel != 1 else []
    given += ["judged_only=True"] if measure.judged_only else []
    p = format(Decimal(repr(measure.p)), "f")  # without an exponent, which names are not read with
    given += [f"p={p}"] if "p" in family.parameters else []  # always: it decides the value
    name = family.name + (f"({','.join(given)})" if given else "") + (f"@{cutoff}" if cutoff else "")
    return replace(measure, name=name)


def _is_of_ir_measures(name: str) -> bool:
    import ir_measures

    return name.lower() in {known.lower() for known in ir_measures.measures.registry}


def _parameters(text: str, family: Family, params: str) -> dict[str, Any]:
    """rel, judged_only and p of the text in brackets."""
    found: dict[str, Any] = {"rel": 1}
    for part in filter(None, (p.strip() for p in params.split(","))):
        key, _, value = (s.strip() for s in part.partition("="))
        if key not in family.parameters or (key == "judged_only" and value not in ("True", "False")):
            raise ConfigError(f"{text}: {family.name} does not take '{part}'", hint=f"it takes {family.takes}")
        if key == "rel":
            if not value.isdecimal() or int(value) < 1:
                raise ConfigError(f"{text}: rel must be a grade of at least 1, found '{value}'")
            found[key] = int(value)
        elif key == "p":
            if not _DECIMAL.fullmatch(value) or not 0 < float(value) < 1:
                raise ConfigError(f"{text}: p must lie between 0 and 1, found '{value}'", hint="RBP(p=0.8)")
            found[key] = float(value)
        else:
            found[key] = value == "True"
    return found
