"""By what vectors are compared: the folder's word, what is asked for, and that no setting is taken without effect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_folders import TEXTS, plain_bert, settings
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer

from irctl.errors import ConfigError
from irctl.models.encoder import load_encoder
from irctl.models.locate import locate
from irctl.models.similarity import check_similarity, read_similarity


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", None])
@pytest.mark.parametrize("asked", [[], ["encoder.normalize=true"], ["encoder.normalize=false"]])
def test_the_similarity_read_from_the_files_is_that_of_the_opened_model(
    asked: list[str], name: str | None, unit: bool, tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "similarity_fn_name": name}))
    if not unit:
        entries = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps(entries[:-1]))
    config = settings("encoder.override=true", *asked)
    encoder = load_encoder(config, str(folder))
    assert read_similarity(locate(str(folder)), config.encoder.normalize) == encoder.similarity
    encoder.save(tmp_path / "saved")
    assert load_encoder(settings(), str(tmp_path / "saved")).similarity == encoder.similarity


def test_vectors_that_shall_not_be_normalised_are_compared_as_they_are_and_stay_so_when_saved(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    assert load_encoder(settings(), str(tiny_encoder)).similarity == "dot", "of unit vectors"
    encoder = load_encoder(settings("encoder.normalize=false", "encoder.override=true"), str(tiny_encoder))
    lengths_N = np.linalg.norm(encoder.encode(TEXTS), axis=1)
    assert encoder.similarity == "dot" and np.abs(lengths_N - 1).max() > 0.1
    encoder.save(tmp_path / "saved")
    again = load_encoder(settings(), str(tmp_path / "saved"))
    assert again.similarity == "dot" and not again.settings.normalize
    assert SentenceTransformer(str(tmp_path / "saved"), device="cpu").similarity_fn_name == "dot"


def test_a_plain_folder_compares_by_dot(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = plain_bert(tiny_encoder, tmp_path / "plain")
    assert read_similarity(locate(str(folder)), "") == "dot"


def test_training_refuses_another_similarity_than_the_models_own() -> None:
    check_similarity("cosine", "dot", True)
    check_similarity("dot", "dot", False)
    check_similarity("", "cosine", False)
    for asked, own, unit in (("dot", "cosine", False), ("euclid", "dot", True), ("cosine", "dot", False)):
        with pytest.raises(ConfigError, match=f"search.similarity={asked}: training compares by .* {own}"):
            check_similarity(asked, own, unit)


def test_settings_of_a_transformer_are_refused_where_there_is_none(short_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(short_tokenizer / "tokenizer.json"))
    modules = [StaticEmbedding(tokenizer, embedding_dim=8), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "m"))
    for given in (
        "encoder.pooling=mean",
        "encoder.query_max_len=8",
        "encoder.passage_max_len=8",
        "model.lora_r=4",
        "model.attention=eager",
    ):
        with pytest.raises(ConfigError, match=f"{given}: .* has nothing it applies to"):
            load_encoder(settings(given, "encoder.override=true"), str(tmp_path / "m"))
    with pytest.raises(ConfigError, match=r"encoder\.normalize=false contradicts"):
        load_encoder(settings("encoder.normalize=false"), str(tmp_path / "m"))
    bare = load_encoder(settings("encoder.normalize=false", "encoder.override=true"), str(tmp_path / "m"))
    assert bare.similarity == "dot"
    theirs_ND = SentenceTransformer(modules=modules[:1], device="cpu").encode(TEXTS)
    np.testing.assert_allclose(bare.encode(TEXTS), theirs_ND, atol=1e-6)
