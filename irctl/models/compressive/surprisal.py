"""Which tokens of a context surprise a language model most: what pruning to a number of tokens keeps.

A context longer than the model reads at once is scored in slices, each after BOS where the tokenizer has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy


def surprisals(lm: Any, ids: Sequence[int], *, bos: int | None, most_tokens: int) -> NDArray[np.float32]:
    """-log probability of each token given those before it [S], in nats; infinite for one that nothing precedes."""
    prefix = [] if bos is None else [bos]
    room = max(most_tokens - len(prefix), 1)
    found: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, len(ids), room):
            own = [*prefix, *ids[start : start + room]]
            ids_1T = torch.tensor([own], device=lm.device)
            logits_TV = lm(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), use_cache=False).logits[0].float()
            values = cross_entropy(logits_TV[:-1], ids_1T[0, 1:], reduction="none").cpu().numpy()
            found.append(values if prefix else np.concatenate([[np.float32(np.inf)], values]))
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def prune(ids: Sequence[int], scores_S: NDArray[np.float32], count: int) -> tuple[int, ...]:
    """The `count` tokens of the highest scores in the order of the text; of equal ones the earlier."""
    kept = np.sort(np.argsort(-scores_S, kind="stable")[:count])
    return tuple(ids[i] for i in kept.tolist())
