"""Steps of a head over a frozen base on the built-in collection: CPU seconds of what a step is made of.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_frozen_head.py [--steps 100] [--queries 256]
        [--regularizer NAME:WEIGHT]

Measured on one core of a busy machine, 256 queries x 2: 66 CPU ms a step (a batch 13, the loss 16, its gradient 34, the
update 4); with sigreg:0.02, whose 1,024 slices cost most, 259.
`irctl train --method isotropic --set model.freeze_base=true` for 1,000 steps with batch.global=256, data.group_size=2,
which is all 135 queries of the built-in collection a step: 48 CPU s, start, two dev evaluations and the model included.
The base's vectors come from the cache (IRCTL_CACHE), or are made first, which is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from showing import show

from irctl import config as settings
from irctl.data.collections.training_source import open_training_source
from irctl.methods.isotropic import Method
from irctl.origins import SET
from irctl.paths import RunPaths
from irctl.pipelines.hardneg.for_training import default_negatives
from irctl.pipelines.train import checks
from irctl.training import batch_plan
from irctl.training.method import Context
from irctl.types import Silent

GIVEN = {
    "train.method": "isotropic",
    "model.freeze_base": True,
    "data.group_size": 2,
    "eval.during": "off",
    "model.head_init": "torch",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--regularizer", default="")
    asked = parser.parse_args()
    given = {**GIVEN, "batch.global": asked.queries, "train.regularizer": asked.regularizer}
    config, _ = checks.check(settings.resolve({k: (v, SET) for k, v in given.items()}), Silent())
    negatives = default_negatives(config, open_training_source(config).collection, Silent())
    config = config.replace({"data.negatives": str(negatives)}, SET)
    with tempfile.TemporaryDirectory() as folder:
        method = Method.build(config, Context(batch_plan.plan(config), Silent(), RunPaths(Path(folder))))
        optimizer = torch.optim.AdamW(method.parameter_groups(), lr=1e-4)
        method.prepare([method.collate([(i, 0) for i in range(32)])])
        spent = dict.fromkeys(("collate", "loss", "gradient", "update"), 0.0)
        for step in range(asked.steps):
            marks = [time.process_time()]
            batch = method.collate([(i % method.queries, step) for i in range(asked.queries)])
            marks.append(time.process_time())
            loss = method.step(batch).loss
            marks.append(time.process_time())
            optimizer.zero_grad()
            loss.backward()
            marks.append(time.process_time())
            optimizer.step()
            marks.append(time.process_time())
            for name, began, ended in zip(spent, marks, marks[1:], strict=False):
                spent[name] += ended - began
    each = ", ".join(f"{name} {1000 * s / asked.steps:.1f}" for name, s in spent.items())
    show(f"{1000 * sum(spent.values()) / asked.steps:.1f} CPU ms a step of {asked.queries} queries x 2: {each}")


if __name__ == "__main__":
    main()
