"""How many numbers the weights of a model folder are, from the headers of its safetensors files."""

from __future__ import annotations

import math
from pathlib import Path

from irctl.models.fingerprints import read_header


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a model folder, from their headers alone. Raises DataError if one is torn."""
    return sum(math.prod(shape) for shapes in read_shapes(folder).values() for _, shape in shapes)


def count_lora(folder: Path, rank: int) -> tuple[int, int]:
    """Parameters of the adapters at the most, and those of the modules beside the transformer, which stay trained.

    A linear layer's adapter has rank x (in + out); every matrix but the embeddings is taken for such a layer. The
    transformer is the module with the most parameters.
    """
    modules = list(read_shapes(folder).values())
    sizes = [sum(math.prod(shape) for _, shape in shapes) for shapes in modules]
    matrices = [shape for shapes in modules for name, shape in shapes if len(shape) == 2 and "embed" not in name]
    return rank * sum(map(sum, matrices)), sum(sizes) - max(sizes, default=0)


def read_shapes(folder: Path) -> dict[Path, list[tuple[str, list[int]]]]:
    """Name and shape of each tensor in the safetensors files, by the folder that a file lies in.

    Without whole numbers of 64 bits: those are positions of tokens, not parameters.
    """
    shapes: dict[Path, list[tuple[str, list[int]]]] = {}
    for file in folder.rglob("*.safetensors"):
        entries = read_header(file)[0]
        shapes.setdefault(file.parent, []).extend(
            (name, entry["shape"]) for name, entry in entries.items() if entry["dtype"] != "I64"
        )
    return shapes
