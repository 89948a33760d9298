"""What a run ran from: the commit of irctl itself, and whether irctl was changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from irctl import paths
from irctl.ledger.files import surroundings


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *words], check=True)


def now() -> str:
    """The version as a new process would find it."""
    surroundings.own_commit.cache_clear()
    return surroundings.versions()["irctl_version"]


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    yield
    surroundings.own_commit.cache_clear()


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
    assert not now().endswith(".changed")
    (checkout / "notes.md").write_text("second\n")
    assert not now().endswith(".changed")
    (checkout / "irctl" / "losses" / "ws2.py").write_text("second\n")
    assert now().endswith(".changed") and surroundings.packages()["irctl"] == now()


def test_a_worktree_has_the_commit_of_its_own(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(checkout, "worktree", "add", "-q", "-b", "other", str(checkout / "elsewhere"))
    (checkout / "elsewhere" / "irctl" / "__init__.py").write_text("second\n")
    git(checkout / "elsewhere", "commit", "-qam", "second")
    monkeypatch.setattr(paths, "PACKAGE", checkout / "elsewhere" / "irctl")
    assert (checkout / "elsewhere" / ".git").is_file()
    commit = surroundings.git(checkout / "elsewhere")["git_commit"]
    assert now().endswith(f"+g{commit[:12]}") and commit != surroundings.git(checkout)["git_commit"]


def test_an_irctl_that_pip_installed_from_git_has_the_commit_that_pip_wrote_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PACKAGE", tmp_path)
    written = SimpleNamespace(
        version="1", read_text=lambda name: '{"vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}'
    )
    monkeypatch.setattr(surroundings.metadata, "distribution", lambda name: written)
    assert now().endswith("+g0123456789ab")


def test_an_irctl_installed_inside_another_checkout_does_not_take_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "irctl"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(paths, "PACKAGE", installed)
    assert "+g" not in now()
