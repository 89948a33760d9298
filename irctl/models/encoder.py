"""The encoder: text to vectors, on sentence-transformers. Whatever irctl saves opens with SentenceTransformer(folder).

Dimension key: N texts, D vector width.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import Pooling, Router, Transformer
from torch import Tensor

from irctl import files
from irctl.data.vectors import allocator
from irctl.errors import ConfigError, RunFailed
from irctl.models import arithmetic, fingerprints, fitted_rows, modules, reading
from irctl.models.head_settings import HEAD
from irctl.models.locate import LocatedModel, locate
from irctl.models.pieces import Piece, Pieces
from irctl.models.token_batches import Prepared, Tokens, move_to_device, run_by_length, split_batches
from irctl.models.trainable import adapters, freezing
from irctl.settings import PROMPTS, SIDES
from irctl.settings import Encoder as EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from irctl.config import Config

FORMAT_VERSION = 1  # of vectors: part of every cache key
TRAIN_TOKENS = 1024
"""Tokens of one forward pass in training on a CPU: less padding, and activations stay in cache."""
CUDA_MULTIPLE = 16
"""Tokens that texts are padded to a multiple of in training on CUDA."""
LETTERS_A_TOKEN = 4  # estimate for models whose own tokenizer must see whole batches


def load_encoder(config: Config, name: str | None = None) -> TextEncoder:
    """The encoder of that name (default: model.name): a folder, a run, the packaged default model, or a hub id.

    Raises DataError where it is absent or malformed, ConfigError where settings contradict it, EnvironmentUnfit where
    the device or a package is absent.
    """
    device = arithmetic.choose_device(config.hardware)
    freezing.check(config)
    if config.hardware.omp_threads:
        torch.set_num_threads(config.hardware.omp_threads)
    own_name = name or config.model.name
    revision = config.model.revision if own_name == config.model.name else ""
    located = locate(own_name, revision, remote_code=config.model.trust_remote_code)
    module = modules.load(located, config)
    if config.encoder.lower_case:
        modules.lower_case(module, located)
    about = reading.read_file(located)
    how = reading.resolve(module, about, config, located)
    notices = reading.list_notices(module, about, how)
    modules.apply(module, how)
    if name is None and config.model.lora_r:
        adapters.add_lora(module, config.model.lora_r, config.model.lora_alpha, config.model.lora_dropout)
    elif name is None and config.model.freeze_base:
        module.requires_grad_(False)
    elif name is None and config.model.freeze_layers:
        freezing.freeze_layers(module, config.model.freeze_layers, located.name)
    module.to(device)
    return TextEncoder(
        module,
        how,
        located,
        dtype=arithmetic.choose_dtype(config.hardware),
        batch_tokens=config.encoder.batch_tokens or config.hardware.encode_tokens,
        about=about,
        notices=notices,
    ).for_data(config.data.source)


def load_guide(config: Config) -> TextEncoder:
    """The model of loss.guide: its own folder says how it reads, for encoder.* and prompts.* speak of the trained one.

    Texts are joined, and arithmetic is done, as for the trained model.
    """
    guide = config.loss.guide
    if guide != config.model.name:
        own = EncoderSettings(batch_tokens=config.encoder.batch_tokens, override=config.encoder.override)
        plugins = {section: v for section, v in config.plugins.items() if not section.startswith(PROMPTS)}
        config = dataclasses.replace(config, encoder=own, plugins=plugins)
    try:
        return load_encoder(config, guide)
    except ConfigError as e:
        unknown = isinstance(e, reading.PoolingUnknown)
        hint = "Give a sentence-transformers folder, which says it" if unknown else e.hint
        raise ConfigError(f"loss.guide: {e.message}", hint=hint) from e


class TextEncoder:
    """A SentenceTransformer with everything that decides its vectors.

    dim: D. similarity: dot, cosine or euclid. about: irctl.json as it was read (temperature, loss, ...), else empty.
    names: of the data set that is encoded (`for_data`), for prompts of its own.
    fitted_on: hashes of texts that it was fitted on or trained on since it was loaded (fitted_rows.py).
    notices: what a user should know of the folder.
    """

    def __init__(
        self,
        module: SentenceTransformer,
        how: reading.ReadingSettings,
        located: LocatedModel,
        *,
        dtype: str,
        batch_tokens: int,
        about: Mapping[str, Any],
        notices: Sequence[str] = (),
    ) -> None:
        self.module = module
        self.settings = how
        self.located = located
        self.dtype = dtype
        self.batch_tokens = batch_tokens
        self.about = dict(about)
        self.names: tuple[str, ...] = ()
        self.notices = tuple(notices)
        self.similarity = how.similarity
        self.query_max_len, self.passage_max_len = how.query_max_len, how.passage_max_len
        self.title_join = how.title_join
        self._hashes: dict[str, str] = {}
        self.fitted_on = np.empty(0, np.uint64)
        self.dim = int(module.get_embedding_dimension() or self.encode([""]).shape[1])

    @property
    def device(self) -> torch.device:
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def max_len(self, side: str) -> int:
        _check_side(side)
        return self.query_max_len if side == "query" else self.passage_max_len

    def prompt(self, side: str) -> str:
        _check_side(side)
        return self.settings.prompt(side, self.names)

    def features(self, texts: Sequence[str], side: str = "passage", pad_multiple: int | None = None) -> dict[str, Any]:
        """Model inputs of a batch, on the CPU, padded to its longest text.

        Then to a multiple where one is given or saved with the model, and on CUDA in training, where fewer shapes of
        full tiles are faster. Padding is masked: it changes no vector.
        """
        options: dict[str, Any] = {}
        if isinstance(self.module[0], Transformer):
            text = {"max_length": self.max_len(side), "truncation": True}
            multiple = self.settings.pad_multiple if pad_multiple is None else pad_multiple
            if pad_multiple is None and not multiple and self.module.training and self.device.type == "cuda":
                multiple = CUDA_MULTIPLE
            if texts and self._reads_plain_text:
                tokens = Tokens(self.module.tokenizer, [self.prompt(side) + t for t in texts], self.max_len(side))
                return {**tokens.pad(np.arange(len(texts)), multiple), **self._route(side)}
            if multiple:
                text["pad_to_multiple_of"] = multiple
            options = {"processing_kwargs": {"text": text}}
        inputs = self.module.preprocess(list(texts), prompt=self.prompt(side) or None, **options)
        unused = {"modality"} if inputs.get("modality") == "text" else set()
        unused |= set() if self._skips_prompt else {"prompt_length"}
        return {k: v for k, v in inputs.items() if k not in unused} | self._route(side)

    def _route(self, side: str) -> dict[str, str]:
        """What tells a model of two routes which of them a text of this side takes; empty for every other model."""
        is_routed = any(isinstance(m, Router) for m in self.module)
        return {"task": "query" if side == "query" else "document"} if is_routed else {}

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        """Vectors [N, D] of `features`, in float32, with gradients where they are on. Leaves `features` as they are."""
        if self.module.training and self.device.type == "cpu" and self._reads_plain_text:
            return run_by_length(self._whole, features, TRAIN_TOKENS)
        return self._whole(features)

    def _whole(self, features: Mapping[str, Any]) -> Tensor:
        vectors_ND: Tensor = self.module(dict(features))["sentence_embedding"]
        if self.module.truncate_dim:
            vectors_ND = vectors_ND[:, : self.module.truncate_dim]
        return vectors_ND.float()

    def encode(
        self,
        texts: Sequence[str],
        side: str = "passage",
        advance: Callable[[int, int], Any] | None = None,
        pieces: Pieces | None = None,
    ) -> NDArray[np.float32]:
        """Vectors [N, D] in the order of the texts. advance(texts, tokens) is called after every batch.

        pieces: says the tokens of a batch; batches kept of these texts are taken from there, and the others kept there.
        Runs in evaluation mode without gradients, and puts the modes back. Raises RunFailed for values not finite,
        ConfigError for what is no list of texts.
        """
        is_list = isinstance(texts, Iterable) and not isinstance(texts, str | bytes)
        texts = list(texts) if is_list else []
        if not is_list or not all(isinstance(t, str) for t in texts):
            raise ConfigError("texts: expected a list of texts, found one text or other things", hint='["a text"]')
        _check_side(side)
        vectors_ND = np.empty((len(texts), getattr(self, "dim", 0)), np.float32)
        if self.device.type == "cpu":
            allocator.keep_freed_memory()
        modes = [(part, part.training) for part in self.module.modules()]
        # tensors that a model caches under inference_mode would break a training that goes on
        guard = torch.no_grad() if self.module.training else torch.inference_mode()
        self.module.eval()
        try:
            with guard, arithmetic.compute_in(self.dtype, self.device):
                batch_tokens = pieces.batch_tokens if pieces else self.batch_tokens
                for rows, prepare in self._batches(texts, side, batch_tokens):
                    piece = pieces.find(rows) if pieces else None
                    if piece is None:
                        features, tokens = prepare()
                        features = move_to_device({**features, **self._route(side)}, self.device)
                        found_BD = self.forward(features).cpu().numpy()
                        self._check_finite(found_BD, rows)
                        piece = Piece(found_BD, tokens)
                        if pieces:
                            pieces.add(rows, piece)
                    if not vectors_ND.shape[1]:
                        vectors_ND = np.empty((len(texts), piece.vectors_BD.shape[1]), np.float32)
                    vectors_ND[rows] = piece.vectors_BD
                    if advance:
                        advance(len(rows), piece.tokens)
        finally:
            for part, was_training in modes:
                part.training = was_training
        return vectors_ND

    def _check_finite(self, vectors_BD: NDArray[np.float32], rows_B: NDArray[np.int64]) -> None:
        """RunFailed where a vector of a batch is not finite. rows_B: numbers of its texts."""
        is_finite_B = np.isfinite(vectors_BD).all(axis=1)
        if not is_finite_B.all():
            row, hint = rows_B[~is_finite_B].min(), ""
            if self.dtype == "float16":
                hint = "Use --set hardware.precision=fp32"
            raise RunFailed(
                f"{self.located.name}: text {row} has a vector that is not finite ({self.dtype})", hint=hint
            )

    def _batches(
        self, texts: list[str], side: str, batch_tokens: int
    ) -> Iterator[tuple[NDArray[np.int64], Callable[[], Prepared]]]:
        """(rows, what prepares features and tokens) of every batch.

        Each text is tokenised once where the tokenizer allows it.
        """
        if self._reads_plain_text:
            prompt = self.prompt(side)
            tokens = Tokens(self.module.tokenizer, [prompt + t for t in texts] if prompt else texts, self.max_len(side))
            for rows in split_batches(tokens.lengths_N, batch_tokens):
                yield rows, partial(tokens.prepare, rows)
            return

        def prepare(rows: NDArray[np.int64]) -> Prepared:
            features = self.features([texts[int(r)] for r in rows], side, pad_multiple=0)
            counted = features.get("attention_mask")
            return features, int(guess_N[rows].sum() if counted is None else counted.sum())

        guess_N = np.array([min(len(t) // LETTERS_A_TOKEN + 2, self.max_len(side)) for t in texts], dtype=np.int64)
        for rows in split_batches(guess_N, batch_tokens):
            yield rows, partial(prepare, rows)

    @property
    def _reads_plain_text(self) -> bool:
        first = self.module[0]
        return isinstance(first, Transformer) and "message" not in first.modality_config and not self._skips_prompt

    @property
    def _skips_prompt(self) -> bool:
        return any(isinstance(m, Pooling) and not m.include_prompt for m in self.module)

    def key(self, side: str) -> dict[str, Any]:
        """What the model is and how it reads a side, as hashes and values; not arithmetic, device or batch size.

        Adapters count merged, so that a model has the same key before and after it is saved.
        """
        module = merge_adapters(self.module)
        hashes = self._hashes or _fingerprint_model(module)
        first: Any = module[0]
        is_fast = hasattr(module.tokenizer, "backend_tokenizer")
        return {
            "version": FORMAT_VERSION,
            "weights": hashes["weights"],
            "architecture": fingerprints.describe_architecture(module.config) if module.config is not None else {},
            "modules": [_describe_module(m) for m in list(module)[1:]],
            "tokenizer": hashes["tokenizer"],
            # of a fast tokenizer it is part of what is hashed, and only there once the model is saved
            "lower_case": not is_fast and bool(getattr(first, "do_lower_case", False)),
            "pooling": self.settings.pooling,
            "normalize": self.settings.normalize,
            "prompt": self.prompt(side),
            "max_len": self.max_len(side),
            "title_join": self.title_join if side == "passage" else "",
            "truncate_dim": module.truncate_dim or 0,
            "side": side,
        }

    def freeze(self) -> TextEncoder:
        """This encoder, which is not trained from here on: its weights are hashed now and not again."""
        self.module.requires_grad_(False)
        self._hashes = self._hashes or _fingerprint_model(merge_adapters(self.module))
        return self

    def note_fitted(self, hashes: fitted_rows.Hashes) -> None:
        """Add texts that it was fitted on or trained on, for what is saved."""
        self.fitted_on = np.union1d(self.fitted_on, hashes)

    def for_data(self, source: str) -> TextEncoder:
        """The same model, with the prompts of this data set."""
        other = copy.copy(self)
        other.names = reading.list_names(source)
        return other

    def fingerprint(self, side: str = "passage") -> str:
        """sha256 of the model and its settings: equal fingerprints give equal vectors in the same arithmetic.

        It is the same whatever data set is encoded: prompts of all of them count.
        """
        prompts = {d: dict(own) for d, own in self.settings.prompts.items()}
        own = {"prompt": self.settings.prompt(side), "prompts": prompts} if prompts else {}
        return fingerprints.fingerprint_of({**self.key(side), **own})

    def save(self, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write the folder whole: SentenceTransformer files (safetensors) and irctl.json with settings and `extra`.

        LoRA adapters are merged into the weights of what is saved; the module in memory keeps them apart.
        """
        module = merge_adapters(self.module)
        modules.reset_tokenizer(module)
        staged = folder.with_name(f".{folder.name}.tmp.{os.getpid()}")
        shutil.rmtree(staged, ignore_errors=True)
        with modules.silence():
            module.save(str(staged), create_model_card=False, safe_serialization=True)
        modules.say_lower_case(module, staged)
        about = {"format": reading.FORMAT, "version": reading.VERSION, **self.settings.as_json()}
        about |= {
            "base_model": self.about.get("base_model") or self.located.name,
            "base_revision": self.about.get("base_revision") or self.located.revision,
            fingerprints.BEGAN_WITH: fingerprints.list_files(self.located.folder),
            "dtype": self.dtype,
            **{key: self.about[key] for key in (HEAD, fitted_rows.TRANSFORM) if key in self.about},
        }
        fitted_rows.save(staged, fitted_rows.load(self.located.folder), self.fitted_on)
        (staged / reading.FILE).write_text(json.dumps(about | dict(extra or {}), indent=1, sort_keys=True) + "\n")
        files.open_modes(staged)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)


