"""A finished folder of embeddings, opened by the command that wrote it: every file is there, in its size.

Dimension key: N vectors, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irctl.data.vectors.embedding_folder import FORMAT, VERSION, open_parts
from irctl.data.vectors.stream import VectorStream
from irctl.errors import DataError
from irctl.index import shards

SHAPE = {"rows": int, "dim": int, "dtype": str, "similarity": str, "key": str}


class EmbeddingFolder(VectorStream):
    """Vectors of a corpus or of queries. fingerprint: the content key of what they were made from.

    Raises DataError where the manifest is absent or a file is missing or of another size; where one is damaged, as it
    is first read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = shards.read_manifest(folder, FORMAT, VERSION, SHAPE)
        for entry in self.manifest["parts"]:
            if not shards.is_present(folder, entry):
                raise DataError(
                    f"{folder}: {entry['file']} or its ids are missing or cut off",
                    hint="irctl encode writes missing shards again",
                )
        self.key = str(self.manifest["key"])
        super().__init__(open_parts(folder, self.manifest), self.key)
        self.dim = int(self.manifest["dim"])  # also where there are no rows
        self.dtype, self.similarity = str(self.manifest["dtype"]), str(self.manifest["similarity"])

    @property
    def tokens(self) -> int:
        """Tokens that were encoded, padding not counted."""
        return int(self.manifest["tokens"])

    def array(self) -> NDArray[np.float32]:
        """All vectors [N, D] in memory."""
        self.check()
        return self.take(np.arange(self.rows))

    def verify(self) -> int:
        """Hash every file again; returns how many. DataError names the first that differs."""
        return shards.verify(self.folder, self.manifest["parts"])
