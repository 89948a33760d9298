"""Adding rows to a finished bundle: compressed beside it by its quantizer, joined by replacing the manifest.

The new codes lie in a sub-folder named by their plan, with a journal of their own. Until the manifest is replaced the
bundle is what it was, and the same command continues; after it, the same command finds the rows there already, and
makes their files again where some are lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError, PartlyDone
from irctl.index import shards
from irctl.index.bundle import Bundle, Ids, open_bundle, quantizer_folder
from irctl.ledger import damaged
from irctl.metrics.vectors.efficiency import bytes_per_row
from irctl.pipelines.compress.distinct_ids import Distinct
from irctl.pipelines.compress.manifest import done, lost
from irctl.pipelines.references import bundles, vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.index.plan import Plan
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.compress.work import Work


def append_to(config: Config, run: RunHandle, reporter: Reporter, *, bundle: str, stream: bool) -> dict[str, Any]:
    """Add the rows of the input to a bundle; the payload of --json. DataError for a document that it has already."""
    from irctl.pipelines.compress.work import Work

    folder, opened = _opened(config, bundle)
    given = vectors.named(config.compress.source, config)
    if given.stream.dim != opened.dim:
        raise DataError(
            f"--append {folder}: its rows have {opened.dim} dimensions, those of {given.name} have {given.stream.dim}",
            hint="Give vectors of the encoder that made its rows",
        )
    like_it = _like(config, opened, folder)
    distinct = Distinct(given.stream, opened)
    renewed = vectors.Input(distinct, given.name, given.folder, given.key, given.about)
    work = Work(like_it, run, reporter, renewed, {opened.method: folder}, init=str(folder), stream=stream, workers=1)
    plan = work.plans[opened.method]
    sub = folder / f"append-{plan.sha256[:12]}"
    if any(a["folder"] == sub.name for a in opened.manifest.get("appended", ())):
        work.folders, work.given = {opened.method: sub}, given
        again = _mended(work, opened, sub, plan)
        reporter.say(f"these rows are in the bundle already{f'; {again} lost parts were made again' if again else ''}")
        return _payload(folder, opened.rows, 0)
    if path := lost(folder, opened.parts):
        raise DataError(f"{path}: is missing or cut short", hint="Run the command that wrote it again, then --append")
    distinct.look_ahead()
    work.folders = {opened.method: sub}
    work.plan_and_train(may_train=False)
    kept = list(done(sub).values())
    distinct.remember(Ids(sub, sorted(kept, key=lambda line: int(line["row0"]))))
    lines = work.encode(None, verify=False)[opened.method]
    if gaps := work.missing(opened.method, lines):
        raise PartlyDone(
            f"{sub}: {len(gaps)} of {len(plan.batches())} batches are missing, the first is {gaps[0]}",
            hint="The same command continues",
        )
    manifest = _joined(opened.manifest, sub, lines, plan)
    digest = shards.write_manifest(folder, manifest)
    _tidy(sub, opened.method)
    run.note(dataset=work.dataset, dataset_fingerprint=given.stream.fingerprint, method=opened.method)
    if given.folder is not None:
        run.artifact("in", "embeddings", given.folder, sha256=given.key, n_rows=given.stream.rows)
    run.artifact("out", "bundle", folder, sha256=digest, n_rows=int(manifest["rows"]), format="irctl-bundle")
    return _payload(folder, int(manifest["rows"]), plan.rows)


def like(config: Config, bundle: str) -> tuple[Config, list[str], str]:
    """(settings of the bundle's own method, that method, the folder whose quantizer is used): for a dry run."""
    folder, opened = _opened(config, bundle)
    return _like(config, opened, folder), [opened.method], str(folder)


def _opened(config: Config, bundle: str) -> tuple[Path, Bundle]:
    _check_settings(config)
    folder = bundles.folder_of(bundle)
    opened = open_bundle(folder, bundles.load_quantizer)
    _check_bundle(opened, config)
    return folder, opened


def _like(config: Config, opened: Bundle, folder: Path) -> Config:
    return config.replace({"compress.method": opened.method, "compress.metric": opened.metric}, f"bundle {folder}")


def _check_settings(config: Config) -> None:
    """ConfigError for settings that an --append would not follow."""
    settings = config.compress
    if not settings.source:
        raise ConfigError("--append: name the rows to add", hint="--data FOLDER")
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


def _check_bundle(opened: Bundle, config: Config) -> None:
    """ConfigError for a --method or a metric that is not the bundle's, DataError for a bundle that is not whole."""
    for key, asked, has in (
        ("compress.method", config.compress.method, opened.method),
        ("compress.metric", config.compress.metric, opened.metric),
    ):
        if key in config.origins and asked != has:
            raise ConfigError(
                f"--append {opened.folder}: is a bundle of {key} = {has}, asked for is {asked}",
                hint=f"Leave it out: new rows are compressed as the old ones (it came from {config.origins[key]})",
            )
    if opened.manifest.get("coverage", "full") != "full":
        raise DataError(
            f"--append {opened.folder}: holds {opened.rows} rows, a part of its input only",
            hint="Finish it first: the command that wrote it, without --max-batches",
        )


def _mended(work: Work, opened: Bundle, sub: Path, plan: Plan) -> int:
    """Make lost files of appended rows again, to the same bytes; how many parts.

    Raises DataError if they come out otherwise; the manifest and the other files are then as they were.
    """
    parts = [p for p in opened.parts if str(p["file"]).startswith(f"{sub.name}/")]
    gone = [number for number, part in enumerate(parts) if not shards.is_present(opened.folder, part)]
    if gone:
        batches = plan.batches()
        if len(batches) != len(parts):
            raise DataError(f"{sub}: expected {len(batches)} parts as in {plan.source}, found {len(parts)}")
        work.plan_and_train(may_train=False)  # the quantizer is the bundle's own
        journal, quantizer = shards.Journal(sub), bundles.quantizer_digest(str(sub))
        for number, (batch, part) in enumerate(zip(batches, parts, strict=True)):
            if number not in gone:
                line = {**part, "index": batch.index, "row0": batch.row0, "quantizer": quantizer}
                names = {key: str(part[key]).removeprefix(f"{sub.name}/") for key in ("file", "ids") if part.get(key)}
                journal.add({**line, **names})
        lines = work.encode(None, verify=False)[opened.method]
        _tidy(sub, opened.method)
        _check_same(opened.folder, [parts[n] for n in gone], [lines[batches[n].index] for n in gone])
    else:
        _tidy(sub, opened.method)
    return len(gone)


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
        for name, _, _ in shards.files_of(part):
            (folder / name).unlink(missing_ok=True)
    if wrong:
        part, (expected, found) = wrong[0]
        raise DataError(
            f"{folder / part['file']}: cannot be made again: {damaged.compared(str(expected), str(found))}",
            hint="The machine's arithmetic changed, or the manifest is damaged: compress everything into another --out",
        )


def _tidy(sub: Path, method: str) -> None:
    """Remove what the parts of a joined sub-folder need no more; again after a kill between the manifest and this."""
    shutil.rmtree(quantizer_folder(sub, method), ignore_errors=True)  # the bundle's own made these codes
    shards.drop_journal(sub)


def _joined(
    manifest: Mapping[str, Any], sub: Path, lines: Mapping[int, Mapping[str, Any]], plan: Any
) -> dict[str, Any]:
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


def _payload(folder: Path, rows: int, added: int) -> dict[str, Any]:
    lines = [f"bundle: {folder} ({rows} rows, {added} of them new)"]
    return {"bundle": str(folder), "rows": rows, "added": added, "lines": lines, "ids": [str(folder)]}
