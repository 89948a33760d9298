"""Every key of the files that a user writes x every wrong type: one line with file or key, never an internal error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import line_of

from irctl import config, profiles, recipes_index, slurm
from irctl.data.collections import cards
from irctl.errors import ConfigError, DataError
from irctl.pipelines.arms import steps

VALUES = {
    "text": '"x"',
    "empty text": '""',
    "half a line": '"a\\u0000b"',
    "whole": "3",
    "negative": "-1",
    "fraction": "1.5",
    "nan": "nan",
    "infinity": "inf",
    "400 digits": "9" * 400,
    "true": "true",
    "date": "1979-05-27",
    "list of texts": '["x"]',
    "list of numbers": "[3]",
    "empty list": "[]",
    "list of lists": '[["x"]]',
    "table": "{a = 1}",
    "empty table": "{}",
    "nested": "[" * 300 + "]" * 300,
}
TEXT = {"text", "empty text"}
LINE = TEXT | {"half a line"}  # what is shown, and no part of a name or a command
NUMBERS = {"whole", "fraction"}
TEXTS = {"list of texts", "empty list"}
WHOLES = {"list of numbers", "empty list"}
WORDS = TEXT | NUMBERS | {"negative", "true", *TEXTS, *WHOLES}  # a setting in text: a list is one with commas


def card(path: Path) -> None:
    cards.read_card(path.parent)


def profile(path: Path) -> None:
    config.resolve(profiles.layer(str(path), "dense"))


def settings(path: Path) -> None:
    config.resolve(config.from_file(path))


def site(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRCTL_SITE", str(path))
        slurm.script(["irctl", "train"], slurm.Resources(name="x"), slurm.site())


def recipe(path: Path) -> None:
    """As `recipes check` and a group's plan read it, whole and tiny."""
    for tiny in (False, *([True] if recipes_index.has_tiny(str(path)) else [])):
        config.resolve(recipes_index.layer(str(path), tiny=tiny))
        line = line_of(["train", "--recipe", str(path)])
        asked = steps.Asked(recipe=str(path), tiny=tiny, line=line, read=line_of)
        steps.plan(config.resolve(), asked, is_check=True)
    recipes_index.check(str(path))


ARMS = """
[tiny.train]
max_steps = 1
[[arms]]
name = "x"
[[arms]]
{}
"""
# file, reader, text around `key = value`, key -> kinds that are right
FORMATS: list[tuple[str, Callable[[Path], None], str, dict[str, set[str]]]] = [
    (
        "card.toml",
        card,
        "{}",
        {
            **dict.fromkeys(("name", "text", "license", "url", "md5", "source", "same_as", "note"), LINE),
            "format": set(),
            "headline": {"empty table"},
            "self_match": {"empty text"},
            "ids_shared": {"true"},
            "public": {"true"},
            **{key: {"whole"} for key in ("queries", "passages")},
            "relevant_per_query": NUMBERS,
            **dict.fromkeys(("splits", "parts", "groups"), TEXTS),
            **{key: {"empty table"} for key in ("measures", "extra_splits")},
            "files": {"empty list"},
        },
    ),
    (
        "profile.toml",
        profile,
        "{}",
        {
            "meta": {"empty table"},
            "meta.title": LINE,
            "hardware": {"empty table"},
            "micro_batch": {"empty table", "table"},  # of methods, some of which are still to come
            "micro_batch.default": {"whole"},
            "micro_batch.dense": {"whole"},
            "hardware.devices": {"whole"},
            "hardware.precision": set(),
            "hardware.memory_gib": NUMBERS,
            "hardware.capability": WORDS,
        },
    ),
    (
        "site.toml",
        site,
        "{}",
        {
            **dict.fromkeys(("partition", "account", "qos", "constraint", "venv", "scratch", "tmp"), TEXT),
            "account_required": set(),
            "modules": TEXTS,
            "price_per_hour": NUMBERS,
        },
    ),
    (
        "settings.toml",
        settings,
        "{}",
        {
            "run.seed": {"whole"},
            "model.name": WORDS,
            "data.split": WORDS,
            "data.fix_encoding": {"true"},
            "train.lr": {"whole", "fraction"},
            "train.epochs": {"whole", "fraction"},
            "train.method": set(),
            "loss.name": set(),
            "batch.global": {"whole"},
            "loss.lambdaloss.k": {"whole"},
            "run": {"empty table"},
            "prompts": {"empty table"},
            "loss.lambdaloss": {"empty table"},
            "zzz": set(),
        },
    ),
    (
        "recipe.toml",
        recipe,
        "[meta]\n{}" + ARMS.format('name = "a"'),
        {
            **dict.fromkeys(("title", "source", "command", "time", "baseline"), LINE),
            **dict.fromkeys(("evaluate", "report", "tiny_arms"), TEXTS),
            **dict.fromkeys(("seeds", "tiny_seeds"), WHOLES),
            "expected": {"empty table"},
            "expected.order": LINE,
        },
    ),
    (
        "recipe.toml",
        recipe,
        ARMS.replace("{}", 'name = "a"\n{}'),
        {
            "steps": set(),
            "after": {"text", *TEXTS},
            "seeds": WHOLES,
            "recipe": set(),
            "loss": {"empty table"},
            "loss.name": set(),
        },
    ),
    ("recipe.toml", recipe, ARMS, {"name": set()}),
    ("recipe.toml", recipe, "{}", {"meta": {"empty table", "table"}, "tiny": {"empty table"}, "arms": {"empty list"}}),
]
CASES = [
    pytest.param(file, read, around, key, kind, kind in right, id=f"{file} {key} {kind}")
    for file, read, around, keys in FORMATS
    for key, right in keys.items()
    for kind in VALUES
]


@pytest.mark.parametrize(("file", "read", "around", "key", "kind", "is_right"), CASES)
def test_a_value_of_a_wrong_type_is_one_line_that_names_its_key(
    file: str,
    read: Callable[[Path], None],
    around: str,
    key: str,
    kind: str,
    is_right: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / file
    path.write_text(around.replace("{}", f"{key} = {VALUES[kind]}"))
    if is_right:
        return read(path)
    with pytest.raises((ConfigError, DataError)) as raised:
        read(path)
    said = str(raised.value)
    assert len(said.replace(str(tmp_path), "")) < 400, said
    assert file.partition(".")[0] in said or any(part in said for part in key.split(".")), said
