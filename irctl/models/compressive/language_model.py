"""The language model that reads compressed contexts: opened whole, frozen, in the arithmetic of the profile.

Its layers run in training mode, with every dropout proven 0, because transformers recomputes activations in that mode
alone: evaluation mode would silently keep them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.models.locate import LocatedModel
from irctl.models.modules import silence

if TYPE_CHECKING:
    from torch import nn

STRUCTURE = "a decoder with embed_tokens, layers and norm, as Llama, Mistral and Qwen have"


def dtype_of(precision: str) -> str:
    """In which a frozen model is kept, by the profile's arithmetic."""
    return {"bf16": "bfloat16", "fp16": "float16"}.get(precision, "float32")


def open_language_model(located: LocatedModel, *, dtype: str = "float32", attention: str = "sdpa") -> Any:
    """A causal language model of transformers, without gradients. dtype: float32, float16 or bfloat16.

    Raises DataError for a folder that is no decoder of the structure above, lacks weights, or has dropout.
    """
    import torch
    from transformers import AutoModelForCausalLM

    kwargs: dict[str, Any] = {"dtype": getattr(torch, dtype), "use_safetensors": True, "local_files_only": True}
    opens: Any = AutoModelForCausalLM
    with silence():
        try:
            model, info = opens.from_pretrained(
                str(located.folder), attn_implementation=attention, output_loading_info=True, **kwargs
            )
        except (OSError, ValueError, KeyError) as e:
            raise DataError(f"{located.folder}: cannot be opened as a language model ({_first_line(e)})") from e
    check_whole(located, info["missing_keys"])
    check_structure(located, model)
    return freeze(model, located)


def open_tokenizer(located: LocatedModel) -> Any:
    """The tokenizer of a language model's folder; texts are padded by whoever lays them out, not by it."""
    from transformers import AutoTokenizer

    with silence():
        try:
            return AutoTokenizer.from_pretrained(str(located.folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as e:
            raise DataError(f"{located.folder}: has no tokenizer that opens ({_first_line(e)})") from e


def freeze(model: Any, located: LocatedModel) -> Any:
    """Without gradients, in training mode, every dropout 0. Raises DataError for a model with dropout."""
    from torch import nn

    for name, part in model.named_modules():
        if isinstance(part, nn.Dropout) and part.p > 0:
            raise DataError(f"{located.folder}: {name} has a dropout of {part.p}; a frozen model must have none")
    if found := getattr(model.config, "attention_dropout", 0):
        raise DataError(f"{located.folder}: its attention has a dropout of {found}; a frozen model must have none")
    model.requires_grad_(False)
    return model.train()


def check_whole(located: LocatedModel, missing: Any) -> None:
    """DataError where weights are not there, which transformers would draw at random."""
    if missing:
        raise DataError(
            f"{located.folder}: {len(missing)} weights are not in its safetensors, such as {min(missing)}",
            hint="Take the whole folder again; config.json must be that of the weights",
        )


def check_structure(located: LocatedModel, model: Any) -> None:
    """DataError for a model whose first layers cannot be cut off."""
    base = getattr(model, model.base_model_prefix, None)
    if not all(hasattr(base, name) for name in ("embed_tokens", "layers", "norm")):
        raise DataError(f"{located.folder}: {type(model).__name__} is not {STRUCTURE}")


def count_parameters(model: nn.Module) -> int:
    """Numbers in its weights; tied ones once."""
    return sum(p.numel() for p in model.parameters())


def _first_line(e: BaseException) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0]
