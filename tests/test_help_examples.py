"""Every example in every --help runs as it is typed, on the built-in collection, with a tiny default encoder."""

from __future__ import annotations

import itertools
import re

import pytest
from workspace import Workspace

from irctl.origins import derived

# In the order in which a reader could type them: later pages speak of runs that earlier ones made.
PAGES = (
    "data ls|data check|data convert|encode|train|compress|hardneg|search|eval|export|report|"
    "runs ls|runs show|runs diff|runs sql|runs reindex|runs reap|runs tag|runs note|runs export|runs import|"
    "runs reproduce|runs gc|recipes ls|recipes show|recipes cp|recipes run|recipes check|recipes reproduce|"
    "profiles ls|profiles show|doctor|demo|settings|help"
).split("|")
NETWORK = ("data fetch",)
GROUPS = ("data", "runs", "recipes", "profiles")
MOST_COLUMNS = 78
"""Of an example: a terminal has 80, and breaks what is longer so that it is pasted in two."""


def examples(help_text: str) -> list[str]:
    """The command lines under `Examples:`, continued ones as a shell reads them."""
    block = re.sub(r"\\\n\s*", "", help_text.split("Examples:", 1)[1])  # the last block of every page
    return [line.strip() for line in block.splitlines() if line.strip().startswith("irctl ")]


@pytest.fixture
def short(in_process: None, shares_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings end after a few steps, and nothing starts a process."""
    from irctl.training.loop import session

    train = session.run
    steps = {"train.max_steps": 3}
    monkeypatch.setattr(session, "run", lambda config, *more: train(config.replace(steps, derived("test")), *more))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page: str, place: Workspace, short: None) -> None:
    lines = examples(place.ok(f"irctl {page} --help").out)
    assert lines, f"irctl {page} --help has no examples"
    for line in lines:
        place.ok(line)


@pytest.mark.parametrize("group", GROUPS)
def test_the_page_of_a_group_has_the_first_example_of_each_of_its_commands(group: str, place: Workspace) -> None:
    pages = [page for page in (*PAGES, *NETWORK) if page.startswith(f"{group} ")]
    firsts = [examples(place.ok(f"irctl {page} --help").out)[0] for page in pages]
    assert sorted(examples(place.ok(f"irctl {group} --help").out)) == sorted(firsts)


@pytest.mark.parametrize("page", (*PAGES, *NETWORK, *GROUPS))
def test_the_examples_of_a_page_can_be_copied_from_a_terminal_of_80_columns(
    page: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = place.ok(f"irctl {page} --help").out
    monkeypatch.setenv("COLUMNS", "1000")
    assert examples(text) == examples(place.ok(f"irctl {page} --help").out)
    lines = text.split("Examples:", 1)[1].splitlines()
    assert all(len(line) <= MOST_COLUMNS for line in lines)
    for before, line in itertools.pairwise(lines):
        assert not line.strip() or line.strip().startswith("irctl ") or before.endswith(" \\"), line


@pytest.mark.parametrize("page", NETWORK)
def test_an_example_that_needs_the_network_says_so_in_one_line(page: str, place: Workspace) -> None:
    for line in examples(place.ok(f"irctl {page} --help").out):
        done = place.run(line)
        is_here = done.code == 0 and "already at" in done.err
        assert is_here or (done.code in (3, 4) and re.fullmatch(r"error: [^\n]+\n", done.err)), done.err


def test_every_command_is_on_a_page() -> None:
    from irctl.cli import app

    single = {c.name for c in app.registered_commands}
    grouped = {
        f"{g.name} {c.name or c.callback.__name__}"
        for g in app.registered_groups
        for c in g.typer_instance.registered_commands
    }
    assert single | grouped == {*PAGES, *NETWORK}
