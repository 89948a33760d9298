"""Which index `latest` and latest:NAME mean now, said in the record of the run that takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.errors import DataError
from irctl.ledger import query, taken
from irctl.pipelines.references import bundles, vectors

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle


def resolve_index(reference: str) -> str:
    """The run, or RUN:METHOD, whose codes or vectors `latest` or latest:NAME means; any other reference as it is."""
    if not taken.is_open(reference):
        return reference
    if reference == "latest":
        newest = [r for r in (bundles.newest_run(), vectors.newest()) if r is not None]
        if not newest:
            raise DataError("--index latest: nothing encoded or compressed yet", hint="irctl compress makes a bundle")
        return max(newest, key=lambda r: str(r.columns.get("created_at", ""))).id
    if bundles.method_named(reference)[1]:
        return resolve_bundle(reference)
    return query.find_run(reference, completed=True, made=("bundle", "embeddings")).id


def resolve_bundle(reference: str) -> str:
    """As resolve_index, of codes alone."""
    return taken.name_of(bundles.folder_of(reference)) if taken.is_open(reference) else reference


def settle_index(reference: str | None, run: RunHandle, option: str = "--index") -> str | None:
    """As resolve_index, None where nothing is named; what was meant goes into the run's record, as of this option."""
    return _say(reference, resolve_index(reference), run, option) if reference else None


def settle_bundle(reference: str | None, run: RunHandle, option: str = "--index") -> str | None:
    """As settle_index, of codes alone."""
    return _say(reference, resolve_bundle(reference), run, option) if reference else None


def _say(reference: str, named: str, run: RunHandle, option: str) -> str:
    if named != reference:
        taken.record(run, *filter(None, (option, named)))
    return named
