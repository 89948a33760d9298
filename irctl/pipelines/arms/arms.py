"""A group recipe, or one training over several seeds: arms x seeds as plain irctl command lines, then one table.

Each line runs as a process of its own, one at a time or one a device. The same command continues: what is finished is
skipped, what failed is tried again. Every run carries the group's id, so `irctl report --run GROUP` finds them all.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl import config as schema
from irctl import paths, recipes_index
from irctl.errors import ConfigError, PartlyDone, RunFailed
from irctl.files import write_atomic
from irctl.ledger.recording import GROUP
from irctl.origins import COMMAND_LINE
from irctl.pipelines.arms.chains import RUN, Chain, Memory, Pool
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle

# Options of the group's command line that its trainings do not get as they stand; True: with a value.
OWN = {
    "--recipe": True, "--seeds": True, "--seed": True, "--devices": True, "--runner": True, "--resume": True,
    "--tiny": False, "--dry-run": False, "--json": False, "--quiet": False, "-q": False, "--verbose": False,
    "-v": False, "--no-color": False, "--debug": False,
}  # fmt: skip
ALSO_EVAL = ("eval.", "search.", "hardware.", "data.root")
"""Settings of --set that evaluations get too."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asked for. argv: the whole command line. seeds: '1,2,3' or empty. devices: one run on each."""

    recipe: str = ""
    tiny: bool = False
    seeds: str = ""
    devices: Sequence[int] = ()
    argv: Sequence[str] = ()


def is_group(recipe: str, seeds: str = "") -> bool:
    """Whether `irctl train` has more than one run to start."""
    if seeds:
        return True
    return bool(recipe) and ":" not in recipe and "arms" in recipes_index.read(recipe)


def train(config: Config, run: RunHandle, reporter: Reporter, asked: Asked) -> dict[str, Any]:
    """Run the group and report it. Payload: group, runs (arm, seed, train, evals, error), tables; markdown lines.

    Raises PartlyDone if a run failed and others did not, RunFailed if all did; the table of the rest is printed first.
    """
    chains = plan(config, asked)
    environment = {GROUP: run.id}
    slots = [environment | _device(config, number) for number in asked.devices] or [environment]
    pool = Pool(Memory(run.out / "done.jsonl", paths.runs()), run.out / "logs", slots)
    pool.run(chains, reporter)
    lines = _report(run, chains, asked)
    failed = [c for c in chains if c.error]
    if failed:
        for line in lines:
            reporter.say(line)
        first = f"{failed[0].name}: {failed[0].error}"
        kind = RunFailed if len(failed) == len(chains) else PartlyDone
        raise kind(f"{len(failed)} of {len(chains)} runs failed, such as {first}", hint="The same command tries again")
    runs = [{"name": c.name, "train": c.runs[0], "evals": c.runs[1:]} for c in chains if c.lines[0][0] == "train"]
    return {"group": run.id, "runs": runs, "report": str(run.out / "report.md"), "lines": lines}


def describe(config: Config, asked: Asked) -> dict[str, Any]:
    """What --dry-run prints: every command line, in order; {run} is the id that the training before it prints."""
    chains = plan(config, asked)
    together = f"{len(asked.devices)} at a time, one a device" if asked.devices else "one after another"
    lines = [f"irctl {shlex.join(words)}".replace(f"'{RUN}'", RUN) for c in chains for words in c.lines]
    return {"command lines": f"{len(lines)}, {together}", "lines": lines}


def plan(config: Config, asked: Asked) -> list[Chain]:
    """The untouched models first, then every arm with every seed: a training and its evaluations."""
    meta = _meta(asked)
    names = _arms(asked, meta)
    seeds = seed_numbers(asked.seeds) if asked.seeds else _listed(meta, "seeds", asked.tiny) or [config.run.seed]
    extra, profile = forwarded(asked.argv)
    chains: list[Chain] = []
    untouched: dict[tuple[tuple[str, ...], ...], Chain] = {}
    for name in names:
        arm = _settings(config, asked, name)
        wanted = _evaluations(arm, meta.get("evaluate"))
        shared = (*profile, *_sets(asked.argv, ALSO_EVAL))
        start = ("--model", arm.model.name, *_lengths(arm))
        if wanted:
            label = f"untouched-{arm.model.name.rstrip('/').rpartition('/')[2]}"
            label += f"-{len(untouched) + 1}" if untouched else ""
            lines = tuple(("eval", *start, *where, *shared) for where in wanted)
            untouched.setdefault(lines, Chain(label, lines))
        recipe = ("--recipe", f"{asked.recipe}:{name}" if name else asked.recipe) if asked.recipe else ()
        words = ("train", *recipe, *(("--tiny",) if asked.tiny else ()), *extra)
        words += ("--set", "hardware.devices=1") if asked.devices else ()
        for seed in seeds:
            after = tuple(("eval", "--model", RUN, *where, *shared) for where in wanted)
            label = f"{name or arm.loss.name.replace(':', '-')}-seed{seed}"
            chains.append(Chain(label, ((*words, "--seed", str(seed)), *after)))
    return [*untouched.values(), *chains]


