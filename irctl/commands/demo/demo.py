"""`irctl demo`: the whole pipeline on the built-in collection, from raw text to a paper table."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands.frame.options import Debug, Json


def demo(
    ctx: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget an earlier demo and start over")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="8 training steps and short passages: a minute or two")
    ] = False,
    rag: Annotated[
        bool, typer.Option("--rag", help="from retrieval to answers by compressed passages: two CPU minutes")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the commands and stop")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Mine, train, encode, compress, search, evaluate and report on the built-in collection; no network needed.

    Takes under ten minutes on two cores. Interrupted, the same command continues. Every step is an irctl command,
    printed before it runs. --rag instead finds passages about made-up entities, compresses them, and has a small
    language model, made and trained here, answer questions by them.

    \b
    Examples:
      irctl demo --dry-run
      irctl demo --rag --dry-run
    """
    from irctl.commands.demo.steps import run

    def main(argv: list[str]) -> int | None:
        code: int | None = ctx.find_root().command.main(args=argv, prog_name="irctl", standalone_mode=False)
        return code

    run(main, fresh=fresh, quick=quick, rag=rag, dry_run=dry_run, json_=json_, debug=debug)
