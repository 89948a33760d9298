"""`irctl export`: codes or vectors in the formats of other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.commands.frame.record import Job

if TYPE_CHECKING:
    from irctl.config import Config

FORMATS = tuple("faiss batches npy u8bin fbin fvecs parquet ids vespa opensearch pgvector model card hub".split())


def _formats(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


@with_options
def export(
    options: Options,
    source: Annotated[
        str, typer.Argument(help="bundle, vectors or (card, hub) training: folder, run, RUN:METHOD or latest")
    ] = "latest",
    to: Annotated[str, typer.Option("--to", help=", ".join(FORMATS), autocompletion=_formats)] = "faiss",
    out: Annotated[
        str | None, typer.Option(help="file (batches, model: folder) to write; default: in the run folder")
    ] = None,
    decoded: Annotated[bool, typer.Option("--decoded", help="vectors that the codes stand for, not the codes")] = False,
    texts: Annotated[bool, typer.Option("--texts", help="with parquet: a column with the documents' text")] = False,
    repo: Annotated[str, typer.Option(help="with hub: OWNER/NAME, made where there is none")] = "",
    private: Annotated[bool, typer.Option("--private", help="with hub: a repository that only its owners see")] = False,
) -> None:
    """Write a bundle or an encoded corpus for other programs.

    A faiss file is the only portable form of trained codes: plain faiss.read_index(FILE).search(q) ranks like irctl
    search (rabitq by ip or cosine: after a correction that the export states). Most engines quantize raw vectors
    themselves and take no codes made elsewhere: give Milvus, LanceDB or DuckDB parquet, Vespa, OpenSearch and pgvector
    their bulk formats, of an encoded corpus or --decoded codes. With a transform, a faiss file takes raw queries; other
    rows are as the transform made them, and it is written beside them. --to model is the encoder with the transform in
    it: a sentence-transformers folder whose encode_query and encode_document are the two sides.

    --to hub uploads the model of a training (a model repository) or a bundle (a data set; RUN:METHOD names one) in one
    commit, with a card that says what it was made of and how, and what the ledger knows of it by then; --to card writes
    that card alone. The token is huggingface_hub's (hf auth login, HF_TOKEN); --dry-run lists files and shows the card.

    \b
    Examples:
      irctl export latest --to faiss
      irctl export latest --to npy --out codes.npy
      irctl export latest --to parquet --decoded
      irctl export latest --to ids --dry-run
      irctl export latest --to hub --repo OWNER/NAME --private --dry-run
      irctl export latest --to card
    """

    from irctl.pipelines.export import export as pipeline

    request = pipeline.ExportRequest(
        source=source, to=to, out=out, decoded=decoded, texts=texts, repo=repo, private=private
    )

    def work(job: Job) -> dict[str, object]:
        return pipeline.export(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        return pipeline.describe(config, request)

    def check(config: Config) -> None:
        request.check()

    execute("export", options, named={}, names={}, work=work, describe=describe, check=check)
