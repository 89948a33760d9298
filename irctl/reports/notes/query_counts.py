"""How many queries the numbers of a table are means over, in the words of a note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from irctl.errors import counted
from irctl.reports.records import Record, RowKey


def tell(place: tuple[str, str], records: Iterable[Record], noun: str = "query") -> str:
    """`cranfield test (45 queries)`; systems that are of another number than most are named with theirs."""
    counts: dict[RowKey, set[int]] = {}
    names: dict[RowKey, str] = {}
    for r in records:
        if (r.dataset, r.split) == place and r.n_queries:
            counts.setdefault((r.system, r.variant), set()).add(r.n_queries)
            names[r.system, r.variant] = r.system
    shown = " ".join(filter(None, place))
    if not counts:
        return shown
    usual = max(Counter(n for of_one in counts.values() for n in of_one).items(), key=lambda item: item[::-1])[0]
    others = [
        f"{names[key]} {', '.join(f'{n:,}' for n in sorted(of_one))}"
        for key, of_one in counts.items()
        if of_one != {usual}
    ]
    return f"{shown} ({counted(usual, noun)}{'; ' if others else ''}{', '.join(others)})"
