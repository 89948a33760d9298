"""ANCE: RoBERTa's first token through a dense layer and a layer norm, of lower-cased text; its vectors by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_folders import settings
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling, Transformer
from tokenizers import ByteLevelBPETokenizer
from toy_collections import word_pairs
from transformers import AutoTokenizer, RobertaConfig, RobertaModel, RobertaTokenizerFast
from workspace import Workspace

from irctl.errors import DataError
from irctl.models.encoder import load_encoder

WIDTH = 16
TEXTS = ["Lift of a Wing at MACH two", "heat", "", "Drag of the Boundary LAYER and heat flow " * 8]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa of two layers with a byte-level tokenizer of its own, which tells cases apart."""
    folder = tmp_path_factory.mktemp("roberta")
    words = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words.train_from_iterator([*TEXTS, *(t.lower() for t in TEXTS)] * 4, vocab_size=400, special_tokens=special)
    words.save_model(str(folder))
    tokenizer = RobertaTokenizerFast(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=32
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=66, pad_token_id=1, **size)
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def built(plain: Path, folder: Path, **how: Any) -> Path:
    """The folder as sentence-transformers has ANCE: Transformer, Pooling, Dense, LayerNorm."""
    torch.manual_seed(1)
    head = [Dense(WIDTH, WIDTH, activation_function=torch.nn.Identity()), LayerNorm(WIDTH)]
    torch.nn.init.normal_(head[1].norm.weight, 1, 0.3)
    torch.nn.init.normal_(head[1].norm.bias, 0, 0.3)
    modules = [Transformer(str(plain), max_seq_length=32, **how), Pooling(WIDTH, "cls"), *head]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def by_hand(plain: Path, folder: Path, texts: list[str]) -> Any:
    """norm(W h + b) of the first token, one lower-cased text at a time, with transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(plain)
    model = RobertaModel.from_pretrained(plain, add_pooling_layer=False).eval()
    dense, norm = (load_file(folder / name / "model.safetensors") for name in ("2_Dense", "3_LayerNorm"))
    found = []
    for text in texts:
        ids = tokenizer(text.lower(), truncation=True, max_length=32)["input_ids"]
        with torch.no_grad():
            first_D = model(torch.tensor([ids])).last_hidden_state[0, 0]
        mapped_D = first_D @ dense["linear.weight"].T + dense["linear.bias"]
        centred_D = (mapped_D - mapped_D.mean()) / torch.sqrt(mapped_D.var(unbiased=False) + 1e-5)
        found.append(centred_D * norm["norm.weight"] + norm["norm.bias"])
    return torch.stack(found).numpy()


def test_vectors_are_the_heads_of_lower_cased_text_by_hand(plain: Path, tmp_path: Path) -> None:
    """Lower-casing said by the folder, in its tokenizer or as older folders do, or by the setting."""
    saved = built(plain, tmp_path / "saved", do_lower_case=True)
    older = built(plain, tmp_path / "older")
    about = json.loads((older / "sentence_bert_config.json").read_text())
    (older / "sentence_bert_config.json").write_text(json.dumps({**about, "do_lower_case": True}))
    silent = built(plain, tmp_path / "silent")
    products = "encoder.normalize=false"  # as it was trained; the folder on the hub does not say it
    opened = [load_encoder(settings(products), str(f)) for f in (saved, older)]
    opened.append(load_encoder(settings(products, "encoder.lower_case=true"), str(silent)))
    for encoder, folder in zip(opened, (saved, older, silent), strict=True):
        for side in ("query", "passage"):
            np.testing.assert_allclose(encoder.encode(TEXTS, side), by_hand(plain, folder, TEXTS), atol=2e-6)
        assert encoder.similarity == "dot" and not encoder.settings.normalize and encoder.settings.pooling == "cls"
    assert len({e.fingerprint() for e in opened}) == 1
    cased = load_encoder(settings(), str(silent))
    assert np.abs(cased.encode(TEXTS) - by_hand(plain, silent, TEXTS)).max() > 1e-3
    assert cased.fingerprint() != opened[0].fingerprint()


def test_what_is_saved_lower_cases_without_the_setting(plain: Path, tmp_path: Path) -> None:
    encoder = load_encoder(settings("encoder.lower_case=true"), str(built(plain, tmp_path / "silent")))
    encoder.save(tmp_path / "out")
    again = load_encoder(settings(), str(tmp_path / "out"))
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    assert again.fingerprint() == encoder.fingerprint()
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(TEXTS)
    assert "do_lower_case" in (tmp_path / "out/sentence_bert_config.json").read_text()
    np.testing.assert_allclose(theirs, encoder.encode(TEXTS), atol=2e-6)


def test_the_original_checkpoint_is_refused_for_its_head_would_be_left_out(plain: Path, tmp_path: Path) -> None:
    """castorini/ance-msmarco-passage: the encoder's weights under roberta., the head beside them."""
    RobertaModel.from_pretrained(plain, add_pooling_layer=False).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(plain).save_pretrained(tmp_path)
    weights = {f"roberta.{k}": v for k, v in load_file(tmp_path / "model.safetensors").items()}
    head = {"embeddingHead.weight": torch.eye(WIDTH), "embeddingHead.bias": torch.zeros(WIDTH)}
    norm = {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
    save_file({**weights, **head, **norm}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="a checkpoint of ANCE, whose vectors come from a head"):
        load_encoder(settings("encoder.pooling=cls"), str(tmp_path))


def test_encoder_and_bundle_record_how_titles_are_joined_and_what_is_lower_cased(
    plain: Path, place: Workspace, tmp_path: Path
) -> None:
    folder = built(plain, tmp_path / "ance", do_lower_case=True)
    toy = word_pairs(place.folder / "Toy")
    short = "--set encoder.passage_max_len=16 --set encoder.query_max_len=16"
    line = f"--model {folder} --data {toy} --set data.title_join=sentence --set encoder.normalize=false {short}"
    vectors = place.ok(f"encode {line} --json").json["folder"]
    made = place.ok(f"compress --method opq --set opq.m=4 --set opq.bits=4 --data {vectors} --json")
    bundle = Path(made.json["bundle"])
    about = json.loads((bundle / "manifest.json").read_text())["about"]
    assert about["encoder"]["title_join"] == "sentence" and about["encoder"]["tokenizer"]
    assert place.ok(f"eval --index {bundle} {line} --json").json["searches"][0]["compression"] == "opq"
    # what was set for the rows is read alike for the queries, without being said again
    silent = built(plain, tmp_path / "silent")
    place.ok(f"encode {line.replace(str(folder), str(silent))} --set encoder.lower_case=true")
    made = place.ok("compress --method opq --set opq.m=4 --set opq.bits=4 --data latest --json")
    found = place.ok(f"eval --index {made.json['bundle']} --json").json
    assert found["results"] == place.ok(f"eval --index {bundle} {line} --json").json["results"]
    cased = built(plain, tmp_path / "cased")
    refused = place.run(f"eval --index {bundle} {line.replace(str(folder), str(cased))}")
    assert refused.code == 3 and "encoded by another model" in refused.err
