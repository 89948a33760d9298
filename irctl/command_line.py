"""A command line that was read: the command, its options in order, its arguments, and what the command declares.

`irctl.commands.frame.reading` makes one, by Typer's declaration; pipelines and the ledger are handed it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Role(StrEnum):
    """What an option that every working command has decides."""

    SETTINGS = "settings"
    """Where settings come from."""
    START = "start"
    """How and where a run starts, or whether it does."""
    DISPLAY = "display"
    """What is printed."""


@dataclass(frozen=True)
class Option:
    """One option as given, under the first of its names. value: None for a flag; names: those of its opposite too."""

    name: str
    value: str | None = None
    names: frozenset[str] = field(default=frozenset(), compare=False)
    role: Role | None = field(default=None, compare=False)

    def is_one_of(self, what: Sequence[str | Role]) -> bool:
        """Whether a name or the role is among these."""
        return self.role in what or not self.names.isdisjoint(what) or self.name in what


@dataclass(frozen=True)
class CommandLine:
    """`irctl COMMAND ARGUMENTS OPTIONS`. Equal lines do the same. takes: names of all options that the command has."""

    command: tuple[str, ...]
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()
    takes: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def name(self) -> str:
        """The command as one types it, such as `runs show`."""
        return " ".join(self.command)

    @property
    def words(self) -> tuple[str, ...]:
        """The line without `irctl`, word by word."""
        options = [w for o in self.options for w in ((o.name,) if o.value is None else (o.name, o.value))]
        if any(a.startswith("-") for a in self.arguments):
            return (*self.command, *options, "--", *self.arguments)
        return (*self.command, *self.arguments, *options)

    def __str__(self) -> str:
        return shlex.join(("irctl", *self.words))

    def has(self, what: str | Role) -> bool:
        """Whether an option of this name or role is given."""
        return any(o.is_one_of((what,)) for o in self.options)

    def values(self, name: str) -> tuple[str, ...]:
        """Every value given to an option, in order."""
        return tuple(o.value for o in self.options if o.value is not None and o.is_one_of((name,)))

    def without(self, *what: str | Role) -> CommandLine:
        """The line without options of these names or roles."""
        return replace(self, options=tuple(o for o in self.options if not o.is_one_of(what)))

    def with_option(self, name: str, *values: str) -> CommandLine:
        """The line with this option set to the value, to each of several values, or, without one, as a flag."""
        options = tuple(Option(name, v) for v in values) or (Option(name),)
        left = self.without(name)
        return replace(left, options=(*left.options, *options))


Read = Callable[[Sequence[str]], CommandLine]
"""Reads words, with or without `irctl` first. Raises ConfigError for what is no command line of irctl."""
