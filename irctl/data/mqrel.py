"""Training data of several levels of relevance, from the configuration files of SyCL and Trove (JSON or TOML).

`{"mqrel": [...]}` is graded; `{"pos_mqrel": [...], "neg_mqrel": [...]}` gives positives and negatives, and wins if both
are there. Nothing is opened before the first group is asked for, so a configuration builds without network.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from irctl import plugins, tables
from irctl.data import hub
from irctl.data.cards import Card
from irctl.data.collection import Collection, Queries
from irctl.data.corpus import Corpus
from irctl.data.groups import GroupSource, Settings
from irctl.data.merging import Source
from irctl.data.qrels_store import open_qrels
from irctl.data.source_rules import Rules, selection_of
from irctl.data.texts import TextPool, TextStore, open_texts
from irctl.errors import ConfigError, DataError
from irctl.types import Qrels

PATH_KEYS = ("qrel_path", "query_path", "corpus_path")
IN_FOLDER = {"qrel_path": "qrels/train.tsv", "query_path": "queries.jsonl", "corpus_path": "corpus.jsonl"}
"""What a path means that is a BEIR folder."""
IGNORED = ("corpus_cache", "query_cache")
CONFLICTS = ("last", "max", "error")


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """One source object. Paths are lists of files or hf:// names; `where` is for messages."""

    qrel_path: tuple[str, ...] = ()
    query_path: tuple[str, ...] = ()
    corpus_path: tuple[str, ...] = ()
    query_subset_path: tuple[str, ...] = ()
    source: str = ""
    weight: float = 1.0
    rules: Rules = dataclasses.field(default_factory=Rules)
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class MqrelConfig:
    """Sources of a configuration. notices: what was accepted and has no effect."""

    graded: tuple[SourceSpec, ...] = ()
    positives: tuple[SourceSpec, ...] = ()
    negatives: tuple[SourceSpec, ...] = ()
    on_conflict: str = ""
    notices: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        return (*self.graded, *self.positives, *self.negatives)


def read_table(path: Path) -> dict[str, Any]:
    """A JSON or TOML file as a table. Raises ConfigError with the line where it breaks."""
    read = tables.toml_table if path.suffix == ".toml" else tables.json_object
    return read(path, error=ConfigError)


def is_mqrel(table: Mapping[str, Any]) -> bool:
    return any(k in table for k in ("mqrel", "pos_mqrel", "neg_mqrel"))


def read_config(path: Path) -> MqrelConfig:
    """The configuration in a file. Raises ConfigError naming an unknown key with its line and the nearest legal one."""
    text = path.read_text()

    def where(key: str, before: int = 0) -> str:
        name = re.escape(key)
        pattern = rf'^\s*(\[*{name}\]+|"?{name}"?\s*=)' if path.suffix == ".toml" else rf'"{name}"\s*:'
        found = list(re.finditer(pattern, text, re.MULTILINE))
        start = found[min(before, len(found) - 1)].end() if found else 0
        return f"{path}:{text.count(chr(10), 0, start) + 1}" if found else str(path)

    return parse(read_table(path), where)


def parse(table: Mapping[str, Any], where: Callable[[str, int], str] = lambda key, before: "mqrel") -> MqrelConfig:
    """The configuration in a table; from Python, callables may stand where the file has keys of rules."""
    top = ("mqrel", "pos_mqrel", "neg_mqrel", "on_conflict")
    for key in table:
        if key not in top:
            raise ConfigError(f"{where(key, 0)}: no key named '{key}'", hint=plugins.nearest(key, top))
    on_conflict = table.get("on_conflict", "")
    if on_conflict not in ("", *CONFLICTS):
        raise ConfigError(
            f"{where('on_conflict', 0)}: on_conflict: expected {', '.join(CONFLICTS)}, found {on_conflict!r}"
        )
    lists = {key: table[key] if isinstance(table[key], list) else [table[key]] for key in table if key in top[:3]}
    notices = {
        f"{k} has no effect: caches follow content"
        for s in lists.values()
        for o in s
        if isinstance(o, Mapping)
        for k in IGNORED
        if k in o
    }
    specs = _specs(lists, where)
    if ("pos_mqrel" in specs) != ("neg_mqrel" in specs):
        there, absent = ("pos_mqrel", "neg_mqrel") if "pos_mqrel" in specs else ("neg_mqrel", "pos_mqrel")
        raise ConfigError(
            f"{where(there, 0)}: {there} without {absent}", hint=f"Add {absent}, or use mqrel for graded data"
        )
    if not specs:
        raise ConfigError(f"{where('mqrel', 0)}: no mqrel, and no pos_mqrel with neg_mqrel")
    binary = "pos_mqrel" in specs
    return MqrelConfig(
        graded=() if binary else specs["mqrel"],
        positives=specs.get("pos_mqrel", ()),
        negatives=specs.get("neg_mqrel", ()),
        on_conflict=on_conflict,
        notices=tuple(sorted(notices)),
    )


