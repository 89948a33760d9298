"""States of tokens: those of sentence-transformers, of every letter of the text, in windows where it is long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.pipelines.answer.token_states import check, encode_tokens

TEXT = "the red house of Elena Fischer stands in Lyon."


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> TextEncoder:
    return load_encoder(settings.resolve(), str(tiny_encoder)).freeze()


def test_states_are_those_of_sentence_transformers_and_their_letters_are_the_text(
    encoder: TextEncoder, tiny_encoder: Path
) -> None:
    found = encode_tokens(encoder, TEXT)
    theirs = SentenceTransformer(str(tiny_encoder), device="cpu").encode(TEXT, output_value="token_embeddings").numpy()
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)  # the module after pooling
    assert np.allclose(found.states_TD, theirs[1:-1], atol=1e-6)  # without [CLS] and [SEP]
    assert "".join(TEXT[a:b] for a, b in found.spans_T2) == TEXT.replace(" ", "")


def test_a_text_longer_than_the_encoder_takes_is_read_in_windows(encoder: TextEncoder) -> None:
    text = " ".join([TEXT] * 12)  # more than 64 tokens
    found = encode_tokens(encoder, text)
    assert len(found.states_TD) == len(found.spans_T2) > 64
    assert "".join(text[a:b] for a, b in found.spans_T2) == text.replace(" ", "")
    first = encode_tokens(encoder, text[: found.spans_T2[61][1]])  # 62 tokens beside [CLS] and [SEP]
    assert np.allclose(found.states_TD[:62], first.states_TD, atol=1e-5)
    assert encode_tokens(encoder, "").states_TD.shape == (0, encoder.dim)


def test_an_encoder_that_pools_no_tokens_is_refused(tmp_path: Path) -> None:
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models

    words = StaticEmbedding(Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")), embedding_dim=4)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "static"))
    with pytest.raises(ConfigError, match="gives no states of tokens"):
        check(load_encoder(settings.resolve(), str(tmp_path / "static")))
