"""`irctl recipes`: the shipped experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from irctl.commands.frame.guard import guarded
from irctl.commands.frame.options import Debug, Json, Options, Quiet, complete_files, with_options
from irctl.commands.frame.output import present_rows

app = typer.Typer(help="Recipes: one file an experiment, with a [tiny] overlay for a CPU.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="recipe", autocompletion=complete_files("recipes"))]


@app.command("ls")
def ls(json_: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the recipes.

    \b
    Examples:
      irctl recipes ls
    """
    from irctl import recipes_index, shipped_files

    with guarded(json_, debug):
        rows = []
        for name in shipped_files.names("recipes"):
            table = recipes_index.read(name)
            meta = table.get("meta", {})
            method = table.get("train", {}).get("method") or table.get("compress", {}).get("method", "")
            rows.append(
                {
                    "name": name,
                    "title": meta.get("title", ""),
                    "method": method,
                    "time": meta.get("time", ""),
                    "source": meta.get("source", ""),
                }
            )
        present_rows("recipes", rows, json_=json_, quiet=quiet)


@app.command("show")
def show(name: Name, json_: Json = False, debug: Debug = False) -> None:
    """Print a recipe.

    \b
    Examples:
      irctl recipes show sycl-synth-multilevel
    """
    from irctl import console, recipes_index, shipped_files

    with guarded(json_, debug):
        if json_:
            console.emit_json({"schema": "irctl/recipes-show/1", "name": name, **recipes_index.read(name)})
        else:
            recipes_index.read(name)  # or its error
            console.out(shipped_files.path("recipes", name).read_text().rstrip())


@app.command("run")
@with_options
def run(
    options: Options,
    recipe: Name,
    data: Annotated[str | None, typer.Option(help="collection, for every step that names no data")] = None,
    seeds: Annotated[str, typer.Option(help="once a seed, such as 1,2,3")] = "",
    trained: Annotated[
        str | None, typer.Option(help="trained model that arms compare with: folder, hub id or run")
    ] = None,
) -> None:
    """Run a recipe: all arms of a group, or the one command that its file names.

    --set, --profile and --data reach every step that takes them; a step's own --data stays. Exit code 5: some arms
    failed. The same command continues, and tries again what failed.

    \b
    Examples:
      irctl recipes run compression-compare --tiny --dry-run
      irctl recipes run sycl-compare --tiny --seeds 1,2 --dry-run
      irctl recipes run stream-opq --tiny --dry-run
    """
    from irctl.commands.frame.group import run_alone, run_group
    from irctl.pipelines.arms import arms

    with guarded(options.json_, options.debug):
        is_group = arms.is_group(recipe, seeds)
        if not is_group:
            return run_alone(options)
    run_group(options, named={"data.source": data}, names={"data.source": "--data"}, seeds=seeds)


