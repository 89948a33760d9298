"""The loss of samples: their chunks encoded, rows kept, and what follows them scored by the frozen language model.

Of a sample it is the mean over its scored tokens, over all its sequences: the mean of windows weighted by their tokens.
Dimension key: L samples, R rows, H hidden width, B sequences of one forward pass, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from irctl.errors import RunFailed
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.soft_context import IGNORED, fill, lay_out
from irctl.training.texts.samples import ScoredSequence, TextSample

ENCODED_AT_ONCE = 16384
"""Tokens of chunks in one forward pass of the encoder, padding counted; one chunk is always taken."""
READ_AT_ONCE = 16384
"""Tokens of sequences in one forward pass of the language model, padding counted; one is always taken."""


def sample_losses(encoder: CompressiveEncoder, lm: Any, samples: Sequence[TextSample]) -> Tensor:
    """Mean cross-entropy of each sample's scored tokens [L], in float32, with gradient to the encoder.

    Raises RunFailed where it is not finite, naming sample and window.
    """
    rows_of = encode_samples(encoder, samples)
    scored = [(at, s) for at, sample in enumerate(samples) for s in sample.sequences]
    sums: list[list[Tensor]] = [[] for _ in samples]
    for batch in split_by_tokens(scored, [s.parts.length for _, s in scored], READ_AT_ONCE):
        rows = [rows_of[at][s.first : s.end] for at, s in batch]
        for (at, s), value in zip(batch, sequence_sums(lm, [s for _, s in batch], rows), strict=True):
            if not torch.isfinite(value):
                raise RunFailed(
                    f"{samples[at].where}{f', {s.name}' if s.name else ''}: the loss is {float(value.detach())}",
                    hint="Lower train.lr, or train in fp32; the last checkpoint is kept",
                )
            sums[at].append(value)
    tokens = [sum(len(s.parts.answer) for s in sample.sequences) for sample in samples]
    return torch.stack([torch.stack(own).sum() / count for own, count in zip(sums, tokens, strict=True)])


def encode_samples(encoder: CompressiveEncoder, samples: Sequence[TextSample]) -> list[Tensor]:
    """Of each sample its kept rows, over all its chunks [R, H]."""
    device = next(encoder.parameters()).device
    kept: list[list[Tensor]] = [[] for _ in samples]
    chunks = [(at, c, k) for at, s in enumerate(samples) for c, k in zip(s.chunks, s.kept, strict=True)]
    for batch in split_by_tokens(chunks, [len(c.ids) for _, c, _ in chunks], ENCODED_AT_ONCE):
        rows_BSH = encoder.encode([c for _, c, _ in batch])
        for (at, _, own), rows_SH in zip(batch, rows_BSH, strict=True):
            if own.ndim == 2:
                kept[at].append(torch.stack([rows_SH[begin:end].mean(0) for begin, end in own.tolist()]))
            else:
                kept[at].append(rows_SH[torch.from_numpy(own).to(device)])
    empty = torch.zeros(0, encoder.dim, device=device)
    return [torch.cat(own) if own else empty for own in kept]


def sequence_sums(lm: Any, sequences: Sequence[ScoredSequence], rows: Sequence[Tensor]) -> list[Tensor]:
    """Of each sequence the sum of cross-entropies of its answer's tokens, in float32."""
    read = lay_out([s.parts for s in sequences]).to(lm.device)
    embeddings_BTH = lm.get_input_embeddings()(read.input_ids_BT)
    filled_BTH = fill(embeddings_BTH, read.is_slot_BT, torch.cat(list(rows)))
    is_scored_BT = read.labels_BT[:, 1:] != IGNORED
    # logits of the places before scored tokens alone: the words are many
    places = is_scored_BT.any(0).nonzero()[:, 0]
    output = lm(
        inputs_embeds=filled_BTH,
        attention_mask=read.mask_BT,
        position_ids=read.position_ids_BT,
        use_cache=False,
        logits_to_keep=places,
    )
    labels_BT = read.labels_BT[:, 1:][:, places]
    with torch.autocast(lm.device.type, enabled=False):
        losses_BT = cross_entropy(
            output.logits.float().transpose(1, 2), labels_BT, ignore_index=IGNORED, reduction="none"
        )
    return list(losses_BT.sum(1))


def split_by_tokens(items: Sequence[Any], lengths: Sequence[int], most: int) -> Iterator[list[Any]]:
    """The items in their order, as many at once as stay below `most` tokens when padded to the longest."""
    batch: list[Any] = []
    longest = 0
    for item, length in zip(items, lengths, strict=True):
        longest = max(longest, length)
        if batch and longest * (len(batch) + 1) > most:
            yield batch
            batch, longest = [], length
        batch.append(item)
    if batch:
        yield batch
