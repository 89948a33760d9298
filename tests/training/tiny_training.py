"""A model of 1,000 weights and a source of 20 queries: enough to train in a second. As a script it is a worker."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from scaled_method import ScaledMethod
from torch import Tensor, nn

from irctl import config as settings
from irctl.data.groups.group_source import GroupRows
from irctl.data.groups.merged_sources import Labels
from irctl.methods import isotropic
from irctl.methods.dense import Method
from irctl.origins import derived
from irctl.paths import RunPaths
from irctl.training.groups.batches import GroupBatches
from irctl.training.groups.guide import Guide
from irctl.training.groups.opening import GroupTraining
from irctl.training.loop import session
from irctl.training.method import unrecorded
from irctl.training.objective import regularizer_terms, terms
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import Regularization

WORDS = 50


class TinyEncoder:
    """Mean of word vectors through a layer with dropout. Words are numbers."""

    dim = 8
    similarity = "dot"
    located = SimpleNamespace(folder="tiny")
    about: Mapping[str, Any] = {}

    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module = nn.ModuleDict(
            {"words": nn.Embedding(WORDS, 16), "drop": nn.Dropout(dropout), "out": nn.Linear(16, self.dim)}
        )
        self.forwards: list[int] = []

    def features(self, texts: Sequence[str], side: str) -> dict[str, Tensor]:
        rows = [[int(w) for w in text.split()] for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
        mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        self.forwards.append(len(features["input_ids"]))
        mask = features["attention_mask"][:, :, None].to(self.module["out"].weight.dtype)
        hidden = (self.module["words"](features["input_ids"]) * mask).sum(1) / mask.sum(1)
        vectors: Tensor = self.module["out"](torch.tanh(self.module["drop"](hidden)))
        return vectors

    def encode(self, texts: Sequence[str]) -> Tensor:
        with torch.no_grad():
            return self.forward(self.features(texts, "query"))

    def fingerprint(self, side: str) -> str:
        return "tiny"

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        safetensors.torch.save_file(self.module.state_dict(), folder / "model.safetensors")


class TinySource:
    """Query q shares words with its passages, the more the higher the grade. Every third query has passage 999."""

    def __init__(self, queries: int = 20, sizes: Sequence[int] = (4,)) -> None:
        self.queries, self.sizes = queries, sizes

    def __len__(self) -> int:
        return self.queries

    def rows(self, index: int, epoch: int) -> GroupRows:
        size = self.sizes[index % len(self.sizes)]
        passages = [10 * index + grade for grade in range(size - 1)] + [999 if index % 3 == 0 else 10 * index + size]
        labels = [max(0, 3 - place) for place in range(size)]
        return GroupRows(index, np.array(passages), np.array(labels, dtype=np.float32))

    def known(self, query_row: int) -> dict[int, float]:
        return {999: 0.0} if query_row % 3 == 0 else {}

    def same(self, rows_K: np.ndarray) -> np.ndarray:
        return rows_K

    @property
    def query_rows(self) -> range:
        return range(self.queries)

    def passage_rows(self) -> list[int]:
        return [int(row) for i in self.query_rows for row in self.rows(i, 0).passage_rows_K]

    def query_texts(self, rows: Sequence[int]) -> list[str]:
        return [" ".join(str(1 + (7 * row + j) % (WORDS - 1)) for j in range(6)) for row in rows]

    def passage_texts(self, rows: Sequence[int]) -> list[str]:
        return [
            " ".join(str(1 + (7 * (row // 10) + j + row % 10) % (WORDS - 1)) for j in range(6 - row % 5))
            for row in rows
        ]


def method_of(
    config: settings.Config,
    *,
    micro: int,
    source: TinySource | None = None,
    encoder: TinyEncoder | None = None,
    dev: bool = False,
    guide: Any = None,
    warn: Any = print,
    event: Any = unrecorded,
    is_unit: bool = False,
) -> Method:
    """A method over the tiny model and data: dense, or what the run's name says."""
    encoder, source = encoder or TinyEncoder(), source or TinySource()

    def score(_: Any) -> dict[str, float]:
        vectors = encoder.encode(["1 2 3", "4 5 6"])
        return {"nDCG@10": float(torch.sigmoid(vectors.sum()))}

    objective = Objective(terms.parts(config, 3.0), learn_temperature=config.loss.learn_temperature, warn=warn)
    guide_features = guide.features if guide else None
    made: Any = {"scaled": ScaledMethod, "isotropic": predicting}.get(config.run.name, Method)
    return made(
        GroupTraining(
            encoder=encoder,
            batches=GroupBatches(source, encoder.features, objective.views, micro=micro, guide=guide_features),
            objective=objective,
            fingerprint="tiny data",
            about={},
            weight_decay=config.train.weight_decay,
            dev=score if dev else None,
            guide=Guide(guide, config.loss.guide_margin) if guide else None,
            regularization=Regularization(config, is_unit=is_unit, dim=encoder.dim, warn=warn, event=event)
            if config.train.regularizer
            else None,
            positive_from=regularizer_terms.positive_from(config, Labels(0.0, 3.0, True), False),
        )
    )


def predicting(training: GroupTraining) -> Method:
    """The method isotropic with its predictor, whose dropout is off: each process would draw its own."""
    encoder: Any = training.encoder
    encoder.similarity = "euclid"
    made = isotropic.Method(training, isotropic.Config(predictive=0.5), seed=0)
    assert made.predictor is not None
    made.predictor.eval()
    return made


def configuration(**values: Any) -> settings.Config:
    """Settings by key with __ for the dot: configuration(train__lr=0.01)."""
    given = {
        "loss.temperature": 1.0,
        "eval.during": "off",
        "batch.global": 8,
        "data.binary": "false",  # the tiny source has all grades
        **{k.replace("__", "."): v for k, v in values.items()},
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


def build(config: settings.Config, context: Any) -> Method:
    encoder = TinyEncoder(dropout=0.0 if config.run.name == "no dropout" else 0.2)
    source = TinySource(sizes=(config.data.group_size,) if config.data.group_size < 5 else (4,))
    if config.run.name == "zeros":
        for p in encoder.module["out"].parameters():
            nn.init.zeros_(p)
    return method_of(
        config,
        micro=context.plan.micro,
        source=source,
        encoder=encoder,
        dev=config.eval.during != "off",
        warn=context.reporter.warn,
        event=context.event,
    )


if __name__ == "__main__":
    folder = RunPaths(Path(sys.argv[1]))
    session.run(settings.resolve(settings.from_file(folder.config)), folder, build)
    session.leave()  # as the worker does: a group that is left to the interpreter's end may abort there
