"""`irctl data`: list, fetch, check and convert collections."""

from __future__ import annotations

from typing import Annotated

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Quiet
from irctl.commands.frame.output import present_rows
from irctl.errors import counted

app = typer.Typer(help="Collections: list, fetch, check, convert.", no_args_is_help=True)
Root = Annotated[str, typer.Option("--root", help="folder that stands for hf://: ROOT/OWNER/NAME/PATH")]


@app.command("ls")
def ls(
    group: Annotated[str, typer.Option(help="only this group, such as beir-14 or sycl-eval")] = "",
    root: Root = "",
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the known collections and whether they are on this machine.

    \b
    Examples:
      irctl data ls
      irctl data ls --group beir-14
    """
    from irctl.pipelines import data

    with guarded(json_, debug):
        present_rows("data", data.listing(group, root=root), json_=json_, quiet=quiet)


@app.command("fetch")
def fetch(
    name: Annotated[
        str, typer.Argument(help="collection or group, such as beir/scifact; acerag: AceRAG-Data; entities: made here")
    ],
    root: Root = "",
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Download a collection into the cache (network): checksum, unpack, rename. What is there already stays.

    Of a group, what is not public is named at the end, with exit code 5.

    \b
    Examples:
      irctl data fetch cranfield
    """
    from irctl import console, errors
    from irctl.pipelines import data

    with guarded(json_, debug):
        found = data.fetch(name, console.ConsoleReporter(quiet=quiet), root=root)
        if json_:
            console.emit_json({"schema": "irctl/data-fetch/1", **found})
        else:
            for folder in found["folders"].values():
                console.out(folder)
        if left_out := found.get("left_out"):
            shown = "; ".join(f"{n}: {why}" for n, why in left_out.items())
            raise errors.PartlyDone(
                f"{len(left_out)} left out: {shown}",
                hint="A BEIR folder of yours is read too: irctl eval --data FOLDER",
            )


@app.command("check")
def check(
    path: Annotated[str, typer.Argument(help="BEIR or MS MARCO folder, or a known collection")] = "cranfield",
    max_len: Annotated[int, typer.Option(help="also the share of passages cut at so many tokens", min=0)] = 0,
    model: Annotated[str, typer.Option(help="encoder whose tokenizer counts them")] = "",
    limit: Annotated[int, typer.Option(help="findings listed of a kind", min=0)] = 10,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Read every line of a collection and report all that is wrong, with file and line. Errors end with code 3.

    \b
    Examples:
      irctl data check cranfield
      irctl data check cranfield --limit 1 --json
    """
    from irctl import console, errors
    from irctl.pipelines import data

    with guarded(json_, debug):
        found = data.check(path, max_len=max_len, model=model, limit=limit)
        if json_:
            console.emit_json({"schema": "irctl/data-check/1", **found})
        else:
            console.table(found["findings"])
            for name, value in found["counts"].items():
                console.out(f"{name}: {value}")
            console.out(f"{found['errors']} errors, {found['warnings']} warnings")
        if found["errors"]:
            raise typer.Exit(errors.DATA)


@app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="any collection that --data takes")],
    out: Annotated[str, typer.Argument(help="folder to write, new or empty")],
    to: Annotated[str, typer.Option(help="beir, msmarco, or pairs: train.json and dev.json")] = "beir",
    max_train: Annotated[int, typer.Option(help="pairs: of train.json, at the most; 0: all", min=0)] = 0,
    max_dev: Annotated[int, typer.Option(help="pairs: of dev.json, at the most; 0: all", min=0)] = 0,
    split_ratio: Annotated[
        float, typer.Option(help="pairs: share of the training queries kept, the rest being dev.json; 1: the split dev")
    ] = 1.0,
    negatives: Annotated[str, typer.Option(help="pairs: mined negatives, a file of irctl hardneg")] = "",
    root: Root = "",
    fix_encoding: Annotated[bool, typer.Option("--fix-encoding", help="repair double-encoded characters")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write a collection in another layout. Training needs none of them: it reads judgements and mined negatives.

    \b
    Examples:
      irctl data convert cranfield converted --to msmarco
      irctl data convert cranfield pairs --to pairs --max-train 100
    """
    from irctl import console
    from irctl.pipelines import data

    with guarded(json_, debug):
        pairs = {"max_train": max_train, "max_dev": max_dev, "split_ratio": split_ratio, "negatives": negatives}
        found = data.convert(source, out, to, root=root, fix_encoding=fix_encoding, **pairs)
        if json_:
            console.emit_json({"schema": "irctl/data-convert/1", **found})
        elif "files" in found:
            for name, counts in found["files"].items():
                shown = ", ".join(f"{count} {what}" for what, count in counts.items())
                console.out(f"{found['folder']}/{name}.json: {shown or 'empty'}")
        else:
            console.out(
                f"{found['folder']}: {counted(found['passages'], 'passage')}, {counted(found['queries'], 'query')}"
            )
