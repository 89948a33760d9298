"""The wheel works outside the checkout: profiles, slurm files, recipes and the collection are inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_holds_its_data_and_runs_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("irctl-*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    wanted = (
        "profiles/v100x8.toml",
        "slurm/train.sbatch",
        "recipes/cranfield-ws2.toml",
        "collections/cranfield/corpus.jsonl.gz",
        "constraints.txt",
    )
    assert [w for w in wanted if f"irctl/{w}" not in inside] == []
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    # -I would drop PYTHONPATH; -P keeps the working directory, and so the checkout, off the path
    env = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "IRCTL_RUNS": str(tmp_path / "runs"),
        "IRCTL_CACHE": str(tmp_path / "cache"),
    }
    for line in ("profiles show t4", "recipes check", "search --retriever bm25 -k 10 --split dev"):
        code = f"import irctl; assert irctl.__file__.startswith({str(tmp_path)!r})\nfrom irctl.cli import main\nmain()"
        ran = subprocess.run(
            [sys.executable, "-P", "-c", code, *line.split()],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    for file in (tmp_path / "site").rglob("*"):
        if file.suffix in (".py", ".toml", ".sbatch", ".md"):
            assert str(ROOT) not in file.read_text()
