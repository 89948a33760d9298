"""Help pages: options under headings, each with its default; summaries whole; `irctl help` prints the same page."""

from __future__ import annotations

import re

import pytest
from test_help_examples import NETWORK, PAGES
from workspace import Workspace, command

from irctl import config, plugins
from irctl.commands.frame import pages

ALONE = ("Arguments", "Options")


def parts(page: str) -> dict[str, str]:
    """heading -> its text, one space for all white space, of the options of a page."""
    body = page.partition("\n  Examples:")[0]
    found = re.split(r"^(\w+):\n", body, flags=re.MULTILINE)[1:]
    return {heading: " ".join(text.split()) for heading, text in zip(found[::2], found[1::2], strict=True)}


def test_the_options_of_a_training_are_in_groups(place: Workspace) -> None:
    groups = parts(place.ok("train --help").out)
    assert list(groups) == list(pages.HEADINGS)
    where = {"What": "--method", "Data": "--negatives", "Model": "--init", "Training": "--max-steps", "Run": "--set"}
    assert all(f"{option} <" in groups[heading] for heading, option in where.items())
    assert "--json" in groups["Run"] and "--help" in groups["Run"]


@pytest.mark.parametrize("page", (*PAGES, *NETWORK))
def test_every_option_with_a_value_says_its_default(page: str, place: Workspace) -> None:
    text = place.ok(f"{page} --help").out
    assert set(parts(text)) <= {*pages.HEADINGS, *ALONE}
    options = [" ".join(o.split()) for o in re.split(r"^  (?=-)", text.partition("Examples:")[0], flags=re.MULTILINE)]
    valued = [o for o in options if re.match(r"-[\w, -]+ <", o)]
    assert [o for o in valued if "default: " not in o] == []


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("train", "[default: 2e-05; 0 or more]"),
        ("train", "[default: 0, by epochs; 0 or more]"),
        ("train", "[default: mined by BM25 once]"),
        ("train", f"[default: infonce; one of {', '.join(plugins.names('losses'))}]"),
        ("train", "[default: cpu; one of a100x8, cpu, t4, v100x8]"),
        ("search", "[default: 1000; 1 or more]"),
        ("eval", "[default: error; one of error, max, last]"),
        ("hardneg", "[default: 42; 0 to 4294967295]"),
    ],
)
def test_defaults_and_legal_values_are_those_of_the_settings(page: str, told: str, place: Workspace) -> None:
    assert told in " ".join(parts(place.ok(f"{page} --help").out).values())


def test_every_option_that_names_a_setting_names_one_that_is_there() -> None:
    program = command()
    for name in PAGES:
        one = program
        for word in name.split():
            one = one.commands[word]
        assert all(config.schema(key) for key in pages._settings_of(one.callback).values())


def test_summaries_are_whole_and_lines_are_short(place: Workspace) -> None:
    for words in ("", "runs", "data", "recipes", "profiles"):
        page = place.ok(f"{words} --help").out
        assert "..." not in page.partition("Commands:")[2]
        assert max(map(len, page.splitlines())) <= pages.WIDTH


@pytest.mark.parametrize("words", ["", "train", "runs", "runs show"])
def test_help_prints_what_the_option_prints(words: str, place: Workspace) -> None:
    page = place.ok(f"{words} --help").out
    assert place.ok(f"help {words}").out == page
    assert place.ok(f"help {words} --json").json == {
        "schema": "irctl/help/1",
        "command": words,
        "text": page.rstrip("\n"),
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "error: irctl trian: no such command. Did you mean 'train'?"),
        ("runs shw", "error: irctl runs shw: no such command. Did you mean 'show'?"),
        ("train now", "error: irctl train now: no such command. irctl help train"),
    ],
)
def test_help_of_no_command_names_the_nearest(words: str, said: str, place: Workspace) -> None:
    done = place.run(f"help {words}")
    assert (done.code, done.err.strip()) == (2, said)
