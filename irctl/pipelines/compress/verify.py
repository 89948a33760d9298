"""Whether a bundle is whole, and whether it still belongs to the vectors it was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing, tables
from irctl.errors import ConfigError, counted
from irctl.index import shards
from irctl.index.bundle import QUANTIZER, locate_quantizer, open_bundle
from irctl.index.learned_bundle import find_encoder
from irctl.models.transforms import files as transform_files
from irctl.pipelines.compress.manifest import check_settings, find_lost
from irctl.pipelines.references.bundles import load_quantizer
from irctl.pipelines.references.vectors import named
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config


def is_whole(folder: Path, *, files: bool) -> bool:
    """Whether a bundle of the whole input is there. files: also that no file of it is missing or cut short."""
    if not (folder / shards.MANIFEST).is_file():
        return False
    bundle = open_bundle(folder, load_quantizer)
    return bundle.manifest.get("coverage", "full") == "full" and not (files and find_lost(folder, bundle.parts))


def verify(folders: Mapping[str, Path], config: Config, reporter: Reporter) -> dict[str, Any]:
    """Hash every file of finished bundles again. ConfigError for bundles of another method or input than asked for."""
    counts: dict[str, int] = {}
    lines: list[str] = []
    for name, folder in folders.items():
        bundle = open_bundle(folder, load_quantizer)
        if name != bundle.method and "compress.method" in config.origins:
            raise ConfigError(
                f"{folder}: is a bundle of {bundle.method}, asked for is {name}",
                hint="Leave out --method, or name its own",
            )
        check_settings(str(folder), bundle.method, bundle.manifest.get("settings", {}), config.plugin(bundle.method))
        _check_source(folder, bundle.manifest.get("source", {}), config)
        reporter.say(f"hashing {folder}")
        counts[bundle.method] = bundle.verify()
        described = [locate_quantizer(folder, bundle.method) / QUANTIZER]
        if transform_files.of_bundle(bundle):
            described.append(folder / bundle.manifest["transform"]["folder"] / transform_files.FILE)
        counts[bundle.method] += sum(map(_count_named, described))
        encoder = ", and its query encoder" if find_encoder(bundle) else ""
        lines.append(f"{folder}: as its manifest says: {counted(counts[bundle.method], 'file')}{encoder}")
    return {"verified": counts, "lines": lines, "ids": [str(f) for f in folders.values()]}


def _count_named(path: Path) -> int:
    """The file that describes a quantizer or a transform, and its arrays: they are hashed as they are read."""
    return 1 + len(tables.json_object(path)["arrays"])


def _check_source(folder: Path, source: Mapping[str, Any], config: Config) -> None:
    """ConfigError unless --data, where it is given, is what the bundle was made of. Remote inputs are told by name."""
    asked, name = config.compress.source, str(source.get("name", ""))
    if not asked or not source:
        return
    if "://" in asked:
        same = re.split("[@#]", asked)[0] == re.split("[@#]", name)[0]
    else:
        with hashing.like(str(source.get("fingerprint", ""))):
            same = named(asked, config).stream.fingerprint == source.get("fingerprint")
    if not same:
        raise ConfigError(
            f"{folder}: was made of {name}, asked for is {asked}"
            + (", which has changed since" if asked == name else ""),
            hint="Leave out --data to hash the bundle alone",
        )
