"""The settings of a short training of the method isotropic over a frozen base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irctl import config as settings
from irctl.origins import SET


def configuration(model: Path | str, toy: str, **more: Any) -> settings.Config:
    given = {
        "train.method": "isotropic",
        "model.name": str(model),
        "model.freeze_base": True,
        "data.source": toy,
        "data.group_size": 3,
        "batch.global": 8,
        "train.max_steps": 3,
        "train.lr": 1e-3,
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve({k: (v, SET) for k, v in given.items()})
