"""The name under which the ledger keeps what a run works on."""

from __future__ import annotations

from pathlib import Path

TABLES = (".json", ".toml")
"""Endings of files that are known by their name alone."""


def dataset_name(asked: str, *known: str) -> str:
    """asked: run.dataset, which stands for all else. known: names that the data itself has, the surest first.

    A path is no name: of ../small/ it is that of the folder, wherever the command was typed.
    """
    return name_of(next(filter(None, (asked, *known)), ""))


def name_of(text: str) -> str:
    """The last part of a path, of FILE.json:NAME the name; any other text as it is, such as beir/nq and a,b."""
    parts = text.split("/")
    if not (text.startswith(("/", "~")) or {".", ".."} & set(parts) or (len(parts) > 1 and not parts[-1])):
        return text
    path = Path.home() / text[2:] if text.startswith("~/") else Path(text)
    if path.is_dir():
        return path.resolve().name or "root"
    place, _, entry = path.name.rpartition(":")
    if Path(place).suffix in TABLES:
        return entry
    return path.stem if path.suffix in TABLES else path.name.partition("#")[0]
