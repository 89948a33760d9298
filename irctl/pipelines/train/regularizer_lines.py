"""What is said of a training's regularizers: which rows they will see, and what they weigh at its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from irctl.training.objective import regularizer_terms
from irctl.training.objective.regularizer_terms import FEWEST, KEY

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.train.preparation import Described
    from irctl.training.batch_plan import BatchPlan, GroupSizes

CALLED = {"queries": "queries", "passages": "positives"}


def describe(config: Config, plan: BatchPlan, data: Described) -> dict[str, str]:
    """For each regularizer its weight, settings and rows, as --dry-run prints them."""
    counts = dict(data.rows)
    if data.sizes:
        counts.setdefault("queries", min(plan.loss, data.sizes.queries))
    populations = regularizer_terms.populations(config)
    rows = " and ".join(f"{counts.get(name, 'not yet known')} {CALLED[name]}" for name in populations)
    how = {"separate": ", apart and averaged", "joint": ", joined"}.get(config.train.regularizer_rows, "")
    return {
        term.name: f"weight {term.weight:g}, rows of the first loss batch: {rows}{how}"
        + "".join(f", {key} {value}" for key, value in sorted(term.settings.items()))
        for term in regularizer_terms.regularizers(config)
    }


def notices(config: Config, plan: BatchPlan, sizes: GroupSizes | None) -> list[str]:
    """Warns of a last batch of an epoch that is too small for a regularizer."""
    last = sizes.queries % plan.loss if sizes else 0
    if not config.train.regularizer or not last:
        return []
    rows = 2 * last if config.train.regularizer_rows == "joint" else last
    if rows >= FEWEST:
        return []
    return [
        f"{KEY}: the last batch of an epoch has {last} quer{'y' if last == 1 else 'ies'}, fewer than a regularizer "
        "needs: there its terms are 0"
    ]


def line(shares: Mapping[str, float]) -> str:
    """What each regularizer has of the gradient at the first step."""
    return "of the gradient at the first step: " + ", ".join(f"{n} {100 * share:.2g} %" for n, share in shares.items())
