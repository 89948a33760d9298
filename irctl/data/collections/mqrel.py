"""Training data of several levels of relevance, from the configuration files of SyCL and Trove (JSON or TOML).

`{"mqrel": [...]}` is graded; `{"pos_mqrel": [...], "neg_mqrel": [...]}` gives positives and negatives, and wins if both
are there. Nothing is opened before the first group is asked for, so a configuration builds without network.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

from irctl.data.collections.mqrel_config import MqrelConfig, SourceSpec, read_config
from irctl.data.collections.source_tables import IN_FOLDER, PATH_KEYS
from irctl.data.files import hub
from irctl.data.groups.group_source import GroupSettings, GroupSource
from irctl.data.groups.merged_sources import JudgementSource
from irctl.data.judgements.qrels_store import open_qrels
from irctl.data.judgements.source_rules import build_selection
from irctl.data.texts.store import TextPool, open_texts
from irctl.errors import DataError
from irctl.files import is_there


class MqrelSource:
    """Training groups of a configuration. Its sources may have several corpora; it has no splits to evaluate on."""

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
        self.name, self.folder, self.config = name, folder, config
        self._root, self._title_join, self._fix_encoding = root, title_join, fix_encoding

    def groups(self, settings: GroupSettings) -> GroupSource:
        """Training groups. Opens files, the hub's included, on first use."""
        graded, positives, negatives = self._sources
        on_conflict = self.config.on_conflict or settings.on_conflict
        settings = dataclasses.replace(settings, on_conflict=on_conflict, title_join=self._title_join)
        return GroupSource(graded, settings, positives=positives, negatives=negatives)

    @cached_property
    def _sources(self) -> tuple[list[JudgementSource], list[JudgementSource], list[JudgementSource]]:
        c = self.config
        graded, positives, negatives = ([self._open(s) for s in side] for side in (c.graded, c.positives, c.negatives))
        return graded, positives, negatives

    def _open(self, spec: SourceSpec) -> JudgementSource:
        fix = self._fix_encoding
        queries = TextPool([open_texts(f, fix_encoding=fix) for f in self._files(spec, "query_path")])
        passages = TextPool([open_texts(f, fix_encoding=fix) for f in self._files(spec, "corpus_path")])
        if not spec.qrel_path:
            return JudgementSource(spec.source, queries, passages, None)
        subset = self._files(spec, "query_subset_path")
        selection = build_selection(spec.rules, subset, spec.where)
        store = open_qrels(self._files(spec, "qrel_path"), queries, passages, selection)
        return JudgementSource(spec.source, queries, passages, store, spec.rules.group_random_k or 0, spec.weight)

    def _files(self, spec: SourceSpec, key: str) -> list[Path]:
        """The files that a key of a source names. Raises DataError for one that is not there."""
        inside, paths = IN_FOLDER["query_path" if key == "query_subset_path" else key], []
        for path in (self._local(n) for n in getattr(spec, key)):
            paths.append(path / inside if is_there(path) and path.is_dir() else path)
            if not is_there(paths[-1]):
                raise DataError(f"{paths[-1]}: no such file", hint=f"{spec.where}.{key} of {self.name} names it")
        return paths

    def _local(self, name: str) -> Path:
        """A file of the hub, an absolute one, or one beside the configuration."""
        return hub.find_file(name, self._root) if hub.is_hub(name) else self.folder / name

    def missing(self) -> list[str]:
        """Files that are not on this machine yet. Asks nobody."""
        keys = (*PATH_KEYS, "query_subset_path")
        names = [n for s in self.config.sources for key in keys for n in getattr(s, key)]
        here = {n: hub.is_here(n, self._root) if hub.is_hub(n) else is_there(self._local(n)) for n in names}
        return [n for n, is_here in here.items() if not is_here]

    def describe(self) -> dict[str, Any]:
        """The sources as they are written, for --dry-run where their files are not all here."""
        rows = []
        for s in self.config.sources:
            rules = {k: v for k, v in dataclasses.asdict(s.rules).items() if v is not None}
            shown = ", ".join(f"{k} {v}" for k, v in rules.items()) or "as they are"
            rows.append(f"{s.source}: {', '.join(s.qrel_path) or 'documents only'} ({shown})")
        return {"sources": rows, "notices": list(self.config.notices), "not on this machine": self.missing()}


def open_mqrel(path: Path, *, root: str = "", title_join: str = "space", fix_encoding: bool = False) -> MqrelSource:
    """The source that a configuration file describes. Raises ConfigError for what is wrong in it."""
    folder = path.resolve().parent
    return MqrelSource(
        path.stem, read_config(path), folder=folder, root=root, title_join=title_join, fix_encoding=fix_encoding
    )
