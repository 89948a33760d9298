"""A query encoder that was trained against vectors or codes that stay: its documents are those of another encoder.

Its irctl.json names that one, so that the pair is searched as it was trained: the query encoder alone encodes no
documents, and an index of that encoder's documents takes its queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irctl.errors import DataError

DOCUMENTS = "documents"
"""Key of irctl.json: {"model": name, "encoder": what must be the same of its encoder, "codes": whether the queries were
trained with centroids of their own, which are in one bundle alone}."""
COMPARED = ("weights", "tokenizer", "pooling", "normalize", "dim")
"""What must be the same of the encoder of the rows and that of the queries; prompts and lengths differ by side."""


def describe(model: str, encoder: Mapping[str, Any], *, codes: bool = False) -> dict[str, Any]:
    """What a query encoder says of its documents' encoder. encoder: its key, or what an embedding folder says of it."""
    return {DOCUMENTS: {"model": model, "encoder": {k: encoder[k] for k in COMPARED if k in encoder}, "codes": codes}}


def describe_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """The same by what the manifest of the codes that it was trained against says of their documents."""
    return describe(str(about.get("model") or ""), dict(about.get("encoder") or {}), codes=True)


def documents_of(encoder: Any) -> Mapping[str, Any]:
    """{"model", "encoder"} of an encoder of queries alone, else empty."""
    named: Mapping[str, Any] = getattr(encoder, "about", {}).get(DOCUMENTS) or {}
    return named


def differs(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between two encoders by their keys; empty where they make the same vectors of a text."""
    return next((k for k in COMPARED if k in one and k in other and one[k] != other[k]), "")


def refuse_documents(encoder: Any) -> None:
    """DataError for an encoder of queries alone, asked for a corpus."""
    if named := documents_of(encoder):
        raise DataError(
            f"{encoder.located.name}: was trained as an encoder of queries alone; its documents are those of "
            f"{named.get('model') or 'another encoder'}",
            hint=f"Encode documents with --model {named.get('model') or 'THAT ENCODER'}",
        )
