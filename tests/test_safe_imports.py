"""Nothing that irctl starts imports from the current folder: a stranger's ./irctl or ./torch.py is data, not code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from irctl import paths
from irctl.config import from_sets, resolve
from irctl.errors import DataError, RunFailed
from irctl.paths import RunPaths
from irctl.training.processes import launch


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose modules leave a file `executed` behind. Children have no other help to find irctl."""
    code = f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__ + chr(10))\n"
    (tmp_path / "irctl").mkdir()
    (tmp_path / "irctl/__init__.py").write_text(code)
    for name in ("torch", "numpy", "json", "ray", "accelerate"):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def executed(folder: Path) -> str:
    file = folder / "executed"
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize(
    ("launcher", "devices"),
    [
        ("torchrun", 1),
        pytest.param("torchrun", 2, marks=pytest.mark.slow),
        pytest.param("deepspeed", 2, marks=pytest.mark.slow),
    ],
)
def test_training_processes_import_nothing_from_the_current_folder(hostile, launcher: str, devices: int) -> None:
    run = RunPaths(hostile / "run")
    run.folder.mkdir()
    config = resolve(from_sets([f"hardware.devices={devices}", "hardware.device_kind=cpu"]))
    # the folder has no config.json: the worker says so once it has imported everything
    with pytest.raises((DataError, RunFailed)) as raised:
        launch.run(launch.argv(config, run.folder, launcher), launch.environment(config), run, on_row=lambda r: None)
    assert executed(hostile) == ""
    assert "config.json" in raised.value.message


def test_every_python_that_irctl_starts_is_told_to_leave_the_current_folder_alone() -> None:
    found = {
        f"{file.relative_to(paths.PACKAGE)}: {line.strip()}"
        for file in paths.PACKAGE.rglob("*.py")
        for line in file.read_text().splitlines()
        if re.search(r"sys\.executable", line) and '"-P"' not in line
    }
    assert found == set()


def test_every_module_that_a_string_names_is_there() -> None:
    """Workers are started and handed their tasks by name: no import would miss a file that was moved."""
    names = {
        text
        for file in paths.PACKAGE.rglob("*.py")
        for text in re.findall(r'(?:MODULE|SHARE) = "(irctl(?:\.\w+)+(?::\w+)?)"', file.read_text())
    }
    assert len(names) >= 5
    for name in names:
        module, _, function = name.partition(":")
        path = paths.PACKAGE.parent / f"{module.replace('.', '/')}.py"
        assert path.is_file(), name
        assert (
            f"\ndef {function}(" in path.read_text() if function else 'if __name__ == "__main__":' in path.read_text()
        )
