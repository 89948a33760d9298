"""Judgements that call a passage no answer of a query whose very text is one, under another id: they are left out.

Mined negatives are full of them, for nothing ranks higher than a copy of the positive.
Dimension key: T judgements of a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from irctl.data.groups.merged_sources import Merged
from irctl.data.texts.copies import Copies

REASON = "the text of a positive under another id"


def drop_false_negatives(parts: Sequence[Merged], copies: Copies, threshold: float | None = None) -> None:
    """Drop them from the sources, in place. parts: graded sources, or those of positives and those of negatives.

    threshold: the grade from which a passage of graded sources is a positive; None: every grade above 0 is one.
    A pair of the same id in both is none of them: on_conflict settles it.
    """
    if not copies.count:
        return
    n = len(parts[0].pool)
    whole = [(part, i, *part.pairs(i), place) for place, part in enumerate(parts) for i in range(len(part.sources))]

    def positives(labels_T: NDArray[np.float32], place: int) -> NDArray[np.bool_]:
        if len(parts) == 2:
            return np.full(len(labels_T), place == 0)
        return labels_T > 0 if threshold is None else labels_T >= threshold

    is_high = [positives(labels_T, place) for *_, labels_T, place in whole]
    own = [keys_T[high_T] for (_, _, keys_T, _, _), high_T in zip(whole, is_high, strict=True)]
    positive = np.unique(np.concatenate([np.zeros(0, np.int64), *own]))
    by_text = np.unique(positive - positive % n + copies.first(positive % n))
    for (part, i, keys_T, _, _), high_T in zip(whole, is_high, strict=True):
        text_T = keys_T - keys_T % n + copies.first(keys_T % n)
        drop_T = ~high_T & np.isin(text_T, by_text) & ~np.isin(keys_T, positive)
        store = part.sources[i].store
        if drop_T.any() and store is not None:
            part.sources[i] = replace(part.sources[i], store=store.without(drop_T, REASON))
