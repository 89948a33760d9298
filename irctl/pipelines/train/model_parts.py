"""The parts of a model that is to be trained, with their parameters and rates, from its files: no weights are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import plugins
from irctl.errors import ConfigError
from irctl.models import folder_facts, head_settings, reading, similarity
from irctl.models.locate import ADAPTER, LocatedModel, find_local
from irctl.models.trainable import freezing
from irctl.pipelines.train import parameters
from irctl.training import learning_rates
from irctl.training.learning_rates import BASE, HEAD

if TYPE_CHECKING:
    from irctl.config import Config

GROUPS = ("groups", "coded_groups")
"""Kinds of data whose methods train a model by parts (training/groups/group_method.py)."""
FIXED = "Router"
"""A fitted transform before a head: it is not trained."""
Shape = Sequence[int]


@dataclass(frozen=True)
class ModelPart:
    """matrices, others: numbers in what weight decay is on, and in what it is not on (biases, norms)."""

    name: str
    matrices: int
    others: int
    frozen: int = 0
    is_bound: bool = False  # adapters: at the most

    @property
    def trained(self) -> int:
        return self.matrices + self.others

    @property
    def count(self) -> int:
        return self.trained + self.frozen

    def line(self, rate: float, decay: float) -> str:
        trained = self.trained
        if not trained:
            return f"{self.frozen:,} parameters, frozen"
        most = "at most " if self.is_bound else ""
        frozen = f", {self.frozen:,} frozen" if self.frozen else ""
        return (
            f"{most}{trained:,} parameters ({self.matrices:,} with weight decay {decay:g}, {self.others:,} without)"
            f"{frozen}; peak learning rate {rate:g}"
        )


def find(config: Config) -> list[ModelPart]:
    """The parts of the model that is here; none where it is not, or where a method trains something else."""
    method = config.train.method
    located = find_local(config.model.name, config.model.revision)
    if (
        plugins.literal("methods", method, "DATA") not in GROUPS
        or located is None
        or (located.folder / ADAPTER).is_file()
    ):
        return []
    return of_model(config, located.folder)


def of_model(config: Config, folder: Path) -> list[ModelPart]:
    """The parts of the model of a folder, with what the settings put to it."""
    located = LocatedModel(folder, config.model.name, "", "folder")
    places = parameters.read_shapes(folder)
    after, fixed = _head_folders(located)
    base = [s for place, shapes in places.items() if not _is_in(place, after) for s in shapes]
    head = [s for place, shapes in places.items() if _is_in(place, after) and not _is_in(place, fixed) for s in shapes]
    kept = sum(math.prod(shape) for place, shapes in places.items() if _is_in(place, fixed) for _, shape in shapes)
    found = [_base(config, folder, base)]
    if after:
        found.append(replace(_count(HEAD, (shape for _, shape in head)), frozen=kept))
    elif head_settings.is_asked(config) and (width := folder_facts.read_width(located, config)):
        found.append(_made_head(config, width, head_settings.choose_dim(config, width)))
    return found


def describe(config: Config) -> dict[str, str]:
    """A line a part, for --dry-run. Raises ConfigError for a rate that reaches none, and where all are frozen."""
    parts, train = find(config), config.train
    if not parts:
        return {}
    rates = learning_rates.own_rates(train)
    groups: list[dict[str, Any]] = [
        {"name": p.name, **({"lr": rates[p.name]} if p.name in rates else {})} for p in parts if p.matrices + p.others
    ]
    adds = plugins.literal("methods", train.method, "ADDS")
    has_added = bool(adds and config.plugin(train.method).get(adds))
    if has_added:
        groups.append({"name": HEAD, "lr": rates.get(HEAD, train.lr)})
    if config.loss.learn_temperature:
        groups.append({"name": "loss"})
    learning_rates.check(config, groups)
    if not groups:
        raise ConfigError(
            f"model.freeze_base (from {config.origin('model.freeze_base')}): nothing is left to train",
            hint="Add a head with model.output_dim, or LoRA with model.lora_r=16, or drop it",
        )
    told = {p.name: p.line(rates.get(p.name, train.lr), train.weight_decay) for p in parts}
    added = f"by {train.method}.{adds}; peak learning rate {rates.get(HEAD, train.lr):g}"
    return {**told, **({"added": added} if has_added else {})}


def _base(config: Config, folder: Path, named: Sequence[tuple[str, Shape]]) -> ModelPart:
    whole = _count(BASE, (shape for _, shape in named))
    everything = whole.matrices + whole.others
    if config.model.lora_r:
        added, beside = parameters.count_lora(folder, config.model.lora_r)
        return ModelPart(BASE, added + beside, 0, everything - beside, is_bound=True)
    if config.model.freeze_base:
        return ModelPart(BASE, 0, 0, everything)
    if not (count := config.model.freeze_layers):
        return whole
    frozen = freezing.choose_frozen([name for name, _ in named], count, config.model.name)
    trained = _count(BASE, (shape for name, shape in named if name not in frozen))
    return replace(trained, frozen=everything - trained.trained)


def _count(name: str, shapes: Iterable[Shape]) -> ModelPart:
    sizes = [(len(shape) >= 2, math.prod(shape)) for shape in shapes]
    return ModelPart(
        name, sum(n for is_matrix, n in sizes if is_matrix), sum(n for is_matrix, n in sizes if not is_matrix)
    )


def _made_head(config: Config, width: int, dim: int) -> ModelPart:
    """A head that is to be made after a model of this width, and a transform's two routes before it."""
    is_transform = config.model.head_init == "transform"
    enters = dim if is_transform else width
    biases = 2 * enters + dim
    kept = 2 * (width * dim + dim) if is_transform else 0
    return ModelPart(HEAD, head_settings.count_parameters(enters, dim) - biases, biases, kept)


def _head_folders(located: LocatedModel) -> tuple[list[Path], list[Path]]:
    """(folders of the head's modules, those among them that are fixed) of a saved model."""
    about = reading.read_file(located).get(head_settings.HEAD)
    if not about:
        return [], []
    listed = similarity.read_modules(located)[about["first"] : about["first"] + about["count"]]
    fixed = [located.folder / m["path"] for m in listed if m["type"].endswith(FIXED)]
    return [located.folder / m["path"] for m in listed], fixed


def _is_in(place: Path, folders: list[Path]) -> bool:
    return any(place == f or f in place.parents for f in folders)
