"""By what vectors are compared: dot product, cosine, or euclid, the negative distance.

Dimension key: B queries, N passages, D vector width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def similarities(queries_BD: Tensor, passages_ND: Tensor, kind: str, *, by_products: bool = False) -> Tensor:
    """Scores [B, N] in the precision of the vectors, whatever autocast says. kind: dot, cosine or euclid.

    by_products: distances as |q|^2 + |d|^2 - 2 q.d, faster over a whole index; of long vectors that are near each other
    no digit is right then.
    """
    with torch.autocast(queries_BD.device.type, enabled=False):
        if kind == "cosine":
            queries_BD = nn.functional.normalize(queries_BD, dim=1)
            passages_ND = nn.functional.normalize(passages_ND, dim=1)
        if kind == "euclid":
            mode = "use_mm_for_euclid_dist_if_necessary" if by_products else "donot_use_mm_for_euclid_dist"
            return -torch.cdist(queries_BD, passages_ND, compute_mode=mode)
        return queries_BD @ passages_ND.T
