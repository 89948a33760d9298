"""What is said of training groups before training: judgements and negatives that none of them uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irctl.data.groups import positives
from irctl.errors import ConfigError, counted
from irctl.training import batch_plan
from irctl.training.objective import terms

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.mqrel_config import MqrelConfig
    from irctl.data.groups.group_source import GroupSource
    from irctl.data.groups.shares import Shares


def notices(config: Config, source: GroupSource, found: Shares) -> list[str]:
    """Lines of warning."""
    size, said = source.settings.group_size, []
    if found.alike:
        what = "have no negative of their own" if source.is_binary else "hold passages of one label only"
        own = terms.own_only(config)
        effect = "such a query teaches nothing" if own else "there other queries' passages are the only contrast"
        said.append(
            f"{found.alike} of {found.groups} groups {what}: {effect} (irctl hardneg finds negatives; so do more of "
            "hardneg.num or a wider margin)"
        )
    judged, mined = source.parts[0].query_rows(), source.parts[0].query_rows(mined=True)
    if len(mined):
        if without := len(np.setdiff1d(source.query_rows, mined)):
            said.append(f"{without} of {len(source)} training queries have no mined negative")
        if unknown := len(np.setdiff1d(mined, judged)):
            said.append(f"negatives of {counted(unknown, 'query')} without a judgement here: not used")
    if source.short_queries:
        said.append(
            f"{source.short_queries} of {len(source)} training queries have fewer than {size - 1} negatives: "
            "random unjudged documents fill their groups (data.short=fill)"
        )
    if found.unused >= 0.005:
        said.append(
            f"data.selection={source.settings.selection} takes the same {size} passages in every epoch: "
            f"{found.unused:.2f} judged ones a query are in no group (spread and random take others each epoch)"
        )
    if every := config.hardneg.every:
        plan = batch_plan.plan(config)
        steps = batch_plan.steps(config, plan, len(source))
        if every * steps.steps_an_epoch >= steps.total:
            said.append(
                f"hardneg.every={every}: training ends after {steps.total / steps.steps_an_epoch:.3g} epochs, before "
                "negatives are mined again"
            )
    return said


def check(config: Config) -> None:
    """Refuse negatives that groups have no place for."""
    given = config.data.negatives
    if config.data.group_size == 1 and "data.negatives" in config.origins and given not in ("", "none"):
        raise ConfigError(
            f"data.negatives={given} (from {config.origins['data.negatives']}): a group of data.group_size=1 has no "
            "place for a negative",
            hint="Set data.group_size to 2 or more, or use --negatives none",
        )


def check_sides(config: Config, name: str, sources: MqrelConfig) -> None:
    """Refuse to say again, or otherwise, what a configuration of positives and negatives says itself."""
    if not sources.positives:
        return
    if config.data.binary:
        raise ConfigError(
            f"data.binary (from {config.origins['data.binary']}): {name} says itself what is positive",
            hint="Use pos_mqrel with min_score and neg_mqrel with max_score",
        )
    if (theta := positives.threshold_asked_for(config) or config.loss.positive_threshold) > 1:
        raise ConfigError(
            f"loss.positive_threshold={theta:g}: {name} says itself what is positive, and the label is 1",
            hint="Drop it, and set min_score of pos_mqrel and max_score of neg_mqrel",
        )