def seed_numbers(text: str) -> list[int]:
    """[1, 2, 3] of '1,2,3'. Raises ConfigError."""
    words = [w.strip() for w in text.split(",")]
    if not all(w.isdecimal() and len(w) < 11 for w in words) or len(set(map(int, words))) != len(words):
        raise ConfigError(f"--seeds {text}: expected whole numbers, each once, such as 1,2,3")
    return [int(w) for w in words]


def forwarded(argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words that every training gets, `--profile NAME` or nothing) of the group's command line."""
    words = list(argv[2:])  # irctl train
    kept: list[str] = []
    profile: tuple[str, ...] = ()
    while words:
        word = words.pop(0)
        option, sign, value = word.partition("=")
        if option == "--out":
            raise ConfigError("--out: the models of a group would overwrite each other", hint="Drop it")
        if option in OWN:
            if OWN[option] and not sign and words:
                words.pop(0)
            continue
        kept.append(word)
        if option == "--profile":
            if not sign and words:
                value = words.pop(0)
                kept.append(value)
            profile = ("--profile", value)
    return tuple(kept), profile


def _sets(argv: Sequence[str], prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """`--set key=value` pairs of the command line whose keys begin so."""
    given = [w for before, w in itertools.pairwise(argv) if before == "--set"]
    given += [w.removeprefix("--set=") for w in argv if w.startswith("--set=")]
    return tuple(word for pair in given if pair.startswith(prefixes) for word in ("--set", pair))


def _lengths(arm: Config) -> tuple[str, ...]:
    """Encoder settings of an arm as --set pairs: the untouched model is used like those trained from it."""
    chosen = (k for k in arm.flat() if k.startswith("encoder.") and k in arm.origins)
    return tuple(word for k in chosen for word in ("--set", f"{k}={_word(arm.flat()[k])}"))


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _meta(asked: Asked) -> dict[str, Any]:
    """[meta] of a recipe or of the group that an arm belongs to."""
    group, colon, _ = asked.recipe.rpartition(":")
    table = recipes_index.read(group if colon else asked.recipe) if asked.recipe else {}
    return dict(table.get("meta", {}))


def _arms(asked: Asked, meta: dict[str, Any]) -> list[str]:
    """Names of the arms; one without a name for what is no group."""
    known = list(recipes_index.arms(asked.recipe)) if asked.recipe and ":" not in asked.recipe else []
    return _listed(meta, "arms", asked.tiny) or known or [""]


def _listed(meta: dict[str, Any], key: str, tiny: bool) -> list[Any]:
    return list((meta.get(f"tiny_{key}") if tiny else None) or (meta.get(key) if key == "seeds" else None) or [])


def _settings(config: Config, asked: Asked, arm: str) -> Config:
    """The group's settings with those of an arm, which options and --set of the command line outrank."""
    if not arm:
        return config
    layer = recipes_index.layer(f"{asked.recipe}:{arm}", tiny=asked.tiny)
    high = {k: (v, config.origin(k)) for k, v in config.flat().items() if config.origin(k).kind in COMMAND_LINE}
    return schema.resolve(layer, high)


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


def _device(config: Config, number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(number)} if config.hardware.device_kind == "cuda" else {}


def _report(run: RunHandle, chains: Sequence[Chain], asked: Asked) -> list[str]:
    """Tables of the group, one a data set and split, as lines of Markdown; also out/report.md."""
    evals = [run_id for c in chains for run_id in (c.runs[1:] if c.lines[0][0] == "train" else c.runs)]
    if not evals:
        return []
    from irctl.pipelines.report.report import Wanted, gather, per_query_reader, tables_of
    from irctl.reports.formats import markdown
    from irctl.reports.records import find_row

    records = gather(evals)
    baseline = str(_meta(asked).get("baseline", ""))
    text = []
    for split in dict.fromkeys(r.split for r in records):
        mine = [r for r in records if r.split == split]
        try:
            find_row(baseline, mine)
            tested = baseline
        except ConfigError:  # its own run is among the failed ones
            tested = ""
        again = f"irctl report --run {run.id} --table losses --split {split}"
        again += f" --baseline {tested}" if tested else ""
        wanted = Wanted(table="losses", baseline=tested, split=split, command=again)
        text += [markdown.render(t) for t in tables_of(mine, wanted, per_query_reader())]
    write_atomic(run.out / "report.md", "\n".join(text))
    return "\n".join(text).splitlines()
