"""`irctl hardneg`: mine hard negatives with BM25, an encoder, codes or a run file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.commands.frame.record import Job

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {
    "data.source": "--data",
    "data.split": "--split",
    "model.name": "--model",
    "hardneg.num": "--num",
    "hardneg.depth": "--depth",
    "hardneg.pick": "--pick",
    "hardneg.range": "--range",
}


@with_options
def hardneg(
    options: Options,
    retriever: Annotated[
        str | None, typer.Option(help="bm25, dense or index; default: by --model, --index or --run, else bm25")
    ] = None,
    model: Annotated[str | None, typer.Option(help="encoder: folder, hub id or run")] = None,
    index: Annotated[
        str | None, typer.Option(help="bundle or vectors to mine from; latest: the newest that fits")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="run file to mine from: TREC, ranx")] = None,
    data: Annotated[str | None, typer.Option(help="collection or folder")] = None,
    split: Annotated[str | None, typer.Option(help="queries to mine for")] = None,
    num: Annotated[int | None, typer.Option(help="negatives kept a query; 0: all of the ranks drawn from")] = None,
    depth: Annotated[int | None, typer.Option(help="documents searched a query")] = None,
    range: Annotated[str | None, typer.Option(help="ranks to draw from, FIRST:LAST")] = None,
    pick: Annotated[str | None, typer.Option(help="top or random")] = None,
    out: Annotated[str | None, typer.Option(help="file; default: in the run folder")] = None,
    force: Annotated[bool, typer.Option("--force", help="also for a split that is evaluated: dev, test")] = False,
) -> None:
    """Mine hard negatives: retrieved documents that nobody judged. Judged documents never become negatives.

    MS MARCO has many positives that nobody labelled: a margin (--set hardneg.rel_margin=0.05) drops the likeliest.

    \b
    Examples:
      irctl hardneg --num 4
      irctl hardneg --retriever dense --num 4 --pick random --range 10:100
      irctl hardneg --num 2 --set hardneg.rel_margin=0.05
      irctl hardneg --index latest --split train --num 200
      irctl hardneg --dry-run
    """

    chosen = retriever or ("run" if run else "index" if index else "dense" if model else "bm25")
    if chosen not in ("bm25", "dense", "index", "run"):
        raise typer.BadParameter(f"expected bm25, dense or index, found {retriever!r}", param_hint="--retriever")
    from irctl.pipelines.hardneg import hardneg as pipeline

    request = pipeline.MiningRequest(retriever=chosen, index=index, run_file=run, out=out, forced=force)

    def work(job: Job) -> dict[str, object]:
        return pipeline.hardneg(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        return pipeline.describe(config, request)

    named = {
        "model.name": model,
        "data.source": data,
        "data.split": split,
        "hardneg.num": num,
        "hardneg.depth": depth,
        "hardneg.range": range,
        "hardneg.pick": pick,
    }
    execute("hardneg", options, named=named, names=NAMES, work=work, describe=describe)
