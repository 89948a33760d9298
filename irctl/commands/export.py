"""`irctl export`: codes and vectors in the formats that other programs read."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands._options import Options, with_options
from irctl.commands._run import Job, execute


@with_options
def export(
    options: Options,
    source: Annotated[str, typer.Argument(help="bundle, embedding folder, run id, or latest")] = "latest",
    to: Annotated[str, typer.Option("--to", help="faiss, batches, npy, fbin, u8bin, fvecs, parquet or ids")] = "faiss",
    out: Annotated[str | None, typer.Option("-o", "--out", help="file or folder; default: in the run folder")] = None,
    decoded: Annotated[bool, typer.Option("--decoded", help="decoded vectors in place of codes")] = False,
) -> None:
    """Write a bundle or an embedding folder in another program's format.

    A faiss index file is the only portable form of trained codes, its rotation included. Most engines re-quantise raw
    vectors and take no foreign codes: give them parquet or fbin of the vectors.

    \b
    Examples:
      irctl export latest --to faiss
      irctl export latest --to parquet --decoded
      irctl export latest --to npy
    """

    def work(job: Job) -> dict[str, object]:
        from irctl.pipelines import export as pipeline

        return pipeline.export(job.config, job.run, job.reporter, source=source, to=to, out=out, decoded=decoded)

    execute("export", options, named={}, names={}, work=work)
