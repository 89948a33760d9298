"""Keys that configurations of training and of evaluation share, and reading such a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irctl import tables
from irctl.errors import ConfigError

PATH_KEYS = ("qrel_path", "query_path", "corpus_path")

IN_FOLDER = {"qrel_path": "qrels/train.tsv", "query_path": "queries.jsonl", "corpus_path": "corpus.jsonl"}
"""What a path means that is a BEIR folder."""

IGNORED = ("corpus_cache", "query_cache")


def read_table(path: Path) -> dict[str, Any]:
    """A JSON or TOML file as a table. Raises ConfigError with the line where it breaks."""
    read = tables.toml_table if path.suffix == ".toml" else tables.json_object
    return read(path, error=ConfigError)
