"""Isotropy among the facts of a system: its columns, when they may be compared, and what a reader must know of them.

`erank/d` is of the documents, `queries:erank/d` of the queries; `iso` is the debiased IsoScore. No value is best:
isotropy is not monotone in quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from irctl.errors import ConfigError
from irctl.metrics.vectors.isotropy import COMPARABLE
from irctl.reports.records import Record

QUERIES = "queries:"
"""What the names of measures of queries begin with; those of documents with nothing."""
SHORT = {"IsoScore": "iso"}
"""Measures whose columns have another name."""
SIZE, WIDTH = "iso_n", "iso_d"
_HEADERS = {
    "iso": "IsoScore (debiased)",
    **{
        name: name
        for name in "IsoScore.raw IsoScore* mean-cos 1-cos I(W) erank erank/d PR/d eig.min eig.max min/max top1 top10"
        " mean/norm norm.mean norm.std uniformity alignment SIGReg ragcun_minmax ragcun_1mcv".split()
    },
}
HEADERS = {**_HEADERS, **{f"{QUERIES}{name}": f"{header}, queries" for name, header in _HEADERS.items()}}
"""Column -> its header."""
_DEFINITIONS = {
    "iso": "(PR - 1) / (D - 1), PR = (tr C)^2 / tr C^2 of the centred covariance C, debiased for sample size",
    "IsoScore.raw": "(PR - 1) / (D - 1), PR = (tr C)^2 / tr C^2 of the centred covariance C, not debiased",
    "mean-cos": "mean cosine of two different rows",
    "1-cos": "1 - |mean cosine of two different rows|",
    "erank/d": "exp of the entropy of the eigenvalues' shares, over D",
    "I(W)": "min Z / max Z of Mu and Viswanath, of directions",
}


def facts_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Columns and their values of what an evaluation measured: a row a population."""
    facts: dict[str, float] = {}
    for row in rows:
        if "values" in row:
            prefix = QUERIES if row["population"] == "queries" else ""
            facts |= {f"{prefix}{SHORT.get(name, name)}": float(value) for name, value in row["values"].items()}
            facts |= {f"{prefix}{SIZE}": float(row["N"]), f"{prefix}{WIDTH}": float(row["D"])}
    return facts


def is_column(key: str) -> bool:
    return key in HEADERS


def refuse_mixed(key: str, records: Sequence[Record]) -> None:
    """ConfigError for a measure that depends on N where it was measured on different N."""
    prefix, name = _split(key)
    if key not in HEADERS or name in {SHORT.get(n, n) for n in COMPARABLE}:
        return
    sizes: dict[float, str] = {}
    for r in records:
        if key in r.facts and (size := r.facts.get(f"{prefix}{SIZE}")) is not None:
            sizes.setdefault(size, r.fact_runs.get(key, r.run_id))
    if len(sizes) > 1:
        shown = ", ".join(f"{size:.0f} (run {run})" for size, run in sorted(sizes.items()))
        raise ConfigError(
            f"column {key}: depends on the number of rows, and they were measured on N = {shown}",
            hint=f"Show {prefix}iso, which does not, name the runs to show, or add --mixed",
        )


def footnotes(keys: Iterable[str], records: Sequence[Record]) -> list[str]:
    """What each of these columns is, of which rows."""
    notes = []
    for key in keys:
        if key not in HEADERS:
            continue
        prefix, name = _split(key)
        known = [r.facts for r in records if {key, f"{prefix}{SIZE}", f"{prefix}{WIDTH}"} <= r.facts.keys()]
        sizes = sorted({f"N={f[f'{prefix}{SIZE}']:.0f}, D={f[f'{prefix}{WIDTH}']:.0f}" for f in known})
        meaning = f": {_DEFINITIONS[name]}" if name in _DEFINITIONS else ""
        of = "queries" if prefix else "documents"
        notes.append(
            f"{HEADERS[key]}{meaning}; of {of} as they are compared, held out ({'; '.join(sizes) or 'not measured'})."
        )
    if notes:
        notes.append(
            "Held out: transforms are fitted on one half of the documents and measured on the other, averaged."
        )
    return notes


def _split(key: str) -> tuple[str, str]:
    """(prefix, the column of documents of that name)."""
    return (QUERIES, key.removeprefix(QUERIES)) if key.startswith(QUERIES) else ("", key)
