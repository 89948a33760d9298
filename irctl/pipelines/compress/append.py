"""Adding rows to a finished bundle: compressed beside it by its quantizer, joined by replacing the manifest.

The new codes lie in a sub-folder named by their plan, with a journal of their own. Until the manifest is replaced the
bundle is what it was, and the same command continues; after it, the same command finds the rows there already, and
makes their files again where some are lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError, PartlyDone, counted
from irctl.index import shards
from irctl.index.bundle import Bundle, BundleIds, locate_quantizer, open_bundle
from irctl.ledger import damaged
from irctl.metrics.vectors.efficiency import bytes_per_row, ratio
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.files import FOLDER
from irctl.origins import derived
from irctl.pipelines.compress.distinct_ids import DistinctIds
from irctl.pipelines.compress.manifest import Lines, find_lost, read_done
from irctl.pipelines.references import bundles, kept_transforms, transforms, vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.index.plan import Plan
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.compress.work import Work
    from irctl.settings import Compress


def append(
    config: Config, run: RunHandle, reporter: Reporter, reference: str, given: vectors.Input | None = None
) -> dict[str, Any]:
    """Add the rows of the input to a bundle; the payload of --json. DataError for a document that it has already.

    given: the input, opened; default: what compress.source names.
    """
    from irctl.pipelines.compress.work import Work

    folder, bundle = _open(config, reference, is_given=given is not None)
    given = given or vectors.named(config.compress.source, config)
    own = transform_files.of_bundle(bundle)
    kept_transforms.refuse_others(f"--append {folder}", own, config)
    dim = own.transform.dim if own else bundle.dim
    if given.stream.dim != dim:
        raise DataError(
            f"--append {folder}: its rows have {dim} dimensions, those of {given.name} have {given.stream.dim}",
            hint="Give vectors of the encoder that made its rows",
        )
    given = transforms.with_transform(given, own) if own else given
    like_it = _follow(config, bundle)
    distinct = DistinctIds(given.stream, bundle)
    checked = replace(given, stream=distinct)  # its fingerprint is that of the raw rows
    work = Work(like_it, run, reporter, checked, {bundle.method: folder}, init=str(folder))
    plan = work.plans[bundle.method]
    sub = folder / f"append-{plan.sha256[:12]}"
    work.folders = {bundle.method: sub}
    if any(a["folder"] == sub.name for a in bundle.manifest.get("appended", ())):
        work.given = given
        again = _repair(work, bundle, sub, plan)
        reporter.say(f"these rows are in the bundle already{f'; {again} lost parts were made again' if again else ''}")
        return _make_payload(folder, bundle.rows, 0)
    if path := find_lost(folder, bundle.parts):
        raise DataError(f"{path}: is missing or cut short", hint="Run the command that wrote it again, then --append")
    before, rows = bundle.fingerprint, bundle.rows
    manifest = _join(bundle.manifest, sub, _encode(work, distinct, sub, bundle.method), plan)
    sha256 = shards.write_manifest(folder, manifest)
    _tidy(sub, bundle.method)
    run.note(dataset=work.dataset, dataset_fingerprint=given.raw.fingerprint, method=bundle.method)
    if given.folder is not None:
        run.artifact("in", "embeddings", given.folder, sha256=given.key, n_rows=given.stream.rows)
    run.artifact("in", "bundle", folder, sha256=before, n_rows=rows, dim=bundle.dim)
    codes, with_ids = bytes_per_row(manifest["parts"])
    sizes = {"rows": manifest["rows"], "bytes_per_row": codes, "bytes_per_row_with_ids": with_ids}
    sizes |= {"index_bytes": round(with_ids * manifest["rows"]), "ratio": ratio(bundle.dim, codes)}
    for name, value in sizes.items():
        run.metric(name, float(value), dataset=work.dataset)
    run.artifact("out", "bundle", folder, sha256=sha256, n_rows=int(manifest["rows"]), format="irctl-bundle")
    return _make_payload(folder, int(manifest["rows"]), plan.rows)


def _encode(work: Work, distinct: DistinctIds, sub: Path, method: str) -> Lines:
    """Encode the new rows into the sub-folder; its journal lines. Raises PartlyDone where a batch is missing."""
    distinct.look_ahead()
    work.plan_and_train(may_train=False)
    kept = sorted(read_done(sub).values(), key=lambda line: int(line["row0"]))
    distinct.remember(BundleIds(sub, kept))
    lines = work.encode(None, verify=False)[method]
    if gaps := work.find_missing(method, lines):
        raise PartlyDone(
            f"{sub}: {len(gaps)} of {len(work.plans[method].batches())} batches are missing, the first is {gaps[0]}",
            hint="The same command continues",
        )
    return lines


def follow_bundle(config: Config, reference: str) -> tuple[Config, list[str], str]:
    """(settings of the bundle's own method, that method, the folder whose quantizer is used): for a dry run."""
    folder, bundle = _open(config, reference)
    return _follow(config, bundle), [bundle.method], str(folder)


def _open(config: Config, reference: str, *, is_given: bool = False) -> tuple[Path, Bundle]:
    if not is_given and not config.compress.source:
        raise ConfigError("--append: name the rows to add", hint="--data FOLDER")
    _check_settings(config.compress)
    folder = bundles.folder_of(reference)
    bundle = open_bundle(folder, bundles.load_quantizer)
    _check_bundle(bundle, config)
    return folder, bundle


def _follow(config: Config, bundle: Bundle) -> Config:
    own = {"compress.method": bundle.method, "compress.metric": bundle.metric}
    return config.replace(own, derived(f"bundle {bundle.folder}"))


def _check_settings(settings: Compress) -> None:
    """ConfigError for settings that an --append would not follow."""
    if settings.max_batches:
        raise ConfigError(
            f"--append adds all rows or none: found compress.max_batches = {settings.max_batches}",
            hint="Leave out --max-batches; an --append that was stopped continues with the same command",
        )
    if settings.workers > 1:
        raise ConfigError(
            f"--append is the work of one: found compress.workers = {settings.workers}",
            hint="Leave out compress.workers",
        )
    if settings.merge:
        raise ConfigError(
            "--append leaves the batches as they are: found compress.merge = true", hint="Leave out compress.merge"
        )


def _check_bundle(bundle: Bundle, config: Config) -> None:
    """ConfigError for a --method or a metric that is not the bundle's, DataError for a bundle that is not whole."""
    for key, asked, has in (
        ("compress.method", config.compress.method, bundle.method),
        ("compress.metric", config.compress.metric, bundle.metric),
    ):
        if key in config.origins and asked != has:
            raise ConfigError(
                f"--append {bundle.folder}: is a bundle of {key} = {has}, asked for is {asked}",
                hint=f"Leave it out: new rows are compressed as the old ones (it came from {config.origins[key]})",
            )
    if bundle.manifest.get("coverage", "full") != "full":
        raise DataError(
            f"--append {bundle.folder}: holds {bundle.rows} rows, a part of its input only",
            hint="Finish it first: the command that wrote it, without --max-batches",
        )


def _repair(work: Work, bundle: Bundle, sub: Path, plan: Plan) -> int:
    """Make lost files of appended rows again, to the same bytes; how many parts.

    Raises DataError if they come out otherwise; the manifest and the other files are then as they were.
    """
    parts = [p for p in bundle.parts if str(p["file"]).startswith(f"{sub.name}/")]
    lost = [number for number, part in enumerate(parts) if not shards.is_present(bundle.folder, part)]
    if lost:
        batches = plan.batches()
        if len(batches) != len(parts):
            raise DataError(f"{sub}: expected {len(batches)} parts as in {plan.source}, found {len(parts)}")
        work.plan_and_train(may_train=False)  # the quantizer is the bundle's own
        journal, quantizer = shards.ShardJournal(sub), bundles.quantizer_sha256(str(sub))
        for number, (batch, part) in enumerate(zip(batches, parts, strict=True)):
            if number not in lost:
                line = {**part, "index": batch.index, "row0": batch.row0, "quantizer": quantizer}
                names = {key: str(part[key]).removeprefix(f"{sub.name}/") for key in ("file", "ids") if part.get(key)}
                journal.add({**line, **names})
        lines = work.encode(None, verify=False)[bundle.method]
        _tidy(sub, bundle.method)
        _check_same(bundle.folder, [parts[n] for n in lost], [lines[batches[n].index] for n in lost])
    else:
        _tidy(sub, bundle.method)
    return len(lost)


def _check_same(folder: Path, parts: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> None:
    """DataError unless the files made again are those of the manifest; a wrong one must not pass for the lost one."""
    compared = [
        (p, [(p.get(k), line.get(k)) for k in ("sha256", "ids_sha256")]) for p, line in zip(parts, lines, strict=True)
    ]
    wrong = [
        (part, next(pair for pair in pairs if pair[0] != pair[1]))
        for part, pairs in compared
        if any(a != b for a, b in pairs)
    ]
    for part, _ in wrong:
        for name, _, _ in shards.list_files(part):
            (folder / name).unlink(missing_ok=True)
    if wrong:
        part, (expected, new) = wrong[0]
        raise DataError(
            f"{folder / part['file']}: cannot be made again: {damaged.show_difference(str(expected), str(new))}",
            hint="The machine's arithmetic changed, or the manifest is damaged: compress everything into another --out",
        )


def _tidy(sub: Path, method: str) -> None:
    """Remove what the parts of a joined sub-folder need no more; again after a kill between the manifest and this."""
    shutil.rmtree(locate_quantizer(sub, method), ignore_errors=True)  # the bundle's own made these codes
    shutil.rmtree(sub / FOLDER, ignore_errors=True)  # as is the transform
    shards.drop_journal(sub)


def _join(manifest: Mapping[str, Any], sub: Path, lines: Mapping[int, Mapping[str, Any]], plan: Any) -> dict[str, Any]:
    """The bundle's manifest with the parts of the sub-folder after its own."""
    row0 = int(manifest["rows"])
    parts = [dict(p) for p in manifest["parts"]]
    for index in sorted(lines):
        line = {k: v for k, v in lines[index].items() if k not in ("index", "quantizer")}
        line["row0"] = row0 + int(line["row0"])
        line |= {key: f"{sub.name}/{line[key]}" for key in ("file", "ids") if line.get(key)}
        parts.append(line)
    codes, with_ids = bytes_per_row(parts)
    source = {"name": plan.source, "fingerprint": plan.fingerprint, "key": plan.key, "rows": plan.rows}
    added = {"folder": sub.name, "plan": plan.sha256, "source": source}
    return {
        **manifest,
        "rows": row0 + plan.rows,
        "parts": parts,
        "bytes_per_row": {"codes": round(codes, 4), "with_ids": round(with_ids, 4)},
        "appended": [*manifest.get("appended", ()), added],
    }


def _make_payload(folder: Path, rows: int, added: int) -> dict[str, Any]:
    lines = [f"bundle: {folder} ({counted(rows, 'row')}, {added:,} of them new)"]
    return {"bundle": str(folder), "rows": rows, "added": added, "lines": lines, "ids": [str(folder)]}
