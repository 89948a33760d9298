"""From the token ids of a row to what a step reads: chunks to encode, rows to keep, and the sequences that are scored.

Ratios and rows are drawn by (seed, epoch, row): fresh in every epoch, the same for any number of processes and loader
workers and after any stop.
Dimension key: W windows of a text, R kept rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from irctl.data import draws
from irctl.data.contexts.split import Split
from irctl.errors import DataError
from irctl.models.compressive import row_selection
from irctl.models.compressive.chunks import EncodedChunk, split_context
from irctl.models.compressive.row_selection import Chunk
from irctl.models.compressive.soft_context import Parts

Kept = NDArray[np.int64]
"""Numbers of a chunk's kept rows [R], or, for means, where each of their runs begins and ends [R, 2]."""


@dataclass(frozen=True)
class ScoredSequence:
    """One sequence of the language model: its parts, and which of the sample's kept rows its context is."""

    parts: Parts
    first: int
    end: int
    name: str = ""  # of the window, for errors


@dataclass(frozen=True)
class TextSample:
    """A row of the data in a step. kept: for each chunk its kept rows, which follow each other over the chunks.

    where: file and line, for errors. is_cut: whether the context was too long for the language model.
    """

    chunks: tuple[EncodedChunk, ...]
    kept: tuple[Kept, ...]
    sequences: tuple[ScoredSequence, ...]
    where: str
    is_cut: bool = False

    @property
    def rows(self) -> int:
        return sum(len(k) for k in self.kept)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How rows are compressed. bos: of the tokenizer, None where it has none. most_tokens: what the language model
    takes at the most. repeat_ids: what asks it to repeat its context (reconstruction).
    """

    ratios: tuple[int, ...]
    selection: str = "stride"
    grid: str = "content"
    shuffle_rows: bool = False
    chunk_tokens: int = 4096
    window: int = 1024
    most_tokens: int = 4096
    reconstruction: float = 0.0
    bos: int | None = None
    repeat_ids: tuple[int, ...] = ()
    seed: int = 42


def keep(chunk: Chunk, ratio: int, rules: Rules, generator: np.random.Generator) -> Kept:
    """The kept rows of a chunk by the rules' selection."""
    if rules.selection == "mean":
        return row_selection.group_rows(chunk, ratio)
    kept_R = row_selection.select(chunk, ratio, rules.selection, grid=rules.grid, generator=generator)
    return generator.permutation(kept_R) if rules.shuffle_rows and rules.selection == "random" else kept_R


def tuning_sample(
    split: Split, rules: Rules, *, instruction_ids: Sequence[int], row_id: int, epoch: int, where: str,
    ratio: int | None = None,
) -> TextSample:  # fmt: skip
    """Stage ft: the answer after the prompt, whose context is kept rows. ratio: None draws one of the rules'.

    A context whose rows do not fit beside the rest keeps its first and last half. Raises DataError where none fit.
    """
    generator = draws.generator("acerag", rules.seed, epoch, row_id)
    drawn = rules.ratios[int(generator.integers(len(rules.ratios)))]
    ratio = ratio or drawn
    room = rules.most_tokens - len(split.head) - len(split.tail) - len(split.answer)
    content = rules.chunk_tokens - len(instruction_ids) - (rules.bos is not None)
    context = fit_context(split.context, ratio, room, content)
    if split.context and not context:
        raise DataError(
            f"{where}: prompt and answer take {rules.most_tokens - room} of {rules.most_tokens} tokens, and leave none "
            "to its context",
            hint="Raise acerag.lm_tokens, or drop the row by acerag.max_tokens",
        )
    chunks = split_context(context, chunk_tokens=rules.chunk_tokens, instruction_ids=instruction_ids, bos=rules.bos)
    kept = tuple(keep(c.shape, ratio, rules, generator) for c in chunks)
    rows = sum(len(k) for k in kept)
    parts = Parts(head=split.head, rows=rows, tail=split.tail, answer=split.answer)
    return TextSample(tuple(chunks), kept, (ScoredSequence(parts, 0, rows),), where, len(context) < len(split.context))


