"""`irctl export --to model`: the encoder of transformed vectors with their transform in it, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl import hashing
from irctl.errors import ConfigError
from irctl.index.scoring import SIMILARITY
from irctl.pipelines.search.opened_index import Searched

if TYPE_CHECKING:
    from irctl.config import Config


def check(searched: Searched, config: Config) -> None:
    """ConfigError where there is no transform: the encoder is a model folder as it is."""
    if searched.transform is None and config.transform.name == "none":
        raise ConfigError(
            f"--to model: {searched.folder} has no transform, so its encoder needs no other folder",
            hint="Name one: --set transform.name=soft_whiten, for vectors",
        )


def write(searched: Searched, config: Config, folder: Path) -> int:
    """Write the model; how many bytes. DataError where the encoder is not that of the rows."""
    from irctl.models.transforms import router
    from irctl.pipelines.search.encoder_pair import check_encoder
    from irctl.pipelines.search.query_vectors import open_encoder

    assert searched.transform is not None
    encoder, name = open_encoder(config, None, searched)
    check_encoder(searched, encoder, name)
    router.save(folder, encoder, searched.transform, SIMILARITY[searched.metric])
    return sum(file.stat().st_size for file in hashing.files_below(folder))