def _specs(lists: Mapping[str, list[Any]], where: Callable[[str, int], str]) -> dict[str, tuple[SourceSpec, ...]]:
    """The sources of every list, in the order of the file, which is how a key's line is found."""
    specs: dict[str, tuple[SourceSpec, ...]] = {}
    seen: Counter[str] = Counter()
    for name, sources in lists.items():
        found = []
        for i, one in enumerate(sources):
            keys = dict.fromkeys(one) if isinstance(one, Mapping) else {}

            def line_of(key: str, name: str = name, keys: Mapping[str, Any] = keys) -> str:
                shown = key if key in keys else next(iter(keys), name)  # an absent key: where its source begins
                return where(shown, seen[shown])

            found.append(_source(one, f"{name}[{i}]", line_of))
            seen.update(list(keys))
        specs[name] = tuple(found)
    return specs


def _source(table: Any, place: str, where: Callable[[str], str]) -> SourceSpec:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where('')}: {place}: expected an object, found {type(table).__name__}")
    rules = {f.name for f in dataclasses.fields(Rules)}
    legal = (*PATH_KEYS, "query_subset_path", "source", "weight", *IGNORED, *sorted(rules))
    for key in table:
        if key not in legal:
            raise ConfigError(f"{where(key)}: {place}: no key named '{key}'", hint=plugins.nearest(key, legal))
    paths = {k: _paths(table.get(k), f"{where(k)}: {place}.{k}") for k in (*PATH_KEYS, "query_subset_path")}
    if not paths["corpus_path"] or (paths["qrel_path"] and not paths["query_path"]):
        absent = "corpus_path" if not paths["corpus_path"] else "query_path"
        raise ConfigError(f"{where('corpus_path')}: {place}: no {absent}")
    weight = table.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight > 0:
        raise ConfigError(f"{where('weight')}: {place}: weight: expected a number above 0, found {weight!r}")
    return SourceSpec(
        **paths,
        source=str(table.get("source", place)),
        weight=float(weight),
        rules=Rules.checked({k: v for k, v in table.items() if k in rules and v is not None}, where, place),
        where=place,
    )


def _paths(value: Any, where: str) -> tuple[str, ...]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(v, (str, Path)) for v in values):
        raise ConfigError(f"{where}: expected a path or a list of paths, found {value!r}")
    return tuple(map(str, values))


