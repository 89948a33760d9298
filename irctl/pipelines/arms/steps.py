"""From the arms of a recipe to chains of command lines: one for each arm and seed.

An arm lists `steps`, command lines; one that has only settings is a training with them and its evaluations. `{seed}` in
a step is the seed, `{run}` the run of the last step before it that does more than measure, and `{ARM}` that run of
another arm, which has finished by then, as those named by `after` have. `{ARM.bits}` and the like are sizes of codes
for the vectors that it encoded (code_sizes.py), `{held_out}` the splits that are not trained on, `{trained}` the model
that --trained names.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from irctl import plugins, recipes_index
from irctl.command_line import CommandLine, Role
from irctl.errors import ConfigError
from irctl.origins import Kind
from irctl.pipelines.arms import code_sizes, held_out
from irctl.pipelines.arms.arm_settings import settings_of
from irctl.pipelines.arms.asked import TRAINED, Asked
from irctl.pipelines.arms.chains import BRACES, MEASURING, RUN, Chain

if TYPE_CHECKING:
    from irctl.config import Config

ALSO_MEASURING = ("eval.", "search.", "hardware.", "data.root")
"""Settings of --set that steps which only measure get too."""
FOR_ALL = ("--data", "--model")
"""Options that every step gets that takes them and has none of its own; of those that measure --data alone."""
PATTERNS = ("dataset", "split")
"""Braces that are `irctl eval`'s own, in names of run files."""


def plan(config: Config, asked: Asked, *, is_check: bool = False) -> list[Chain]:
    """Evaluations of the untouched models first, then a chain for each arm and seed. is_check: no data are opened.

    Raises ConfigError for a step that irctl does not know, for unknown arms and circles.
    """
    absent = {} if is_check else left_out(config, asked)
    tables = {name: table for name, table in _arms(asked).items() if name not in absent}
    if asked.trained and not any(_reads_trained(table) for table in tables.values()):
        raise ConfigError(f"--{TRAINED} {asked.trained}: no arm of {asked.recipe} reads it", hint="Drop it")
    meta = asked.meta
    chosen_seeds = seed_numbers(asked.seeds) if asked.seeds else _chosen(meta, "seeds", asked.tiny)
    untouched: dict[tuple[CommandLine, ...], Chain] = {}
    made: dict[str, dict[int | None, Chain]] = {}
    parents = {name: _parents(name, table, tables, asked) for name, table in tables.items()}
    try:
        in_order = list(TopologicalSorter(parents).static_order())
    except CycleError as e:
        raise ConfigError(f"{asked.recipe}: arms wait for each other: {' after '.join(e.args[1])}") from None
    chosen = _chosen(meta, "arms", asked.tiny)
    chosen = [name for name in chosen if name not in absent]
    if unknown := next((name for name in chosen if name not in tables), None):
        raise ConfigError(
            f"{asked.recipe} [meta]: tiny_arms: no arm named {unknown!r}", hint=plugins.nearest(unknown, list(tables))
        )
    wanted = _with_parents(chosen or list(tables), parents)
    for name in [n for n in in_order if n in wanted]:
        table, arm = tables[name], settings_of(config, asked, name)
        splits = partial(_fill, asked=asked, config=arm, is_check=is_check)
        label, evals = name, []
        if "steps" not in table:
            label = name or arm.loss.name.replace(":", "-")
            evals = _evaluations(arm, () if is_check else meta.get("evaluate"))
            if evals:
                base = _untouched(arm, evals, asked)
                untouched.setdefault(base, Chain(_unused_label(arm, len(untouched)), tuple(x.words for x in base)))
        made[name] = {}
        own_seeds = table.get("seeds")  # an empty list: nothing is drawn, once for all seeds
        seeds = chosen_seeds or own_seeds or meta.get("seeds") or [config.run.seed]
        for seed in [None] if own_seeds == [] else seeds:
            lines = (
                _given_steps(name, table, seed, asked, splits)
                if "steps" in table
                else _training(name, evals, asked, arm)
            )
            lines = [_completed(line, name, seed, asked, arm) for line in lines]
            after = {p: _paired(made[p], seed, f"{asked.recipe} [{name}]: after {p}") for p in parents[name]}
            full = label if seed is None else f"{label}-seed{seed}"
            each = next(iter(table.get("each", ())), None)
            made[name][seed] = Chain(full, tuple(line.words for line in lines), after=after, arm=name, each=each)
            _check_runs(made[name][seed], asked)
    chains = [*untouched.values(), *(c for name in tables if name in made for c in made[name].values())]
    all_lines = {asked.read(words).without("--seed"): None for c in chains for words in c.lines}
    _refuse_unused(asked, tuple(all_lines))
    for line in {asked.read(code_sizes.stand_in(line.words)): None for line in all_lines}:
        asked.check(line)
    return chains


