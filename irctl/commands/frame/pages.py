"""Help pages: options under headings, each with its default and its legal values, by the schema of settings."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from irctl import plugins, shipped_files

HEADINGS = ("What", "Data", "Model", "Training", "Run")
OF_SECTION = {"data": "Data", "model": "Model", "encoder": "Model", "train": "Training", "loss": "Training"}
OF_SECTION |= {"batch": "Training", "run": "Run"}
OF_SETTING = {"train.method": "What", "train.init": "Model", "train.index": "Model", "train.resume_from": "Run"}
OF_OPTION = {
    **dict.fromkeys(("--data", "--qrels", "--queries", "--answers", "--dataset", "--split", "--side"), "Data"),
    **dict.fromkeys(("--model", "--index", "--trained", "--codes"), "Model"),
    **dict.fromkeys(("--seeds", "--launcher", "--probe"), "Training"),
    **dict.fromkeys(("--json", "--quiet", "--verbose", "--no-color", "--debug", "--help", "--out", "--dry-run"), "Run"),
}
"""The heading of an option that is no setting; others are under What."""
SHARED = {"--seed": "run.seed", "--hash": "run.hash"}
"""Settings of options that every working command has."""
NAMED = {"train.method": "methods", "loss.name": "losses", "compress.method": "quantizers"}
"""Settings whose legal values are names of plug-in files, and the package of these."""
EXPECTED = {
    "--model": "a folder, a run or a hub id",
    "--data": "a name or a folder",
    "--split": "the name of a split",
}
"""What options want whose empty text would be the current folder, or another default."""
WIDTH = 100
"""Characters a line of a page, where the terminal has them."""


class Page(TyperCommand):
    """A command whose page has its options in groups, and that refuses an option without its text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words that are left. Refuses `--model ""`, which is a variable of a script that nobody set.

        A recipe's setting is undone by `--set KEY=`; text that may be empty, such as a note, says so in its help.
        """
        rest = super().parse_args(ctx, args)
        settings = _settings_of(self.callback)
        for parameter in self.get_params(ctx):
            value = ctx.params.get(parameter.name)
            is_empty = "" in value if isinstance(value, (list, tuple)) else value == ""
            typed = getattr(ctx.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
            if not typed or not is_empty or "empty text" in (getattr(parameter, "help", "") or ""):
                continue
            is_option = parameter.param_type_name == "option"
            name = max(parameter.opts, key=len) if is_option else parameter.name.upper()
            key = next((settings[n] for n in parameter.opts if n in settings), "")
            undo = f"; --set {key}= empties the setting" if key and not _spec(key).default else ""
            drop = f". Drop it{undo}" if is_option else ""
            raise typer.BadParameter(
                f"expected {EXPECTED.get(name, 'a value')}, found an empty text{drop}", ctx, param_hint=name
            )
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        setting_of = _settings_of(self.callback)
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                groups.setdefault("Arguments", []).append(record)
                continue
            key = next((setting_of[n] for n in parameter.opts if n in setting_of), "")
            is_shared = getattr(parameter, "rich_help_panel", None) is not None
            heading = "Run" if is_shared else _heading(parameter.opts, key)
            groups.setdefault(heading, []).append((record[0], _text(parameter, record[1], key)))
        if groups.keys() <= {"Arguments", "What", "Run"} and len(groups.get("What", ())) < 2:
            groups["Options"] = groups.pop("What", []) + groups.pop("Run", [])
        for heading in ("Arguments", *HEADINGS, "Options"):
            if heading in groups:
                with formatter.section(heading):
                    formatter.write_dl(groups[heading])


def _settings_of(callback: Callable[..., Any] | None) -> dict[str, str]:
    """Option -> setting, of a command: NAMES of its module says it the other way round."""
    names: Mapping[str, str] = getattr(sys.modules.get(getattr(callback, "__module__", "")), "NAMES", {})
    return {**SHARED, **{option: key for key, option in names.items()}}


def _heading(names: list[str], key: str) -> str:
    if key:
        return OF_SETTING.get(key) or OF_SECTION.get(key.partition(".")[0], "What")
    return next((OF_OPTION[n] for n in names if n in OF_OPTION), "What")


def _text(parameter: Any, text: str, key: str) -> str:
    """The text of an option with its default and legal values, unless it says its default itself."""
    told = [] if "default: " in text or parameter.is_flag else [f"default: {_default(key)}"]
    if "--profile" in parameter.opts:
        told.append(f"one of {', '.join(shipped_files.names('profiles'))}")
    told += [legal] if (legal := _legal(key)) else []
    if told and text.endswith("]") and "  [" in text:  # Typer's own, with the default
        return f"{text[:-1]}; {'; '.join(told)}]"
    return f"{text}  [{'; '.join(told)}]" if told else text


def _default(key: str) -> str:
    """The default of a setting: with what its meaning says of an empty text or a zero; none where nothing is set."""
    if not key:
        return "none"
    spec = _spec(key)
    value = (
        ""
        if spec.default is None
        else str(spec.default).lower()
        if isinstance(spec.default, bool)
        else f"{spec.default}"
    )
    value = f"{spec.default:g}" if isinstance(spec.default, float) else value
    for part in spec.metadata["help"].split("; "):
        said, colon, meaning = part.partition(": ")
        if colon and said == (value or "empty"):
            return meaning if not value else f"{value}, {meaning}"
    return value or "none"


def _legal(key: str) -> str:
    if not key:
        return ""
    if key in NAMED:
        return f"one of {', '.join(plugins.names(NAMED[key]))}"
    meta = _spec(key).metadata
    if meta["choices"]:
        return f"one of {', '.join(c or 'empty' for c in meta['choices'])}"
    low, high = meta["low"], meta["high"]
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"{low} or more" if low is not None else ""


def _spec(key: str) -> dataclasses.Field[Any]:
    from irctl import settings

    section, _, leaf = key.partition(".")
    return next(f for f in dataclasses.fields(settings.SECTIONS[section]) if f.name.rstrip("_") == leaf)
