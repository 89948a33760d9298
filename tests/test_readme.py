"""README stays true: its commands and options exist, its tree names every package, its table every command."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from irctl import config, plugins, recipes_index

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LINES = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    for line in block.splitlines()
    if line.startswith("irctl ")
]


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_a_command_in_the_readme_is_one_the_program_knows(line: str) -> None:
    from workspace import Workspace

    words = shlex.split(line)[1:]
    group = words[0] if words[0] in ("data", "runs", "recipes", "profiles") else ""
    page = f"{group} {words[1]}" if group else words[0]
    help_text = Workspace(ROOT).ok(f"{page} --help").out
    missing = [w for w in words if w.startswith("-") and not re.search(rf"(^|[\s,]){re.escape(w)}\b", help_text)]
    assert not missing, f"{line}: {missing}"


def test_the_table_of_commands_is_complete() -> None:
    from irctl.cli import app

    names = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    rows = " ".join(re.findall(r"^\| (`irctl[^|]*(?:\\\|[^|]*)*)\|", README, flags=re.M))
    assert {n for n in names if not re.search(rf"irctl {n}\b", rows)} == set()


def test_the_tree_names_every_package() -> None:
    tree = README.split("## Layout")[1]
    packages = [p.parent for p in (ROOT / "irctl").rglob("__init__.py") if p.parent != ROOT / "irctl"]
    assert [p for p in packages if f"{p.name}/" not in tree] == []


def test_no_folder_has_more_files_than_one_sees_at_a_glance() -> None:
    """Folders in which a file is a plug-in are free."""
    free = ("losses", "quantizers", "regularizers", "methods", "recipes")
    folders = {p.parent for p in (ROOT / "irctl").rglob("*.py") if p.parent.name not in free}
    assert [f for f in folders if len([p for p in f.glob("*.py") if p.name != "__init__.py"]) > 20] == []


def test_both_commands_install_the_tested_versions_and_the_checks_run_them_word_for_word() -> None:
    checks = (ROOT / ".ci" / "run").read_text()
    for name in ("demo", "test"):
        command = README.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
        assert "pip install -q -c .ci/constraints.txt -e" in command and f"command_of {name}" in checks
    pinned = (ROOT / ".ci" / "constraints.txt").read_text()
    assert re.search(r"^torch==[\d.]+$", pinned, flags=re.M), "a build such as +cpu is the machine's"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {canonicalize_name(Requirement(text).name) for text in wanted}
    assert names - {canonicalize_name(line.partition("==")[0]) for line in pinned.splitlines()} == set()


def test_every_setting_in_which_the_method_differs_from_the_recipe_of_the_source_is_named() -> None:
    own = config.resolve(config.from_sets(["train.method=sycl", "loss.name=ws2"])).flat()
    recipe = config.resolve(recipes_index.layer("sycl-synth-multilevel")).flat()
    said = README.split("`--method sycl --loss ws2` without the recipe")[1].split("##")[0]
    apart = {k for k in own if own[k] != recipe[k]} - {"data.source", *(k for k in own if k.startswith("hardware."))}
    assert {name for name in re.findall(r"`([a-z_.]+)`", said) if "." in name} == apart
    for key in apart:
        theirs = f"{recipe[key]:g}" if isinstance(recipe[key], float) else str(recipe[key])
        mine = f"{own[key]:g}" if isinstance(own[key], float) else str(own[key])
        if mine not in ("", "0"):  # else said in words
            assert f"`{key}` {mine} ({theirs})" in " ".join(said.split()), key


def test_no_class_name_names_two_things() -> None:
    """But the contracts of plug-ins, one a file."""
    contracts = {"Config", "Method", "Quantizer"}
    names = [n for p in (ROOT / "irctl").rglob("*.py") for n in re.findall(r"^class (\w+)", p.read_text(), flags=re.M)]
    assert {n for n in names if names.count(n) > 1} <= contracts


def test_the_tree_names_every_method() -> None:
    line = next(line for line in README.splitlines() if line.startswith("  methods/"))
    assert set(plugins.names("methods")) == set(line.rpartition(": ")[2].split(", "))
