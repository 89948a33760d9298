"""Adding rows to a finished bundle: compressed beside it by its quantizer, joined by replacing the manifest.

The new codes lie in a sub-folder named by their plan, with a journal of their own. Until the manifest is replaced the
bundle is what it was, and the same command continues; after it, the same command finds the rows there already.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError, DataError
from irctl.index import shards
from irctl.index.bundle import Bundle, Ids, open_bundle, quantizer_folder
from irctl.metrics.efficiency import bytes_per_row
from irctl.pipelines import _bundles, _vectors
from irctl.types import Reporter, Stream, VectorBlock

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


class Distinct:
    """A stream whose document ids are checked against those of a bundle and against each other."""

    def __init__(self, inner: Stream, bundle: Bundle) -> None:
        self._inner, self._bundle = inner, bundle
        self.rows, self.dim, self.fingerprint = inner.rows, inner.dim, inner.fingerprint
        self.files = getattr(inner, "files", ())
        self._seen: set[str] = set()
        self._order_N: NDArray[np.int64] | None = None

    def take(self, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._inner.take(rows_N)

    def remember(self, ids: Ids) -> None:
        """Ids of batches that an earlier attempt has finished."""
        if not ids.are_rows:
            self._seen.update(ids)

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[VectorBlock]:
        for block in self._inner.blocks(size, start, stop):
            self._check(block)
            yield block

    def _check(self, block: VectorBlock) -> None:
        numbered = self._bundle.ids.are_rows
        if (block.ids is None) != numbered:
            has = ("none", "ids") if numbered else ("ids", "none")
            raise DataError(
                f"--append: the bundle's documents have {'no ids' if numbered else 'ids'}, the new rows have "
                f"{'ids' if has[1] == 'ids' else 'none'}",
                hint="Give both ids or neither",
            )
        if block.ids is None:
            return
        known = self._known([hash(i) for i in block.ids])
        for number, document in enumerate(block.ids):
            if document in self._seen or (known[number] and self._is_there(document)):
                raise DataError(f"--append: row {block.start + number}: document '{document}' is in the bundle already")
            self._seen.add(document)

    def _known(self, hashes: list[int]) -> NDArray[np.bool_]:
        """Which of these hashes the bundle's ids have. Its hashes are kept, not its ids: 8 bytes a document."""
        if self._order_N is None:
            hashes_N = np.fromiter((hash(i) for i in self._bundle.ids), np.int64, self._bundle.rows)
            self._order_N = np.argsort(hashes_N, kind="stable")
            self._hashes_N = hashes_N[self._order_N]
        wanted = np.array(hashes, np.int64)
        at = np.minimum(np.searchsorted(self._hashes_N, wanted), max(len(self._hashes_N) - 1, 0))
        found: NDArray[np.bool_] = self._hashes_N[at] == wanted
        return found

    def _is_there(self, document: str) -> bool:
        """Whether one of the rows with this hash is this very document."""
        assert self._order_N is not None
        value = hash(document)
        first = int(np.searchsorted(self._hashes_N, value, side="left"))
        last = int(np.searchsorted(self._hashes_N, value, side="right"))
        return any(self._bundle.ids[int(row)] == document for row in self._order_N[first:last])


def append(config: Config, run: RunHandle, reporter: Reporter, *, bundle: str, stream: bool) -> dict[str, Any]:
    """Add the rows of the input to a bundle; the payload of --json. DataError for a document that it has already."""
    from irctl.pipelines._compression import Work

    folder = _bundles.folder_of(bundle)
    opened = open_bundle(folder, _bundles.load_quantizer)
    if not config.compress.source:
        raise ConfigError("--append: name the rows to add", hint="--data FOLDER")
    given = _vectors.named(config.compress.source, config)
    like = config.replace({"compress.method": opened.method, "compress.metric": opened.metric}, f"bundle {folder}")
    distinct = Distinct(given.stream, opened)
    renewed = _vectors.Input(distinct, given.name, given.folder, given.key, given.about)
    work = Work(like, run, reporter, renewed, {opened.method: folder}, init=str(folder), stream=stream, workers=1)
    plan = work.plans[opened.method]
    sub = folder / f"append-{plan.sha256[:12]}"
    if any(a["folder"] == sub.name for a in opened.manifest.get("appended", ())):
        _tidy(sub, opened.method)
        reporter.say("these rows are in the bundle already")
        return _payload(folder, opened.rows, 0)
    work.folders = {opened.method: sub}
    work.plan_and_train(may_train=False)
    kept = list(_bundles.done(sub, plan).values())
    distinct.remember(Ids(sub, sorted(kept, key=lambda line: int(line["row0"]))))
    lines = work.encode(None, verify=False)[opened.method]
    manifest = _joined(opened.manifest, sub, lines, plan)
    digest = shards.write_manifest(folder, manifest)
    _tidy(sub, opened.method)
    run.note(dataset=work.dataset, dataset_fingerprint=given.stream.fingerprint, method=opened.method)
    if given.folder is not None:
        run.artifact("in", "embeddings", given.folder, sha256=given.key, n_rows=given.stream.rows)
    run.artifact("out", "bundle", folder, sha256=digest, n_rows=int(manifest["rows"]), format="irctl-bundle")
    return _payload(folder, int(manifest["rows"]), plan.rows)


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
