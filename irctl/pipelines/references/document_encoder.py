"""Which encoder makes the documents of an encoder: itself, or the one that an encoder of queries alone names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.models import pair

if TYPE_CHECKING:
    from irctl.config import Config


def document_encoder(encoder: Any, name: str, config: Config) -> tuple[Any, str]:
    """(encoder, name) of the documents. Raises DataError where the one named is not here, or is another by now."""
    named = pair.documents_of(encoder)
    if not named:
        return encoder, name
    from irctl.models.encoder import load_encoder

    own, by_index = str(named["model"]), "Name vectors or codes of its documents with --index"
    if not own:
        raise DataError(f"{name}: was trained as an encoder of queries alone", hint=by_index)
    try:
        found = load_encoder(config, own).freeze()
    except DataError as e:
        raise DataError(
            f"{name}: its documents are encoded by {own}: {e.message}",
            hint=by_index,
        ) from None
    if what := pair.differs(named["encoder"], found.key("passage")):
        raise DataError(
            f"{name}: its documents were encoded by {own}, whose {what} differ by now",
            hint=by_index,
        )
    return found, own
