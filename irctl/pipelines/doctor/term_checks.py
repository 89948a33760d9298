"""Whether every term of a training's loss acts: its value and its gradient on the first loss batch.

A term that is on and does nothing is the fault that no loss curve shows: a weight that is lost, a value that was
detached, a regularizer of vectors that are where it wants them already.
Dimension key: B queries that share a loss, N passages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from irctl.errors import RunFailed

if TYPE_CHECKING:
    from irctl.pipelines.doctor.trial_checks import Trial
    from irctl.training.scored_method import Scored

LEAST_SHARE = 1e-3
"""Of the largest term's gradient, below which a term is said to do next to nothing."""


def check_terms(trial: Trial) -> str:
    """Each term of weight above 0 has a value and a gradient that are finite and not 0. Raises RunFailed."""
    method = trial.opened
    if not hasattr(method, "objective"):
        return "not measured: this method's loss is its own"
    found = _measure(method, trial)
    inert, wrong = [], []
    for name, (weight, value, norm) in found.items():
        if weight <= 0:
            continue
        if not (math.isfinite(value) and math.isfinite(norm)):
            wrong.append(f"{name} is {value:.4g} with a gradient of {norm:.4g}")
        elif value == 0 or norm == 0:
            inert.append(f"{name} has weight {weight:g}, value {value:.4g} and gradient {norm:.4g}")
    if wrong:
        raise RunFailed("; ".join(wrong), hint="Train in fp32, or look at the data of the first batch")
    if inert:
        raise RunFailed(
            f"{'; '.join(inert)}: it teaches nothing", hint="Look at its settings and data, or set its weight to 0"
        )
    most = max((norm for _, _, norm in found.values()), default=0.0)
    return ", ".join(
        f"{name} {value:.4g} (gradient {norm:.2g}{_small(norm, most)})" for name, (_, value, norm) in found.items()
    )


def _small(norm: float, most: float) -> str:
    return f", {norm / most:.1g} of the largest: next to nothing" if norm < LEAST_SHARE * most else ""


def _measure(method: Any, trial: Trial) -> dict[str, tuple[float, float, float]]:
    """{term: (weight, value, norm of weight x gradient with respect to the vectors that are compared)}."""
    import torch

    from irctl.training.loop.loss_batches import LossBatches
    from irctl.training.parallel.tensors import to_device

    config = trial.small
    device = torch.device(config.hardware.device_kind)
    method.to(device).train()
    size = config.batch.loss or config.batch.global_
    items = next(iter(LossBatches(method.queries, size, config.run.seed)))
    scored: Scored = method.score(to_device(method.collate(items), device))
    terms = {**method.objective.terms(scored.scores_BN, scored.views), **scored.terms}
    if method.regularization is not None:
        terms |= method.regularization(scored.rows)[0]
    held = [own.vectors_XD if own.local_LD is None else own.local_LD for own in scored.rows.values()]
    at = [tensor for tensor in held if tensor.requires_grad] or [p for p in method.parameters() if p.requires_grad]
    return {
        name: (term.weight, float(term.value.detach()), _norm(term.weight * term.value, at))
        for name, term in terms.items()
    }


def _norm(value: Any, at: list[Any]) -> float:
    import torch

    if not value.requires_grad:
        return 0.0
    grads = torch.autograd.grad(value, at, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.double().square().sum()) for g in grads if g is not None))
