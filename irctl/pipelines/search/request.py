"""What a user asks of `irctl search`, and which pipeline does it: by vectors, by BM25, or by fusing run files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

RETRIEVERS = ("dense", "bm25")


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """Options of `irctl search` that are no settings. fuse: rrf, combsum or weighted:..., of run_files; else a search.

    index: default the corpus, encoded. queries: a .npy file of query vectors. out: the run file.
    """

    model: str | None = None
    index: str | None = None
    retriever: str = "dense"
    queries: str | None = None
    fuse: str | None = None
    run_files: tuple[str, ...] = ()
    out: str | None = None

    def find_conflict(self, rerank: int | None = None) -> tuple[str, str] | None:
        """(option, what is wrong with it) where options do not go together."""
        if self.retriever not in RETRIEVERS:
            return "--retriever", f"expected dense or bm25, found {self.retriever!r}"
        of_dense = {"--model": self.model, "--index": self.index, "--queries": self.queries, "--rerank": rerank}
        other = f"--fuse {self.fuse}" if self.fuse else "--retriever bm25"
        for name, given in of_dense.items():
            if given is not None and (self.retriever == "bm25" or self.fuse):
                return name, f"goes with a dense search, not with {other}"
        if self.run_files and not self.fuse:
            return "RUNS", f"run files are fused: found {self.run_files[0]!r} without --fuse"
        return None


def answer(config: Config, run: RunHandle, reporter: Reporter, request: SearchRequest) -> dict[str, Any]:
    """Search, or fuse, and write the run files; the payload of --json."""
    from irctl.pipelines.references import newest
    from irctl.pipelines.search import bm25, fuse, search, splits
    from irctl.pipelines.search.opened import Opened

    if request.fuse:
        return fuse.fuse(run, config.search.k, how=request.fuse, run_files=request.run_files, out=request.out)
    index = newest.settle_index(request.index or ("latest" if request.queries else None), run)
    opened, lexical = Opened(request.model, index, reporter), bm25.Indexed(config)

    def search_split(config: Config, out: str | None) -> dict[str, Any]:
        if request.retriever == "bm25":
            return bm25.search(config, run, reporter, indexed=lexical, out=out)
        return search.search(opened, config, run, reporter, queries=request.queries, out=out)

    def name_split(name: str) -> str:
        collection = lexical.collection if request.retriever == "bm25" else opened.collection(config)
        return collection.split_named(name)

    return splits.search_splits(config, run, search_split, request.out, name_split)


def describe(config: Config, request: SearchRequest) -> dict[str, Any]:
    """What --dry-run prints."""
    from irctl.pipelines.search import bm25, fuse, search

    if request.fuse:
        return fuse.describe(request.fuse, request.run_files)
    if request.retriever == "bm25":
        return bm25.describe(config)
    return search.describe(config, index=request.index, queries=request.queries)
