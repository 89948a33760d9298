"""`irctl search`: queries against vectors or codes, to a TREC run file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.commands.frame.record import Job
from irctl.pipelines.search import splits

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {
    "data.source": "--data",
    "data.split": "--split",
    "model.name": "--model",
    "search.k": "-k",
    "search.rerank": "--rerank",
}


@with_options
def search(
    options: Options,
    model: Annotated[str | None, typer.Option(help="encoder: folder, hub id or run")] = None,
    index: Annotated[
        str | None,
        typer.Option(help="bundle or vectors: folder, run, RUN:METHOD, latest; default: the corpus, encoded"),
    ] = None,
    retriever: Annotated[str, typer.Option(help="dense or bm25")] = "dense",
    data: Annotated[str | None, typer.Option(help="collection or folder")] = None,
    split: Annotated[
        str | None, typer.Option(help="queries of this split, of several (dev,test) or of a pool (dev+test, all)")
    ] = None,
    queries: Annotated[str | None, typer.Option(help="query vectors, a .npy file, in place of a collection's")] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", help="documents a query")] = None,
    rerank: Annotated[int | None, typer.Option(help="re-score so many of the best by exact vectors")] = None,
    fuse: Annotated[
        str | None, typer.Option(help="fuse run files in place of searching: rrf, combsum or weighted:0.7,0.3")
    ] = None,
    runs: Annotated[list[str] | None, typer.Argument(help="run files or searches to fuse (with --fuse)")] = None,
    out: Annotated[
        str | None, typer.Option(help="run file, with {split} for several; default: run.trec.gz in the run folder")
    ] = None,
) -> None:
    """Search a collection exhaustively with vectors, codes or BM25 and write a TREC run file.

    \b
    Examples:
      irctl search --retriever bm25 -k 100
      irctl search --split dev -k 100
      irctl search --index latest -k 100 --rerank 200
      irctl search --split dev -k 100 --devices 0-1 --set search.block=700
      irctl search --dry-run
    """

    def work(job: Job) -> dict[str, object]:
        if fuse:
            from irctl.pipelines.search import fuse as fusing

            return fusing.fuse(job.config, job.run, job.reporter, how=fuse, run_files=runs or [], out=out)
        from irctl.pipelines.search import bm25
        from irctl.pipelines.search import search as pipeline
        from irctl.pipelines.search.opened import Opened

        opened, lexical = Opened(model, index), bm25.Indexed(job.config)

        def one(config: Config, out: str | None) -> dict[str, object]:
            if retriever == "bm25":
                return bm25.search(config, job.run, job.reporter, indexed=lexical, out=out)
            return pipeline.search(opened, config, job.run, job.reporter, queries=queries, out=out)

        def split_named(name: str) -> str:
            collection = lexical.collection if retriever == "bm25" else opened.collection(job.config)
            return collection.split_named(name)

        return splits.each_split(job.config, job.run, one, out, split_named)

    def describe(config: Config) -> dict[str, object]:
        from irctl.pipelines.search import bm25
        from irctl.pipelines.search import fuse as fusing
        from irctl.pipelines.search import search as pipeline

        if fuse:
            return fusing.describe(fuse, runs or [])
        if retriever == "bm25":
            return bm25.describe(config)

        return pipeline.describe(config, index=index, queries=queries)

    if retriever not in ("dense", "bm25"):
        raise typer.BadParameter(f"expected dense or bm25, found {retriever!r}", param_hint="--retriever")
    of_dense = {"--model": model, "--index": index, "--queries": queries, "--rerank": rerank}
    for name, given in of_dense.items():
        if given is not None and (retriever == "bm25" or fuse):
            other = f"--fuse {fuse}" if fuse else "--retriever bm25"
            raise typer.BadParameter(f"goes with a dense search, not with {other}", param_hint=name)
    if runs and not fuse:
        raise typer.BadParameter(f"run files are fused: found {runs[0]!r} without --fuse", param_hint="RUNS")
    named = {"model.name": model, "data.source": data, "data.split": split, "search.k": k, "search.rerank": rerank}
    execute("search", options, named=named, names=NAMES, work=work, describe=describe)
