"""The encoder: a sentence-transformers model with what irctl needs to know of it, read from its folder and saved with it.

Every model irctl trains opens with SentenceTransformer(folder). `irctl.json` beside it holds what that format lacks.
Dimension key: N texts, T tokens of the longest one, D vector width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from torch import Tensor

from irctl.config import Config
from irctl.errors import ConfigError, DataError
from irctl.models import _fingerprint
from irctl.models._finding import Found, bundled_default, find

__all__ = ["Encoder", "Settings", "bundled_default", "load_encoder"]

FORMAT = 1
FILE = "irctl.json"
SIDES = ("passage", "query")
KNOWN_POOLING = {"facebook/contriever": ("mean", False), "facebook/contriever-msmarco": ("mean", False)}
"""Plain transformers models whose papers say how they pool: (pooling, normalised)."""
POOLING = {"last_token": "lasttoken", "cls+mean": ("cls", "mean")}
SIMILARITY = {"cosine": "cosine", "dot": "dot", "euclidean": "euclid"}
PRECISION = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How text becomes a vector, beside the weights. Lengths are tokens, special ones counted."""

    query_max_len: int
    passage_max_len: int
    query_prompt: str
    passage_prompt: str
    title_join: str
    pooling: str
    normalize: bool
    similarity: str
    precision: str
    base: str
    revision: str = ""

    def max_len(self, side: str) -> int:
        return self.query_max_len if side == "query" else self.passage_max_len

    def prompt(self, side: str) -> str:
        return self.query_prompt if side == "query" else self.passage_prompt