@app.command("cp")
def cp(
    name: Name,
    file: Annotated[Path, typer.Argument(help="where the editable copy goes")],
    force: Annotated[bool, typer.Option("--force", help="overwrite")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write an editable copy whose first comment holds its launch command.

    \b
    Examples:
      irctl recipes cp sycl-synth-multilevel mine.toml --force
    """
    from irctl import console, errors, files, recipes_index, shipped_files

    with guarded(json_, debug):
        files.check_file(file)
        if file.exists() and not force:
            raise errors.ConfigError(f"{file}: exists already", hint="Add --force to overwrite it")
        command = str(recipes_index.read(name).get("meta", {}).get("command", f"irctl train --recipe {name}"))
        mine = command.replace(f"--recipe {name}", f"--recipe {file}").replace(f" run {name}", f" run {file}")
        files.write_out(file, f"# {mine}\n" + shipped_files.path("recipes", name).read_text())
        if json_:
            console.emit_json({"schema": "irctl/recipes-cp/1", "name": name, "file": str(file), "command": mine})
        else:
            console.out(mine)


@app.command("check")
def check(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="recipe; default: all")] = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check recipes without running them: keys, ranges, [meta], [tiny], the command lines of arms.

    \b
    Examples:
      irctl recipes check
    """
    from irctl import console, errors, recipes_index, shipped_files
    from irctl.commands.frame.group import check_arms

    with guarded(json_, debug):
        names = [name] if name else list(shipped_files.names("recipes"))
        root = context.find_root().command
        wrong = {n: problems for n in names if (problems := recipes_index.check(n) or check_arms(root, n))}
        if wrong:
            first = next(iter(wrong.values()))[0]
            raise errors.ConfigError(
                f"{first} ({sum(map(len, wrong.values()))} problems in {len(wrong)} of {len(names)} recipes)"
            )
        if json_:
            console.emit_json({"schema": "irctl/recipes-check/1", "checked": names, "problems": {}})
        else:
            console.out(f"{len(names)} recipes checked, no problems")


@app.command("reproduce")
def reproduce(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="recipes", autocompletion=complete_files("recipes"))] = None,
    page: Annotated[bool, typer.Option("--page", help="print the page of all figures, and stop")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the command lines, and stop")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Run the small form of recipes and compare what it gives with what was measured, within a tolerance.

    The lines run in a folder of runs of their own, so that what you encoded or trained does not matter to them; it is
    removed where every figure holds. Exit code 1: a figure differs. Without names: what was measured of every recipe.

    \b
    Examples:
      irctl recipes reproduce
      irctl recipes reproduce jpq-distill --dry-run
    """
    import shutil

    from irctl import console, errors
    from irctl.pipelines.arms import reproductions

    with guarded(json_, debug):
        if page:
            return console.out(reproductions.page().rstrip())
        asked = [reproductions.named(name) for name in names or ()]
        if not asked or dry_run:
            rows = [
                {"recipe": r.recipe, "figure": figure, "expected": value, "tolerance": r.tolerance, "cpu_s": r.cpu_s}
                for r in asked or reproductions.listed()
                for figure, value in r.figures.items()
            ]
            lines = [line for r in asked for line in r.lines]
            if json_:
                return console.emit_json({"schema": "irctl/reproductions/1", "lines": lines, "expected": rows})
            console.table(rows)
            for line in lines:
                console.out(line)
            return None
        root = context.find_root().command
        found: list[dict[str, Any]] = []
        kept: list[str] = []
        for one in asked:
            with reproductions.runs_apart(one.recipe) as folder:
                console.err(f"runs of {one.recipe}: {folder}")
                rows = reproductions.compare(one, _run_lines(root, one.lines))
            found += rows
            if all(row["holds"] == "yes" for row in rows):
                shutil.rmtree(folder)
            else:
                kept.append(str(folder))
        if json_:
            console.emit_json({"schema": "irctl/reproduced/1", "figures": found})
        else:
            console.table(found)
        if differ := [row for row in found if row["holds"] != "yes"]:
            row = differ[0]
            raise errors.RunFailed(
                f"{row['recipe']}: {row['figure']}: expected {row['expected']} within {row['tolerance']}, "
                f"found {row['found']} ({len(differ)} of {len(found)} figures differ)",
                hint=f"Its runs are in {', '.join(kept)}. Versions other than those that were tested (irctl doctor "
                "lists them), another processor, or changed code or recipe can be the cause",
            )


def _run_lines(root: Any, lines: Sequence[str]) -> dict[str, Any]:
    """Run command lines in this process, one after the other; the --json object of the last."""
    import shlex

    from irctl import console
    from irctl.commands.demo.steps import invoke

    payload: dict[str, Any] = {}
    for line in lines:
        console.err(f"$ {line}")
        words = tuple(shlex.split(line)[1:])
        payload = invoke(lambda argv: root.main(args=argv, prog_name="irctl", standalone_mode=False), words)
    return payload
