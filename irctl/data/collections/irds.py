"""Collections of the ir_datasets package, where it is installed: irds:NAME, such as irds:msmarco-passage/dev/small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irctl.data.files import made_once
from irctl.data.texts.records import TextRecord
from irctl.data.texts.store import TextStore, open_texts, write_store
from irctl.errors import DataError, EnvironmentUnfit

FORMAT = 1


def _load(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError:
        raise EnvironmentUnfit(f"irds:{name}: ir_datasets is not installed", hint="pip install ir_datasets") from None
    try:
        return ir_datasets.load(name)
    except KeyError:
        raise DataError(f"irds:{name}: ir_datasets knows no such name", hint="ir_datasets list") from None


def measures_of(name: str) -> dict[str, str]:
    """Preset of measures by split, where the name says which: TREC-DL's binary measures take grade >= 2."""
    split = name.rpartition("/")[2]
    if name.startswith(("msmarco-passage/", "msmarco-passage-v2/")):
        return {split: "trec-dl" if "/trec-dl-" in name else "msmarco"}
    return {}


class IrdsLayout:
    """One data set of ir_datasets, read once into the cache; its one split is named after the last part of the name."""

    format = "trec"

    def __init__(self, name: str) -> None:
        self.name = name
        self._data = _load(name)
        self.split = name.rpartition("/")[2]
        self.folder = made_once.make_once("irds", made_once.key_of({"name": name, "format": FORMAT}), self._write)

    def _write(self, folder: Path) -> dict[str, Any]:
        counts = {"queries": 0, "judgements": 0}
        with (folder / "queries.jsonl").open("w") as file:
            for query in self._data.queries_iter() if self._data.has_queries() else ():
                counts["queries"] += 1
                line = {"_id": query.query_id, "text": query.default_text()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        with (folder / "qrels.tsv").open("w") as file:
            file.write("query-id\tcorpus-id\tscore\n")
            for judged in self._data.qrels_iter() if self._data.has_qrels() else ():
                counts["judgements"] += 1
                file.write(f"{judged.query_id}\t{judged.doc_id}\t{judged.relevance}\n")
        return counts

    def _records(self) -> Iterator[TextRecord]:
        for row, document in enumerate(self._data.docs_iter(), 1):
            title = getattr(document, "title", "") or ""
            text = getattr(document, "text", None)
            body = document.default_text() if text is None else text
            yield TextRecord(row, document.doc_id, title if text is not None else "", body)

    def corpus(self) -> TextStore:
        """Texts by the name of the documents, which several data sets of the package may share."""
        documents = self._data.docs_handler() if hasattr(self._data, "docs_handler") else self._data
        name = documents.docs_namespace() if hasattr(documents, "docs_namespace") else self.name
        key = made_once.key_of({"irds documents": name, "rows": self._data.docs_count(), "format": FORMAT})
        source = f"irds:{self.name}"
        return TextStore(made_once.make_once("corpora", key, lambda f: write_store(f, self._records, key, source)))

    def queries(self, split: str) -> TextStore:
        return open_texts(self.folder / "queries.jsonl")

    def splits(self) -> tuple[str, ...]:
        return (self.split,) if self._data.has_qrels() else ()

    def qrels_file(self, split: str) -> Path:
        return self.folder / "qrels.tsv"
