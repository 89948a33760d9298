"""What `irctl report` shows of a ledger in which nothing was evaluated: its trainings, and what takes a run further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from irctl.pipelines.lineage.codes import manifests_of
from irctl.pipelines.lineage.run_settings import settings, short_name
from irctl.reports.columns import Column, fact_column
from irctl.reports.table import Cell, Row, Table

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord

MEASURE = "nDCG@10"
"""What a training measures on its development split."""
TEXTS = (
    Column(key="method", header="Method", kind="text"),
    Column(key="loss", header="Loss", kind="text"),
    Column(key="model", header="Model", kind="text"),
)
NUMBERS = (
    fact_column("steps", "Steps"),
    fact_column("dev_before", f"Dev {MEASURE} before", decimals=1, scale=100.0),
    fact_column("dev_after", f"Dev {MEASURE} after", decimals=1, scale=100.0),
)


def list_trainings(runs: Sequence[RunRecord], command: str = "") -> Table:
    """One row a training: model, loss, steps, and the measure on dev before and at the step that was kept."""
    return Table(
        title="trainings",
        columns=(*TEXTS, *NUMBERS),
        rows=tuple(map(_row, runs)),
        notes=(
            "Dev: ×100, before training and at the checkpoint that was kept, which it chose: no result yet.",
            *(f"Next, {r.id}: irctl eval --model {r.id}" for r in runs),
        ),
        command=command,
    )


def _row(run: RunRecord) -> Row:
    from irctl.ledger import query

    settings_of_run = settings(run)
    texts = (
        settings_of_run.get("train.method"),
        settings_of_run.get("loss.name"),
        short_name(str(settings_of_run.get("model.name") or "")),
    )
    rows = query.metrics(run.id)
    steps = [int(m["step"]) for m in rows if m["step"] is not None]
    measured = [m for m in rows if m["name"] == MEASURE and m["split"] and m["value"] is not None]
    dev = {int(m["step"] or 0): float(m["value"]) for m in measured}
    after = [value for step, value in dev.items() if step]
    numbers = (float(max(steps)) if steps else None, dev.get(0), max(after, default=None))
    cells = [Cell(text=str(t or "--"), runs=(run.id,)) for t in texts]
    cells += [Cell(v, c.format(v), runs=(run.id,)) for c, v in zip(NUMBERS, numbers, strict=True)]
    name = str(settings_of_run.get("run.name") or "")
    return Row((run.id, ""), f"{name} {run.id}".strip(), tuple(cells))


def list_next_steps(runs: Sequence[RunRecord]) -> Iterator[str]:
    """For each bundle the command that evaluates it: by its collection, or by query vectors where it has none."""
    for run in runs:
        bundles = manifests_of(run)
        for manifest in bundles:
            name = f"{run.id}:{manifest['method']}" if len(bundles) > 1 and manifest.get("method") else run.id
            line = f"irctl eval --index {name}"
            if not manifest.get("about", {}).get("model"):
                line = f"irctl eval {name} --recall-against exact --queries QUERIES.npy"
            yield f"Next, {name}: {line}"