class Encoder:
    """Text to vectors. `module` is the SentenceTransformer that training updates in place."""

    def __init__(self, module: SentenceTransformer, settings: Settings, batch_tokens: int) -> None:
        self.module = module
        self.settings = settings
        self.batch_tokens = batch_tokens
        self.tokenizer: Any = module.tokenizer
        self.dim = int(module.get_embedding_dimension() or 0)
        self.similarity = settings.similarity
        self.query_max_len, self.passage_max_len = settings.query_max_len, settings.passage_max_len

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def tokens(self, texts: Sequence[str], side: str) -> list[list[int]]:
        """Token ids of each text, prompt in front, truncated to the side's length; nothing padded."""
        if not texts:
            return []
        prompt = self.settings.prompt(side)
        # the tokenizer file may carry its own truncation and padding: both are set on every call
        made = self.tokenizer(
            [prompt + t for t in texts] if prompt else list(texts),
            truncation=True,
            max_length=self.settings.max_len(side),
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return list(made["input_ids"])

    def batch(self, ids: Sequence[Sequence[int]], side: str, pad_multiple: int = 1) -> dict[str, Tensor]:
        """Features of some token lists: input_ids and attention_mask [N, T], T padded up to a multiple."""
        width = max((len(i) for i in ids), default=1)
        width = -(-width // pad_multiple) * pad_multiple
        input_ids = torch.full((len(ids), width), int(self.tokenizer.pad_token_id or 0), dtype=torch.long)
        mask = torch.zeros((len(ids), width), dtype=torch.long)
        for row, one in enumerate(ids):
            input_ids[row, : len(one)] = torch.as_tensor(one, dtype=torch.long)
            mask[row, : len(one)] = 1
        features = {"input_ids": input_ids, "attention_mask": mask}
        if prompt := self.settings.prompt(side):
            if not all(m.include_prompt for m in self.module if isinstance(m, Pooling)):
                own = len(self.tokenizer(prompt, add_special_tokens=True)["input_ids"]) - 1
                features["prompt_length"] = torch.tensor(own)
        return features

    def features(self, texts: Sequence[str], side: str, pad_multiple: int = 16) -> dict[str, Tensor]:
        """Tokenised texts for training, padded to a multiple that hardware likes."""
        return self.batch(self.tokens(texts, side), side, pad_multiple)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Vectors [N, D] with gradient, in the arithmetic of the caller's autocast."""
        return self.module(dict(features))["sentence_embedding"]

    def encode(self, texts: Sequence[str], side: str = "passage") -> NDArray[np.float32]:
        """Vectors [N, D] in the order given. Batches hold texts of like length, up to `batch_tokens` tokens with padding.

        A vector may differ in its last bits with the texts beside it; the same call gives the same bytes.
        """
        assert side in SIDES, side
        ids = self.tokens(texts, side)
        out_ND = np.empty((len(ids), self.dim), np.float32)
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode(), self.autocast():
                for rows in batches([len(i) for i in ids], self.batch_tokens):
                    made = self.batch([ids[r] for r in rows], side)
                    moved = {k: v.to(self.device, non_blocking=True) for k, v in made.items()}
                    out_ND[rows] = self.module(moved)["sentence_embedding"].float().cpu().numpy()
        finally:
            self.module.train(was_training)
        return out_ND

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as the profile says; none in fp32."""
        dtype = PRECISION.get(self.settings.precision)
        return torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext()

    def key(self, side: str) -> dict[str, Any]:
        """Everything that decides this side's vectors, apart from the text."""
        s = self.settings
        return {
            "format": FORMAT,
            "weights": _fingerprint.of_tensors(self.module.state_dict()),
            "tokenizer": _fingerprint.of_tokenizer(self.tokenizer),
            "pooling": s.pooling,
            "normalize": s.normalize,
            "prompt": s.prompt(side),
            "max_len": s.max_len(side),
            "title_join": s.title_join if side == "passage" else "",
            "precision": s.precision,
            "side": side,
            "dim": self.dim,
        }

    def fingerprint(self, side: str) -> str:
        """sha256 of `key`: changes with the weights, never with the path."""
        return _fingerprint.of_parts(self.key(side))

    def save(self, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write a sentence-transformers folder (safetensors) with irctl.json beside it."""
        module = merged(self.module)
        module.max_seq_length = max(self.query_max_len, self.passage_max_len)
        module.prompts = {"query": self.settings.query_prompt, "document": self.settings.passage_prompt}
        module.save(str(folder), create_model_card=False)
        about = {
            "format": FORMAT,
            **{k: v for k, v in vars(self.settings).items() if k != "precision"},
            **(extra or {}),
        }
        (folder / FILE).write_text(json.dumps(about, indent=1, sort_keys=True, default=str) + "\n")


def batches(lengths: Sequence[int], budget: int) -> list[NDArray[np.int64]]:
    """Rows in batches of like length, longest first, each at most `budget` tokens when padded (or one text)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    made, start = [], 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[int(order[start])]))
        made.append(order[start : start + size])
        start += size
    return made


def merged(module: SentenceTransformer) -> SentenceTransformer:
    """The model with LoRA adapters folded in, so that it opens without peft; itself where there are none."""
    auto = module[0].auto_model
    if not hasattr(auto, "merge_and_unload"):
        return module
    import copy

    plain = copy.deepcopy(module)
    plain[0].auto_model = plain[0].auto_model.merge_and_unload()
    return plain


def load_encoder(config: Config, name: str | None = None) -> Encoder:
    """Open an encoder by folder, run, hub id or the default's name, with the settings that are asked for.

    Raises DataError if it is not here, ConfigError if a setting contradicts the folder (unless encoder.override).
    """
    found = find(name or config.model.name, config.model.revision if name is None else "")
    module = _open(found, config)
    settings = _settings(found, module, config)
    if config.model.lora_r:
        _add_lora(module, config)
    if config.model.freeze_base:
        module.requires_grad_(False)
    batch_tokens = config.encoder.batch_tokens or config.hardware.encode_tokens
    return Encoder(module, settings, batch_tokens)


def _open(found: Found, config: Config) -> SentenceTransformer:
    device = config.hardware.device_kind
    attention = config.model.attention if config.model.attention != "auto" else config.hardware.attention
    shared = {"trust_remote_code": config.model.trust_remote_code, "local_files_only": True}
    weights = {"attn_implementation": attention, "use_safetensors": True}
    try:
        if (found.folder / "modules.json").is_file():
            return SentenceTransformer(str(found.folder), device=device, model_kwargs=weights, **shared)
        pooling, normalize = _plain(found, config)
        transformer = Transformer(str(found.folder), model_kwargs=weights, config_kwargs=dict(shared))
        width = transformer.get_embedding_dimension()
        parts: list[Any] = [transformer, Pooling(width, pooling_mode=POOLING.get(pooling, pooling))]
        return SentenceTransformer(modules=[*parts, *([Normalize()] if normalize else [])], device=device)
    except (OSError, ValueError, KeyError) as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise DataError(
            f"{found.name}: is not a model that opens: {reason}", hint="Give a sentence-transformers folder"
        ) from e


def _plain(found: Found, config: Config) -> tuple[str, bool]:
    """(pooling, normalised) of a folder that does not say: asked for, or known. Raises ConfigError."""
    if not (found.folder / "config.json").is_file():
        raise DataError(f"{found.folder}: holds no model (no modules.json, no config.json)")
    known = KNOWN_POOLING.get(found.name)
    pooling = config.encoder.pooling or (known[0] if known else "")
    if not pooling:
        raise ConfigError(
            f"{found.name}: a plain transformers model does not say how to pool",
            hint="Add --set encoder.pooling=mean (or cls, last_token, max, cls+mean)",
        )
    normalize = config.encoder.normalize or str(known[1] if known else False).lower()
    return pooling, normalize == "true"


def _settings(found: Found, module: SentenceTransformer, config: Config) -> Settings:
    """The folder's own settings, with those asked for on top where they do not contradict it."""
    stored = _stored(found.folder)
    asked, override = config.encoder, config.encoder.override
    pooling = "+".join(_pooling_names(module))
    normalize = any(isinstance(m, Normalize) for m in module)
    for key, mine, theirs in (
        ("pooling", asked.pooling, pooling),
        ("normalize", asked.normalize, str(normalize).lower()),
    ):
        if mine and mine != theirs and not (override and key == "normalize"):
            raise ConfigError(
                f"encoder.{key}: {found.name} was made with {theirs or 'none'}, asked {mine}",
                hint="Drop the setting" + ("" if key == "pooling" else ", or add --set encoder.override=true"),
            )
    if asked.normalize and (asked.normalize == "true") != normalize:
        normalize = _set_normalize(module, asked.normalize == "true")
    limit = int(module.max_seq_length or module.tokenizer.model_max_length)
    prompts = module.prompts or {}
    own = {
        "query_max_len": stored.get("query_max_len"),
        "passage_max_len": stored.get("passage_max_len"),
        "query_prompt": stored.get("query_prompt"),
        "passage_prompt": stored.get("passage_prompt"),
    }
    defaults = {
        "query_max_len": limit,
        "passage_max_len": limit,
        "query_prompt": prompts.get("query") or "",
        "passage_prompt": prompts.get("document") or prompts.get("passage") or "",
    }
    values: dict[str, Any] = {}
    for key, theirs in own.items():
        mine = getattr(asked, key) or None if key.endswith("len") else getattr(asked, key)
        if mine is not None and theirs is not None and mine != theirs and not override:
            raise ConfigError(
                f"encoder.{key}: {found.name} was trained with {theirs!r}, asked {mine!r}",
                hint="Drop the setting, or add --set encoder.override=true",
            )
        values[key] = next(v for v in (mine, theirs, defaults[key]) if v is not None)
    positions = getattr(module[0].auto_model.config, "max_position_embeddings", None) or 10**9
    for key in ("query_max_len", "passage_max_len"):
        if values[key] > positions:
            raise ConfigError(f"encoder.{key}: {values[key]} tokens, but {found.name} has {positions} positions")
    similarity = SIMILARITY.get(str(module.similarity_fn_name or ("cosine" if normalize else "dot")), "")
    if not similarity:
        raise ConfigError(f"{found.name}: similarity {module.similarity_fn_name} is not one irctl searches with")
    made = Settings(
        **values,
        title_join=stored.get("title_join") or config.data.title_join,
        pooling=pooling,
        normalize=normalize,
        similarity="dot" if normalize and similarity == "cosine" else similarity,
        precision=config.hardware.precision,
        base=stored.get("base") or found.name,
        revision=found.revision,
    )
    if stored.get("title_join") and config.data.title_join != made.title_join:
        if "data.title_join" in config.origins and not override:
            raise ConfigError(
                f"data.title_join: {found.name} was trained with {made.title_join}, asked {config.data.title_join}",
                hint="Drop the setting, or add --set encoder.override=true",
            )
        made = replace(made, title_join=config.data.title_join)
    return made


def _pooling_names(module: SentenceTransformer) -> tuple[str, ...]:
    names = {"lasttoken": "last_token"}
    for part in module:
        if isinstance(part, Pooling):
            modes = part.pooling_mode
            return tuple(names.get(m, m) for m in ([modes] if isinstance(modes, str) else modes))
    return ("",)


def _set_normalize(module: SentenceTransformer, wanted: bool) -> bool:
    """Add or take away the last Normalize module."""
    if wanted:
        module.append(Normalize())
    else:
        for name in [n for n, m in module.named_children() if isinstance(m, Normalize)]:
            del module._modules[name]
    return wanted


def _stored(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as e:
        raise DataError(f"{file}: cannot be read ({e})", hint="Train again, or remove the file") from e


def _add_lora(module: SentenceTransformer, config: Config) -> None:
    """Put LoRA adapters into the transformer; only they are trained."""
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError as e:
        raise DataError("model.lora_r: needs peft, which is not installed", hint="pip install 'irctl[lora]'") from e
    m = config.model
    adapters = LoraConfig(
        r=m.lora_r,
        lora_alpha=m.lora_alpha,
        lora_dropout=m.lora_dropout,
        task_type=TaskType.FEATURE_EXTRACTION,
        target_modules="all-linear",
    )
    module[0].auto_model = get_peft_model(module[0].auto_model, adapters)
