"""Whether the query encoder of a bundle can be trained against it, and what it will say of its documents' encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError
from irctl.models import pair
from irctl.pipelines.train import retrieved_checks

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.index.bundle import Bundle


def check(config: Config, bundle: Bundle) -> None:
    """ConfigError where the bundle does something to queries after the encoder that is to be trained."""
    method = config.train.method
    if retrieved_checks.settings_of(config).query != "encoder":
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


def describe_documents(bundle: Bundle) -> dict[str, Any]:
    """What the trained encoder's folder keeps of the documents' encoder."""
    return pair.describe_about(bundle.manifest.get("about", {}))