def joined(samples: Sequence[TextSample]) -> TextSample:
    """One sample of several: what they have encoded alike is encoded once, and each answer counts by its tokens."""
    if len(samples) == 1:
        return samples[0]
    chunks: list[EncodedChunk] = []
    kept: list[Kept] = []
    sequences: list[ScoredSequence] = []
    starts: dict[tuple[object, ...], int] = {}
    rows = 0
    for sample in samples:
        key = (tuple(c.ids for c in sample.chunks), tuple(k.tobytes() for k in sample.kept))
        if key not in starts:
            starts[key] = rows
            chunks += sample.chunks
            kept += sample.kept
            rows += sample.rows
        at = starts[key]
        sequences += [replace(s, first=s.first + at, end=s.end + at, name=sample.where) for s in sample.sequences]
    return TextSample(tuple(chunks), tuple(kept), tuple(sequences), samples[0].where, any(s.is_cut for s in samples))


def fit_context(context: Sequence[int], ratio: int, room: int, content: int) -> tuple[int, ...]:
    """The context, or as much of its beginning and end as leaves at most `room` rows. content: tokens of a chunk."""
    rows_a_chunk = row_selection.count_rows(content, ratio)
    chunks, rest = divmod(max(room, 0), rows_a_chunk)
    size = chunks * content + rest * ratio
    if size >= len(context):
        return tuple(context)
    first = -(-size // 2)
    return tuple(context[:first]) + tuple(context[len(context) - (size - first) :])


def text_sample(
    ids: Sequence[int], rules: Rules, *, row_id: int, epoch: int, where: str, ratio: int | None = None
) -> TextSample:
    """Stage pt: each window but the first, after the rows that are kept of the windows before it.

    ratio: None draws one of the rules' for each window. Rows of the oldest windows are left out where the language
    model cannot take all.
    """
    generator = draws.generator("acerag", rules.seed, epoch, row_id)
    windows = [tuple(ids[i : i + rules.window]) for i in range(0, len(ids), rules.window)]
    assert len(windows) > 1, "a text of one window has nothing to predict"
    ratios = [rules.ratios[i] for i in generator.integers(len(rules.ratios), size=len(windows) - 1)]
    repeated_W = generator.random(len(windows) - 1) < rules.reconstruction
    chunks, kept, ends = [], [], [0]
    run = max(rules.chunk_tokens // rules.window, 1)
    for first in range(0, len(windows) - 1, run):
        together = windows[first : min(first + run, len(windows) - 1)]
        chunk_ids = tuple(t for w in together for t in w)
        pieces, at = [], 0
        for w, window in enumerate(together, first):
            own = keep(Chunk(length=len(window)), ratio or ratios[w], rules, generator)
            pieces.append(own + at)
            at += len(window)
            ends.append(ends[-1] + len(own))
        chunks.append(EncodedChunk(chunk_ids, Chunk(length=len(chunk_ids))))
        kept.append(np.concatenate(pieces))
    sequences, is_cut = [], False
    for w, window in enumerate(windows[1:], 1):
        if repeated_W[w - 1]:
            begin, end, answer, tail = ends[w - 1], ends[w], windows[w - 1], rules.repeat_ids
        else:
            begin, end, answer, tail = 0, ends[w], window, ()
        room = rules.most_tokens - len(answer) - len(tail)
        is_cut = is_cut or end - begin > room
        begin = max(begin, end - room)
        sequences.append(ScoredSequence(Parts(rows=end - begin, tail=tail, answer=answer), begin, end, f"window {w}"))
    return TextSample(tuple(chunks), tuple(kept), tuple(sequences), where, is_cut)


def without_context(sample: TextSample) -> TextSample:
    """The same sequences with no rows: what is known without the context."""
    bare = tuple(
        ScoredSequence(Parts(head=s.parts.head, tail=s.parts.tail, answer=s.parts.answer), 0, 0, s.name)
        for s in sample.sequences
    )
    return TextSample((), (), bare, sample.where)
