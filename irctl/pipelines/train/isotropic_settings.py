"""What the settings of the method isotropic mean for others: values where nobody chose, and what would do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irctl.data.groups import positives
from irctl.errors import ConfigError
from irctl.models import locate, reading, similarity
from irctl.models.head_settings import HEAD
from irctl.origins import derived
from irctl.pipelines.train import method_settings
from irctl.training.groups import frozen_settings
from irctl.training.objective import terms
from irctl.training.parallel import deepspeed_settings

if TYPE_CHECKING:
    from irctl.config import Config

METHOD = "isotropic"
LONGEST = 10
"""Epochs up to which each leaves its model where nobody chose: the source has 3, and 400 copies fill a disk."""
LARGEST_CORPUS = 20_000
"""Documents up to which dev is measured over the whole corpus where the base is frozen and nobody chose."""
HEAD_LR = 5e-4
"""Peak learning rate of a head where nobody chose one: the source's."""


def settle(config: Config) -> Config:
    """The configuration with the head's own rate, temperatures that fit how vectors are compared, and a teacher's that
    is the model's. A model that has a head keeps it, and its similarity. Epochs leave no models where they cannot.
    """
    if config.train.method != METHOD:
        return config
    values: dict[str, object] = {}
    compared_by = config.model.similarity
    located = locate.find_local(config.model.name, config.model.revision)
    had_head = _had_head(config)
    has_head = had_head or bool(config.model.output_dim)
    if located and had_head and not method_settings.is_asked(config, "model.output_dim"):
        values["model.output_dim"] = ""
        if not method_settings.is_asked(config, "model.similarity"):
            values["model.similarity"] = ""
            compared_by = similarity.read_similarity(located, config.encoder.normalize)
    if not (compared_by == "euclid" and has_head) and not method_settings.is_asked(config, "loss.temperature"):
        values["loss.temperature"] = "auto"  # 1 is for distances of vectors whose entries have variance 1
    rates = (f"train.{name}" for name in ("lr", "base_lr", "projection_lr"))
    adds = has_head or method_settings.settings_of(config).predictive
    if adds and not any(method_settings.is_asked(config, rate) for rate in rates):
        values["train.lr" if frozen_settings.is_frozen(config) else "train.projection_lr"] = HEAD_LR
    # of a small collection every step may end an epoch: a model a step
    in_steps = method_settings.is_asked(config, "train.max_steps")
    keeps_none = in_steps or config.train.epochs > LONGEST or deepspeed_settings.uses_deepspeed(config.hardware)
    if keeps_none and not method_settings.is_asked(config, "train.epoch_models"):
        values["train.epoch_models"] = False
    names = [name for name in terms.names(config) if positives.follows_base(config, name)]
    keys = ("loss.label_temperature", "loss.distill.label_temperature")
    if "distill" in names and not any(method_settings.is_asked(config, key) for key in keys):
        values["loss.distill.label_temperature"] = 0.0
    return config.replace(values, derived(f"--method {METHOD}")) if values else config


def measure_on_corpus(config: Config, documents: int) -> Config:
    """The configuration whose dev score is over the whole corpus where nobody chose: the base's vectors of its
    documents are made once, and candidates hardly tell a destroyed head from a good one. documents: of the corpus.
    """
    has_head = bool(config.model.output_dim) or _had_head(config)
    keeps_base = config.train.method == METHOD and frozen_settings.is_frozen(config) and has_head
    if not keeps_base or documents > LARGEST_CORPUS or method_settings.is_asked(config, "eval.during"):
        return config
    return config.replace({"eval.during": "corpus"}, derived(f"--method {METHOD}, a frozen base"))


def _had_head(config: Config) -> bool:
    located = locate.find_local(config.model.name, config.model.revision)
    return bool(located and reading.read_file(located).get(HEAD))


def check(config: Config) -> None:
    """ConfigError for settings that nothing would read."""
    if config.train.method != METHOD:
        return
    own, origins = method_settings.settings_of(config), config.origins
    located = locate.find_local(config.model.name, config.model.revision)
    compared_by = similarity.of_training(located, config)[0] if located else config.model.similarity
    if own.logits != "auto" and compared_by not in ("euclid", ""):
        raise ConfigError(
            f"{METHOD}.logits={own.logits} (from {origins[f'{METHOD}.logits']}): is of distances; "
            f"{config.model.name} is trained by {compared_by}",
            hint="Drop it, or set model.similarity=euclid",
        )
    if f"{METHOD}.stop_gradient" in origins and not own.predictive:
        raise ConfigError(
            f"{METHOD}.stop_gradient (from {origins[f'{METHOD}.stop_gradient']}): is of the predictor, and "
            f"{METHOD}.predictive=0 trains none",
            hint=f"Drop it, or set {METHOD}.predictive",
        )
    if own.teacher and not any(positives.follows_base(config, name) for name in terms.names(config)):
        followers = " or ".join(positives.FOLLOWERS)
        raise ConfigError(
            f"{METHOD}.teacher={own.teacher} (from {origins[f'{METHOD}.teacher']}): no loss of {config.loss.name} "
            "follows a teacher",
            hint=f"Add {followers} to loss.name, such as infonce:1,distill:1, or drop it",
        )
    located = locate.find_local(config.model.name, config.model.revision) if own.teacher else None
    if located and reading.read_file(located).get(HEAD):
        raise ConfigError(
            f"{METHOD}.teacher={own.teacher} (from {origins[f'{METHOD}.teacher']}): {config.model.name} has a head, "
            "after which nothing says what its base is compared by",
            hint="Start from the model without a head, or drop it",
        )
