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

FEWEST = 2
"""Points of a front: untouched vectors alone are none."""


@dataclass(frozen=True)
class FrontPoint:
    """Something measured. iso: held-out debiased IsoScore. values: by query."""

    label: str
    iso: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Unjudged:
    """A point that the front says nothing of. why: a clause."""

    label: str
    iso: float
    why: str


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


def judge(line: Sequence[FrontPoint], point: FrontPoint) -> Verdict | Unjudged:
    """A point against the front, p not corrected yet; or why it cannot be judged. line: as `rising` gives it."""
    if len(line) < FEWEST:
        return Unjudged(point.label, point.iso, f"a front has {FEWEST} points or more, and this has {len(line)}")
    if any(p.values.keys() != point.values.keys() for p in line):
        return Unjudged(point.label, point.iso, "evaluated on other queries than its front")
    values = read_off(line, point.iso)
    if values is None:
        return Unjudged(point.label, point.iso, f"more isotropic than its front, which ends at {line[-1].iso:.3f}")
    compared = compare(point.values, values)
    baseline = f"front at IsoScore {point.iso:.3f}"
    return Verdict(point.iso, replace(compared, system=point.label, baseline=baseline))


def correct_family(found: Sequence[Verdict | Unjudged]) -> list[Verdict | Unjudged]:
    """The same, Holm-corrected over all that were judged."""
    corrected = iter(correct([v.compared for v in found if isinstance(v, Verdict)]))
    return [replace(v, compared=next(corrected)) if isinstance(v, Verdict) else v for v in found]


def write(found: Sequence[Verdict | Unjudged]) -> list[str]:
    """What is printed: who reaches the front, every difference, and who could not be judged.

    That the transform dominates is said where every one was judged and lies below.
    """
    judged = [v for v in found if isinstance(v, Verdict)]
    others = [v for v in found if isinstance(v, Unjudged)]
    at = "the front of soft whitening at equal held-out IsoScore"
    lines = []
    if reached := [v.compared.system for v in judged if v.is_reached]:
        lines.append(f"On or above {at}: {', '.join(reached)}.")
    elif judged and others:
        lines.append(f"Below {at}: {', '.join(v.compared.system for v in judged)}.")
    elif judged:
        lines.append(f"The transform dominates: nothing trained reaches {at}.")
    if judged:
        lines.append(f"Minus the front: {'; '.join(map(_clause, judged))}; family of {len(judged)}.")
    if others:
        told = "; ".join(f"{v.label} (IsoScore {v.iso:.3f}): {v.why}" for v in others)
        lines.append(f"Not judged against the front of soft whitening: {told}.")
    return lines


def _clause(v: Verdict) -> str:
    c = v.compared
    p = "undefined" if c.p_adj is None else f"{c.p_adj:.3g}"
    return (
        f"{c.system} (IsoScore {v.iso:.3f}) {100 * c.delta:+.1f} [{100 * c.ci_low:+.1f}, {100 * c.ci_high:+.1f}], p {p}"
    )
