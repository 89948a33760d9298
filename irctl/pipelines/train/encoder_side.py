"""Whether the query encoder of a bundle can be trained against it, and what it will say of its documents' encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.models import pair
from irctl.origins import CHOSEN, outranks
from irctl.pipelines.train import method_settings

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.index.bundle import Bundle
    from irctl.models.encoder import TextEncoder

ENCODER_RATES = ("train.lr", "train.weight_decay", "train.lr_scaling")


def check(config: Config, bundle: Bundle) -> None:
    """ConfigError where the bundle does something to queries after the encoder that is to be trained."""
    method = config.train.method
    if method_settings.settings_of(config).query != "encoder":
        return
    if getattr(bundle.quantizer, "query_map_DD", None) is not None:
        raise ConfigError(
            f"{bundle.folder}: maps its queries already; {method}.query=encoder trains the encoder in place of a map",
            hint=f"Name the bundle that it was trained from, or use {method}.query=adapter",
        )
    if bundle.manifest.get("transform"):
        raise ConfigError(
            f"{bundle.folder}: transforms its queries; {method}.query=encoder trains vectors as the encoder makes them",
            hint=f"Use {method}.query=adapter or frozen, or codes without a transform",
        )


def check_rates(config: Config) -> None:
    """ConfigError for a chosen setting of an encoder's optimizer where none is trained, which recipes may hold; and for
    regularizers of vectors that stay.
    """
    method = config.train.method
    query = method_settings.settings_of(config).query
    if query == "frozen" and config.train.regularizer:
        raise ConfigError(
            f"train.regularizer={config.train.regularizer} (from {config.origin('train.regularizer')}): "
            f"{method}.query=frozen leaves every vector where it is, so it would move nothing",
            hint=f"Set {method}.query=adapter or encoder, or drop it",
        )
    if query == "encoder":
        return
    for key in ENCODER_RATES:
        origin, value = config.origin(key), config.flat()[key]
        if origin.kind not in CHOSEN or outranks(config.origin(f"{method}.query"), origin) or value in (0, "none"):
            continue
        if key != "train.weight_decay" and config.loss.learn_temperature:  # its rate is train.lr
            continue
        raise ConfigError(
            f"{key}={value} (from {origin}): {method}.query={query} trains no encoder, and nothing else reads it",
            hint=f"Drop it; rates are {method}.centroid_lr" + (f", {method}.adapter_lr" if query == "adapter" else ""),
        )


def check_width(config: Config, bundle: Bundle, encoder: TextEncoder) -> None:
    """ConfigError for an encoder that cuts its vectors last, where its model gets a map or a transform after that."""
    cut, query = encoder.module.truncate_dim, method_settings.settings_of(config).query
    is_mapped = query == "adapter" or getattr(bundle.quantizer, "query_map_DD", None) is not None
    if cut and query != "encoder" and (is_mapped or bundle.manifest.get("transform")):
        raise ConfigError(
            f"{encoder.located.name}: cuts its vectors to {cut} dimensions after its last module, and the trained "
            "model would map them before the cut",
            hint=f"Use {config.train.method}.query=frozen against codes without map or transform, or an encoder "
            "without truncate_dim",
        )


def describe_documents(bundle: Bundle) -> dict[str, Any]:
    """What the trained encoder's folder keeps of the documents' encoder."""
    return pair.describe_about(bundle.manifest.get("about", {}))
