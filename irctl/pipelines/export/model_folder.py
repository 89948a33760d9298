"""`irctl export --to model`: the encoder of transformed vectors with their transform in it, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import ConfigError
from irctl.index.scoring import SIMILARITY
from irctl.pipelines.cards import page, results, transformed_card
from irctl.pipelines.search.opened_index import Searched

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


def check(searched: Searched, config: Config) -> None:
    """ConfigError where there is no transform: the encoder is a model folder as it is."""
    if searched.transform is None and config.transform.name == "none":
        raise ConfigError(
            f"--to model: {searched.folder} has no transform, so its encoder needs no other folder",
            hint="Name one: --set transform.name=soft_whiten, for vectors",
        )


def write(searched: Searched, config: Config, folder: Path) -> str:
    """Write the model; the name of its encoder. DataError where the encoder is not that of the rows."""
    from irctl.models.transforms import router
    from irctl.pipelines.search.encoder_pair import check_encoder
    from irctl.pipelines.search.query_vectors import open_encoder

    assert searched.transform is not None
    encoder, name = open_encoder(config, None, searched)
    check_encoder(searched, encoder, name)
    router.save(folder, encoder, searched.transform, SIMILARITY[searched.metric])
    return name


def write_card(searched: Searched, base: str, folder: Path, run: RunHandle) -> None:
    """README.md of the folder, with what the ledger knows of these vectors behind this transform."""
    from irctl.ledger import query
    from irctl.pipelines.report.records import gather, open_per_query

    assert searched.transform is not None
    fitted, about = searched.transform, searched.about
    facts = {
        "transform": fitted.label,
        "its mean of queries": fitted.query_mean_of,
        "fitted on the rows of": about.get("collection"),
        "rows": f"{searched.rows:,}",
        "vectors": f"{searched.dim} dimensions, compared by {SIMILARITY[searched.metric]}",
        "documents, key in the ledger": f"`{about['corpus']}`" if about.get("corpus") else "",
        "encoder": page.without_folders(base),
    }
    found = []
    if searched.bundle is None:
        found = results.of_transformed(searched.fingerprint, fitted.label, gather(required=False), open_per_query())
    card = transformed_card.make(query.find_run(str(run.paths.folder.absolute())), base, facts, found)
    page.put(folder, str(card))
