"""A model folder is opened whole or not at all: weights, tokenizer and the layers after the transformer.

transformers fills what a folder lacks with random weights, an empty vocabulary or a default, and goes on: two texts
then have one vector, or a text another vector at every load.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import DataError
from irctl.models.locate import LocatedModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PICKLE = "pytorch_model.bin"
POOLER = "pooler."
OWN_HEAD = {"embeddingHead.weight": "ANCE"}
"""Weights of a plain checkpoint that belong to its vectors though transformers leaves them out, as a head."""
TOKENIZER = "tokenizer_config.json"
STATIC = {"embedding.weight", "embeddings", "mapping", "weights"}  # the last three: model2vec's
"""Names that a static embedding may be stored under."""


def check_files(located: LocatedModel, trusts_code: bool) -> None:
    """Before anything is loaded: no pickles among the weights, no dense layer whose activation would be replaced."""
    folder = located.folder
    below = [folder / str(entry.get("path", "")) for entry in _entries(folder)]
    own = [place for place in below if place.resolve() != folder.resolve()]
    for place in {folder, *(p.parent for part in own for p in part.rglob(PICKLE))}:
        if (place / PICKLE).is_file() and not any(place.glob("*.safetensors")):
            raise DataError(f"{place / PICKLE}: is a pickle, and irctl reads none", hint=_suggest_conversion(located))
    for path in sorted({p for part in own for p in part.rglob("config.json")}):
        _check_dense(path, trusts_code)


def _entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    entries = tables.parse_json(path.read_bytes(), str(path))
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected a list of modules")
    return entries


def _suggest_conversion(located: LocatedModel) -> str:
    """The command that makes safetensors of a folder of pickles: torch reads weights alone there, and runs no code."""
    if located.is_sentence_transformers:
        code = f"from sentence_transformers import SentenceTransformer as S; S('{located.folder}').save('NEW')"
    else:
        code = "from transformers import AutoModel as M, AutoTokenizer as T; "
        code += f"[x.from_pretrained('{located.folder}').save_pretrained('NEW') for x in (M, T)]"
    return f'Convert it: python -c "{code}", then --model NEW'


def _check_dense(path: Path, trusts_code: bool) -> None:
    """Refuse the configuration of a dense layer of which sentence-transformers would leave a part out."""
    from sentence_transformers.sentence_transformer.modules import Dense
    from sentence_transformers.util import import_from_string
    from torch import nn

    config = tables.json_object(path)
    if not {"in_features", "out_features"} <= set(config):
        return
    if unknown := sorted(set(config) - set(inspect.signature(Dense).parameters)):
        raise DataError(f"{path}: a dense layer has no {unknown[0]}, which sentence-transformers would leave out")
    if not (path.parent / "model.safetensors").is_file():
        raise DataError(f"{path.parent}: has no model.safetensors, and irctl reads no pickle")
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if trusts_code:
        return
    activation = None
    if isinstance(name, str) and name.startswith("torch."):
        with contextlib.suppress(ImportError, AttributeError, ValueError):
            activation = import_from_string(name)
    if not (inspect.isclass(activation) and issubclass(activation, nn.Module)):
        raise DataError(
            f"{path}: activation_function {name!r} is no module of torch",
            hint="If it is code of the model's own, look at it, then --set model.trust_remote_code=true",
        )


@contextlib.contextmanager
def collect_loading_info() -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """While it lasts, what transformers says of every model it loads: (model, its loading info).

    sentence-transformers drops that second value, so it is asked for on the way.
    """
    from transformers import PreTrainedModel

    own: Any = PreTrainedModel.__dict__["from_pretrained"]
    loaded: list[tuple[Any, dict[str, Any]]] = []

    def from_pretrained(cls: Any, /, *args: Any, output_loading_info: bool = False, **more: Any) -> Any:
        model, info = own.__func__(cls, *args, output_loading_info=True, **more)
        loaded.append((model, info))
        return (model, info) if output_loading_info else model

    untyped: Any = PreTrainedModel
    untyped.from_pretrained = classmethod(from_pretrained)
    try:
        yield loaded
    finally:
        untyped.from_pretrained = own


def check_weights(module: SentenceTransformer, located: LocatedModel, loaded: list[tuple[Any, dict[str, Any]]]) -> None:
    """Refuse a folder without some of the model's weights, or with some that the model has no place for.

    Heads of other tasks and poolers are not read here: they may be there or not. A pooler that is not there is set to
    zero, so that a model has one fingerprint.
    """
    import torch

    reads_pooler = any(
        how.get("method_output_name") == "pooler_output"
        for part in module.modules()
        for how in getattr(part, "modality_config", {}).values()
    )
    for model, info in loaded:
        missing = {key for key in info["missing_keys"] if reads_pooler or not key.startswith(POOLER)}
        if missing:
            total = len(model.state_dict())
            raise DataError(
                f"{located.folder}: {len(missing)} of {total} weights are not in its safetensors, such as "
                f"{min(missing)}",
                hint="Take the whole folder again; config.json must be that of the weights",
            )
        with torch.no_grad():
            for key in info["missing_keys"]:
                model.get_parameter(key).zero_()
        names = _read_weight_names(_find_folders(located, model.name_or_path))
        if (own := next((n for n in OWN_HEAD if n in names), None)) is not None:
            raise DataError(
                f"{located.folder}: a checkpoint of {OWN_HEAD[own]}, whose vectors come from a head ({own}) that "
                "transformers would leave out",
                hint="Use the folder of sentence-transformers with its Dense and LayerNorm, such as "
                "sentence-transformers/msmarco-roberta-base-ance-firstp",
            )
        if stray := _find_stray(model, set(info["unexpected_keys"]), names):
            raise DataError(
                f"{located.folder}: {len(stray)} weights of its safetensors have no place in the model of config.json, "
                f"such as {min(stray)}",
                hint="Take the whole folder again; config.json must be that of the weights",
            )
    for part in module.modules():
        if type(part).__name__ == "StaticEmbedding" and (stray := _read_weight_names(_find_folders(located)) - STATIC):
            raise DataError(f"{located.folder}: a static embedding has no weight {min(stray)}")


def check_reads_text(module: SentenceTransformer, located: LocatedModel) -> None:
    """Refuse a model that takes no text, or whose text method sentence-transformers does not know (DPR's)."""
    known = getattr(module[0], "modality_config", None)
    if known is not None and "text" not in known and "message" not in known:
        takes = f"only {', '.join(map(str, known))}" if known else "nothing that sentence-transformers knows"
        raise DataError(f"{located.folder}: does not take text ({type(module[0].model).__name__} takes {takes})")


def _find_stray(model: Any, unexpected: set[str], names: set[str]) -> set[str]:
    """Those of the unexpected weights that are neither a pooler nor a head.

    A checkpoint with a head has the encoder's own weights under a prefix, such as `bert.`, and the head beside it.
    """
    prefix = f"{model.base_model_prefix}."
    stray = {key for key in unexpected if not key.removeprefix(prefix).startswith(POOLER)}
    if any(name.startswith(prefix) for name in names):
        return {key for key in stray if key.startswith(prefix)}
    return stray


def _find_folders(located: LocatedModel, own: str = "") -> list[Path]:
    """Folders where the first module may lie: the one that it names itself, the model's, and one below it."""
    entries = _entries(located.folder)
    below = [located.folder / str(entries[0].get("path", ""))] if entries else []
    places = [Path(own), *below] if own else [located.folder, *below]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _read_weight_names(places: list[Path]) -> set[str]:
    from safetensors import safe_open

    names: set[str] = set()
    for file in (f for place in places for f in place.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            names |= set(tensors.keys())
    return names


def check_tokenizer(module: SentenceTransformer, located: LocatedModel) -> None:
    """Refuse a tokenizer without its files, without words, or with more words than the model has vectors for."""
    tokenizer = getattr(module, "tokenizer", None)
    if tokenizer is None:
        return
    places = _find_folders(located, getattr(tokenizer, "name_or_path", ""))
    folder = places[0] if places else located.folder
    files = dict(getattr(tokenizer, "vocab_files_names", {}))  # empty for tokenizers of bytes, which need none
    if places and hasattr(tokenizer, "vocab_files_names") and not _are_in([TOKENIZER], places):
        raise DataError(f"{folder}: no {TOKENIZER} there, which says how long a text may be and what is lower-cased")
    sets = [[files[k] for k in keys if k in files] for keys in (("tokenizer_file",), ("vocab_file", "merges_file"))]
    sets = [names for names in sets if names]
    if places and sets and not any(_are_in(names, places) for names in sets):
        raise DataError(f"{folder}: no tokenizer there: expected {' or '.join(' and '.join(names) for names in sets)}")
    special = set(getattr(tokenizer, "all_special_tokens", []))
    if not set(tokenizer.get_vocab()) - special:
        raise DataError(f"{folder}: its tokenizer has no words: the vocabulary is empty")
    own_size = getattr(tokenizer, "vocab_size", None)
    size = own_size if own_size is not None else tokenizer.get_vocab_size(with_added_tokens=False)
    rows = _count_embedding_rows(module)
    if rows is not None and size > rows:
        raise DataError(f"{folder}: its tokenizer has {size} words, the model vectors for {rows}")


def _are_in(names: list[str], places: list[Path]) -> bool:
    return any(all((place / name).is_file() for name in names) for place in places)


def _count_embedding_rows(module: SentenceTransformer) -> int | None:
    model: Any = module.transformers_model
    if model is None:
        return getattr(module[0], "num_embeddings", None)
    try:
        return int(model.get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):
        return None
