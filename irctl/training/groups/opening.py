"""Opening what a training on groups is made of: encoder, collection, groups, objective, development split, guide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl.config import Config
from irctl.data.groups.batch_views import ViewsOf, batch_views
from irctl.models.transforms.files import hash_texts
from irctl.origins import derived
from irctl.training import learning_rates
from irctl.training.activations import checkpoint_activations
from irctl.training.groups import frozen_settings, held_out, sources
from irctl.training.groups.batches import GroupBatches
from irctl.training.groups.dev_score import DevScore
from irctl.training.groups.guide import Guide
from irctl.training.groups.head_sample import draw_sample, kept_in
from irctl.training.method import Context
from irctl.training.objective import regularizer_terms, terms
from irctl.training.objective.objective import Objective
from irctl.training.objective.regularization import Regularization
from irctl.training.run_files import refreshed_negatives
from irctl.training.scored_method import regularization_of

if TYPE_CHECKING:
    from irctl.data.collections.training_source import TrainingSource
    from irctl.data.groups.group_source import GroupSource
    from irctl.models.encoder import TextEncoder
    from irctl.training.groups.frozen_base import FrozenBase, KeptBase
    from irctl.training.index.judged import HeldOut


TEXTS_AT_ONCE = 100_000


@dataclass(frozen=True, kw_only=True)
class GroupTraining:
    """A training on groups, opened and checked."""

    encoder: TextEncoder | FrozenBase
    batches: GroupBatches
    objective: Objective
    fingerprint: str  # of the data that it started with
    about: Mapping[str, Any]  # what the saved model says of its training
    weight_decay: float
    dev: DevScore | None
    guide: Guide | None
    measured_on: str = "dev"
    rates: Mapping[str, float] = field(default_factory=dict)  # peaks by part of the model, where not train.lr
    regularization: Regularization | None = None
    positive_from: float = 1.0  # the least label of a positive, for regularizers
    earlier: Callable[[], Iterable[GroupSource]] = tuple  # groups with the negatives of earlier rounds of mining
    kept: KeptBase | None = None  # vectors of a base that stays as it is

    @cached_property
    def text_hashes(self) -> NDArray[np.uint64]:
        """Hashes of all queries and passages that training may draw or could earlier (models/fitted_rows.py)."""
        source = self.batches.source
        pieces = [hash_texts(source.query_texts(source.query_rows))]
        for groups in (source, *self.earlier()):
            passages_N = groups.passage_rows()
            for first in range(0, len(passages_N), TEXTS_AT_ONCE):
                pieces.append(hash_texts(groups.passage_texts(passages_N[first : first + TEXTS_AT_ONCE])))
        return np.unique(np.concatenate(pieces))


def open_groups(
    config: Config,
    context: Context,
    *,
    views_of: ViewsOf = batch_views,
    holds_out: bool = False,
    base_teaches: bool = False,
) -> GroupTraining:
    """Raises ConfigError or DataError where the settings make no training of this model and data.

    views_of: what makes the views of a batch. holds_out: training queries choose the best checkpoint where dev is what
    is reported (held_out.py). base_teaches: batches bring the vectors of the model as it was loaded, without a head.
    """
    from irctl.data.collections.training_source import open_training_source
    from irctl.models import heads
    from irctl.models.encoder import load_encoder, load_guide
    from irctl.models.similarity import check_similarity
    from irctl.training.groups import frozen_base, kept_texts

    data = open_training_source(config)
    source, apart = _open(config, data, holds_out)
    fingerprint = source.fingerprint
    every, first = config.hardneg.every, source

    def with_negatives(mined: Path) -> tuple[GroupSource, HeldOut | None]:
        return _open(config.replace({"data.negatives": str(mined)}, derived("mined again")), data, holds_out)

    mined = refreshed_negatives.current(every, context.paths)
    if mined is not None:
        source, apart = with_negatives(mined)

    def earlier() -> Iterator[GroupSource]:
        if mined is not None:
            yield first
            for file in refreshed_negatives.earlier(every, context.paths):
                if file != mined:
                    yield with_negatives(file)[0]

    objective = Objective(
        terms.parts(config, source.largest_grade),
        learn_temperature=config.loss.learn_temperature,
        warn=context.reporter.warn,
    )

    def embed(encoder: TextEncoder, texts: Sequence[str], side: str) -> NDArray[np.float32]:
        return kept_texts.embed(encoder, kept_texts.list_texts(texts), side, config, context.reporter).array()

    loaded = load_encoder(config)
    encoder = heads.prepare(loaded, config, lambda: draw_sample(config, data, first), kept_in(context.paths), embed)
    check_similarity(config.search.similarity, encoder.similarity, encoder.settings.normalize)
    for line in encoder.notices:
        context.reporter.say(line)
    is_frozen = frozen_settings.is_frozen(config) and bool(heads.head_modules(encoder))
    frozen_settings.check(config, is_frozen)
    if config.train.gradient_checkpointing:
        checkpoint_activations(encoder.module)
    guide = Guide(load_guide(config), config.loss.guide_margin) if config.loss.guide else None
    dev = (
        held_out.reduced(config, data, apart, context.paths)
        if holds_out
        else sources.dev_of(config, data, context.paths)
    )
    kept: KeptBase | None = None
    if base_teaches:
        frozen_base.check_teacher(loaded, encoder)
    used: TextEncoder | FrozenBase = encoder
    if is_frozen or base_teaches:
        kept = frozen_base.keep_base(loaded, encoder, source, dev, config, context.reporter)
    if kept and is_frozen:
        used = frozen_base.FrozenBase(encoder, kept)
    return GroupTraining(
        encoder=used,
        batches=GroupBatches(
            source,
            used.features,
            objective.views,
            # rows of kept vectors fit any memory, and forwarding them in parts would cost a second pass
            micro=context.plan.loss if is_frozen and not config.batch.micro else context.plan.micro,
            inbatch_label=config.loss.inbatch_label,
            guide=guide.encoder.features if guide else None,
            views_of=views_of,
            by_row=kept.of_rows if kept and is_frozen else None,
            teacher=kept.as_loaded if kept and base_teaches else None,
        ),
        objective=objective,
        fingerprint=fingerprint,
        about={
            "loss": config.loss.name,
            "positive_threshold": source.threshold or terms.thresholds_used(config, source.largest_grade),
            "run": context.paths.folder.name,
        },
        weight_decay=config.train.weight_decay,
        rates=learning_rates.own_rates(config.train),
        dev=DevScore(dev, used) if dev else None,
        guide=guide,
        measured_on=dev.split if dev else "",
        regularization=regularization_of(
            config,
            context,
            is_unit=encoder.similarity == "cosine" or encoder.settings.normalize,
            dim=encoder.dim,
        ),
        positive_from=regularizer_terms.positive_from(config, source.labels, source.is_binary),
        earlier=earlier,
        kept=kept,
    )


def _open(config: Config, data: TrainingSource, holds_out: bool) -> tuple[GroupSource, HeldOut | None]:
    """(groups to train on, queries held out if any)."""
    return held_out.open_groups(config, data) if holds_out else (sources.groups_of(config, data), None)
