"""Learning-rate shapes: warm-up linear or logarithmic, then linear, cosine or no decay. One source, for every launcher.

The logarithmic warm-up is DeepSpeed's WarmupDecayLR, ln(t + 1) / ln(V) over V steps; the rest is transformers' own.
"""

from __future__ import annotations

import math


def factor(step: int, *, warmup: int, total: int, shape: str = "linear", schedule: str = "linear") -> float:
    """Share of the peak learning rate at a step (0-based). 1 at step `warmup`, from 0; 0 at `total` unless constant."""
    if warmup and shape == "log":
        warmup = max(2, warmup)  # ln 1 = 0
        if step < warmup:
            return math.log(step + 1) / math.log(warmup)
    elif step < warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    left = max(0.0, (total - step) / max(1, total - warmup))
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
