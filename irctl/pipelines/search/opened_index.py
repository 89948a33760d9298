"""What a search looks in: codes of a bundle or vectors of an encoded corpus, opened and checked.

Dimension key: Q queries, N rows, D dimensions, k results.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError, DataError
from irctl.index import plan, scan, scan_block, shards
from irctl.index.bundle import Bundle, is_bundle, open_bundle
from irctl.index.scoring import METRIC, SIMILARITY
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.files import FittedTransform
from irctl.origins import derived
from irctl.pipelines.references import bundles, compared_by, kept_transforms, newest, transforms, vectors
from irctl.types import Reporter, Silent, Stream

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.settings import Search


@dataclass(frozen=True)
class Searched:
    """One thing to search, opened. about: similarity, encoder, corpus, model, collection, data, as far as known.

    reference: what another process opens it by. fast: by the approximate scan of 4-bit codes. transform: what its rows
    went through, and its queries must go through: `of_queries`.
    """

    rows: int
    dim: int
    metric: str
    fingerprint: str
    folder: Path | None
    about: Mapping[str, Any]
    reference: str
    bundle: Bundle | None = None
    stream: Stream | None = None
    fast: bool = False
    transform: FittedTransform | None = None

    @property
    def raw_dim(self) -> int:
        """The width of its encoder's vectors."""
        return self.dim if self.transform is None else self.transform.transform.dim

    def of_queries(self, queries_QD: NDArray[np.float32]) -> NDArray[np.float32]:
        """Queries as their encoder made them -> as they are compared with the rows."""
        return queries_QD if self.transform is None else self.transform.transform.queries(queries_QD)

    @property
    def facts(self) -> dict[str, Any]:
        """What the payload and the ledger say of it."""
        facts: dict[str, Any] = {"rows": self.rows, "dim": self.dim, "similarity": SIMILARITY[self.metric]}
        if self.transform is not None:
            facts["transform"] = self.transform.label
        if self.bundle is None:
            return facts
        bundle, fast = self.bundle, {"fastscan": True} if self.fast else {}
        return {**facts, "compression": bundle.trained_by or bundle.method, "code_size": bundle.code_size,
                "bytes_per_vector": bundle.code_size, "bundle": str(self.folder), **fast}  # fmt: skip

    def check(self) -> None:
        """Hash what a scan will read and was not hashed before. DataError where it is damaged."""
        if check := getattr(self.bundle or self.stream, "check", None):
            check()

    @property
    def scanned_size(self) -> int | None:
        """Bytes a row of the codes that faiss searches; None where irctl computes every score."""
        return None if self.bundle is None or scan.is_scored(self.bundle) else self.bundle.code_size

    def choose_block(self, k: int, asked: int) -> int:
        """Rows that a search for the k best looks at in one go. asked: 0 to choose."""
        return scan_block.choose(asked, k, self.scanned_size)

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        block: int,
        advance: Callable[[int], object],
        *,
        rows: tuple[int, int] | None = None,
    ) -> scan.ScanResult:
        """The k best of these rows, or of all, in this process."""
        if self.bundle is not None:
            return scan.search_codes(
                queries_QD, self.bundle, k, block=block, rows=rows, advance=advance, fast=self.fast
            )
        assert self.stream is not None
        return scan.search_vectors(queries_QD, self.stream, k, self.metric, block=block, rows=rows, advance=advance)


def open_index(
    reference: str,
    config: Config,
    reporter: Reporter | None = None,
    *,
    transform: Path | None = None,
    fits: bool = True,
) -> Searched:
    """A bundle or an embedding folder, by path, run or RUN:METHOD. Raises DataError if it is neither.

    transform: the folder of that of the vectors, where another process has fitted it. fits: False for dry runs, which
    get vectors as they lie there. Raises ConfigError for settings of a transform that are not those of the bundle.
    """
    reference = newest.resolve_index(reference)
    folder = _resolve(reference)
    if is_bundle(folder):
        bundle = open_bundle(folder, bundles.load_quantizer)
        if config.search.similarity and METRIC[config.search.similarity] != bundle.metric:
            raise ConfigError(
                f"search.similarity: asked {config.search.similarity}, these codes keep {SIMILARITY[bundle.metric]}",
                hint=f"Compress again with --set compress.metric={METRIC[config.search.similarity]}",
            )
        about = {**bundle.manifest.get("about", {}), "source": bundle.manifest.get("source", {})}
        about["appended"] = bundle.manifest.get("appended", [])
        if config.search.fastscan:
            _check_fastscan(bundle)
        named, fast = str(folder.absolute()), config.search.fastscan
        own = transform_files.of_bundle(bundle)
        kept_transforms.refuse_others(str(folder), own, config)
        return Searched(
            bundle.rows,
            bundle.dim,
            bundle.metric,
            bundle.fingerprint,
            folder,
            about,
            named,
            bundle=bundle,
            fast=fast,
            transform=own,
        )
    _refuse_unfinished(folder)
    given = vectors.named(reference, config)
    if transform is not None:
        return of_vectors(transforms.with_transform(given, transform_files.load(transform)), config.search)
    if fits:
        compared_by.say_other(given, config.search.similarity, reporter or Silent())
        metric = METRIC[choose_similarity(given, config.search)]
        given = transforms.apply(given, config, metric, reporter or Silent())
    return of_vectors(given, config.search)


