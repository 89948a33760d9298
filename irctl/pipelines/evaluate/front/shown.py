"""What `irctl eval --transforms` prints beside the means: differences from the untouched vectors, isotropy, power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from irctl.pipelines.evaluate import isotropy
from irctl.pipelines.evaluate.front.asked import NONE
from irctl.pipelines.evaluate.measurements import Measurements
from irctl.reports.significance import CORRECTED, Comparison, compare, correct, tell_power

Place = tuple[str, str]
P = f"p, {CORRECTED['holm']}"


def compare_parts(measured: Measurements) -> list[Comparison]:
    """Every row against the untouched vectors as their encoder compares them, by the first measure; Holm over all.

    Nothing for a data set and split of which the untouched vectors are no row.
    """
    measure_of: dict[Place, str] = {}
    for r in measured.results:
        measure_of.setdefault((r["dataset"], r["split"]), r["measure"])
    values: dict[Place, dict[str, dict[str, float]]] = {}
    for row in measured.per_query:
        place = (row["dataset"], row["split"])
        if row["measure"] == measure_of[place]:
            values.setdefault(place, {}).setdefault(row["part"], {})[row["query_id"]] = row["value"]
    family = []
    for (dataset, split), parts in values.items():
        base = _find_untouched((dataset, split), measured.searches)
        for part, mine in parts.items():
            if base and part != base:
                one = replace(compare(mine, parts[base]), system=part, baseline=base, dataset=dataset, split=split)
                family.append(replace(one, measure=measure_of[dataset, split]))
    return correct(family)


def _find_untouched(place: Place, searches: Sequence[Mapping[str, Any]]) -> str:
    mine = [s for s in searches if (s["dataset"], s["split"]) == place and s["transform"] == NONE]
    return next((str(s["part"]) for s in sorted(mine, key=lambda s: not s["is_own"])), "")


def make_table(
    rows: Sequence[Mapping[str, Any]], measured: Measurements, compared: Sequence[Comparison]
) -> list[dict[str, Any]]:
    """The rows of the usual table with what each gains, its p corrected over all, and how isotropic it is."""
    tests = {(c.dataset, c.split, c.system): c for c in compared}
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for s in measured.searches:
        for row in s["isotropy"]:
            of = ", queries" if row["population"] == isotropy.QUERIES else ""
            named = {f"{name}{of}": v for name, v in row.get("values", {}).items() if name in isotropy.SHOWN}
            values.setdefault((s["dataset"], s["split"], s["part"]), {}).update(named)
    shown = []
    for row in rows:
        key = (row["dataset"], row["split"], f"{row['transform']}, {row['similarity']}")
        c = tests.get(key)
        gain = {"difference": "--", P: "--"}
        if c is not None:
            p = "undefined" if c.p_adj is None else f"{c.p_adj:.2g}"
            gain = {"difference": f"{c.delta:+.4f} [{c.ci_low:+.4f}, {c.ci_high:+.4f}]", P: p}
        shown.append({**row, **gain, **values[key]})
    return shown


def lines(measured: Measurements, compared: Sequence[Comparison]) -> list[str]:
    """What a reader of that table must know."""
    said = []
    if compared:
        names = ", ".join(dict.fromkeys(f"{c.measure} of {c.baseline}" for c in compared))
        said.append(
            f"difference: from {names}; paired t-test over queries, 95 % intervals, p by Holm over a family of "
            f"{len(compared)}"
        )
        for place in dict.fromkeys((c.dataset, c.split) for c in compared):
            mine = [c for c in compared if (c.dataset, c.split) == place]
            said += [f"{' '.join(place)}: {line}" for line in tell_power(mine)]
    rows = [row for s in measured.searches for row in s["isotropy"]]
    sizes = {of: dict.fromkeys(f"N={row['N']}" for row in rows if row["population"] == of and "N" in row) for of in
             (isotropy.CORPUS, isotropy.QUERIES)}  # fmt: skip
    said.append(
        f"isotropy of documents ({', '.join(sizes[isotropy.CORPUS])}): transforms fitted on one half, measured on the "
        "other; IsoScore is debiased for N"
    )
    if of_queries := sizes[isotropy.QUERIES]:
        said.append(f"isotropy of queries ({', '.join(of_queries)}): none gave a transform its mean")
    refused = dict.fromkeys(str(row["refused"]) for row in rows if "refused" in row)
    return [*said, *(f"isotropy of queries: not measured: {why}" for why in refused)]