def left_out(config: Config, asked: Asked) -> dict[str, str]:
    """Arms that train on judgements where the collection has none for it, or read a model that nobody named.

    Each with that reason, which those that wait for one of them share.
    """
    tables = _arms(asked)
    judged = [name for name, table in tables.items() if table.get("judged")]
    why = {name: held_out.untrainable(settings_of(config, asked, name)) for name in judged}
    why = {name: reason for name, reason in why.items() if reason}
    if not asked.trained:
        unnamed = f"no trained model; name one with --{TRAINED} MODEL"
        why |= {name: unnamed for name, table in tables.items() if _reads_trained(table)}
    parents = {name: _parents(name, table, tables, asked) for name, table in tables.items()} if why else {}
    while found := {n: why[p] for n, of in parents.items() if n not in why for p in of if p in why}:
        why |= found
    return why


def _reads_trained(table: dict[str, Any]) -> bool:
    return any(f"{{{TRAINED}}}" in step for step in table.get("steps", ()))


def _fill(step: str, asked: Asked, config: Config, *, is_check: bool) -> str:
    """A step with what stands for its splits and for the trained model; in a check of the recipe the untrained one."""
    model = shlex.quote(asked.trained or config.model.name)
    return held_out.fill(step.replace(f"{{{TRAINED}}}", model), config, is_check=is_check)


def seed_numbers(text: str) -> list[int]:
    """[1, 2, 3] of '1,2,3'. Raises ConfigError."""
    words = [w.strip() for w in text.split(",")]
    if not all(w.isdecimal() and len(w) < 11 for w in words) or len(set(map(int, words))) != len(words):
        raise ConfigError(f"--seeds {text}: expected whole numbers, each once, such as 1,2,3")
    return [int(w) for w in words]


def _arms(asked: Asked) -> dict[str, dict[str, Any]]:
    """Tables of the arms by name; one without a name for what is no group: a training, or the recipe's own command."""
    if asked.recipe and ":" not in asked.recipe:
        if tables := recipes_index.arms(asked.recipe):
            return tables
        if (command := recipes_index.command(asked.recipe, asked.read)).name != "train":
            return {"": {"steps": [shlex.join(command.without("--recipe").words)]}}
    return {"": {}}


def _chosen(meta: dict[str, Any], key: str, tiny: bool) -> list[Any]:
    """What --tiny takes of the arms or seeds; empty: all."""
    return list(meta.get(f"tiny_{key}", ())) if tiny else []


def _parents(name: str, table: dict[str, Any], tables: dict[str, Any], asked: Asked) -> tuple[str, ...]:
    """Arms that must have finished before this one, those in braces too."""
    after = table.get("after", [])
    named = [after] if isinstance(after, str) else list(after)
    braces = [b for step in table.get("steps", ()) for b in BRACES.findall(step)]
    braces = [b if b in tables else code_sizes.arm_of(b) for b in braces]
    for parent in (*named, *(b for b in braces if b not in ("run", "seed", TRAINED, *held_out.NAMES, *PATTERNS))):
        if parent not in tables:
            raise ConfigError(
                f"{asked.recipe} [{name}]: no arm named '{parent}'", hint=plugins.nearest(parent, list(tables))
            )
    return tuple(dict.fromkeys((*named, *(b for b in braces if b in tables))))


def _with_parents(names: Sequence[str], parents: dict[str, tuple[str, ...]]) -> set[str]:
    """The arms and all that they wait for."""
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += parents[name]
    return wanted


def _paired(chains: dict[int | None, Chain], seed: int | None, where: str) -> Chain:
    """The chain of the same seed, or the only one."""
    if seed in chains:
        return chains[seed]
    if len(chains) == 1:
        return next(iter(chains.values()))
    raise ConfigError(f"{where}: has the seeds {', '.join(map(str, chains))}, and not {seed}")


def _given_steps(
    name: str, table: dict[str, Any], seed: int | None, asked: Asked, splits: Callable[[str], str]
) -> list[CommandLine]:
    """The lines that an arm lists, with its seed and the splits held out in them."""
    lines = []
    for step in table["steps"]:
        filled = splits(step if seed is None else step.replace("{seed}", str(seed)))
        try:
            line = asked.read(shlex.split(filled))
        except (ConfigError, ValueError) as e:
            raise ConfigError(f"{asked.recipe} [{name}]: {step}: {e}") from None
        if line.has(Role.START) or line.has("--help"):
            raise ConfigError(f"{asked.recipe} [{name}]: {step}: how a step runs is said for the group, on its line")
        lines.append(line)
    return lines


def _training(name: str, evals: Sequence[tuple[str, ...]], asked: Asked, arm: Config) -> list[CommandLine]:
    """The lines of an arm that has only settings: a training and its evaluations.

    A method file says by `MAKES_CODES = True` that a bundle is what it makes: that is searched, not its encoder's
    vectors, and holds the documents of the training collection alone.
    """
    makes_codes = plugins.literal("methods", arm.train.method, "MAKES_CODES")
    if makes_codes and (others := [where for where in evals if where[1] != arm.data.source]):
        raise ConfigError(
            f"{asked.recipe} [meta]: evaluate: {others[0][1]}: {arm.train.method} codes {arm.data.source} alone",
            hint="Name splits of that one",
        )
    option = "--index" if makes_codes else "--model"
    recipe = ("--recipe", f"{asked.recipe}:{name}" if name else asked.recipe) if asked.recipe else ()
    train = asked.read(("train", *recipe, *(("--tiny",) if asked.tiny else ())))
    return [train, *(asked.read(("eval", option, RUN, *where)) for where in evals)]