def _check_side(side: str) -> None:
    """ConfigError for what is no side: every other word would be read as a passage."""
    if not (isinstance(side, str) and side in SIDES):
        raise ConfigError(
            f"side: expected {' or '.join(SIDES)}, found {side!r}",
            hint="A document is a passage" if str(side).startswith("doc") else "",
        )


def _fingerprint_model(module: SentenceTransformer) -> dict[str, str]:
    return {
        "weights": fingerprints.fingerprint_state(module.state_dict()),
        "tokenizer": fingerprints.fingerprint_tokenizer(module.tokenizer),
    }


def _describe_module(module: Any) -> list[Any]:
    described = [type(module).__name__, module.get_config_dict() if hasattr(module, "get_config_dict") else {}]
    if isinstance(module, Router):
        routes: Any = module.sub_modules
        described.append({name: [_describe_module(m) for m in route] for name, route in routes.items()})
    return described


def merge_adapters(module: SentenceTransformer) -> SentenceTransformer:
    """The same model without adapters: itself, or a copy whose weights include them."""
    first: Any = module[0]
    if not hasattr(getattr(first, "model", None), "merge_and_unload"):
        return module
    plain = copy.deepcopy(module).cpu()
    inner: Any = plain[0]
    inner.model = inner.model.merge_and_unload()
    return plain
