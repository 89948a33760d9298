"""The query side of a transform as faiss's own: a file of an index then takes the encoder's vectors as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from irctl.models.transforms.files import FittedTransform


def prepend(fitted: FittedTransform, index: Any) -> Any:
    """The index behind the affine map and, where the transform has it, the scaling to length 1."""
    import faiss

    transform = fitted.transform
    matrix_ED = transform.query_matrix_DE.T
    affine = faiss.LinearTransform(transform.dim, transform.out_dim, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(matrix_ED, np.float32).ravel(), affine.A)
    faiss.copy_array_to_vector((-matrix_ED @ transform.query_mean_D).astype(np.float32), affine.b)
    affine.is_trained = True
    outer = index if isinstance(index, faiss.IndexPreTransform) else faiss.IndexPreTransform(index)
    if transform.unit:
        outer.prepend_transform(faiss.NormalizationTransform(transform.out_dim, 2.0))
    outer.prepend_transform(affine)
    outer.is_trained = True
    return outer
