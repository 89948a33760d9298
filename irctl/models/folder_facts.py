"""What a model folder says of how it reads text, from its JSON files alone: for dry runs and launchers, without torch.

The same as `reading.resolve` finds in the opened model; where the files leave something open, it is left to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.models import reading, similarity
from irctl.models.locate import ADAPTER, LocatedModel, find_local

if TYPE_CHECKING:
    from irctl.config import Config

LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""As sentence-transformers before version 6 wrote them, in the order in which they are joined."""
PADDED_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "xmod", "longformer")
"""Model types that count positions from the padding index on."""


def check(config: Config, name: str = "") -> None:
    """Refuse settings that contradict the model's folder, in the words in which opening it would refuse them.

    name: of the model, where it is not model.name. Says nothing where the model is not on this machine.
    """
    named = name or config.model.name
    located = find_local(named, config.model.revision if named == config.model.name else "")
    if located is not None and (says := read_facts(located, config)) is not None:
        reading.settle(says, reading.read_file(located), config, located)


def read_facts(located: LocatedModel, config: Config) -> reading.FolderFacts | None:
    """None for adapters, and for models whose first module is no transformer: these say it when they are opened."""
    folder = located.folder
    if (folder / ADAPTER).is_file():
        return None
    if not located.is_sentence_transformers:
        plain = reading.choose_plain_pooling(located, config.encoder.pooling)
        return reading.FolderFacts(plain, config.encoder.normalize == "true", *_read_limits(folder), {})
    modules = similarity.read_modules(located)
    if not modules or not modules[0]["type"].endswith(".Transformer"):
        return None
    pooled = next((m for m in modules if m["type"].endswith(".Pooling")), None)
    pooling = _read_pooling(_read_json(folder / pooled["path"] / "config.json")) if pooled else None
    prompts = _read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    unit = similarity.normalizes_last(located, modules)
    return reading.FolderFacts(pooling, unit, *_read_limits(folder / modules[0]["path"]), prompts)


def read_width(located: LocatedModel, config: Config) -> int | None:
    """D of the model's vectors, by its files; None where only opening it tells."""
    folder = located.folder
    for entry in reversed(similarity.read_modules(located)):
        about, kind = _read_json(folder / entry["path"] / "config.json"), entry["type"].rpartition(".")[2]
        if kind == "Dense":
            return int(about["out_features"])
        if kind == "Pooling":
            modes = about.get("pooling_mode") or [m for key, m in LEGACY_POOLING.items() if about.get(key)] or "mean"
            width = about.get("embedding_dimension") or about.get("word_embedding_dimension")
            return int(width) * (1 if isinstance(modes, str) else len(modes)) if width else None
        if kind not in ("Normalize", "Dropout", "LayerNorm"):
            return None
    width = _read_json(folder / "config.json").get("hidden_size")
    return int(width) * len(config.encoder.pooling.split("+")) if isinstance(width, int) else None


def _read_pooling(about: Mapping[str, Any]) -> str:
    mode = about.get("pooling_mode") or [m for key, m in LEGACY_POOLING.items() if about.get(key)] or "mean"
    if not isinstance(mode, str):
        mode = mode[0] if len(mode) == 1 else tuple(mode)
    return reading.name_pooling(mode)


def _read_limits(folder: Path) -> tuple[int, int]:
    """(tokens that the positions allow, the folder's own maximum); both without bound where no file says it."""
    about = _read_json(folder / "config.json")
    positions = about.get("max_position_embeddings")
    limit = positions if isinstance(positions, int) and positions > 0 else reading.UNBOUNDED
    asked = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    own = asked or min(_read_json(folder / "tokenizer_config.json").get("model_max_length") or limit, limit)
    if limit == own == reading.UNBOUNDED:  # the class of the model may still know its positions
        return limit, own
    if limit < reading.UNBOUNDED and about.get("model_type") in PADDED_POSITIONS:
        limit -= int(about.get("pad_token_id") or 1) + 1
    return limit, reading.limit_own_maximum(own, limit)


def _read_json(path: Path) -> dict[str, Any]:
    return tables.json_object(path) if path.is_file() else {}
