"""Learning-rate shapes: warm-up linear or logarithmic, then linear, cosine or no decay. One source, for every launcher.

Steps are counted as in transformers' get_linear_schedule_with_warmup: the first step has the rate of t = 0, which is 0
with a warm-up, the second that of t = 1. The logarithmic warm-up has the shape of DeepSpeed's WarmupDecayLR,
ln(t + 1) / ln(V) over V steps, but not its count: there (0.19) a rate is set after its step, so the first two have
0 and every later rate comes one step late. DeepSpeed's scheduler is never used: ZeRO trains by the rates of here.
A warm-up may begin above 0 (`begin`), as torch's LinearLR(start_factor) does: ragcun's begins at .1.
"""

from __future__ import annotations

import math


def factor(
    step: int, *, warmup: int, total: int, shape: str = "linear", schedule: str = "linear", begin: float = 0.0
) -> float:
    """Share of the peak learning rate at a step (0-based): 1 at step `warmup`; 0 at `total` unless constant.

    begin: the share at step 0 where there is a warm-up, in [0, 1].
    """
    if warmup and shape == "log":
        warmup = max(2, warmup)  # ln 1 = 0
        if step < warmup:
            return begin + (1 - begin) * math.log(step + 1) / math.log(warmup)
    elif step < warmup:
        return begin + (1 - begin) * step / warmup
    if schedule == "constant":
        return 1.0
    left = max(0.0, (total - step) / max(1, total - warmup))
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
