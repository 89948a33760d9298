"""Whether an encoder of queries belongs to an index: to its rows' encoder, or to its trained query side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.index.learned_bundle import are_copies, find_encoder
from irctl.models import pair

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.pipelines.search.opened_index import Searched

WITHOUT = "Leave out --model"


def find_own(searched: Searched | None) -> Path | None:
    """The query encoder that belongs to the codes searched, if they have one of their own (learned_bundle.py)."""
    return find_encoder(searched.bundle) if searched is not None and searched.bundle is not None else None


def check_known(searched: Searched, config: Config) -> None:
    """DataError where nothing says which encoder made the rows, and the default model would be taken for it."""
    about = searched.about
    if about.get("encoder") or about.get("model") or find_own(searched) or "model.name" in config.origins:
        return
    raise DataError(
        f"{searched.folder or searched.reference}: nothing says which encoder made its rows, so texts cannot be "
        "compared with them",
        hint="Name that encoder with --model, or give query vectors",
    )


def check_encoder(searched: Searched, encoder: Any, name: str) -> None:
    """DataError when queries of this encoder would mean nothing to the index."""
    if encoder.dim != searched.raw_dim:
        raise DataError(
            f"{searched.folder}: is of {searched.raw_dim} dimensions, {name} makes {encoder.dim}",
            hint="Name its --model",
        )
    own = find_own(searched)
    if own is not None:
        _check_own(searched, own, encoder, name)
        return
    known, model = searched.about.get("encoder") or {}, searched.about.get("model") or "NAME of its encoder"
    if _has_query_side(searched):  # for its own encoder alone, not for every one that was trained on these documents
        if differs := pair.differs(known, encoder.key("passage")):
            raise DataError(
                f"{searched.folder}: its query side is for queries of {model}, not of {name} (its {differs} differ)",
                hint=f"{WITHOUT}: queries are mapped in the bundle, and mapped twice by a model that does it too",
            )
        return
    documents = pair.documents_of(encoder)
    if documents.get("codes") and searched.bundle is not None:
        raise DataError(
            f"{searched.folder}: {name} was trained with the query centroids of another bundle",
            hint="Name the bundle of its training with --index",
        )
    if differs := pair.differs(known, documents.get("encoder") or encoder.key("passage")):
        raise DataError(
            f"{searched.folder}: its rows were encoded by another model than {name} (its {differs} differ)",
            hint=f"Use --model {model}",
        )


def _check_own(searched: Searched, own: Path, encoder: Any, name: str) -> None:
    """A copy of the bundle's query encoder is as good as itself: the training's own folder, for one."""
    folder = Path(encoder.located.folder)
    if folder.resolve() == own.resolve() or are_copies(folder, own):
        return
    raise DataError(
        f"{searched.folder}: its query centroids belong to the query encoder in it, not to {name}",
        hint=f"{WITHOUT}: {own} is used by itself",
    )


def _has_query_side(searched: Searched) -> bool:
    return searched.bundle is not None and getattr(searched.bundle.quantizer, "has_query_side", False)
