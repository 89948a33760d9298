"""An encoder with a transform in it: a sentence-transformers model whose last module is a Router of two routes.

`encode_query` and `encode_document` then give the vectors of the two sides, in any program with sentence-transformers.
`encode` without a side gives documents. The transform itself lies in the folder too, for the queries that gave a mean.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.errors import ConfigError
from irctl.models import fitted_rows
from irctl.models.similarity import name_similarity
from irctl.models.transforms import files
from irctl.models.transforms.affine import AffineTransform, Floats
from irctl.models.transforms.files import FittedTransform

if TYPE_CHECKING:
    from irctl.models.encoder import TextEncoder


def save(
    folder: Path,
    encoder: TextEncoder,
    fitted: FittedTransform,
    similarity: str,
    *,
    query_map_EE: NDArray[np.float32] | None = None,
    about: Mapping[str, Any] | None = None,
) -> TextEncoder:
    """Write the model folder whole; the encoder that it holds.

    similarity: dot, cosine or euclid, by which what it makes is compared. query_map_EE: what queries are multiplied by
    after the transform (a trained adapter), q -> map q. about: more for irctl.json.
    Raises ConfigError for an encoder whose vectors are cut after its last module: they would be cut once more.
    """
    from irctl.models.encoder import TextEncoder

    if encoder.module.truncate_dim:
        raise ConfigError(
            f"{encoder.located.name}: cuts its vectors to {encoder.module.truncate_dim} dimensions after its last one",
            hint="Cut them by transform.dim",
        )
    module: Any = copy.deepcopy(encoder.module).cpu()
    module.append(make_router(fitted.transform, query_map_EE))
    similarity = "cosine" if fitted.transform.unit else similarity
    module.similarity_fn_name = name_similarity(similarity)
    whole = TextEncoder(
        module,
        dataclasses.replace(encoder.settings, similarity=similarity),
        encoder.located,
        dtype=encoder.dtype,
        batch_tokens=encoder.batch_tokens,
        about=encoder.about,
    )
    whole.fitted_on = np.union1d(encoder.fitted_on, fitted.query_hashes)
    said = {"label": fitted.label, "folder": files.FOLDER, "query_mean_of": fitted.query_mean_of}
    whole.save(folder, {**(about or {}), fitted_rows.TRANSFORM: said})
    files.save(folder / files.FOLDER, fitted)
    return whole


def make_router(transform: AffineTransform, query_map_EE: NDArray[np.float32] | None = None) -> Any:
    """The module of a transform: a query and a document route. query_map_EE: as in `save`."""
    from sentence_transformers.sentence_transformer.modules import Router

    queries = _make_route(transform.query_mean_D, transform.query_matrix_DE, transform.unit)
    if query_map_EE is not None:
        queries.append(_make_dense(query_map_EE, np.zeros(len(query_map_EE))))
    return Router.for_query_document(
        query_modules=queries,
        document_modules=_make_route(transform.mean_D, transform.matrix_DE, transform.unit),
    )


def _make_route(mean_D: Floats, matrix_DE: Floats, unit: bool) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Normalize

    dense = _make_dense(matrix_DE.T, -mean_D @ matrix_DE)
    return [dense, Normalize()] if unit else [dense]


def _make_dense(weight_ED: NDArray[Any], bias_E: NDArray[Any]) -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    return Dense(
        weight_ED.shape[1],
        weight_ED.shape[0],
        activation_function=torch.nn.Identity(),
        init_weight=torch.from_numpy(np.ascontiguousarray(weight_ED, np.float32)),
        init_bias=torch.from_numpy(bias_E.astype(np.float32)),
    )
