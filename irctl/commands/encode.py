"""`irctl encode`: text to vectors, in shards that resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.commands.frame.record import Job

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {"data.source": "--data", "model.name": "--model", "data.split": "--split", "encoder.store": "--dtype"}


@with_options
def encode(
    options: Options,
    model: Annotated[str | None, typer.Option(help="encoder: folder, hub id or run")] = None,
    data: Annotated[str | None, typer.Option(help="collection or folder")] = None,
    side: Annotated[str, typer.Option(help="passage or query")] = "passage",
    split: Annotated[str | None, typer.Option(help="queries of this split (with --side query)")] = None,
    out: Annotated[str | None, typer.Option(help="folder (default: the cache), from the cache if there")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float16 on disk")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="re-hash finished shards")] = False,
    codes: Annotated[bool, typer.Option("--codes", help="text to codes: a bundle, and no vectors on disk")] = False,
    index: Annotated[
        str | None, typer.Option(help="with --codes: bundle whose quantizer makes them; default: the model's own")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="acerag: passages to rows of a compressive encoder, kept for irctl eval --cached")
    ] = None,
    append: Annotated[
        str | None, typer.Option(help="with --codes --index: collection or vectors to add to that bundle")
    ] = None,
) -> None:
    """Encode a corpus (or queries) into float .npy shards with a manifest. A killed run continues when repeated.

    --codes writes the documents' nearest codes into a bundle instead, by the quantizer of --index or the one that was
    trained with the model; new documents are added to a bundle by its own encoder and document-side centroids.

    --method acerag compresses each passage by acerag.ratio instead; what is kept already is not compressed again.

    The cache is keyed by content: weights, tokenizer, pooling, prompts, lengths, dtype and corpus. A checkpoint that is
    overwritten in place is encoded again.

    \b
    Examples:
      irctl encode
      irctl encode --side query --split test --dtype float16
      irctl encode --dry-run
    """

    from irctl.pipelines import encode as pipeline

    if method is not None:
        others = {
            "--side": side != "passage", "--split": split, "--out": out, "--dtype": dtype, "--verify": verify,
            "--codes": codes, "--index": index, "--append": append,
        }  # fmt: skip
        return _compress(options, method, [name for name, given in others.items() if given], model, data)
    request = pipeline.EncodeRequest(
        out=out, side=side, verify=verify, runner=options.runner, codes=codes, index=index, append=append
    )

    def work(job: Job) -> dict[str, object]:
        return pipeline.encode(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        return pipeline.describe(config, request)

    named = {"data.source": data, "model.name": model, "data.split": split, "encoder.store": dtype}

    def check(config: Config) -> None:
        request.check()

    execute("encode", options, named=named, names=NAMES, work=work, describe=describe, check=check)


def _compress(options: Options, method: str, unfit: list[str], model: str | None, data: str | None) -> None:
    """`irctl encode --method acerag`."""
    from irctl.commands.frame.guard import guarded
    from irctl.pipelines.answer import keep_passages as pipeline

    with guarded(options.json_, options.debug):
        pipeline.check(method, model, unfit)

    def work(job: Job) -> dict[str, object]:
        return pipeline.keep(job.config, job.run, job.reporter, str(model))

    def describe(config: Config) -> dict[str, object]:
        return pipeline.describe(config, str(model))

    execute(
        "encode", options, named={"data.source": data, "model.name": model}, names=NAMES, work=work, describe=describe
    )
