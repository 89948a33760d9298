"""One text, one vector, whatever stands beside it: the rule that a cache by content rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import TEXTS, pooled_by_hand, settings, tiny_llama
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from irctl.models.encoder import load_encoder
from irctl.models.reading import POOLINGS

THEIRS = (*POOLINGS.values(), "mean_sqrt_len_tokens", "weightedmean")
PROMPTS = ("encoder.query_prompt=heat of: ", "encoder.passage_prompt=")


def folder_of(
    kind: str, side: str, pooling: str | tuple[str, ...], short_tokenizer: Path, place: Path, skips: bool
) -> Path:
    """A model without dropout, as a sentence-transformers folder whose tokenizer pads on that side."""
    if kind == "llama":
        plain = tiny_llama(place / "plain")
        tokenizer = AutoTokenizer.from_pretrained(plain)
        tokenizer.pad_token = tokenizer.eos_token
    else:
        plain, tokenizer = place / "plain", AutoTokenizer.from_pretrained(short_tokenizer)
        torch.manual_seed(3)
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        BertModel(BertConfig(vocab_size=len(tokenizer), **size, **dropout)).save_pretrained(plain)
    tokenizer.padding_side = side
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(16, pooling, include_prompt=not skips), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(place / "model"))
    return place / "model"


@pytest.mark.parametrize("skips", [False, True], ids=["whole text", "prompt left out"])
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("pooling", THEIRS, ids=str)
def test_a_texts_vector_does_not_depend_on_its_neighbours(
    pooling: str | tuple[str, ...], kind: str, padding: str, skips: bool, short_tokenizer: Path, tmp_path: Path
) -> None:
    folder = folder_of(kind, padding, pooling, short_tokenizer, tmp_path, skips)
    # an empty text of a tokenizer that adds nothing has no token left once its prompt is
    texts = [text for text in TEXTS if text or not skips or kind == "bert"]
    encoder = load_encoder(settings(*PROMPTS), str(folder))
    for side in ("query", "passage"):
        alone_ND = np.concatenate([encoder.encode([text], side) for text in texts])
        np.testing.assert_allclose(encoder.encode(texts, side), alone_ND, atol=1e-5)
        encoder.module.train()  # as a training batch is forwarded, whole or in parts of like length
        for some in (texts, texts * 20):
            with torch.no_grad():
                forwarded_ND = encoder.forward(encoder.features(some, side)).numpy()
            np.testing.assert_allclose(forwarded_ND[: len(texts)], alone_ND, atol=1e-5)
        padded = encoder.features(texts, side, pad_multiple=16)
        assert padded["input_ids"].shape[1] % 16 == 0
        with torch.no_grad():
            np.testing.assert_allclose(encoder.forward(padded).numpy(), alone_ND, atol=1e-5)
        encoder.module.eval()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
def test_padding_on_the_left_moves_no_position_here_and_in_the_folder_saved(
    pooling: str, short_tokenizer: Path, tmp_path: Path
) -> None:
    folder = folder_of("bert", "left", POOLINGS[pooling], short_tokenizer, tmp_path, False)
    encoder = load_encoder(settings(), str(folder))
    by_hand_ND = pooled_by_hand(tmp_path / "plain", TEXTS, pooling, 32)
    by_hand_ND /= np.linalg.norm(by_hand_ND, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(TEXTS), by_hand_ND, atol=1e-5)
    encoder.save(tmp_path / "saved")
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(theirs.encode(TEXTS), by_hand_ND, atol=1e-5)
