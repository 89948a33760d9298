"""The trainings of a recipe: its own, or those of a group's arms, each as the settings of one command line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from irctl.commands.frame.options import Options
from irctl.commands.frame.reading import reader
from irctl.commands.frame.settings import settings

if TYPE_CHECKING:
    from irctl.command_line import CommandLine
    from irctl.config import Config


@dataclass
class Trainings:
    """found: (arm, its settings), one training of each arm whatever its seeds. measured: arms that train nothing.

    waiting: arms whose training reads what another arm makes, with what.
    """

    found: list[tuple[str, Config]] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)


def find(options: Options, names: dict[str, str]) -> Trainings:
    """names: of `irctl train`'s options, by setting. Raises ConfigError for a recipe or settings that are wrong."""
    from irctl.pipelines.arms import arms

    whole = settings(options, {}, {})
    if not arms.is_group(options.recipe):
        return Trainings([("", whole)])
    return _of_group(options, names, whole)


def _of_group(options: Options, names: dict[str, str], whole: Config) -> Trainings:
    from irctl.pipelines.arms.asked import Asked
    from irctl.pipelines.arms.chains import BRACES
    from irctl.pipelines.arms.steps import plan

    read = reader(options.root)
    line = read(("recipes", "run", options.recipe, "--profile", options.profile))
    if options.set_:
        line = line.with_option("--set", *options.set_)
    asked = Asked(recipe=options.recipe, tiny=options.tiny, line=line, read=read)
    made = Trainings()
    for chain in plan(whole, asked, is_check=True):
        lines = [step for words in chain.lines if (step := read(words)).name == "train"]
        arm = chain.arm or chain.name
        if not lines and arm not in made.measured:
            made.measured.append(arm)
        for step in lines:
            if waits := [brace for word in step.words for brace in BRACES.findall(word)]:
                made.waiting[arm] = waits[0]
            elif arm not in dict(made.found):
                made.found.append((arm, settings(_options_of(step, options, names), {}, {})))
    return made


def _options_of(line: CommandLine, options: Options, names: dict[str, str]) -> Options:
    """The options of a training's line, those of its own as --set has them."""

    def last(name: str) -> str:
        return next(iter(line.values(name)[-1:]), "")

    seed = last("--seed")
    return replace(
        options,
        recipe=last("--recipe"),
        tiny=line.has("--tiny"),
        config=last("--config"),
        set_=[f"{key}={line.values(name)[-1]}" for key, name in names.items() if line.has(name)]
        + list(line.values("--set")),
        seed=int(seed) if seed else None,
    )
