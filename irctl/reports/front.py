"""Is anything that was trained better than a transform without training, at equal isotropy? The front says it.

The front is the line of soft whitening, from untouched vectors (a = 0) to whitened ones (a = 1), as far as it gains
isotropy on held-out rows: of few rows the last steps of whitening lose some. No value of a query chooses a point of it,
so the front has no luck that what is compared with it has not. Between two points it is read off linearly, query by
query, at the IsoScore of what is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from irctl.reports.significance import Comparison, compare, correct


@dataclass(frozen=True)
class FrontPoint:
    """Something measured. iso: held-out debiased IsoScore. values: by query."""

    label: str
    iso: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """A point against the front at its IsoScore. compared: the point minus the front, paired over queries."""

    iso: float
    compared: Comparison

    @property
    def is_reached(self) -> bool:
        """Whether the point lies on the front or above it."""
        return self.compared.delta >= 0


def strength(transform: str) -> float | None:
    """a of a point of the line, by the label of its transform (empty: none); None for other transforms."""
    name, *words = (transform or "none").split()
    keys = dict(word.partition("=")[::2] for word in words)
    if "dim" in keys or "eps" in keys:
        return None
    return {"none": 0.0, "whiten": 1.0, "soft_whiten": float(keys.get("a", 0))}.get(name)


def rising(points: Sequence[FrontPoint]) -> list[FrontPoint]:
    """Of points in the order of a, those that are more isotropic than every one before."""
    kept: list[FrontPoint] = []
    for point in points:
        if not kept or point.iso > kept[-1].iso:
            kept.append(point)
    return kept


def read_off(front: Sequence[FrontPoint], iso: float) -> Mapping[str, float] | None:
    """Values of the front by query at an IsoScore; of its least isotropic point below that.

    None above its most isotropic one, and where the points are of different queries. front: as `rising` gives it.
    """
    if not front or iso > front[-1].iso or any(p.values.keys() != front[0].values.keys() for p in front):
        return None
    above = next(i for i, p in enumerate(front) if p.iso >= iso)
    if above == 0:
        return front[0].values
    low, high = front[above - 1], front[above]
    share = (iso - low.iso) / (high.iso - low.iso)
    return {q: (1 - share) * v + share * high.values[q] for q, v in low.values.items()}


def judge(front: Sequence[FrontPoint], points: Sequence[FrontPoint]) -> list[Verdict]:
    """Each point against the front, Holm-corrected over them; without those that the front says nothing of."""
    found: list[tuple[float, Comparison]] = []
    for point in points:
        values = read_off(front, point.iso)
        if values is not None and values.keys() == point.values.keys():
            one = replace(
                compare(point.values, values), system=point.label, baseline=f"front at IsoScore {point.iso:.3f}"
            )
            found.append((point.iso, one))
    corrected = correct([one for _, one in found])
    return [Verdict(iso, one) for (iso, _), one in zip(found, corrected, strict=True)]


def write(verdicts: Sequence[Verdict]) -> list[str]:
    """What is printed: that the transform dominates, or what does not lie below it; and every difference."""
    if not verdicts:
        return []
    reached = [v.compared.system for v in verdicts if v.is_reached]
    head = (
        f"On or above the front of soft whitening at equal held-out IsoScore: {', '.join(reached)}."
        if reached
        else "The transform dominates: nothing trained reaches the front of soft whitening at equal held-out IsoScore."
    )
    return [head, f"Minus the front: {'; '.join(map(_clause, verdicts))}; family of {len(verdicts)}."]


def _clause(v: Verdict) -> str:
    c = v.compared
    p = "undefined" if c.p_adj is None else f"{c.p_adj:.3g}"
    return (
        f"{c.system} (IsoScore {v.iso:.3f}) {100 * c.delta:+.1f} [{100 * c.ci_low:+.1f}, {100 * c.ci_high:+.1f}], p {p}"
    )
