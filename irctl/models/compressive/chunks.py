"""A context as the chunks that the encoder reads: `[BOS] instruction | slice`, each encoded apart, none overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from irctl.errors import ConfigError
from irctl.models.compressive.row_selection import Chunk


@dataclass(frozen=True)
class EncodedChunk:
    """Token ids of a chunk, and which of them are prefix and instruction."""

    ids: tuple[int, ...]
    shape: Chunk


def split_context(
    context_ids: Sequence[int], *, chunk_tokens: int, instruction_ids: Sequence[int] = (), bos: int | None = None
) -> list[EncodedChunk]:
    """The chunks of a context, in its order; none for an empty one.

    chunk_tokens: of a chunk, its prefix counted. bos: the tokenizer's, where it has one (it may be token 0).
    Raises ConfigError where a prefix leaves no room for content.
    """
    prefix = (*(() if bos is None else (bos,)), *instruction_ids)
    room = chunk_tokens - len(prefix)
    if room < 1:
        raise ConfigError(
            f"acerag.chunk_tokens={chunk_tokens}: the instruction and BOS alone are {len(prefix)} tokens",
            hint="Raise acerag.chunk_tokens, or use shorter acerag.instructions",
        )
    slices = [tuple(context_ids[i : i + room]) for i in range(0, len(context_ids), room)]
    return [
        EncodedChunk(
            (*prefix, *s), Chunk(length=len(prefix) + len(s), prefix=len(prefix), instruction=len(instruction_ids))
        )
        for s in slices
    ]
