"""Which training queries make up which loss batch: a permutation by (seed, epoch), the same everywhere.

The data loader hands (query, epoch) pairs to the method's collate, which builds the groups; nothing else is sampled
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from irctl.data import draws
from irctl.training.method import Item


class LossBatches:
    """Batches of `size` (query, epoch) pairs; the last one of an epoch may be smaller and is kept."""

    def __init__(self, queries: int, size: int, seed: int) -> None:
        self.queries, self.size, self.seed = queries, size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.queries // self.size)

    def __iter__(self) -> Iterator[list[Item]]:
        order = draws.queries_of_epoch(self.queries, self.seed, self.epoch)
        for start in range(0, self.queries, self.size):
            yield [(int(query), self.epoch) for query in order[start : start + self.size]]


class Items(Dataset[Item]):
    """The pairs themselves: collate needs all of a loss batch to build its labels, and texts of its own share only."""

    def __init__(self, queries: int) -> None:
        self.queries = queries

    def __len__(self) -> int:
        return self.queries

    def __getitem__(self, item: Any) -> Item:
        return item  # type: ignore[no-any-return]


class Loader(DataLoader[Item]):
    """A data loader whose batches follow the epoch. Its seeds come from its own generator, not the global one."""

    def __init__(
        self, batches: LossBatches, collate: Callable[[list[Item]], Any], *, workers: int, pin_memory: bool
    ) -> None:
        self.batches = batches
        generator = torch.Generator()
        generator.manual_seed(batches.seed)
        super().__init__(
            Items(batches.queries),
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin_memory,
            generator=generator,
            multiprocessing_context="fork" if workers else None,
        )

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)
