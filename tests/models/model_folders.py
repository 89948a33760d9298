"""Small models written to folders, for the tests of the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from irctl.config import Config, resolve
from irctl.origins import derived

WORDS = ["lift", "drag", "of", "a", "wing", "heat", "flow", "over", "the", "cylinder", "shock"]
TEXTS = [
    "lift of a wing",
    "",
    "heat flow over the cylinder " * 30,
    "shock",
    "drag of a wing with heat and supersonic flow, twice.",
    "lift of a wing",
]


def settings(*sets: str) -> Config:
    pairs = (pair.partition("=") for pair in sets)
    return resolve({name: (value, derived("test")) for name, _, value in pairs})  # prompts end in a space


def plain_bert(encoder: Path, folder: Path) -> Path:
    """The transformer of a sentence-transformers folder, without what says how it pools."""
    AutoModel.from_pretrained(encoder).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def tiny_llama(folder: Path) -> Path:
    """A causal model of two layers whose tokenizer adds nothing and has no padding token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {w: i for i, w in enumerate(["<unk>", "</s>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", model_max_length=32
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        eos_token_id=1,
        bos_token_id=None,
        pad_token_id=None,
    )
    LlamaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pooled_by_hand(folder: Path, texts: list[str], pooling: str, max_len: int) -> Any:
    """Vectors one text at a time, with transformers alone: no padding, so no mask to get wrong."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_len, padding=False)["input_ids"]
        with torch.no_grad():
            hidden_WD = model(torch.tensor([ids])).last_hidden_state[0]
        found.append(
            {
                "mean": lambda h: h.mean(0),
                "cls": lambda h: h[0],
                "last_token": lambda h: h[-1],
                "max": lambda h: h.max(0).values,
                "cls+mean": lambda h: torch.cat([h[0], h.mean(0)]),
            }[pooling](hidden_WD)
        )
    return torch.stack(found).numpy()
