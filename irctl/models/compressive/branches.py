"""Several questions about one context in one sequence of the language model: the context is read once.

`head | rows | tail 1 | answer 1 | tail 2 | answer 2 ...`: a branch sees what lies before all of them and itself; its
positions count on from there, so that each of its tokens is what it would be in a sequence of its own.

Dimension key: B sequences, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irctl.models.compressive.soft_context import IGNORED, LmInput, Parts

READS_ANY_MASK = ("sdpa", "eager")
"""Kinds of attention that take any mask."""
PADDING = -1


def branched_length(unit: Sequence[Parts]) -> int:
    """Tokens of one sequence with all branches of a unit."""
    first = unit[0]
    return len(first.head) + first.rows + sum(len(p.tail) + len(p.answer) for p in unit)


def lay_out_branches(units: Sequence[Sequence[Parts]], *, pad_id: int = 0) -> LmInput:
    """A sequence a unit, whose parts have one head and one context, and tails; mask_BT is [B, T, T]: what sees what."""
    longest = max(map(branched_length, units))
    rows_of: dict[str, list[list[int]]] = {name: [] for name in ("ids", "slots", "places", "labels", "branches")}
    for unit in units:
        head, rows = unit[0].head, unit[0].rows
        shared = len(head) + rows
        ids, slots, labels = [*head, *[pad_id] * rows], [*[0] * len(head), *[1] * rows], [IGNORED] * shared
        places, branches = [*range(shared)], [0] * shared
        for number, part in enumerate(unit, 1):
            assert part.tail and (part.head, part.rows) == (head, rows), "branches part after their context"
            own = len(part.tail) + len(part.answer)
            ids += [*part.tail, *part.answer]
            labels += [*[IGNORED] * len(part.tail), *part.answer]
            places += range(shared, shared + own)
            branches += [number] * own
        made = {"ids": ids, "slots": slots, "places": places, "labels": labels, "branches": branches}
        for name, padding in (("ids", pad_id), ("slots", 0), ("places", 0), ("labels", IGNORED), ("branches", PADDING)):
            rows_of[name].append(made[name] + [padding] * (longest - len(made[name])))
    of = {name: torch.tensor(rows) for name, rows in rows_of.items()}
    return LmInput(of["ids"], of["slots"].bool(), _sees(of["branches"]), of["places"], of["labels"])


def _sees(branch_BT: Tensor) -> Tensor:
    """Whether a token [B, T, 1] sees another [B, 1, T]; padding sees itself alone, for a row of nothing is no mask."""
    size = branch_BT.shape[1]
    before_TT = torch.ones(size, size, dtype=torch.bool).tril()
    query_BT1, key_B1T = branch_BT[:, :, None], branch_BT[:, None, :]
    sees_BTT = before_TT & ((key_B1T == 0) | (key_B1T == query_BT1)) & (query_BT1 != PADDING)
    return sees_BTT | torch.eye(size, dtype=torch.bool)
