"""What is done to a query's vector before it is compared with codes: nothing, or a linear map that is trained.

Dimension key: B queries, D vector width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Frozen(nn.Module):
    """Vectors as the encoder makes them, or mapped as an earlier training left it: nothing is trained."""

    map: Tensor | None

    def __init__(self, map_DD: NDArray[np.float32] | None = None) -> None:
        super().__init__()
        self.register_buffer("map", None if map_DD is None else torch.from_numpy(map_DD).clone(), persistent=False)

    def forward(self, queries_BD: Tensor) -> Tensor:
        return queries_BD if self.map is None else queries_BD @ self.map.T

    def query_map(self) -> NDArray[np.float32] | None:
        return None if self.map is None else self.map.cpu().numpy()

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return []


class Adapter(nn.Module):
    """q A^T, A starting as the identity or as an earlier training left it."""

    def __init__(self, dim: int, start_DD: NDArray[np.float32] | None = None) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.eye(dim) if start_DD is None else torch.from_numpy(start_DD).clone())

    def forward(self, queries_BD: Tensor) -> Tensor:
        return queries_BD @ self.map.T

    def query_map(self) -> NDArray[np.float32] | None:
        found: NDArray[np.float32] = self.map.detach().cpu().float().numpy()
        return found

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"params": [self.map], "lr": lr, "weight_decay": 0.0}]
