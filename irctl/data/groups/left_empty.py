"""Training data that make no group at all: which rule dropped the judgements of which source."""

from __future__ import annotations

from collections.abc import Sequence

from irctl.data.groups.merged_sources import JudgementSource, Merged
from irctl.errors import DataError

SIDES = {1: ("",), 2: ("positives: ", "negatives: ")}


def no_query(parts: Sequence[Merged], threshold: float | None) -> DataError:
    """The error that names every source with what was read, what each of its rules dropped, and what is left.

    parts: the graded sources, or those of positives and those of negatives. threshold: the grade of a positive.
    """
    wanted = "a judgement" if threshold is None else f"a positive, a grade of {threshold:g} or more"
    what = "both a positive and a negative passage" if len(parts) == 2 else wanted
    counts = [
        side + ("; ".join(map(_count, part.sources)) or "no source has judgements")
        for side, part in zip(SIDES[len(parts)], parts, strict=True)
    ]
    return DataError(
        f"training data: no query has {what}: {'; '.join(counts)}", hint="Loosen the rule, or check the split's files"
    )


def _count(source: JudgementSource) -> str:
    assert source.store is not None
    about = source.store.about
    read, left = sum(about["read"].values()), sum(about["kept"].values())
    rules = "".join(f", {n} dropped by {reason}" for reason, n in about["dropped"])
    rest = f"{rules}, {left} left of {about['queries']} queries"
    return f"{source.name}: {read} judgements in {', '.join(about['files'])}{rest}"
