"""What a training against an index leaves: a bundle of the same codes, and the query encoder as a model of its own.

Dimension key: D vector width.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from irctl.config import Config
from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import ENCODER, are_copies, find_encoder, write_learned
from irctl.index.scoring import SIMILARITY
from irctl.models import pair
from irctl.models.transforms import files as transform_files
from irctl.models.transforms import router
from irctl.quantizers.learned import Quantizer
from irctl.types import Stream

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder

BLOCK_ROWS = 16_384
"""Documents coded at once."""


def write_bundle(
    folder: Path,
    parent: Bundle,
    quantizer: Quantizer,
    about: Mapping[str, Any],
    query_encoder: Path | None = None,
    documents: Stream | None = None,
) -> dict[str, Any]:
    """The learned bundle; the artifact as the ledger records it.

    query_encoder: None: the parent's, if it has one. documents: the vectors to be coded anew, by the trained centroids,
    which then are those of both sides; None: codes and document side stay.
    """
    own = parent.folder / ENCODER
    encoder = query_encoder or (own if own.is_dir() else None)
    encode = None
    if documents is not None:
        made_by = quantizer = one_sided(quantizer)
        encode = partial(_encode, made_by, documents)
    trained = {"trained": dict(about)}
    sha256 = write_learned(folder, parent, quantizer, about=trained, query_encoder=encoder, encode=encode)
    made = {"kind": "bundle", "path": str(folder), "sha256": sha256, "n_rows": parent.rows, "dim": parent.dim}
    return {"artifacts": [{**made, "format": "irctl-bundle"}]}


def write_encoder(
    folder: Path,
    encoder: Any,
    bundle: Path,
    parent: Bundle,
    quantizer: Quantizer,
    about: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """A trained query encoder in `folder`, never where it was read, and the bundle that holds a copy of it.

    more: what its own folder says besides.
    """
    encoder.save(folder, {**about, **more})
    written = write_bundle(bundle, parent, quantizer, about, query_encoder=folder)
    return {**written, "dim": encoder.dim, "fingerprint": encoder.fingerprint("passage")}


def one_sided(quantizer: Quantizer) -> Quantizer:
    """One that codes documents by the query side's centroids; its query map stays."""
    centroids_MKd = quantizer.query_centroids_MKd
    assert centroids_MKd is not None, "a training replaced them"
    made = Quantizer.of_arrays(quantizer.rotation_ED, centroids_MKd, metric=quantizer.metric, seed=quantizer.seed)
    return made.replace_query_side(None, quantizer.query_map_DD)


def _encode(quantizer: Quantizer, documents: Stream, start: int, stop: int) -> NDArray[np.uint8]:
    """Codes [stop - start, C] of these rows, some in memory at a time."""
    return np.concatenate([quantizer.encode(b.vectors_ND) for b in documents.blocks(BLOCK_ROWS, start, stop)])


def write_kept(
    folder: Path,
    config: Config,
    bundle: Path,
    parent: Bundle,
    quantizer: Quantizer,
    about: Mapping[str, Any],
    documents: Stream | None = None,
    fitted_on: NDArray[np.uint64] | None = None,
) -> dict[str, Any]:
    """The bundle of kept query vectors, and their encoder with the query map as a model in `folder`.

    Where that encoder is not the documents' own, the bundle holds a copy of it, without the map. fitted_on: hashes of
    the texts that the map was trained on.
    """
    from irctl.models.encoder import load_encoder

    encoder = load_encoder(config)
    said = _say_documents(parent, encoder)
    base, own = None, find_encoder(parent)
    if said and (own is None or not are_copies(own, Path(encoder.located.folder))):
        base = folder.with_name(f".{folder.name}.{ENCODER}")
        encoder.save(base, {**about, **said})
    written = write_bundle(bundle, parent, quantizer, about, query_encoder=base, documents=documents)
    if base is not None:
        shutil.rmtree(base)
    if fitted_on is not None:
        encoder.note_fitted(fitted_on)
    return written | _write_model(folder, encoder, parent, quantizer, {**about, **said})


def _say_documents(parent: Bundle, encoder: TextEncoder) -> dict[str, Any]:
    """What an encoder of queries alone says of its documents; nothing of the one that encoded them too."""
    said = parent.manifest.get("about", {})
    is_own = find_encoder(parent) is None and not pair.differs(said.get("encoder") or {}, encoder.key("passage"))
    return {} if is_own else pair.describe_about(said)


def _write_model(
    folder: Path, encoder: TextEncoder, parent: Bundle, quantizer: Quantizer, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The encoder of queries for other programs, and the query map as a dense layer after it.

    With a map it encodes queries alone, and says whose documents they are for. Where the bundle has a transform the
    model has it too, and two routes.
    """
    from sentence_transformers.sentence_transformer.modules import Dense

    if (fitted := transform_files.of_bundle(parent)) is not None:
        similarity, query_map_DD = SIMILARITY[parent.metric], quantizer.query_map_DD
        encoder = router.save(folder, encoder, fitted, similarity, query_map_EE=query_map_DD, about=about)
        return {"dim": encoder.dim, "fingerprint": encoder.fingerprint("query")}
    if quantizer.query_map_DD is not None:
        about = {**about, **pair.describe_about(parent.manifest.get("about", {}))}
        dim = quantizer.dim
        layer = Dense(dim, dim, bias=False, activation_function=torch.nn.Identity())
        layer.linear.weight.data.copy_(torch.from_numpy(quantizer.query_map_DD))
        encoder.module.append(layer.to(encoder.device))
    encoder.save(folder, about)
    return {"dim": encoder.dim, "fingerprint": encoder.fingerprint("query")}
