"""The last line of train, encode, compress and eval is a command that works as it is printed."""

from __future__ import annotations

import pytest
from workspace import Workspace


def named(place: Workspace, line: str) -> str:
    """What the last line of a command names."""
    last = place.ok(line).out.splitlines()[-1]
    assert last.startswith("next: irctl "), last
    return last.removeprefix("next: ")


def test_each_command_names_the_next_which_works(place: Workspace) -> None:
    line = named(place, "encode")
    assert line.startswith("irctl compress --data 2")
    line = named(place, f"{line} --method sq")
    assert line.startswith("irctl eval --index 2")
    line = named(place, line)
    assert line == "irctl report"
    place.ok(line)


def test_of_two_methods_the_first_is_named(place: Workspace) -> None:
    line = named(place, "compress --method sq,rabitq")
    assert line.endswith(":sq")
    place.ok(f"{line} --dry-run")


def test_vectors_without_queries_are_exported(place: Workspace) -> None:
    line = named(place, "compress --data synthetic:600,16,0.5 --method sq")
    assert line.startswith("irctl export 2")
    place.ok(line)


def test_a_training_names_its_evaluation(place: Workspace, in_process: None) -> None:
    line = named(place, "train --loss infonce --max-steps 1 --set eval.during=off")
    assert line.startswith("irctl eval --model 2")
    place.ok(f"{line} --dry-run")


@pytest.mark.parametrize("flag", ("--json", "--quiet"))
def test_nothing_is_named_to_programs(place: Workspace, flag: str) -> None:
    assert "next:" not in place.ok(f"encode {flag}").out
    assert "next:" not in place.ok("encode --side query --split dev").out
