"""`irctl search`: queries against vectors or codes, to a TREC run file."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.pipelines.search.request import SearchRequest, answer, describe

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

    request = SearchRequest(
        model=model,
        index=index,
        retriever=retriever,
        queries=queries,
        fuse=fuse,
        run_files=tuple(runs or ()),
        out=out,
    )
    if conflict := request.find_conflict(rerank):
        raise typer.BadParameter(conflict[1], param_hint=conflict[0])
    named = {"model.name": model, "data.source": data, "data.split": split, "search.k": k, "search.rerank": rerank}
    execute(
        "search",
        options,
        named=named,
        names=NAMES,
        work=lambda job: answer(job.config, job.run, job.reporter, request),
        describe=lambda config: describe(config, request),
    )
