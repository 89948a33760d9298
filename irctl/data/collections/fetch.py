"""Downloading a known collection: archive, checksum, unpacking beside, rename. Nothing else in irctl fetches data."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from irctl.data.collections import cards
from irctl.data.collections.cards import Card
from irctl.data.collections.open import folder_of, is_fetched
from irctl.data.files import hub
from irctl.data.files.downloads import download
from irctl.data.files.made_once import cannot_write
from irctl.errors import DataError
from irctl.types import Reporter


def fetch_collection(name: str, reporter: Reporter, *, root: str = "") -> Path:
    """The folder of a collection, fetched if it is not there. Raises DataError when it cannot be had from here."""
    key = cards.key_of(name)
    if key is None:
        cards.load_card(name)  # raises with the nearest name
        raise AssertionError("unreachable")
    card = cards.built_in()[key]
    if card.source:
        return hub.find_beir_folder(card.source, root)
    owner = card.same_as or key
    whole = cards.built_in()[owner]
    target = folder_of(owner)
    if is_fetched(owner):
        reporter.say(f"{key}: already at {folder_of(key)}")
        return folder_of(key)
    if not whole.public or not (whole.url or whole.files):
        raise DataError(f"{key}: not to be downloaded ({whole.license})", hint=f"Put a BEIR folder at {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.tmp.", dir=target.parent) as work:
            _into(Path(work), whole, target.name, reporter).rename(target)
    except OSError as e:
        raise cannot_write(target, e) from e
    return folder_of(key)


def _into(work: Path, card: Card, name: str, reporter: Reporter) -> Path:
    """Everything of a card below `work`; returns the folder that becomes the collection."""
    files: list[Mapping[str, str]] = [{"url": card.url, "md5": card.md5}] if card.url else list(card.files)
    out = work / "out"
    out.mkdir()
    for file in files:
        archive = work / file["url"].rpartition("/")[2]
        download(file["url"], archive, file.get("md5", ""), reporter)
        unpack(archive, out)
    inside = out / name
    # BEIR's zips hold one folder of the collection's name.
    return inside if inside.is_dir() else out


def unpack(archive: Path, folder: Path) -> None:
    """Unpack .zip, .tar.gz and .gz into a folder; copy anything else. Members that point outside are refused."""
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                _refuse_outside(archive, packed.namelist(), folder)
                packed.extractall(folder)
        elif archive.name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        elif archive.name.endswith(".gz"):
            with gzip.open(archive) as packed_file, (folder / archive.name.removesuffix(".gz")).open("wb") as out:
                shutil.copyfileobj(packed_file, out)
        else:
            shutil.copy(archive, folder / archive.name)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError) as e:
        raise DataError(f"{archive.name}: not a whole archive ({e})", hint="Fetch it again") from e
    archive.unlink()


def _refuse_outside(archive: Path, names: list[str], folder: Path) -> None:
    root = folder.resolve()
    outside = next((n for n in names if not (root / n).resolve().is_relative_to(root)), None)
    if outside is not None:
        raise DataError(f"{archive.name}: member {outside!r} lies outside the archive's folder")
