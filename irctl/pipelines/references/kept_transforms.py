"""Transforms that are there already: of a bundle, or of the folder of an earlier step; other ones are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import hashing, paths
from irctl.errors import ConfigError
from irctl.index import shards
from irctl.models.transforms import affine
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.files import FILE, FittedTransform
from irctl.origins import outranks
from irctl.settings import Transform as Settings

if TYPE_CHECKING:
    from irctl.config import Config

SECTION = "transform."


def is_asked(config: Config) -> bool:
    """Whether somebody said something about transforms; else vectors have the one that was saved with them."""
    return any(key.startswith(SECTION) for key in config.origins)


def check(settings: Settings, config: Config) -> None:
    """ConfigError for settings of a transform that do nothing."""
    set_keys = [key for key in config.origins if key.startswith(SECTION) and key != "transform.name"]
    if settings.name == "none" and set_keys:
        raise ConfigError(
            f"{set_keys[0]}: there is no transform (transform.name=none)", hint="--set transform.name=soft_whiten"
        )
    read = affine.describe(settings)
    for key in (f"{SECTION}{name}" for name in ("a", "remove", "eps") if name not in read):
        if key in set_keys and not outranks(config.origin("transform.name"), config.origins[key]):
            raise ConfigError(
                f"{key} (from {config.origins[key]}): transform.name={settings.name} does not read it",
                hint="Leave it out",
            )
    if settings.queries and settings.query_mean != "own":
        raise ConfigError(
            f"transform.queries: are not read with transform.query_mean={settings.query_mean}", hint="Leave one out"
        )


def name_of(fitted: FittedTransform | None) -> dict[str, Any]:
    """What a plan says of the transform, the same on every machine; empty without one."""
    return {} if fitted is None else {**fitted.transform.settings, "key": fitted.key}


def keep(folder: Path, fitted: FittedTransform) -> None:
    """Put the transform into the folder of a bundle or of vectors, unless it lies there."""
    place = folder / transform_files.FOLDER
    if not (place / FILE).is_file() or transform_files.load(place).key != fitted.key:
        transform_files.save(place, fitted)


def keep_with_vectors(folder: Path, run_out: Path, fitted: FittedTransform) -> Path:
    """Put the transform beside encoded vectors, for whatever reads them by folder or by run; where it lies.

    In a folder of one's own that is its sub-folder, and the manifest says so; the cache is shared, so for vectors there
    it lies in the folder of the run.
    """
    is_cached = folder.resolve().is_relative_to(paths.cache().resolve())
    place = run_out if is_cached else folder
    keep(place, fitted)
    if not is_cached:
        shards.write_manifest(place, {**shards.read_any_manifest(place), "transform": describe_kept(place)})
    return place / transform_files.FOLDER


def describe_kept(folder: Path) -> dict[str, str]:
    """What the manifest of a folder says of the transform in it."""
    place = folder / transform_files.FOLDER
    label = transform_files.load(place).label
    return {"folder": place.name, "sha256": hashing.compute_sha256(place / FILE), "label": label}


def of_folder(folder: Path) -> FittedTransform | None:
    """The transform that lies in a folder, finished or not; None where there is none."""
    place = folder / transform_files.FOLDER
    return transform_files.load(place) if (place / FILE).is_file() else None


def refuse_others(what: str, own: FittedTransform | None, config: Config) -> None:
    """ConfigError where the settings name another transform than what `what` was made with."""
    if not is_asked(config):
        return
    asked = config.transform
    if own is None:
        check(asked, config)
        if asked.name != "none":
            raise ConfigError(
                f"{what}: was made of vectors without a transform, asked for is {asked.name}",
                hint=f"Compress again with --set transform.name={asked.name}, or leave it out",
            )
        return
    as_made = Settings(**own.transform.settings)  # type: ignore[arg-type]
    named = {k.removeprefix(SECTION): getattr(asked, k.removeprefix(SECTION)) for k in config.origins if _is_set(k)}
    if not named.get("remove", 1):
        del named["remove"]  # 0: whatever is usual at this width
    wanted = replace(as_made, **named)
    if affine.describe(wanted) != affine.describe(as_made):
        asked_for = affine.label(affine.describe(wanted))
        raise ConfigError(
            f"{what}: was made with {own.transform.label}, asked for is {asked_for}",
            hint="Leave out transform.*: it is applied as it was made, or compress again",
        )
    if asked.queries and not own.query_mean_of.endswith(hashing.identity(Path(asked.queries))[: transform_files.SHOWN]):
        raise ConfigError(
            f"{what}: its query mean is of {own.query_mean_of}, asked for is {asked.queries}",
            hint="Leave out transform.queries",
        )


def _is_set(key: str) -> bool:
    return key.startswith(SECTION) and key != "transform.queries"
