"""The loss of samples: their chunks encoded, rows kept, and what follows them scored by the frozen language model.

Of a sample it is the mean over its scored tokens, over all its sequences: the mean of windows weighted by their tokens.
Dimension key: L samples, R rows, H hidden width, B sequences of one forward pass, T tokens of the longest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from irctl.errors import RunFailed
from irctl.models.compressive.branches import READS_ANY_MASK, branched_length, lay_out_branches
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.soft_context import IGNORED, fill, lay_out
from irctl.training.texts.samples import ScoredSequence, TextSample

ENCODED_AT_ONCE = 16384
"""Tokens of chunks in one forward pass of the encoder, padding counted; one chunk is always taken."""
READ_AT_ONCE = 16384
"""Tokens of sequences in one forward pass of the language model, padding counted; one is always taken."""
SPREAD = 1.25
"""Times the shortest that the longest of them may be: ratios of 1 to 8 would make half of a batch padding."""


def sample_losses(encoder: CompressiveEncoder, lm: Any, samples: Sequence[TextSample]) -> Tensor:
    """Mean cross-entropy of each sample's scored tokens [L], in float32, with gradient to the encoder.

    Raises RunFailed where it is not finite, naming sample and window.
    """
    rows_of = encode_samples(encoder, samples)
    is_shared = getattr(lm.config, "_attn_implementation", "") in READS_ANY_MASK
    scored = [(at, unit) for at, sample in enumerate(samples) for unit in _units(sample.sequences, is_shared)]
    scored.sort(key=lambda one: _length(one[1]))
    sums: list[list[Tensor]] = [[] for _ in samples]
    for batch in split_by_tokens(scored, [_length(unit) for _, unit in scored], READ_AT_ONCE, spread=SPREAD):
        rows = [rows_of[at][unit[0].first : unit[0].end] for at, unit in batch]
        for (at, unit), value in zip(batch, unit_sums(lm, [unit for _, unit in batch], rows), strict=True):
            if not torch.isfinite(value):
                name = unit[0].name
                raise RunFailed(
                    f"{samples[at].where}{f', {name}' if name else ''}: the loss is {float(value.detach())}",
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


def _units(sequences: Sequence[ScoredSequence], is_shared: bool) -> list[list[ScoredSequence]]:
    """Sequences that are one of the language model: questions after one context, where it can read them so."""
    units: dict[object, list[ScoredSequence]] = {}
    for number, s in enumerate(sequences):
        is_branch = is_shared and len(s.parts.tail) > 0
        units.setdefault((s.first, s.end, tuple(s.parts.head)) if is_branch else number, []).append(s)
    return list(units.values())


def _length(unit: Sequence[ScoredSequence]) -> int:
    return branched_length([s.parts for s in unit])


def unit_sums(lm: Any, units: Sequence[Sequence[ScoredSequence]], rows: Sequence[Tensor]) -> list[Tensor]:
    """Of each unit the sum of cross-entropies of its answers' tokens, in float32."""
    if all(len(unit) == 1 for unit in units):
        read = lay_out([unit[0].parts for unit in units]).to(lm.device)
        mask = read.mask_BT
    else:
        read = lay_out_branches([[s.parts for s in unit] for unit in units]).to(lm.device)
        mask = torch.zeros(read.mask_BT[:, None].shape, dtype=lm.dtype, device=lm.device)
        mask = mask.masked_fill(~read.mask_BT[:, None], torch.finfo(lm.dtype).min)
    embeddings_BTH = lm.get_input_embeddings()(read.input_ids_BT)
    filled_BTH = fill(embeddings_BTH, read.is_slot_BT, torch.cat(list(rows)))
    is_scored_BT = read.labels_BT[:, 1:] != IGNORED
    # logits of the places before scored tokens alone: the words are many
    places = is_scored_BT.any(0).nonzero()[:, 0]
    output = lm(
        inputs_embeds=filled_BTH,
        attention_mask=mask,
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


def split_by_tokens(
    items: Sequence[Any], lengths: Sequence[int], most: int, *, spread: float = math.inf
) -> Iterator[list[Any]]:
    """The items in their order, as many at once as stay below `most` tokens when padded to the longest.

    spread: times the first of them that a later one may be long.
    """
    batch: list[Any] = []
    longest = first = 0
    for item, length in zip(items, lengths, strict=True):
        longest = max(longest, length)
        if batch and (longest * (len(batch) + 1) > most or length > spread * first):
            yield batch
            batch, longest = [], length
        first = first if batch else length
        batch.append(item)
    if batch:
        yield batch
