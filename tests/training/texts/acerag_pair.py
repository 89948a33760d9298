"""Parity of compressive encoders: three steps of SGD in this process, or in one of two; as a script, one of two.

`SCRIPT OUT PLACE` writes the weights of every case; `SCRIPT RUN` is the whole training of a run folder, as a worker's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import acerag_training as tiny
import safetensors.torch
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from irctl import config as settings
from irctl.methods.acerag import Method
from irctl.paths import RunPaths
from irctl.training import batch_plan
from irctl.training.loop import session
from irctl.training.loop.trainer import MethodModule
from irctl.training.method import Context
from irctl.types import Silent

CASES: list[tuple[str, int, int, int]] = [("ft", 8, 3, 1), ("ft", 7, 8, 1), ("ft", 8, 4, 2), ("pt", 3, 1, 1)]
"""(stage, rows of a loss batch, rows forwarded at once, losses a step)."""


def train(
    place: Path, number: int, *, alone: bool, wrap: Any = lambda module: module, adam: bool = False
) -> dict[str, torch.Tensor]:
    """Weights, losses and first gradient. The last batch is one row, which leaves the second of two processes none.

    alone: everything at once, in one loss a step. adam: AdamW in place of SGD, and the gradient of every step.
    """
    stage, rows, micro, losses = CASES[number]
    config = tiny.configuration(place, **{"acerag.stage": stage, "batch.micro": 100 if alone else micro})
    paths = RunPaths(place / "none")
    method = Method.build(config, Context(batch_plan.plan(config), Silent(), paths, lambda *_, **__: None))
    module = wrap(MethodModule(method))
    optimizer: torch.optim.Optimizer = torch.optim.SGD(method.parameters(), lr=0.5)
    if adam:
        optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3, weight_decay=0.0)
    found = {}
    for step, size in enumerate((rows, rows, 1)):
        items = [((5 * i + step) % method.queries, step) for i in range(size)]
        parts = [items] if alone or size == 1 else [items[i::losses] for i in range(losses)]
        optimizer.zero_grad()
        for part in parts:
            loss, *_ = module(method.collate(part))
            (loss / len(parts)).backward()
            found[f"loss {step}"] = found.get(f"loss {step}", 0) + loss.detach() / len(parts)
        if step == 0 or adam:
            named = "gradient" if step == 0 else f"gradient {step}"
            found |= {f"{named} of {n}": p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
        optimizer.step()
    return found | {n: t.detach().clone() for n, t in method.state_dict().items()}


def main(out: str, place: Path) -> None:
    dist.init_process_group("gloo")
    results = {}
    for number in range(len(CASES)):
        for adam in (False, True):
            found = train(place, number, alone=False, wrap=DistributedDataParallel, adam=adam)
            results |= {f"{number}.{adam}.{name}": tensor.contiguous() for name, tensor in found.items()}
    if dist.get_rank() == 0:
        safetensors.torch.save_file(results, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        main(sys.argv[1], Path(sys.argv[2]))
    else:
        run = RunPaths(Path(sys.argv[1]))
        session.run(settings.resolve(settings.from_file(run.config)), run, Method.build)