def _completed(line: CommandLine, arm: str, seed: int | None, asked: Asked, settings: Config) -> CommandLine:
    """A step with what it gets from the group: its settings and [tiny], options of the command line, device, seed.

    A step that only measures gets of the settings the collection alone, and no seed: it names what it measures.
    """
    measures = line.command[0] in MEASURING
    if asked.recipe and "--recipe" in line.takes and not measures:
        if not line.has("--recipe"):
            line = line.with_option("--recipe", f"{asked.recipe}:{arm}" if arm else asked.recipe)
        if asked.tiny and recipes_index.has_tiny(line.values("--recipe")[0]):
            line = line.with_option("--tiny")
    given = asked.forwarded
    for option in given.options:
        is_for_it = option.role is not None or option.name in FOR_ALL or line.command == given.command
        if option.name not in line.takes or not is_for_it or (option.name in FOR_ALL and line.has(option.name)):
            continue
        if option.name == "--set":
            if not measures or (option.value or "").startswith(ALSO_MEASURING):
                line = line.with_option("--set", *line.values("--set"), option.value or "")
        elif not measures or option.name in ("--data", "--profile"):
            line = line.with_option(option.name, *(() if option.value is None else (option.value,)))
    if (
        measures
        and settings.origin("data.source").kind is Kind.RECIPE
        and "--data" in line.takes
        and not line.has("--data")
    ):
        line = line.with_option("--data", settings.data.source)
    if asked.devices and "--set" in line.takes and not measures:
        line = line.with_option("--set", *line.values("--set"), "hardware.devices=1")
    if seed is not None and "--seed" in line.takes and not measures and not line.has("--seed"):
        line = line.with_option("--seed", str(seed))
    return line


def _check_runs(chain: Chain, asked: Asked) -> None:
    """ConfigError where {run} or {ARM} would stand for nothing."""
    for at, words in enumerate(chain.lines):
        for brace in {b for word in words for b in BRACES.findall(word)}:
            size_of = code_sizes.arm_of(brace)
            if size_of in chain.after and brace not in chain.after and chain.after[size_of].lines[0][0] != "encode":
                where = f"{asked.recipe} [{chain.name}]: {' '.join(words)}"
                raise ConfigError(f"{where}: {{{brace}}}: expected an arm that begins with `encode`, found {size_of}")
            before = chain.lines[:at] if brace == "run" else chain.after[brace].lines if brace in chain.after else None
            if before is not None and not any(w[0] not in MEASURING for w in before):
                where = f"{asked.recipe} [{chain.name}]: {' '.join(words)}"
                raise ConfigError(f"{where}: no step before it makes what {{{brace}}} could stand for")


def _refuse_unused(asked: Asked, lines: Sequence[CommandLine]) -> None:
    """ConfigError for an option of the line's own command that reaches no step: it would change nothing."""
    for option in (o for o in asked.forwarded.options if o.role is None):
        reached = [x for x in lines if x.command == asked.line.command or option.name in FOR_ALL]
        if not any(option.name in line.takes for line in reached):
            raise ConfigError(f"{option.name}: no step of {asked.recipe} takes it", hint="Drop it, or see --dry-run")


def _untouched(arm: Config, evals: Sequence[tuple[str, ...]], asked: Asked) -> tuple[CommandLine, ...]:
    """Evaluations of the model that an arm starts from, used as those trained from it are."""
    chosen = (k for k in arm.flat() if k.startswith("encoder.") and k in arm.origins)
    lengths = (word for k in chosen for word in ("--set", f"{k}={in_words(arm.flat()[k])}"))
    start = ("eval", "--model", arm.model.name, *lengths)
    return tuple(_completed(asked.read((*start, *where)), "", None, asked, arm) for where in evals)


def _unused_label(arm: Config, others: int) -> str:
    return f"untouched-{arm.model.name.rstrip('/').rpartition('/')[2]}" + (f"-{others + 1}" if others else "")


def in_words(value: Any) -> str:
    """A setting as it is typed."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _evaluations(config: Config, asked: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Words of `irctl eval` for each data set; dev and test of the training collection if none is named."""
    source = config.data.source
    if asked is None:
        from irctl.data.collections.training_source import JudgedSplit, open_training_source

        trained_on = open_training_source(config)
        splits = trained_on.collection.splits() if isinstance(trained_on, JudgedSplit) else ()
        asked = [s for s in ("dev", "test") if s in splits]
    splits_of: dict[str, list[str]] = {}
    for entry in asked:
        data, _, split = entry.rpartition(" ")
        splits_of.setdefault(data or source, []).append(split)
    return [("--data", data, "--split", ",".join(splits)) for data, splits in splits_of.items()]
