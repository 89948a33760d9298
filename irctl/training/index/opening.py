"""Opening what a training against an index is made of: codes, queries, candidates. The launcher has named them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.files import made_once
from irctl.data.vectors.open import open_vectors
from irctl.index.arrays import as_rows, normalize_rows
from irctl.index.bundle import Bundle, open_bundle
from irctl.index.joined_stream import JoinedStream
from irctl.models.transforms import files as transform_files
from irctl.models.transforms.files import hash_texts
from irctl.models.transforms.stream import TransformedStream
from irctl.paths import RunPaths
from irctl.quantizers.shared import opening
from irctl.training.index.kept_queries import Floats
from irctl.types import Stream

KEY = "index"
"""Where launch.json has it."""


@dataclass(frozen=True)
class NamedIndex:
    """What the launcher found. bundle: its folder. documents: names of the vectors behind its codes, in row order.

    texts: the vectors of the query texts, or empty. items: of an epoch. has_text: a text encoder made the vectors.
    text_file: where an encoder or a map of queries is trained, the texts themselves (a JSON list). pair: what a trained
    encoder will say of its documents' encoder.
    """

    bundle: str
    documents: list[str]
    texts: str
    queries: str  # texts, pseudo or mixed
    items: int
    has_text: bool
    text_file: str = ""
    pair: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {KEY: asdict(self)}

    @classmethod
    def read(cls, paths: RunPaths) -> NamedIndex:
        return cls(**json.loads(paths.launch.read_text())[KEY])

    def text_hashes(self) -> NDArray[np.uint64]:
        """Of the query texts (models/fitted_rows.py); none where only vectors are known."""
        return hash_texts(json.loads(Path(self.text_file).read_text()) if self.text_file else [])

    def open_bundle(self) -> Bundle:
        return open_bundle(Path(self.bundle), opening.load)

    def open_documents(self, root: str) -> Stream:
        """The vectors behind the codes, through the bundle's transform. root: data.root, which stands for hf://."""
        streams = [open_vectors(name, root=root) for name in self.documents]
        raw = streams[0] if len(streams) == 1 else JoinedStream(streams)
        fitted = transform_files.of_bundle(self.open_bundle())
        return raw if fitted is None else TransformedStream(raw, fitted)

    def open_texts(self, bundle: Bundle) -> tuple[Floats | None, str]:
        """(vectors [T, D] of the query texts, as they are compared, through the transform; their fingerprint)."""
        if not self.texts:
            return None, ""
        stream = open_vectors(self.texts)
        (block,) = stream.blocks(max(stream.rows, 1))
        fitted = transform_files.of_bundle(bundle)
        texts_TD = as_rows(block.vectors_ND, fitted.transform.dim if fitted else bundle.dim, self.texts)
        texts_TD = fitted.transform.queries(texts_TD) if fitted else texts_TD
        return (normalize_rows(texts_TD) if bundle.metric == "cosine" else texts_TD), stream.fingerprint


def fingerprint(bundle: Bundle, documents: Stream, texts: str, named: NamedIndex) -> str:
    """Of all that is trained on: a checkpoint of other data is refused."""
    of = {"bundle": bundle.fingerprint, "documents": documents.fingerprint, "texts": texts}
    return made_once.key_of({**of, "queries": named.queries, "items": named.items})
