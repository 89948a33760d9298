"""RepCONC over the tiny model: 8 dimensions in 4 slices of 4 centroids, one positive a group. As a script, a worker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tiny_training as tiny
import torch

from irctl import config as settings
from irctl.data.groups.group_source import GroupRows
from irctl.data.groups.one_positive_views import one_positive_views
from irctl.methods.repconc import Config, Method
from irctl.models.codes.pq_layer import PqLayer
from irctl.paths import RunPaths
from irctl.training.groups.batches import GroupBatches
from irctl.training.groups.opening import GroupTraining
from irctl.training.loop import session
from irctl.training.objective import terms
from irctl.training.objective.objective import Objective

SLICES, CENTROIDS = 4, 4


class OnePositive(tiny.TinySource):
    """The first passage of a group is its positive. Queries 0, 3, 6 ... share the positive 999 besides their own."""

    def rows(self, index: int, epoch: int) -> GroupRows:
        graded = super().rows(index, epoch)
        labels = np.zeros(len(graded.labels_K), np.float32)
        labels[0] = 1
        shared = np.where(graded.passage_rows_K == 999, 10 * index + 9, graded.passage_rows_K)
        if index % 6 == 0:  # half of them have it as the positive of the visit
            shared[0] = 999
        return GroupRows(index, shared, labels)

    def known(self, query_row: int) -> dict[int, float]:
        return {10 * query_row: 1.0, 10 * query_row + 1: 0.0} | ({999: 1.0} if query_row % 3 == 0 else {})


def layer(seed: int = 5) -> PqLayer:
    generator = torch.Generator().manual_seed(seed)
    rotation_DD = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    return PqLayer(rotation_DD, 0.3 * torch.randn(SLICES, CENTROIDS, 2, generator=generator))


def configuration(**values: Any) -> settings.Config:
    given = {"train.method": "repconc", "loss.name": "infonce", "loss.positive_threshold": 1, "data.binary": "true"}
    return tiny.configuration(**{**given, **values})


def method_of(
    config: settings.Config,
    *,
    micro: int,
    sizes: Sequence[int] = (4,),
    encoder: tiny.TinyEncoder | None = None,
    dev: Any = None,
    warn: Any = print,
) -> Method:
    encoder = encoder or tiny.TinyEncoder()
    objective = Objective(terms.parts(config, 1.0), learn_temperature=False, warn=warn)
    source = OnePositive(20, sizes)
    training = GroupTraining(
        encoder=encoder,
        batches=GroupBatches(source, encoder.features, objective.views, micro=micro, views_of=one_positive_views),
        objective=objective,
        fingerprint="tiny data",
        about={},
        weight_decay=config.train.weight_decay,
        dev=dev,
        guide=None,
    )
    return Method(training, layer(), Config(**config.plugin("repconc")), metric="ip", seed=1)


def build(config: settings.Config, context: Any) -> Method:
    encoder = tiny.TinyEncoder(dropout=0.2)
    return method_of(config, micro=context.plan.micro, encoder=encoder, warn=context.reporter.warn)


if __name__ == "__main__":
    folder = RunPaths(Path(sys.argv[1]))
    session.run(settings.resolve(settings.from_file(folder.config)), folder, build)
