"""The front of soft whitening: what it is at an IsoScore between its points, and who lies on or above it."""

from __future__ import annotations

import numpy as np
import pytest

from irctl.reports import front
from irctl.reports.front import FrontPoint, Unjudged, Verdict
from irctl.reports.significance import compare, just_significant, tell_power


def point(label: str, iso: float, *values: float) -> FrontPoint:
    return FrontPoint(label, iso, {f"q{i}": v for i, v in enumerate(values)})


def judge(line: list[FrontPoint], *arms: FrontPoint) -> list[Verdict | Unjudged]:
    return front.correct_family([front.judge(line, arm) for arm in arms])


LINE = [point("none", 0.1, 0.4, 0.6), point("soft", 0.3, 0.6, 0.6), point("whiten", 0.5, 0.2, 0.0)]


@pytest.mark.parametrize("iso, expected", [
    (0.1, (0.4, 0.6)), (0.2, (0.5, 0.6)), (0.4, (0.4, 0.3)), (0.5, (0.2, 0.0)), (0.05, (0.4, 0.6)),
])  # fmt: skip
def test_the_front_is_linear_between_its_points_and_flat_below_them(iso: float, expected: tuple[float, ...]) -> None:
    found = front.read_off(LINE, iso)
    assert found is not None and tuple(found.values()) == pytest.approx(expected)


def test_nothing_is_said_above_the_front_or_of_other_queries() -> None:
    assert front.read_off(LINE, 0.6) is None and front.read_off([], 0.2) is None
    beyond, other, lone = (
        front.judge(line, arm)
        for line, arm in (
            (LINE, point("beyond", 0.6, 1, 1)),
            (LINE, FrontPoint("other", 0.2, {"other": 1.0})),
            (LINE[:1], point("lone", 0.1, 1, 1)),
        )
    )
    assert isinstance(beyond, Unjudged) and beyond.why == "more isotropic than its front, which ends at 0.500"
    assert isinstance(other, Unjudged) and other.why == "evaluated on other queries than its front"
    assert isinstance(lone, Unjudged) and lone.why == "a front has 2 points or more, and this has 1"


def test_the_line_ends_where_whitening_loses_isotropy_again() -> None:
    """Of 700 rows in 384 dimensions a = .75 has IsoScore .60 and a = 1 has .44: that point is no front at .44."""
    points = [point("none", 0.11), point("a=.5", 0.49), point("a=.75", 0.60), point("whiten", 0.44)]
    assert [p.label for p in front.rising(points)] == ["none", "a=.5", "a=.75"]


@pytest.mark.parametrize("label, a", [
    ("", 0.0), ("soft_whiten a=0.25", 0.25), ("soft_whiten a=0.25 query_mean=corpus", 0.25), ("whiten", 1.0),
    ("whiten dim=256", None), ("centre", None), ("remove_top remove=3", None), ("soft_whiten a=0.5 eps=0.1", None),
])  # fmt: skip
def test_which_transforms_are_points_of_the_line(label: str, a: float | None) -> None:
    assert front.strength(label) == a


def test_the_transform_dominates_where_every_arm_lies_below_it() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(90)
    line = [point("none", 0.1, *base), point("soft", 0.3, *(base + 0.1))]
    below, above = point("below", 0.2, *(base + 0.02)), point("above", 0.2, *(base + 0.08 + rng.normal(0, 0.01, 90)))
    (verdict,) = judge(line, below)
    assert isinstance(verdict, Verdict) and verdict.compared.delta == pytest.approx(-0.03) and not verdict.is_reached
    assert front.write([verdict])[0].startswith("The transform dominates")
    both = judge(line, below, above)
    assert front.write(both)[0] == "On or above the front of soft whitening at equal held-out IsoScore: above."
    assert "below (IsoScore 0.200) -3.0" in front.write(both)[1] and "family of 2" in front.write(both)[1]
    assert front.write([]) == []


def test_nothing_dominates_while_an_arm_could_not_be_judged_and_it_is_named_with_the_reason() -> None:
    base = np.random.default_rng(0).random(30)
    line = [point("none", 0.1, *base), point("soft", 0.3, *(base + 0.1))]
    found = judge(line, point("below", 0.2, *base), point("beyond", 0.9, *(base + 0.3)))
    assert front.write(found)[0] == "Below the front of soft whitening at equal held-out IsoScore: below."
    assert front.write(found)[2] == (
        "Not judged against the front of soft whitening: beyond (IsoScore 0.900): more isotropic than its front, which "
        "ends at 0.300."
    )
    (only,) = front.write(judge(line, point("beyond", 0.9, *base)))
    assert only.startswith("Not judged")
    assert not any("dominates" in line for line in front.write(found))


def test_the_just_significant_difference_is_the_one_whose_p_is_five_per_cent() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.1, 90)
    x += just_significant(float(x.std(ddof=1)), 90) - x.mean()
    compared = compare({str(i): float(v) for i, v in enumerate(x)}, {str(i): 0.0 for i in range(90)})
    assert compared.p_raw == pytest.approx(0.05) and compared.sd == pytest.approx(float(x.std(ddof=1)))
    assert just_significant(0.089, 45) == pytest.approx(0.0267, abs=1e-4)
    (line,) = tell_power([compared])
    assert "90 queries" in line and ".026 at 45 queries and .012 at 225" in line
    assert tell_power([]) == []
