"""Where transformers reports the steps of a training to, and whether its package works here. Imports none by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as NotReadable
from importlib import import_module
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from irctl import plugins
from irctl.errors import ConfigError, EnvironmentUnfit
from irctl.files import expand
from irctl.origins import Origin

PACKAGES = {
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
}
"""Tracker -> packages any of which serves it."""
USED = {"tensorboard": "torch.utils.tensorboard"}
"""Package -> the module of it that a training uses, where that is another."""
NONE = "none"
WITHOUT_LOGIN = ("offline", "disabled", "dryrun")  # values of WANDB_MODE


def names(report_to: str) -> list[str]:
    """The trackers of train.report_to, each once; none for `none`."""
    return [name for name in dict.fromkeys(part.strip() for part in report_to.split(",")) if name != NONE]


def check(report_to: str, origin: Origin) -> None:
    """ConfigError where train.report_to names no tracker, EnvironmentUnfit where one cannot be used here: it is not
    installed, does not import, or waits for a login. Needs no network. origin: of that setting.
    """
    asked = [part.strip() for part in report_to.split(",")]
    if NONE in asked and len(set(asked)) > 1:
        raise ConfigError(
            f"train.report_to={report_to} (from {origin}): {NONE} goes with no tracker", hint=f"Leave out {NONE}"
        )
    for name in names(report_to):
        if name not in PACKAGES:
            raise ConfigError(
                f"train.report_to (from {origin}): no tracker named '{name}'",
                hint=plugins.nearest(name, [*PACKAGES, NONE]),
            )
        where = f"train.report_to={name} (from {origin})"
        if not any(find_spec(package) for package in PACKAGES[name]):
            raise EnvironmentUnfit(
                f"{where}: the package {PACKAGES[name][0]} is not installed",
                hint=f"pip install {PACKAGES[name][0]}, or train.report_to=none",
            )
        try:
            load(name)
        except Exception as e:  # whatever a broken package raises
            raise EnvironmentUnfit(
                f"{where}: the package {PACKAGES[name][0]} does not import ({type(e).__name__}: {e})",
                hint=f"pip install --force-reinstall {PACKAGES[name][0]}, or train.report_to=none",
            ) from e
        if name == "wandb" and not has_login(os.environ):
            raise EnvironmentUnfit(
                f"{where}: wandb has no login on this machine",
                hint="wandb login, or WANDB_MODE=offline, or train.report_to=none",
            )


def load(name: str) -> Any:
    """The module of a tracker's first package that imports. Raises what the first of them raises where none does."""
    broken: list[Exception] = []
    for package in PACKAGES[name]:
        try:
            return import_module(USED.get(package, package))
        except Exception as e:  # noqa: BLE001  whatever a broken package raises; said if none imports
            broken.append(e)
    raise broken[0]


def has_login(environment: Mapping[str, str]) -> bool:
    """Whether wandb finds a key for its server, or needs none, by its variables, its settings files and .netrc."""
    own = _wandb_settings(environment)
    if environment.get("WANDB_MODE", own.get("mode", "online")) in WITHOUT_LOGIN:
        return True
    if any(environment.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")) or own.get("api_key"):
        return True
    server = environment.get("WANDB_BASE_URL") or own.get("base_url") or "https://api.wandb.ai"
    host = urlsplit(server).hostname or server
    for file in [environment["NETRC"]] if environment.get("NETRC") else ["~/.netrc", "~/_netrc"]:
        try:
            if netrc(str(expand(file))).authenticators(host):
                return True
        except (OSError, NetrcParseError):
            continue
    return False


def _wandb_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What `wandb offline` and `wandb login` wrote for this folder, else for this user."""
    found: dict[str, str] = {}
    user = expand(environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    for file in (user / "settings", Path(environment.get("WANDB_DIR") or ".") / "wandb" / "settings"):
        parsed = ConfigParser(interpolation=None)
        try:
            parsed.read(file)
        except (OSError, NotReadable, UnicodeDecodeError):
            continue
        found |= dict(parsed["default"]) if parsed.has_section("default") else {}
    return found
