"""What a run ran from: the commit of irctl itself, and whether irctl was changed since."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from irctl import paths
from irctl.ledger.files import surroundings


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *words], check=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit, from whose irctl/ this irctl seems to run."""
    (tmp_path / "irctl" / "losses").mkdir(parents=True)
    for name in ("notes.md", "irctl/__init__.py", "irctl/losses/ws2.py"):
        (tmp_path / name).write_text("first\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "irctl")
    return tmp_path


def test_irctl_is_known_by_the_commit_it_runs_from() -> None:
    version = surroundings.packages()["irctl"]
    commit = surroundings.git(paths.PACKAGE).get("git_commit", "")
    assert (f"+g{commit[:12]}" in version) == bool(commit)


def test_a_change_in_any_folder_of_irctl_is_said_and_one_outside_is_not(checkout: Path) -> None:
    assert not surroundings.packages()["irctl"].endswith(".changed")
    (checkout / "notes.md").write_text("second\n")
    assert not surroundings.packages()["irctl"].endswith(".changed")
    (checkout / "irctl" / "losses" / "ws2.py").write_text("second\n")
    assert surroundings.packages()["irctl"].endswith(".changed")


def test_an_irctl_installed_inside_another_checkout_does_not_take_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "irctl"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(paths, "PACKAGE", installed)
    assert "+g" not in surroundings.packages()["irctl"]
