"""The end of a compression whose batches were encoded by workers: hashes checked, the manifest written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import ConfigError, DataError, PartlyDone
from irctl.index import shards
from irctl.index.encode_stream import StageTimes
from irctl.index.merge_batches import merge
from irctl.index.plan import Plan, find_missing
from irctl.index.plan import read as read_plan
from irctl.pipelines.compress.manifest import Lines, read_done, write
from irctl.pipelines.compress.results import SPENT, TRAINED, make_payload, make_row, note_run, record_result
from irctl.pipelines.references.vectors import dataset_of_vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.ledger.recording import RunHandle
    from irctl.settings import Compress


def finalize(
    folders: Mapping[str, Path], settings: Compress, dataset: str, run: RunHandle, reporter: Reporter
) -> dict[str, Any]:
    """Check that the workers covered the plan as far as --max-batches goes, hash what they wrote, write the manifests.

    PartlyDone and DataError name what to redo.
    """
    rows = []
    plan: Plan | None = None
    limit = settings.max_batches
    for name, folder in folders.items():
        plan = read_plan(folder)
        if plan.method != name:
            raise ConfigError(
                f"{folder}: was begun with --method {plan.method}, asked for is {name}",
                hint="Leave out --method: --finalize finds it",
            )
        lines = read_done(folder)
        if gaps := [b.index for b in find_missing(plan, list(lines), limit)]:
            count = len(plan.batches()[: limit or None])
            again = _find_workers(plan, gaps, limit)
            raise PartlyDone(
                f"{folder}: {len(gaps)} of {count} batches are missing, the first is {gaps[0]}",
                hint=f"Redo --array={','.join(map(str, again))} (or --shard {again[0]}/{plan.workers})",
            )
        _check_hashes(folder, plan, lines, limit, reporter)
        train_s, spent = _read_spent(folder)
        manifest = write(folder, plan, lines)
        if settings.merge:
            manifest = merge(folder, plan, manifest, reporter)
        rows.append(make_row(manifest, folder, train_s, spent))
    assert plan is not None
    dataset = dataset_of_vectors(dataset, plan.about, plan.source, plan.key)
    note_run(run, folders, dataset, plan.about, plan.fingerprint)
    record_result(run, folders, rows, dataset)
    return make_payload(folders, rows)


def _find_workers(plan: Plan, batches: Sequence[int], limit: int) -> list[int]:
    """Workers whose share holds one of these batches."""
    wanted = set(batches)
    return [w for w in range(plan.workers) if any(b.index in wanted for b in plan.take_share(w, limit))]


def _check_hashes(folder: Path, plan: Plan, lines: Lines, limit: int, reporter: Reporter) -> None:
    """Hash every batch again. DataError names the file that changed, and the worker that makes it again."""
    reporter.say(f"hashing {folder}")
    checked: set[str] = set()
    for index, line in lines.items():
        if str(line["file"]) in checked:
            continue
        checked.add(str(line["file"]))
        shards.verify(folder, [line], partial(_describe_remedy, plan, index, limit))


def _describe_remedy(plan: Plan, index: int, limit: int) -> str:
    again = _find_workers(plan, [index], limit)
    redo = f"redo --array={again[0]} (or --shard {again[0]}/{plan.workers})" if again else "run its command again"
    return f"Remove that file alone, {redo}, then --finalize: the other batches stay"


def _read_spent(folder: Path) -> tuple[float | None, StageTimes]:
    """(seconds of training, what the workers spent together), as far as they have left word of it."""
    journal = folder / shards.JOURNAL
    trained = _read_numbers(journal / TRAINED).get("train_s")
    shares = [numbers for p in sorted(journal.glob(f"{SPENT}.*.json")) if (numbers := _read_numbers(p))]
    return trained, StageTimes(**{key: sum(share[key] for share in shares) for key in (shares[0] if shares else ())})


def _read_numbers(path: Path) -> dict[str, Any]:
    """What the file says; empty where it is gone or spoilt: a bundle is as good without its times."""
    try:
        return tables.json_object(path)
    except DataError:
        return {}
