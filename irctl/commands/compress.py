"""`irctl compress`: vectors to codes, in batches that resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, complete, with_options
from irctl.commands.frame.record import Job

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {
    "compress.source": "--data",
    "compress.method": "--method",
    "compress.stream": "--stream",
    "compress.batch": "--batch",
    "compress.train_size": "--train-size",
    "compress.max_batches": "--max-batches",
}


@with_options
def compress(
    options: Options,
    method: Annotated[
        str | None, typer.Option(help="quantizer, or several: pq,sq", autocompletion=complete("quantizers"))
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="embedding folder, .npy, parquet[#COLUMN], hf://..., run, synthetic:N,D,decay, .faiss"),
    ] = None,
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="batch shards; the corpus is never in memory")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="rows of a batch")] = None,
    train_size: Annotated[int | None, typer.Option(help="rows sampled for training")] = None,
    max_batches: Annotated[int | None, typer.Option(help="stop after so many batches")] = None,
    out: Annotated[str | None, typer.Option(help="folder of the bundle; default: the run folder")] = None,
    append: Annotated[str | None, typer.Option(help="bundle to which these rows are added, with its quantizer")] = None,
    init: Annotated[str | None, typer.Option(help="bundle whose trained quantizer is reused")] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: only this worker's batches")] = None,
    train_only: Annotated[bool, typer.Option("--train-only", help="train the quantizer and stop")] = False,
    finalize: Annotated[bool, typer.Option("--finalize", help="merge the workers' journals into the manifest")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="re-hash every file of the bundle in --out")] = False,
) -> None:
    """Compress vectors into a searchable bundle: codes, ids, quantizer and manifest.

    Input: --data, else the newest encoded corpus, else the built-in collection, encoded first. Default method pq (m=16,
    bits=8); opq, rabitq and saq keep more at the same bytes. sq is int8 (sq.bits=8); binary keeps signs, the query in
    floats; truncation keeps the first dimensions. The same command continues a run that was killed.

    \b
    Examples:
      irctl compress --method opq --data synthetic:2000,64,0.5 --set opq.m=8 \\
        --set opq.bits=4
      irctl compress --method pq,sq --set pq.m=32 --set pq.bits=4
      irctl compress --method rabitq --set rabitq.bits=4
      irctl compress --method binary --set binary.threshold=median
      irctl encode --codes --index latest
      irctl compress --stream --batch 10000
      irctl compress --dry-run
    """

    from irctl.pipelines.compress.request import CompressRequest

    request = CompressRequest(
        out=out,
        init=init,
        append=append,
        shard=shard,
        train_only=train_only,
        finalize=finalize,
        verify=verify,
        runner=options.runner,
    )

    def work(job: Job) -> dict[str, object]:
        from irctl.pipelines.compress import compress as pipeline

        return pipeline.compress(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        from irctl.pipelines.compress import compress as pipeline

        return pipeline.describe(config, request)

    named = {
        "compress.source": data,
        "compress.method": method,
        "compress.stream": stream,
        "compress.batch": batch,
        "compress.train_size": train_size,
        "compress.max_batches": max_batches,
    }
    execute(
        "compress",
        options,
        named=named,
        names=NAMES,
        work=work,
        describe=describe,
        check=lambda c: request.check(c.compress),
    )
