"""A command line is read as click reads it, for every command and every option."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from workspace import line_of

from irctl.cli import app
from irctl.command_line import Role
from irctl.errors import ConfigError

VALUES = ("-a=b c", "-2.5", "-3", "3")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(app)))


def by_click(path: tuple[str, ...], words: list[str]) -> dict[str, Any]:
    return COMMANDS[path].make_context(path[-1], words).params


def is_legal(path: tuple[str, ...], words: list[str]) -> bool:
    try:
        by_click(path, words)
    except typer.BadParameter:
        return False
    return True


def spellings(parameter: Any, path: tuple[str, ...], required: list[str]) -> Iterator[list[str]]:
    """The ways to write one option, with a value that it takes."""
    command = COMMANDS[path]
    names = (*parameter.opts, *parameter.secondary_opts)
    if parameter.is_flag:
        yield from ([n] for n in names)
        short = [n[1] for p in command.params if getattr(p, "is_flag", False) for n in p.opts if n[1] != "-"]
        yield from (["-" + "".join([n[1], *short])] for n in names if n[1] != "-")
        return
    value = next(v for v in VALUES if is_legal(path, [names[0], v, *required]))
    for name in names:
        yield [name, value]
        yield [f"{name}={value}"] if name.startswith("--") else [f"{name}{value}"]
        yield [name, "3", name, value]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_spelling_of_every_option_means_what_click_takes_it_for(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    required = ["word" for p in command.params if p.param_type_name == "argument" and p.required]
    for option in (p for p in command.params if p.param_type_name == "option"):
        for spelled in spellings(option, path, required):
            wanted = by_click(path, [*spelled, *required])
            line = line_of([*path, *spelled, *required])
            assert (line.command, by_click(path, list(line.words[len(path) :]))) == (path, wanted)
            assert line_of(list(line.words)) == line and line.has(option.opts[0])
            if not option.is_flag:
                given = wanted[option.name] if option.multiple else [wanted[option.name]]
                assert [type(g)(v) for g, v in zip(given, line.values(option.opts[-1]), strict=True)] == list(given)
            assert not line.without(option.opts[-1]).has(option.opts[0])


def test_words_after_two_dashes_are_arguments() -> None:
    line = line_of(["eval", "a.trec", "--split", "dev", "--", "-b.trec", "--json"])
    assert (line.arguments, line.values("--split"), line.has("--json")) == (
        ("a.trec", "-b.trec", "--json"),
        ("dev",),
        False,
    )
    assert line_of(list(line.words)) == line
    assert line_of("eval --split dev a.trec").words == ("eval", "a.trec", "--split", "dev")


def test_the_last_of_an_option_counts_and_repeatable_ones_are_kept_in_order() -> None:
    line = line_of("train --lr 1 --set a.b=1 --lr=2 --set=c.d=-2 -qv")
    assert (line.values("--lr"), line.values("--set")) == (("2",), ("a.b=1", "c.d=-2"))
    assert line == line_of("irctl train --set a.b=1 --lr 2 --set c.d=-2 --quiet --verbose")
    assert str(line.without(Role.DISPLAY)) == "irctl train --set a.b=1 --lr 2 --set c.d=-2"


def test_an_option_is_set_taken_out_and_known_by_any_of_its_names_and_by_its_role() -> None:
    line = line_of("compress --no-stream --runner slurm --dry-run -q --batch 3")
    assert line.has("--stream") and not line.without("--stream").has("--no-stream")
    assert line.without(Role.START, Role.DISPLAY).words == ("compress", "--no-stream", "--batch", "3")
    assert line.with_option("--batch", "4").values("--batch") == ("4",)
    assert {"--seed", "--set", "--no-stream", "-q"} <= line.takes and "--loss" not in line.takes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "irctl: no such command"),
        ("trian", r"irctl trian: no such command. Did you mean 'train'\?"),
        ("runs shw x", r"irctl runs shw: no such command. Did you mean 'show'\?"),
        ("train --lss ws2", "irctl train: no option --lss"),
        ("train --epochs many", "irctl train: --epochs: expected a number, found 'many'"),
        ("train word", "irctl train: expected no more, found word"),
        ("train --seed", "irctl train: --seed: expected a value, found nothing"),
        ("recipes show", "irctl recipes show NAME: expected NAME, found nothing"),
    ],
)
def test_what_click_refuses_is_one_line(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        line_of(line)
