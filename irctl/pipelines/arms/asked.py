"""What a user asked for of a recipe: its line, and how irctl reads and checks one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from irctl import recipes_index
from irctl.command_line import CommandLine, Read, Role
from irctl.errors import ConfigError

TRAINED = "trained"
"""The option, and the word in braces, of a model that the user trained; without it arms that read it are left out."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asked for, and how irctl reads and checks a line. seeds: '1,2,3' or empty. devices: one run on each.

    line: the whole command line. check raises ConfigError for settings that its command refuses.
    """

    recipe: str = ""
    tiny: bool = False
    seeds: str = ""
    devices: Sequence[int] = ()
    line: CommandLine
    read: Read
    check: Callable[[CommandLine], None] = lambda line: None

    @property
    def meta(self) -> dict[str, Any]:
        """[meta] of the recipe or of the group that an arm belongs to."""
        group, colon, _ = self.recipe.rpartition(":")
        table = recipes_index.read(group if colon else self.recipe) if self.recipe else {}
        return dict(table.get("meta", {}))

    @property
    def profile(self) -> str:
        """What --profile says, or is without being given."""
        return next(iter(self.line.values("--profile")[-1:]), "cpu")

    @property
    def trained(self) -> str:
        """The model, or its run, that --trained names; empty without it."""
        return next(iter(self.line.values(f"--{TRAINED}")[-1:]), "")

    @property
    def forwarded(self) -> CommandLine:
        """What of the line its steps get."""
        if self.line.has("--out"):
            raise ConfigError("--out: the models of a group would overwrite each other", hint="Drop it")
        return self.line.without(Role.START, Role.DISPLAY, "--recipe", "--tiny", "--seed", "--seeds", f"--{TRAINED}")
