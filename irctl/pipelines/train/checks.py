"""What a training refuses before anything is done: one function for the real run, its dry run and doctor. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl import files
from irctl.errors import ConfigError, DataError
from irctl.pipelines.train import branch, memory, model_parts, preparation, start
from irctl.pipelines.train.learning_rate import scale_lr
from irctl.training import batch_plan, precision
from irctl.training.objective import regularizer_terms
from irctl.training.parallel import deepspeed_settings
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config


def check(config: Config, reporter: Reporter, out: str | None = None) -> tuple[Config, batch_plan.BatchPlan]:
    """(the configuration with the model to start from and its learning rate for this batch, the batch plan as far as
    settings decide it).

    Raises ConfigError for settings that make no training of the model that is here, DataError for an --out that is in
    use. Warns of what may be meant and seldom is. Faults of the data are found by `prepare`.
    """
    from irctl import plugins
    from irctl.metrics.ranking.parsing import parse
    from irctl.models import folder_facts, head_settings, locate, similarity
    from irctl.models.trainable import freezing
    from irctl.pipelines.references import kept_transforms

    if out:
        _check_out(Path(out))
        _check_has_model(config, out)
    begins_as_transform = head_settings.begins_as_transform(config)
    if config.transform.name != "none" and not begins_as_transform:
        raise ConfigError(
            f"transform.name={config.transform.name}: a training compares vectors as its model makes them",
            hint="Leave it out; encode, compress, search and eval take it, an index is trained with its own, and "
            "a head may begin as one: model.output_dim, model.head_init=transform",
        )
    if begins_as_transform:
        kept_transforms.check(head_settings.named_transform(config), config)
    elif unread := next((k for k in config.origins if k.startswith("transform.") and k != "transform.name"), None):
        raise ConfigError(
            f"{unread} (from {config.origins[unread]}): this training fits no transform",
            hint="Leave it out, or begin a head as one: model.output_dim, model.head_init=transform",
        )
    config = scale_lr(preparation.settle(start.settle(config)), reporter)
    if config.train.resume_from:
        branch.find(config.train.resume_from)
    batch_plan.check_warmup(config)
    precision.check_declared(config)
    deepspeed_settings.check(config)
    plan = batch_plan.plan(config)
    batch_plan.save_every(config, batch_plan.StepPlan(1, 1, 1, 0))  # whether it can be read; the steps come later
    if config.eval.measures:
        parse(config.eval.measures)
    regularizer_terms.regularizers(config)
    preparation.kind_of(config.train.method).check(config)
    if not preparation.trains_encoder(config):
        return config, plan
    folder_facts.check(config)
    model_parts.describe(config)  # a rate that reaches none of them
    freezing.check(config)
    found = locate.find_local(config.model.name, config.model.revision)
    head_settings.check_files(config, str(plugins.literal("methods", config.train.method, "DATA")), found)
    if found is not None:
        similarity.check_similarity(config.search.similarity, *similarity.of_training(found, config))
        if warning := memory.warn_of_epochs(config, found.folder, plan.devices):
            reporter.warn(warning)
    if warning := precision.overflow_warning(config.model.name, config.hardware.precision, found):
        reporter.warn(warning)
    return config, plan


def _check_has_model(config: Config, out: str) -> None:
    """ConfigError where --out asks for a model of vectors alone, which have no encoder."""
    from irctl.pipelines.references import fitting  # imports numpy

    if fitting.is_of_vectors(config.data.source):
        raise ConfigError(
            f"--out {out}: is for the trained model; {config.data.source} is vectors, trained into a bundle",
            hint="Drop it: the bundle lies in the run's folder, and is printed",
        )


def _check_out(folder: Path) -> None:
    """DataError where --out cannot be replaced by a model: only a model of irctl, or an empty folder, may go."""
    from irctl.models.reading import FILE

    files.check_folder(folder)
    if folder.is_dir() and not (folder / FILE).is_file() and (other := next(folder.iterdir(), None)):
        raise DataError(
            f"{folder}: expected a new or empty folder, or a model of irctl to replace, found {other.name}",
            hint="Choose another --out",
        )