def _refuse_unfinished(folder: Path) -> None:
    """DataError for a folder of a compression that is no bundle: not finished, or the parent of several."""
    if (folder / shards.MANIFEST).is_file() or not folder.is_dir():
        return
    if (folder / plan.FILE).is_file():
        again = "--finalize, once every --shard is done" if plan.read(folder).workers > 1 else "the same options"
        raise DataError(
            f"{folder}: this compression is not finished: {plan.FILE} is there, {shards.MANIFEST} is not",
            hint=f"Run irctl compress --out {shlex.quote(str(folder))} again with {again}",
        )
    begun = sorted(p.parent for p in folder.glob(f"*/{plan.FILE}"))
    bundles = [p for p in begun if is_bundle(p)]
    if bundles:
        names = ", ".join(p.name for p in bundles)
        raise DataError(
            f"{folder}: expected a bundle, found a folder of bundles: {names}", hint=f"Name one: {bundles[0]}"
        )
    if begun:
        _refuse_unfinished(begun[0])


def _check_fastscan(bundle: Bundle) -> None:
    """ConfigError where the codes have no approximate scan."""
    if not hasattr(bundle.quantizer, "search_fast"):
        raise ConfigError(
            f"search.fastscan: is for binary and 4-bit pq, opq, learned codes, these are {bundle.method}",
            hint="Leave it off",
        )
    bundle.quantizer.search_fast(np.empty((0, bundle.dim), np.float32), np.empty((0, bundle.code_size), np.uint8), 1)


def of_vectors(given: vectors.Input, search: Search) -> Searched:
    """Float vectors, compared as the settings or else their encoder say."""
    if search.fastscan:
        raise ConfigError(
            "search.fastscan: is for binary, pq, opq and learned codes, these are vectors", hint="Leave it off"
        )
    stream, metric = given.stream, METRIC[choose_similarity(given, search)]
    named = str(given.folder.absolute()) if given.folder else given.name
    return Searched(
        stream.rows,
        stream.dim,
        metric,
        given.key,
        given.folder,
        given.about,
        named,
        stream=stream,
        transform=given.transform,
    )


def choose_similarity(given: vectors.Input, search: Search) -> str:
    """By what vectors are compared: as the settings or else their encoder say."""
    return search.similarity or str(given.about.get("similarity", "")) or "dot"


def _resolve(reference: str) -> Path:
    """The folder behind a run, one bundle of a run (RUN:METHOD) or a path."""
    from irctl.data.vectors.open import is_remote_name
    from irctl.ledger import query
    from irctl.ledger.files import run_json

    path = Path(reference)
    if is_remote_name(reference) or (path.exists() and not run_json.is_run(path)):
        return path  # synthetic:..., hf://... or what lies here
    elif bundles.method_named(reference)[1]:
        return bundles.folder_of(reference)
    record = query.find_run(reference, completed=True, made=("bundle", "embeddings"))
    if query.artifacts(record, role="out", kind="bundle"):
        return bundles.of_run(record)
    for artifact in query.artifacts(record, role="out", kind="embeddings"):
        return Path(artifact["path"])
    raise DataError(
        f"run {record.id} is a run of 'irctl {record.columns.get('command')}' and holds neither codes nor vectors",
        hint="irctl encode or irctl compress",
    )


def settle_data(config: Config, searched: Searched | None) -> Config:
    """The settings with the collection that the index was made from and how titles were joined, unless they say it."""
    if searched is None:
        return config
    joined = (searched.about.get("encoder") or {}).get("title_join")
    known = {"data.source": searched.about.get("data"), "data.title_join": joined}
    known = {k: v for k, v in known.items() if v and k not in config.origins}
    return config.replace(known, derived("the index")) if known else config


def check_corpus(searched: Searched, collection: Collection) -> None:
    """DataError when the index was made from other documents than the collection's."""
    known = searched.about.get("corpus")
    if known and known != collection.corpus.fingerprint:
        raise DataError(
            f"{searched.folder}: was made from {searched.about.get('collection') or 'another corpus'}, "
            f"not from the documents of {collection.name}",
            hint="Name its collection with --data",
        )
