"""What compressions measured on their own rows, as records: a bundle can be reported before anybody evaluates it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from irctl.pipelines.lineage.codes import line_of, manifests_of
from irctl.pipelines.lineage.facts import MEASURED, measures_of
from irctl.pipelines.lineage.run_settings import settings
from irctl.pipelines.lineage.system import measured, system
from irctl.reports.neighbour_recall import PROBE, PROBED

if TYPE_CHECKING:
    from irctl.ledger.query import RunRecord
    from irctl.reports.records import Record


def read_probes(runs: Sequence[RunRecord]) -> list[Record]:
    """The recall that each bundle of these compressions had on held-out rows; its other numbers are the facts."""
    return [r for run in runs for r in _of(run)]


def _of(run: RunRecord) -> Iterator[Record]:
    line = line_of(run)
    bundles = manifests_of(run)
    for manifest in bundles:
        method = str(manifest.get("method") or settings(run).get("compress.method", ""))
        about = manifest.get("about", {})
        vectors = str(manifest.get("source", {}).get("name") or run.columns.get("dataset") or "")
        compression = str(about.get("trained", {}).get("method") or method)  # as a search of it says
        search = {"compression": compression, "model": about.get("model"), "vectors": vectors}
        probed = system(run, search, line)
        known = {MEASURED.get(k, ""): v for k, v in measures_of(run, method if len(bundles) > 1 else "").items()}
        recalls = {k: v for k, v in known.items() if k.startswith(PROBE)}
        for measure, value in (recalls or {"": math.nan}).items():
            dataset = str(run.columns.get("dataset") or "")
            yield measured(run, probed, dataset=dataset, split=PROBED, measure=measure, value=value)
