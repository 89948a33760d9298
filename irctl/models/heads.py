"""A projection head: modules of sentence-transformers after the model, Dense(E, 2E, GELU) [Dropout] Dense(2E, D).

What it makes is not scaled to length 1. It begins by `model.head_init` (head_init.py); with `transform` a Router with
the two sides of a fitted transform stands before it, which is not trained. irctl.json says which modules are the
head's, so a saved model has its head whatever the settings say.
Dimension key: N rows, H width of the model, E what enters the head, D what leaves it.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, Normalize, Router
from torch import nn

from irctl.errors import ConfigError
from irctl.index.scoring import METRIC
from irctl.models import head_settings
from irctl.models.fingerprints import fingerprint_of
from irctl.models.head_settings import FROZEN, HEAD
from irctl.models.reading import normalizes
from irctl.models.similarity import SIMILARITIES, name_similarity
from irctl.models.transforms import affine, head_init, router
from irctl.models.transforms.files import hash_texts
from irctl.models.transforms.head_init import AffineStart, Start
from irctl.settings import Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from irctl.config import Config
    from irctl.models.encoder import TextEncoder


class Sample(NamedTuple):
    """Texts that a head begins by: passages of the corpus, and training queries."""

    passages: Sequence[str]
    queries: Sequence[str]


Keep = Callable[[str, Callable[[], Start]], Start]
"""(key, what makes it) -> how the head begins: from where it is kept under the key, or made now."""


def _make_anew(key: str, make: Callable[[], Start]) -> Start:
    return make()


Embed = Callable[["TextEncoder", Sequence[str], str], "NDArray[np.float32]"]
"""(encoder, texts, side) -> vectors [N, E]."""


def _encode(encoder: TextEncoder, texts: Sequence[str], side: str) -> NDArray[np.float32]:
    return encoder.encode(texts, side)


def prepare(
    encoder: TextEncoder,
    config: Config,
    sample: Callable[[], Sample],
    keep: Keep = _make_anew,
    embed: Embed = _encode,
) -> TextEncoder:
    """The encoder as training starts: with the head and the similarity that the settings ask for, or its own.

    embed: gives the vectors of the sample, from a cache where there is one.
    Of a head what is trained takes gradients, of a frozen model too. Raises ConfigError for settings that contradict
    each other or the model.
    """
    head_settings.check(config, encoder.about)
    if head_settings.is_asked(config):
        encoder = add_head(encoder, config, sample, keep, embed)
    for part in head_modules(encoder):
        part.requires_grad_(not isinstance(part, Router))
    if HEAD in encoder.about:
        encoder = copy.copy(encoder)
        is_frozen = config.model.freeze_base and not config.model.lora_r
        encoder.about = {**encoder.about, HEAD: {**encoder.about[HEAD], FROZEN: is_frozen}}
    return set_similarity(encoder, config.model.similarity) if config.model.similarity else encoder


def add_head(
    encoder: TextEncoder,
    config: Config,
    sample: Callable[[], Sample],
    keep: Keep = _make_anew,
    embed: Embed = _encode,
) -> TextEncoder:
    """The same model, module objects included, with a head after it.

    sample: asked where the head begins by data; what is kept is of these texts. Raises ConfigError for a model that
    cuts its vectors after its last module, DataError for a sample without spread.
    """
    module: Any = encoder.module
    if module.truncate_dim:
        raise ConfigError(
            f"model.output_dim: {encoder.located.name} cuts its vectors to {module.truncate_dim} dimensions after its "
            "last module, and would cut those of a head too",
            hint="Remove truncate_dim from its config_sentence_transformers.json",
        )
    _normalize_base(module, config.model.normalize_base)
    similarity = config.model.similarity or SIMILARITIES[str(module.similarity_fn_name)]
    width, first = int(module.get_embedding_dimension() or encoder.dim), len(module)
    dim, init, dropout = head_settings.choose_dim(config, width), config.model.head_init, config.model.dropout
    other = copy.copy(encoder)
    if init == "torch":
        with torch.random.fork_rng(devices=[]):  # the same on every process, whatever was drawn before
            torch.manual_seed(config.run.seed)
            parts = _make_head(width, dim, dropout)
    else:
        settings = head_settings.choose_transform(config, dim, width) if init == "transform" else None
        how = [init, dim, METRIC[similarity], affine.describe(settings) if settings else {}, config.run.seed]
        texts = sample()
        of_texts = [hashlib.sha256(hash_texts(side).tobytes()).hexdigest() for side in texts]
        key = fingerprint_of([encoder.fingerprint("passage"), encoder.fingerprint("query"), how, of_texts])
        start = keep(key, lambda: _fit(encoder, dim, settings, METRIC[similarity], texts, embed))
        parts = _begin(_make_head(len(start.affine.matrix_DE[0]), dim, dropout), start.affine, config.run.seed)
        if start.transform is not None:
            parts.insert(0, router.make_router(start.transform))
        other.fitted_on = start.hashes
    for part in parts:
        module.append(part.to(encoder.device))
    about = {"first": first, "count": len(parts), "dim": dim, "init": init, "dropout": dropout}
    other.about, other.dim = {**encoder.about, HEAD: about}, dim
    other.settings = dataclasses.replace(encoder.settings, normalize=False)
    return set_similarity(other, similarity)


def set_similarity(encoder: TextEncoder, similarity: str) -> TextEncoder:
    """The same model, compared and saved as compared by dot, cosine or euclid."""
    module: Any = encoder.module
    module.similarity_fn_name = name_similarity(similarity)
    other = copy.copy(encoder)
    other.settings = dataclasses.replace(encoder.settings, similarity=similarity)
    other.similarity = similarity
    return other


class OfModules(Protocol):
    """An encoder, or what stands for one: a row of modules, and what irctl.json says of them."""

    @property
    def about(self) -> Mapping[str, Any]: ...
    @property
    def module(self) -> Any: ...


def head_modules(encoder: OfModules) -> list[nn.Module]:
    """The modules of the head, a fixed transform before it included; none where the model has no head."""
    about = encoder.about.get(HEAD)
    return list(encoder.module)[about["first"] : about["first"] + about["count"]] if about else []


def base_modules(encoder: OfModules) -> list[nn.Module]:
    """All modules that are not the head's."""
    own = {id(part) for part in head_modules(encoder)}
    return [part for part in encoder.module if id(part) not in own]