class MqrelCollection(Collection):
    """A configuration in the place of a collection: it has training groups, and neither one corpus nor splits."""

    def __init__(
        self,
        name: str,
        config: MqrelConfig,
        *,
        folder: Path,
        root: str = "",
        title_join: str = "space",
        fix_encoding: bool = False,
    ) -> None:
        self.card = Card(name=name, headline_split="train")
        self.name, self.folder, self.config = name, folder, config
        self._root, self._title_join, self._fix_encoding = root, title_join, fix_encoding

    @property
    def corpus(self) -> Corpus:
        raise self._training_only("corpus")

    def splits(self) -> tuple[str, ...]:
        return ()

    def qrels_file(self, split: str) -> Path:
        raise self._training_only("file of judgements")

    def query_store(self, split: str) -> TextStore:
        raise self._training_only("file of queries")

    def qrels(self, split: str) -> Qrels:
        raise self._training_only("file of judgements")

    def queries(self, split: str) -> Queries:
        raise self._training_only("file of queries")

    def all_queries(self) -> Queries:
        raise self._training_only("file of queries")

    def _training_only(self, what: str) -> DataError:
        return DataError(
            f"{self.name}: a training configuration of {len(self.config.sources)} sources has no one {what}; only "
            "irctl train reads it",
            hint="Name one data set with --data: a BEIR folder, a collection, or FILE.json:NAME of an evaluation file",
        )

    @property
    def fingerprint(self) -> str:
        """sha256 of the texts and judgements as they are used."""
        return self.groups(Settings(title_join=self._title_join)).fingerprint

    def groups(self, settings: Settings) -> GroupSource:
        """Training groups. Opens files, the hub's included, on first use."""
        graded, positives, negatives = self._sources
        on_conflict = self.config.on_conflict or settings.on_conflict
        settings = dataclasses.replace(settings, on_conflict=on_conflict, title_join=self._title_join)
        return GroupSource(graded, settings, positives=positives, negatives=negatives)

    @cached_property
    def _sources(self) -> tuple[list[Source], list[Source], list[Source]]:
        c = self.config
        graded, positives, negatives = ([self._open(s) for s in side] for side in (c.graded, c.positives, c.negatives))
        return graded, positives, negatives

    def _open(self, spec: SourceSpec) -> Source:
        fix = self._fix_encoding
        queries = TextPool([open_texts(f, fix_encoding=fix) for f in self._files(spec.query_path, "query_path")])
        passages = TextPool([open_texts(f, fix_encoding=fix) for f in self._files(spec.corpus_path, "corpus_path")])
        if not spec.qrel_path:
            return Source(spec.source, queries, passages, None)
        subset = self._files(spec.query_subset_path, "query_path")
        selection = selection_of(spec.rules, subset, spec.where)
        store = open_qrels(self._files(spec.qrel_path, "qrel_path"), queries, passages, selection)
        return Source(spec.source, queries, passages, store, spec.rules.group_random_k or 0, spec.weight)

    def _files(self, names: Sequence[str], key: str) -> list[Path]:
        found = [self._local(n) for n in names]
        return [path / IN_FOLDER[key] if path.is_dir() else path for path in found]

    def _local(self, name: str) -> Path:
        """A file of the hub, an absolute one, or one beside the configuration."""
        return hub.file(name, self._root) if hub.is_hub(name) else self.folder / name

    def missing(self) -> list[str]:
        """Files that are not on this machine yet. Asks nobody."""
        keys = (*PATH_KEYS, "query_subset_path")
        names = [n for s in self.config.sources for key in keys for n in getattr(s, key)]
        here = {n: hub.is_here(n, self._root) if hub.is_hub(n) else self._local(n).exists() for n in names}
        return [n for n, is_here in here.items() if not is_here]

    def describe(self) -> dict[str, Any]:
        """Counts by source and grade for --dry-run; the sources as they are written where their files are not here."""
        notices = list(self.config.notices)
        if not (missing := self.missing()):
            return self.groups(Settings(title_join=self._title_join)).describe() | {"notices": notices}
        rows = []
        for s in self.config.sources:
            rules = {k: v for k, v in dataclasses.asdict(s.rules).items() if v is not None}
            shown = ", ".join(f"{k} {v}" for k, v in rules.items()) or "as they are"
            rows.append(f"{s.source}: {', '.join(s.qrel_path) or 'documents only'} ({shown})")
        return {"sources": rows, "notices": notices, "not on this machine": missing}


def open_config(
    path: Path, *, root: str = "", title_join: str = "space", fix_encoding: bool = False
) -> MqrelCollection:
    """A configuration file as a collection to train on."""
    table = read_table(path)
    if not is_mqrel(table) and all(isinstance(v, Mapping) for v in table.values()):
        first = next(iter(table), "NAME")
        raise ConfigError(f"{path}: an evaluation configuration of {len(table)} sets", hint=f"Name one: {path}:{first}")
    config = read_config(path)
    return MqrelCollection(
        path.stem,
        config,
        folder=path.resolve().parent,
        root=root,
        title_join=title_join,
        fix_encoding=fix_encoding,
    )
