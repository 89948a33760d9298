"""What one of two processes does in the test of retrieved candidates: two steps of SGD with the clip active."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors.torch
import tiny_training as tiny
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from irctl.quantizers.learned import Quantizer
from irctl.training.index.fixed_index import CodeIndex
from irctl.training.index.query_texts import QueryTexts
from irctl.training.index.retrieved import Judgements, with_views
from irctl.training.index.retrieving_method import RetrievingMethod
from irctl.training.index.trained_codes import TrainedCodes
from irctl.training.loop.trainer import MethodModule
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import Regularization

ROWS, QUERIES = 50, 12


class Queries:
    """Query q has the positives 3q and, where q is even, 3q + 1."""

    positive_from = 1.0

    def __len__(self) -> int:
        return QUERIES

    def texts(self, numbers: Any) -> list[str]:
        return [" ".join(str(1 + (7 * n + j) % (tiny.WORDS - 1)) for j in range(3 + n % 4)) for n in numbers]

    def known(self, query: int) -> Judgements:
        rows = np.array([3 * query, 3 * query + 1][: 2 - query % 2])
        return Judgements(f"q{query}", rows, np.ones(len(rows), np.float32), own_row=48 if query == 3 else -1)


class Codes(RetrievingMethod):
    def __init__(self, loss: str, micro: int, regularizer: str = "") -> None:
        more = {"train.regularizer": regularizer, "train.regularizer_rows": "queries"} if regularizer else {}
        config = tiny.configuration(**{"loss.name": loss, "loss.temperature": 0.5, "loss.inbatch": "own", **more})
        encoder, random = tiny.TinyEncoder(), np.random.default_rng(0)
        quantizer = Quantizer.of_arrays(None, random.standard_normal((4, 16, 2)).astype(np.float32))
        coded = quantizer.encode(random.standard_normal((ROWS, 8)).astype(np.float32))
        bundle = SimpleNamespace(quantizer=quantizer, rows=ROWS, code_size=2, blocks=lambda size: [(0, coded)])
        codes: Any = TrainedCodes(bundle)
        index = CodeIndex(codes, "ip")
        objective = Objective(with_views(terms.parts(config, 1.0)), learn_temperature=False, warn=print)
        judged: Any = SimpleNamespace(queries=Queries(), held_out=None, objective=objective, seed=5, fingerprint="")
        self.shares: dict[str, float] = {}

        def event(name: str, shares: dict[str, float], **row: Any) -> None:
            self.shares = shares

        added = Regularization(config, is_unit=False, dim=encoder.dim, warn=print, event=event) if regularizer else None
        side = QueryTexts(encoder, Queries().texts, [], micro)
        super().__init__(judged, side, index, k=9, regularization=added)
        self.codes = codes


def train(
    loss: str, queries: int, micro: int, regularizer: str = "", wrap: Any = lambda module: module
) -> dict[str, Tensor]:
    """Weights and clipped gradient after two steps of plain SGD: Adam hides a wrong factor."""
    torch.manual_seed(0)
    module = MethodModule(Codes(loss, micro, regularizer))
    module.train()
    wrapped = wrap(module)
    optimizer, found = torch.optim.SGD(module.parameters(), lr=0.5), {}
    for step in range(2):
        batch = module.method.collate([(n, step) for n in range(queries)])
        optimizer.zero_grad()
        value, *_ = wrapped(batch)
        value.backward()
        found[f"norm{step}"] = nn.utils.clip_grad_norm_(module.parameters(), 0.01)
        found[f"loss{step}"] = value.detach()
        optimizer.step()
    found |= {f"share of {name}": torch.tensor(share) for name, share in module.method.shares.items()}
    return found | {name: p.detach() for name, p in module.named_parameters()}


CASES = [
    *(("infonce", 8, 100), ("lambdamrr", 7, 2), ("ranknet", 8, 3), ("infonce", 1, 4)),
    ("infonce", 7, 2, "gor:.5,sigreg:.1"),
]


def main(rank: int, rendezvous: str, out: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    found = {}
    for number, case in enumerate(CASES):
        got = train(*case, wrap=lambda module: DistributedDataParallel(module, find_unused_parameters=True))
        found |= {f"{number}.{name}": value.clone().contiguous() for name, value in got.items()}
    if rank == 0:
        safetensors.torch.save_file(found, out)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
