"""The gradient cache: a loss over a large batch with the memory of one chunk.

Three steps: (1) `forward_chunks` runs every chunk and keeps its vectors but none of its activations, only the state of
the random generators; (2) the caller gathers the vectors and computes the loss; (3) in the one backward pass, each
chunk runs again under its generator state when its vectors' gradient is known, and its activations are freed before the
next chunk. Steps 1 and 3 are torch's activation checkpointing with a whole chunk as the segment, so there is one
backward a step: data parallel and ZeRO reduce their gradients once, as in plain training. Cost: one more forward pass.

Dimension key: L rows of all chunks, D vector width.
Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Chunk = TypeVar("Chunk")


def forward_chunks(forward: Callable[[Chunk], tuple[Tensor, ...]], chunks: Sequence[Chunk]) -> tuple[Tensor, ...]:
    """The outputs of forward over all chunks, each concatenated over rows. A single chunk is run plainly.

    forward returns the same number of tensors [rows, D] for every chunk; it must not change state outside itself.
    """
    if len(chunks) == 1 or not torch.is_grad_enabled():
        outputs = [forward(chunk) for chunk in chunks]
    else:
        outputs = [checkpoint(forward, chunk, use_reentrant=False, preserve_rng_state=True) for chunk in chunks]
    return tuple(torch.cat(column) for column in zip(*outputs, strict=True))
