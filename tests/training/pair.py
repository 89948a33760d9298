"""What one of two processes does in the parity tests: losses and gradients of every case, saved by the first one."""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import tiny_training as tiny
import torch
from torch.nn.parallel import DistributedDataParallel

from irctl import config as settings
from irctl import plugins
from irctl.paths import RunPaths
from irctl.training.loop import session
from irctl.training.loop.trainer import MethodModule
from irctl.training.parallel.gather import gather_rows

SIZES = (4, 3, 5)
CASES = [
    *((name, rows, micro, {}) for name in plugins.names("losses") for rows, micro in ((8, 8), (8, 2), (5, 2), (1, 8))),
    ("infonce", 8, 2, {"loss.learn_temperature": True}),
    ("infonce", 20, 8, {}),
    ("ws2", 10, 4, {}),
    ("kl", 5, 8, {"loss.learn_temperature": True, "loss.inbatch": "own"}),
    ("infonce", 8, 2, {"loss.inbatch": "all"}),
    ("ws2:1,infonce:0.5,marginmse:0.1", 5, 2, {}),
    ("infonce", 5, 2, {"run.name": "scaled"}),
    ("infonce", 5, 2, {"run.name": "isotropic"}),
    *(("infonce", rows, 2, {"train.regularizer": name}) for name in plugins.names("regularizers") for rows in (8, 5)),
    *(
        ("infonce", 7, 3, {"train.regularizer": "gor,sigreg", "train.regularizer_rows": r})
        for r in ("joint", "queries")
    ),
    ("infonce", 1, 2, {"train.regularizer": "gor:.1"}),
]
"""(loss, queries of the batch, queries forwarded at once, settings)."""


def case(name: str, rows: int, micro: int, more: dict) -> tuple[MethodModule, dict]:
    """The module and its batch, on this process; weights are equal in all of them."""
    config = tiny.configuration(**{"loss.name": name, "loss.temperature": 0.7, **more})
    method = tiny.method_of(config, micro=micro, source=tiny.TinySource(20, SIZES))
    method.prepare([method.collate([(i, 0) for i in range(4)])])
    return MethodModule(method), method.collate([(3 * i, 1) for i in range(rows)])


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Gradient by parameter name, wrappers' prefixes removed; zeros where there is none."""
    return {
        name.removeprefix("module."): p.grad if p.grad is not None else torch.zeros_like(p)
        for name, p in module.named_parameters()
    }


def main(out: Path, ln2_folder: Path) -> None:
    # first, a real session: it joins the two processes as in production
    paths = RunPaths(ln2_folder)
    session.run(settings.resolve(settings.from_file(paths.config)), paths, tiny.build)
    results = {}
    for number, (name, rows, micro, more) in enumerate(CASES):
        module, batch = case(name, rows, micro, more)
        wrapped = DistributedDataParallel(module, find_unused_parameters=True)
        loss, *_ = wrapped(batch)
        loss.backward()
        results[f"{number}.loss"] = loss.detach()
        results[f"{number}.loss of both"] = gather_rows(loss.detach().reshape(1, 1), [1, 1])
        results |= {f"{number}.{k}": v for k, v in gradients(wrapped).items()}
    if torch.distributed.get_rank() == 0:
        safetensors.torch.save_file({k: v.clone().contiguous() for k, v in results.items()}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
