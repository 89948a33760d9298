"""What one of two processes does in the parity test of RepCONC: trained weights of every case, saved by the first."""

from __future__ import annotations

import sys
from typing import Any

import repconc_training as tiny
import safetensors.torch
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from irctl.training.loop.trainer import MethodModule

CASES: list[tuple[int, int, dict[str, Any]]] = [
    (8, 4, {}),
    (8, 7, {}),
    (8, 8, {}),
    (7, 7, {}),
    (5, 2, {"repconc.queue": 24, "repconc.top_negatives": 3}),
    (8, 2, {"repconc.mse_weight": 0.5}),
    (8, 4, {"repconc.similarity": "cos", "repconc.constraint": False}),
    (5, 2, {"loss.name": "ranknet", "loss.positive_threshold": 0}),
]
"""(queries of the batch, queries forwarded at once, settings)."""
CLIP = 0.05
"""Far below the norm of the gradient: what is wrong by a factor in one parameter shows in all."""


def train(number: int, micro: int | None = None, wrap: Any = lambda module: module) -> dict[str, torch.Tensor]:
    """Weights, and the first gradient, after three steps of SGD; the last batch has one query fewer."""
    rows, own_micro, more = CASES[number]
    config = tiny.configuration(**{"loss.temperature": 0.7, **more})
    method = tiny.method_of(config, micro=micro or own_micro, sizes=(4, 3, 5))
    method.prepare([method.collate([(i, 0) for i in range(4)])])
    module = wrap(MethodModule(method))
    optimizer = torch.optim.SGD([{**g, "lr": 0.1} for g in method.parameter_groups()], lr=0.1)
    kept = {}
    for step, size in enumerate((rows, rows, rows - 1)):
        optimizer.zero_grad()
        loss, *_ = module(method.collate([((3 * i + step) % 20, step) for i in range(size)]))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(method.parameters(), CLIP)
        assert norm > 2 * CLIP, "the clip is active"
        kept[f"norm {step}"] = norm
        if step == 0:
            kept |= {f"gradient of {n}": p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
        optimizer.step()
    return kept | {n: t.detach().clone() for n, t in method.state_dict().items()}


def main(out: str) -> None:
    dist.init_process_group("gloo")
    results = {}
    for number in range(len(CASES)):
        trained = train(
            number, wrap=lambda m: DistributedDataParallel(m, find_unused_parameters=True, broadcast_buffers=False)
        )
        results |= {f"{number}.{name}": tensor.contiguous() for name, tensor in trained.items()}
    if dist.get_rank() == 0:
        safetensors.torch.save_file(results, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
