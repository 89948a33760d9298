"""`irctl --help` stays light: no heavy module, in a fresh interpreter; every file keeps its size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
COMMANDS += ["settings", "help"]


def test_no_help_page_imports_anything_heavy() -> None:
    """One interpreter for all pages: the first that imports too much is named."""
    code = (
        "import sys\nfrom irctl.cli import app\n"
        f"for words in {[[], *([c] for c in COMMANDS)]!r}:\n"
        "    try: app([*words, '--help'])\n    except SystemExit as e: assert not e.code, (words, e.code)\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n    assert not heavy, (words, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == 1 + len(COMMANDS)


def test_no_file_is_longer_than_400_lines() -> None:
    assert {p.name: n for p in (ROOT / "irctl").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400} == {}


def test_every_file_says_on_its_first_line_what_it_is_for() -> None:
    files = [p for p in (ROOT / "irctl").rglob("*.py") if p.name != "__init__.py"]
    assert [p.name for p in files if not p.read_text().removeprefix("r").startswith('"""')] == []


def test_package_init_files_are_empty() -> None:
    assert [str(p) for p in (ROOT / "irctl").rglob("__init__.py") if p.read_text().strip()] == []
