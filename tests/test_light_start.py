"""`irctl --help` stays light: no heavy module, in a fresh interpreter; every file keeps its size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "transformers",
    "faiss",
    "datasets",
    "deepspeed",
    "matplotlib",
    "sentence_transformers",
}
ROOT = Path(__file__).parent.parent
COMMANDS = "demo data hardneg train encode compress search eval report export runs recipes profiles doctor".split()


@pytest.mark.parametrize("words", [[], *([c] for c in COMMANDS)], ids=["root", *COMMANDS])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom irctl.cli import app\n"
        f"try: app({[*words, '--help']!r})\nexcept SystemExit as e: assert not e.code, e.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_no_file_is_longer_than_400_lines() -> None:
    assert {p.name: n for p in (ROOT / "irctl").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400} == {}


def test_every_file_says_on_its_first_line_what_it_is_for() -> None:
    files = [p for p in (ROOT / "irctl").rglob("*.py") if p.name != "__init__.py"]
    assert [p.name for p in files if not p.read_text().removeprefix("r").startswith('"""')] == []


def test_package_init_files_are_empty() -> None:
    assert [str(p) for p in (ROOT / "irctl").rglob("__init__.py") if p.read_text().strip()] == []
