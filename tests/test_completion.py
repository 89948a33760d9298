"""Shell completion: names come from file names and run folders, and nothing heavy is imported for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_light_start import HEAVY

from irctl import paths


def completed(line: str) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    code = (
        "import sys\nfrom irctl.cli import app\n"
        "try: app(prog_name='irctl')\nfinally:\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n    assert not heavy, heavy"
    )
    asked = {"_IRCTL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert "AssertionError" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("irctl dem", ["demo"]),
        ("irctl train --los", ["--loss"]),
        ("irctl train --loss ws", ["ws2", "ws2_paired"]),
        ("irctl train --profile v", ["v100x8"]),
        ("irctl train --recipe cranfield-w", ["cranfield-ws2"]),
        ("irctl compress --method rab", ["rabitq"]),
        ("irctl profiles show t", ["t4"]),
        ("irctl recipes show cranfield-i", ["cranfield-infonce"]),
    ],
)
def test_names_complete(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_runs_complete_newest_first() -> None:
    for name in ("20260101-000000000-aaaa", "20260202-000000000-bbbb", "2026-no-run"):
        (paths.runs() / name).mkdir(parents=True)
        if not name.endswith("run"):
            Path(paths.runs(), name, "run.json").write_text("{}")
    assert completed("irctl runs show 2026") == ["20260202-000000000-bbbb", "20260101-000000000-aaaa"]
    assert completed("irctl train --resume la") == ["latest"]
