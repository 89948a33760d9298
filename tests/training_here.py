"""A training in the process of the test, where the command would start one of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest


def train_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as the patch lasts."""
    from irctl import config as settings
    from irctl import plugins
    from irctl.training.loop import session
    from irctl.training.processes import launch
    from irctl.training.run_files import journal

    def run(command: Any, extra: Any, paths: Any, *, on_row: Any, also: Any = None) -> None:
        paths.launch.write_text(json.dumps({"argv": command, **(also or {})}))
        follower = journal.Follower(paths.metrics, from_end=True)
        config = settings.resolve(settings.from_file(paths.config))
        session.run(config, paths, plugins.load("methods", config.train.method).Method.build)
        for row in follower.rows():
            on_row(row)

    monkeypatch.setattr(launch, "run", run)
