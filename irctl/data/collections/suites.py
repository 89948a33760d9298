"""Evaluation configurations of SyCL: a JSON (or TOML) file that names sets, each a source object or splits of one.

`{"scifact": {qrel_path, query_path, corpus_path}}` and `{"msmarco": {"dev": {...}, "trec20": {...}}}` are both read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from irctl import plugins, tables
from irctl.data.collections import cards
from irctl.data.collections.beir import order_splits
from irctl.data.collections.cards import Card
from irctl.data.collections.source_tables import IGNORED, PATH_KEYS, read_table
from irctl.data.files import hub
from irctl.data.files.lines import stem
from irctl.data.texts.store import TextStore, open_texts
from irctl.errors import ConfigError, DataError
from irctl.files import is_there


class SuiteLayout:
    """One set of a configuration: files named one by one, opened when they are read."""

    format = "beir"

    def __init__(self, folder: Path, splits: Mapping[str, Mapping[str, str]], root: str) -> None:
        self.folder = folder
        self._splits = splits
        self._root = root

    def _file(self, split: str, key: str) -> Path:
        name = self._splits[split][key]
        if hub.is_hub(name):
            return hub.find_file(name, self._root)
        if not is_there(path := self.folder / name):
            raise DataError(f"{path}: no such file", hint=f"{key} of {split} names it")
        return path

    def corpus(self) -> TextStore:
        return open_texts(self._file(next(iter(self._splits)), "corpus_path"))

    def queries(self, split: str) -> TextStore:
        return open_texts(self._file(split, "query_path"))

    def splits(self) -> tuple[str, ...]:
        return order_splits(list(self._splits))

    def qrels_file(self, split: str) -> Path:
        return self._file(split, "qrel_path")


def suite_layout(path: Path, name: str, root: str = "") -> tuple[Card, SuiteLayout]:
    """One set of a configuration. Raises ConfigError for an unknown name, key or a set without one of its files."""
    table = read_table(path)
    if name not in table:
        raise ConfigError(f"{path}: no set named '{name}'", hint=plugins.nearest(name, list(table)))
    entry = table[name]
    if not isinstance(entry, Mapping) or not entry:
        found = "an empty one" if entry == {} else tables.shown(entry)
        raise ConfigError(f"{path}: {name}: expected an object of {', '.join(PATH_KEYS)}, or of splits, found {found}")
    is_one = any(key in entry for key in PATH_KEYS)
    splits = {s: _files(path, f"{name}.{s}", v) for s, v in entry.items()} if not is_one else {}
    if is_one:
        files = _files(path, name, entry)
        splits = {stem(Path(files["qrel_path"])): files}
    corpora = {files["corpus_path"] for files in splits.values()}
    if len(corpora) != 1:
        raise ConfigError(f"{path}: {name}: its splits have {len(corpora)} corpora", hint="Make each a set of its own")
    layout = SuiteLayout(path.resolve().parent, splits, root)
    headline = next((s for s in ("test", "dev") if s in splits), next(iter(splits)))
    card = Card(name=name, headline_split=headline, splits=layout.splits())
    known = next((c for c in (f"sycl-eval/{name}", f"beir/{name}") if c in cards.built_in()), None)
    if known:
        # Self-matches, the grade that counts and the split of the headline belong to the data, whoever lists it.
        same = cards.built_in()[known]
        headline = same.headline_split if same.headline_split in splits else headline
        card = replace(
            card,
            self_match=same.self_match,
            measures=same.measures,
            top_grades=same.top_grades,
            headline_split=headline,
        )
    return card, layout


def _files(path: Path, place: str, table: Any) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: {place}: expected an object of {', '.join(PATH_KEYS)}, found {tables.shown(table)}")
    files = {}
    for key, value in table.items():
        if key in IGNORED or value is None:
            continue
        if key not in PATH_KEYS:
            raise ConfigError(
                f"{path}: {place}: '{key}' has no place in evaluation", hint=plugins.nearest(key, PATH_KEYS)
            )
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, str) or not value or "\0" in value:
            raise ConfigError(f"{path}: {place}.{key}: expected one path, found {tables.shown(value)}")
        files[key] = value
    for key in PATH_KEYS:
        if key not in files:
            raise ConfigError(f"{path}: {place}: no {key}")
    return files
