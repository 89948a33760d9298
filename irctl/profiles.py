"""Hardware profiles: what a machine is, never what the science is.

A profile with a key that is not a hardware key is refused, which is how that promise is kept.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from irctl import config, shipped_files, tables
from irctl.errors import ConfigError
from irctl.origins import Kind, Origin
from irctl.settings import Hardware

SHAPE = {"meta?": {"*": str}, "hardware?": dict, "micro_batch?": {"*": int}}
LEGAL = tuple(f.name for f in dataclasses.fields(Hardware) if f.name != "micro_batch")


def read(name: str) -> dict[str, Any]:
    """{meta, hardware, micro_batch} of a profile, checked: only hardware keys are legal."""
    file = shipped_files.path("profiles", name)
    table = config.read_toml(file, f"profile {file.name}")
    tables.check(table, SHAPE, f"profile {file.name}", error=ConfigError)
    wrong = [k for k in table if k not in ("meta", "hardware", "micro_batch")]
    wrong += [f"hardware.{k}" for k in table.get("hardware", {}) if k not in LEGAL]
    if wrong:
        raise ConfigError(
            f"profile {file.name}: '{wrong[0]}' is not a hardware key",
            hint=f"A profile never changes the science; legal: {', '.join(LEGAL)}, micro_batch",
        )
    return table


def layer(name: str, method: str) -> config.Layer:
    """The configuration layer of a profile; micro_batch is the entry for the method, else its default."""
    table = read(name)
    origin = Origin(Kind.PROFILE, Path(name).stem)
    values = {f"hardware.{k}": (v, origin) for k, v in table.get("hardware", {}).items()}
    micro = table.get("micro_batch", {})
    if (chosen := micro.get(method, micro.get("default"))) is not None:
        values["hardware.micro_batch"] = (chosen, origin)
    return values
