"""Options that every command has, and what they do."""

from __future__ import annotations

import pytest
from test_help_examples import NETWORK, PAGES
from workspace import Workspace

EVERYWHERE = ("--json", "--quiet", "--verbose", "--no-color", "--debug")
WORKING = ("--dry-run", "--seed", "--profile", "--recipe", "--tiny", "--config", "--set", "--runner", "--devices")
WORKING += ("--resume", "--hash", "--show")
WORKERS = ("train", "encode", "compress", "search", "eval", "hardneg", "export")


@pytest.mark.parametrize("page", (*PAGES, *NETWORK))
def test_every_command_has_the_common_options(page: str, place: Workspace) -> None:
    text = place.ok(f"{page} --help").out
    wanted = EVERYWHERE + (WORKING if page in WORKERS else ())
    assert [w for w in wanted if w not in text] == []


def test_quiet_leaves_results_and_errors_only(place: Workspace) -> None:
    assert place.run("eval nowhere.trec").code == 3
    loud, quiet = (place.ok(f"runs diff latest latest {word}") for word in ("", "--quiet"))
    assert "is failed" in loud.err and quiet.err == ""
    assert quiet.out == loud.out
    assert place.run("profiles show v100 --quiet").err.startswith("error: no profile named")


def test_verbose_says_where_runs_ledger_and_cache_are(place: Workspace) -> None:
    assert f"ledger {place.folder}/runs/ledger.db" in place.ok("runs ls --verbose").err
    assert place.ok("runs ls").err == ""


def test_no_color_reaches_tables(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich import console

    asked: list[bool] = []
    real = console.Console
    monkeypatch.setattr(console, "Console", lambda **given: asked.append(given["no_color"]) or real(**given))
    monkeypatch.delenv("NO_COLOR", raising=False)
    for line in ("recipes ls --no-color", "recipes ls"):
        place.ok(line)
    assert asked == [True, False]


@pytest.mark.parametrize(
    "line",
    [
        "report -o ''",
        "report --columns ''",
        "report --run ''",
        "runs ls --where=",
        "eval --resume ''",
        "search --set ''",
    ],
)
def test_an_option_without_its_text_is_refused(line: str, place: Workspace) -> None:
    """`--dataset "$D"` where nobody set D gave the report of all."""
    done = place.run(line)
    assert done.code == 2 and "expected a value, found an empty text" in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --model ''", "--model: expected a folder, a run or a hub id, found an empty text. Drop it"),
        ("eval --model=", "--model: expected a folder, a run or a hub id, found an empty text. Drop it"),
        ("encode --data '' --dry-run", "--data: expected a name or a folder, found an empty text. Drop it"),
        ("compress --data ''", "found an empty text. Drop it; --set compress.source= empties"),
        (
            "eval --split ''",
            "--split: expected the name of a split, found an empty text. Drop it; --set data.split= empties",
        ),
        ("train --method ''", "--method: expected a value, found an empty text. Drop it"),
        ("data check ''", "PATH: expected a value, found an empty text"),
        ("export ''", "SOURCE: expected a value, found an empty text"),
    ],
)
def test_an_empty_text_is_neither_the_current_folder_nor_a_default(line: str, said: str, place: Workspace) -> None:
    done = place.run(line)
    assert done.code == 2 and said in done.err, done.err


def test_a_setting_may_be_empty_which_undoes_a_recipes(place: Workspace) -> None:
    assert "data.negatives = ''" in place.ok("train --set data.negatives= --dry-run").out
