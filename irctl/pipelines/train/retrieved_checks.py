"""What a training over retrieved candidates refuses, and what it says of its queries: for every method of that kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, counted
from irctl.pipelines.references import fitting
from irctl.pipelines.train.method_settings import is_asked
from irctl.training.groups import label_checks
from irctl.training.objective import terms

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.training_source import JudgedSplit
    from irctl.training.index.judged import HeldOut, JudgedQueries

UNREAD = (
    ("loss.inbatch", "compares a query with what it retrieves"),
    ("loss.inbatch_label", "compares a query with what it retrieves"),
    ("loss.guide", "compares a query with what it retrieves"),
    ("data.negatives", "retrieves its negatives"),
    ("data.group_size", "retrieves its negatives"),
    ("data.selection", "retrieves its negatives"),
    ("hardneg.every", "retrieves its negatives at every step"),
    ("train.gradient_checkpointing", "runs its encoder without dropout, in which nothing is computed twice"),
)
"""Settings without effect here, and why."""


def check(config: Config) -> None:
    """ConfigError for a setting that somebody chose and that nothing reads, and for data without judgements."""
    if fitting.is_of_vectors(config.data.source):
        without = "Use --loss distill, which reads none" if config.train.method == "jpq" else "Name a collection"
        raise ConfigError(
            f"data.source={config.data.source}: is vectors, and --method {config.train.method} --loss "
            f"{config.loss.name} trains on judgements",
            hint=without,
        )
    for key, why in UNREAD:
        section, _, leaf = key.partition(".")
        value = getattr(getattr(config, section), leaf)
        if not value or value == "none" or not is_asked(config, key):
            continue
        raise ConfigError(
            f"{key}={value} (from {config.origins[key]}): --method {config.train.method} {why}",
            hint="Drop it, or use --method dense",
        )
    if config.eval.patience and config.eval.during == "off":
        raise ConfigError(f"eval.patience={config.eval.patience}: eval.during=off measures nothing to stop by")


def check_labels(config: Config, queries: JudgedQueries) -> None:
    """ConfigError for a loss that makes nothing of these judgements; what nobody judged has the label 0."""
    labels = queries.labels._replace(lowest=min(queries.labels.lowest, 0.0))
    label_checks.check(config, terms.parts(config, labels.largest), labels)


def facts(
    config: Config, split: JudgedSplit, queries: JudgedQueries, held_out: HeldOut | None, k: int, rows: int
) -> tuple[dict[str, Any], list[str]]:
    """(facts of a dry run, lines of warning)."""
    collection = split.collection
    found: dict[str, Any] = {"collection": collection.name, "split": split.split, "queries": len(queries)}
    found["candidates"] = f"{min(k, rows)} retrieved a query at every step, of {rows}, and the positives not among them"
    found["positive from grade"] = queries.threshold
    notices = []
    if queries.without_positive:
        notices.append(
            f"{queries.without_positive} judged queries have no document of grade {queries.threshold:g} or more: "
            "left out"
        )
    if held_out is None:
        found["best checkpoint"] = "not chosen: the last one is kept"
        return found, notices
    found["best checkpoint"] = f"by {counted(len(held_out.ids), 'query')} ({held_out.split}) on the whole index"
    return found, notices