def _normalize_base(module: Any, asked: str) -> None:
    if asked == "true" and not normalizes(module):
        module.append(Normalize())
    while asked == "false" and isinstance(module[-1], Normalize):
        del module[-1]


def _fit(
    encoder: TextEncoder, dim: int, settings: Transform | None, metric: str, sample: Sample, embed: Embed
) -> Start:
    """settings: of the transform to begin as; None: principal directions."""
    x_ND = embed(encoder, sample.passages, "passage")
    found, hashes = affine.measure([x_ND]), hash_texts(sample.passages)
    if settings is None:
        return Start(head_init.fit_pca(found, dim), None, np.unique(hashes))
    mean_D = None
    if settings.query_mean == "own" and len(sample.queries):
        mean_D = embed(encoder, sample.queries, "query").mean(axis=0, dtype=np.float64)
        hashes = np.concatenate([hashes, hash_texts(sample.queries)])
    transform = affine.fit(found, settings, metric, mean_D)
    return Start(head_init.keep(affine.measure([transform.documents(x_ND)])), transform, np.unique(hashes))


def _make_head(width: int, dim: int, dropout: float) -> list[Any]:
    first = Dense(width, 2 * width, activation_function=nn.GELU())
    last = Dense(2 * width, dim, activation_function=nn.Identity())
    return [first, Dropout(dropout), last] if dropout else [first, last]


def _begin(parts: list[Any], start: AffineStart, seed: int) -> list[Any]:
    weights = head_init.weights_of(start, seed)
    layers = (parts[0].linear, weights.first_UE, weights.first_bias_U), (parts[-1].linear, *weights[2:])
    with torch.no_grad():
        for layer, weight, bias in layers:
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    return parts
