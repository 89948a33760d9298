"""By what vectors are compared: dot product, cosine, or euclid, the negative distance.

Dimension key: B queries, N passages, D vector width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def similarities(queries_BD: Tensor, passages_ND: Tensor, kind: str) -> Tensor:
    """Scores [B, N] in the precision of the vectors, whatever autocast says. kind: dot, cosine or euclid."""
    with torch.autocast(queries_BD.device.type, enabled=False):
        if kind == "cosine":
            queries_BD = nn.functional.normalize(queries_BD, dim=1)
            passages_ND = nn.functional.normalize(passages_ND, dim=1)
        if kind == "euclid":
            return -torch.cdist(queries_BD, passages_ND)
        return queries_BD @ passages_ND.T
