"""Queries as vectors: read from a file, or encoded by the encoder that the index belongs to.

They come out as they are compared with the rows: through the query side of the transform of those, where there is one.
Dimension key: Q queries, D dimensions of the encoder, E dimensions of the rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import files
from irctl.data.vectors.npy import NpyPart
from irctl.errors import DataError
from irctl.models.transforms.files import hash_texts, hash_vectors
from irctl.origins import COMMAND_LINE, derived
from irctl.pipelines.references import kept_transforms
from irctl.pipelines.search import encoder_pair, opened_index
from irctl.pipelines.search.opened_index import Searched

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries
    from irctl.types import Reporter


def read_queries(path: Path, dim: int) -> NDArray[np.float32]:
    """Query vectors [Q, D] of a .npy file, as they lie there (`Searched.of_queries` is still to come). DataError."""
    from irctl.index.arrays import as_rows

    files.is_input(path)
    part = NpyPart(path)
    if not part.rows:
        raise DataError(f"{path}: holds no query vectors")
    rows_Q, queries_QD = np.arange(part.rows), np.empty((part.rows, part.dim), np.float32)
    with np.errstate(over="ignore"):  # an infinity is refused below
        part.take(rows_Q, queries_QD, rows_Q)
    return as_rows(queries_QD, dim, str(path))


def open_collection(config: Config, searched: Searched | None) -> Collection:
    """The collection asked for, else the one the index was made from."""
    from irctl.data.collections.open import open_for

    return open_for(opened_index.settle_data(config, searched))


def open_encoder(
    config: Config, model: str | None, searched: Searched | None, reporter: Reporter | None = None
) -> tuple[Any, str]:
    """(encoder, name): the one asked for, else the index's own query encoder, else that of its rows, else model.name.

    A query encoder that was trained with the codes yields only to one that the command line names: in a file of
    --config stands the model that training began with.

    The name of a run's model is the run's id, also where it was asked for as the latest. DataError for an index of
    which nothing says by whom it was encoded, where no model is named.
    """
    from irctl.models.locate import resolve_run_name

    name, own, origin = model or "", encoder_pair.find_own(searched), config.origins.get("model.name")
    if not name and origin is not None and (own is None or origin.kind in COMMAND_LINE):
        name = config.model.name
    if not name and own is not None:
        name = str(own)
    if not name and searched is not None:
        name = str(searched.about.get("model") or "")
    if not name and searched is not None:
        encoder_pair.check_known(searched, config)
    if searched is not None and name == str(searched.about.get("model") or ""):
        config = _read_alike(config, searched)
    name = resolve_run_name(name or config.model.name)
    config = opened_index.settle_data(config, searched)  # prompts may be those of a data set
    if reporter is not None:
        reporter.say(f"loading model {name}")
    from irctl.models.encoder import load_encoder

    return load_encoder(config, None if name == config.model.name else name).freeze(), name


def _read_alike(config: Config, searched: Searched) -> Config:
    """The settings with those by which the model read the rows' texts, where nobody chose others."""
    given = {k: v for k, v in (searched.about.get("reading") or {}).items() if k not in config.origins}
    return config.replace(given, derived("the index")) if given else config


def encode_queries(encoder: Any, asked: Queries, config: Config, searched: Searched) -> NDArray[np.float32]:
    """The queries, encoded for what is searched [Q, E]."""
    from irctl.models.embed import embed_queries

    return searched.of_queries(embed_queries(encoder, asked.ids, asked.texts, config.encoder))


def find_mean_queries(encoder: Any, asked: Queries, config: Config, searched: Searched) -> NDArray[np.bool_]:
    """Which of the queries gave the query mean of the rows' transform, or of the encoder's own, by text or vector."""
    fitted = searched.transform or kept_transforms.of_folder(encoder.located.folder)
    if fitted is None or not len(fitted.query_hashes):
        return np.zeros(len(asked), bool)
    from irctl.models.embed import embed_queries

    vectors_QD = embed_queries(encoder, asked.ids, asked.texts, config.encoder)
    return fitted.gave_mean(hash_texts(asked.texts)) | fitted.gave_mean(hash_vectors(vectors_QD))


def take(asked: Queries, are_taken_Q: NDArray[np.bool_]) -> Queries:
    """Some of the queries, in their order."""
    rows = np.flatnonzero(are_taken_Q).tolist()
    return replace(asked, ids=[asked.ids[r] for r in rows], texts=[asked.texts[r] for r in rows])
