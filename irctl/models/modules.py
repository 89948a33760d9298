"""Loading and changing the modules of a SentenceTransformer: plain folders, overrides, attention."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, tables
from irctl.errors import ConfigError, DataError, EnvironmentUnfit, IrctlError
from irctl.models import whole
from irctl.models.locate import LocatedModel
from irctl.models.reading import POOLINGS, ReadingSettings, choose_plain_pooling, find_pooling, normalizes
from irctl.models.trainable import adapters

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from irctl.config import Config


def load(located: LocatedModel, config: Config) -> SentenceTransformer:
    """The model in float32 on the CPU, tokenizer without padding or truncation of its own.

    Raises DataError where the folder cannot be opened, EnvironmentUnfit where a kernel package is absent, ConfigError
    where a plain transformers folder does not say how it pools.
    """
    import torch

    model_kwargs: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
    if attention := _choose_attention(config.model.attention, config.hardware.attention):
        model_kwargs["attn_implementation"] = attention
    shared: dict[str, Any] = {"trust_remote_code": config.model.trust_remote_code, "local_files_only": True}
    try:
        with silence(), adapters.link_without_adapter(located) as opened:
            module = _load_whole(opened, config, model_kwargs, shared)
            if adapters.is_adapter(located):
                adapters.merge_adapter(module, located)
    except (IrctlError, MemoryError):
        raise
    except ImportError as e:
        raise EnvironmentUnfit(f"{located.name}: needs a package that is not installed ({_take_first_line(e)})") from e
    except Exception as e:  # files of a foreign folder go through five libraries, which raise what they like
        if (closed := files.find_closed(located.folder)) is not None:
            raise files.read_error(closed, PermissionError(errno.EACCES, "")) from e
        hint = "" if config.model.trust_remote_code else _suggest_remote_code(e)
        raise DataError(f"{located.folder}: cannot be opened as a model ({_take_first_line(e)})", hint=hint) from e
    reset_tokenizer(module)
    _restore_normalizer(module)
    return module


def _restore_normalizer(module: SentenceTransformer) -> None:
    """What tokenizer.json does to a text before it is split, where the tokenizer's class forgot it.

    transformers 5 builds a RoBERTa's tokenizer from its words and merges alone; a lower-casing saved there was lost.
    """
    backend = getattr(module.tokenizer, "backend_tokenizer", None)
    file = Path(str(getattr(module.tokenizer, "name_or_path", ""))) / "tokenizer.json"
    if backend is None or backend.normalizer is not None or not file.is_file():
        return
    if tables.json_object(file).get("normalizer"):
        from tokenizers import Tokenizer

        backend.normalizer = Tokenizer.from_file(str(file)).normalizer


def _load_whole(
    located: LocatedModel, config: Config, model_kwargs: dict[str, Any], shared: dict[str, Any]
) -> SentenceTransformer:
    """The model of a folder, with nothing absent, left over or replaced."""
    from sentence_transformers import SentenceTransformer

    whole.check_files(located, config.model.trust_remote_code)
    with whole.collect_loading_info() as loaded:
        if located.is_sentence_transformers:
            module = SentenceTransformer(str(located.folder), device="cpu", model_kwargs=model_kwargs, **shared)
        else:
            module = _load_plain(located, config, model_kwargs, shared)
    whole.check_weights(module, located, loaded)
    whole.check_tokenizer(module, located)
    whole.check_reads_text(module, located)
    return module


def _choose_attention(asked: str, of_profile: str) -> str:
    """The kernel asked for; empty for sdpa by profile, left to transformers, as not every model has it."""
    if asked != "auto":
        return asked
    return "" if of_profile == "sdpa" else of_profile


def _load_plain(
    located: LocatedModel, config: Config, model_kwargs: dict[str, Any], shared: dict[str, Any]
) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    pooling = choose_plain_pooling(located, config.encoder.pooling)
    transformer = Transformer(
        str(located.folder),
        model_kwargs={**model_kwargs, **shared},
        processor_kwargs=dict(shared),
        config_kwargs=dict(shared),
    )
    tokenizer = transformer.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if pooling == "last_token":
        end_with_eos(tokenizer)
    width = transformer.get_embedding_dimension()
    parts: list[Any] = [transformer, Pooling(width, POOLINGS[pooling])]
    if config.encoder.normalize == "true":
        parts.append(Normalize())
    return SentenceTransformer(modules=parts, device="cpu", similarity_fn_name="dot")


def end_with_eos(tokenizer: Any) -> None:
    """Make every text end in EOS, within the length: what a model pooled at its last token was trained to read."""
    if tokenizer.eos_token is None or tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id:
        return
    from tokenizers.processors import Sequence, TemplateProcessing

    eos = tokenizer.eos_token
    append = TemplateProcessing(single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, tokenizer.eos_token_id)])
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = Sequence([before, append]) if before else append


def reset_tokenizer(module: SentenceTransformer) -> None:
    """Drop truncation and padding stored in tokenizer.json: all-MiniLM-L6-v2's cut and pad to 128 tokens.

    Padding, where a batch needs it, comes after the text: before it, it moves the positions of models that count them
    from the left, and a text's vector would depend on its neighbours. Poolings go by the mask on either side.
    """
    if hasattr(module.tokenizer, "padding_side"):
        module.tokenizer.padding_side = "right"
    backend = getattr(module.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()


def lower_case(module: SentenceTransformer, located: LocatedModel) -> None:
    """Lower-case every text before it becomes tokens, in the tokenizer, which is saved with the model.

    ANCE's RoBERTa was trained so, and its folder on the hub does not say it (RepCONC, examples/ance/modeling_ance.py).
    """
    backend = getattr(module.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"encoder.lower_case=true: {located.name} has nothing it applies to", hint="Leave it out")
    before = backend.normalizer
    if before is not None and before.normalize_str("AbC") == "abc":
        return
    from tokenizers.normalizers import Lowercase, Sequence

    backend.normalizer = Sequence([Lowercase(), *([before] if before is not None else [])])


def say_lower_case(module: SentenceTransformer, folder: Path) -> None:
    """Write into a saved folder that texts are lower-cased, for sentence-transformers, which leaves it out."""
    backend, path = getattr(module.tokenizer, "backend_tokenizer", None), folder / "sentence_bert_config.json"
    if backend is None or not path.is_file() or "Lowercase" not in str(backend.normalizer):
        return
    path.write_text(json.dumps({**tables.json_object(path), "do_lower_case": True}, indent=4))


def apply(module: SentenceTransformer, settings: ReadingSettings) -> None:
    """Make the modules agree with the settings, so that what is saved needs no settings given again."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    if settings.pooling and settings.pooling != find_pooling(module):
        place, old = next((i, m) for i, m in enumerate(module) if isinstance(m, Pooling))
        new = Pooling(old.embedding_dimension, POOLINGS[settings.pooling], old.include_prompt)
        if new.pooling_output_dimension != old.pooling_output_dimension and any(isinstance(m, Dense) for m in module):
            raise ConfigError(f"encoder.pooling={settings.pooling}: the model's dense layer needs another width")
        module[place] = new
    if settings.normalize != normalizes(module):
        if settings.normalize:
            module.append(Normalize())
        elif not isinstance(module[-1], Normalize):
            raise ConfigError("encoder.normalize=false: the model's routes scale vectors to length 1, each by itself")
        else:
            del module[-1]
    if settings.similarity == "dot" and not normalizes(module):
        module.similarity_fn_name = "dot"
    module.prompts = {**(module.prompts or {}), "query": settings.query_prompt, "document": settings.passage_prompt}
    for dataset, own in settings.prompts.items():  # by the names that mteb looks for
        module.prompts |= {f"{dataset}-{'query' if side == 'query' else 'document'}": own[side] for side in own}
    if isinstance(module[0], Transformer):
        module.max_seq_length = settings.passage_max_len
        # read by encode_query and encode_document of sentence-transformers
        module[0].query_length, module[0].document_length = settings.query_max_len, settings.passage_max_len


def _suggest_remote_code(e: Exception) -> str:
    return "Look at its code, then --set model.trust_remote_code=true" if "remote_code" in str(e) else ""


def _take_first_line(e: Exception) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0]


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No bars and reports of transformers while it loads or saves; errors still come as exceptions."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
