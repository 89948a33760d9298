"""What a model folder says, read from its files alone, is what the opened model says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from model_folders import plain_bert, settings

from irctl.errors import ConfigError
from irctl.models import folder_facts, modules, reading
from irctl.models.locate import locate


def opened(folder: Path, *sets: str) -> reading.FolderFacts:
    config = settings(*sets)
    module = modules.load(locate(str(folder)), config)
    prompts = dict(module.prompts or {})
    return reading.FolderFacts(
        reading.find_pooling(module), reading.normalizes(module), *reading._find_limits(module), prompts
    )


def test_the_files_say_what_the_opened_model_says(tiny_encoder: Path, minilm: Path, tmp_path: Path) -> None:
    assert folder_facts.read_facts(locate(str(tiny_encoder)), settings()) == opened(tiny_encoder)
    from_files = folder_facts.read_facts(locate(str(minilm)), settings())
    assert from_files is not None and from_files.own_len == 256 and from_files.limit == 512
    assert from_files[:4] == opened(minilm)[:4]
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": "cls"}))
    entries = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(entries[:-1]))
    assert folder_facts.read_facts(locate(str(folder)), settings()) == opened(folder)


def test_positions_of_roberta_are_counted_from_its_padding_on(short_tokenizer: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    RobertaModel(RobertaConfig(vocab_size=8100, max_position_embeddings=66, **sizes)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(short_tokenizer).save_pretrained(tmp_path)
    asked = "encoder.pooling=mean"
    found = folder_facts.read_facts(locate(str(tmp_path)), settings(asked))
    assert found is not None and found.limit == 64
    assert found[:4] == opened(tmp_path, asked)[:4]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("encoder.passage_max_len=100000", "reads at most 512 tokens"),
        ("encoder.query_max_len=65", "which says 64"),
        ("encoder.normalize=false", "which says true"),
        ("encoder.pooling=cls", "which says mean"),
    ],
)
def test_the_check_refuses_in_the_words_of_the_opened_model(asked: str, said: str, tiny_encoder: Path) -> None:
    from irctl.models.encoder import load_encoder

    config = settings(asked, f"model.name={tiny_encoder}")
    with pytest.raises(ConfigError, match=said) as early:
        folder_facts.check(config)
    with pytest.raises(ConfigError) as late:
        load_encoder(config)
    assert str(early.value) == str(late.value)
    folder_facts.check(settings("encoder.override=true", "encoder.pooling=cls", f"model.name={tiny_encoder}"))


def test_a_plain_folder_has_to_be_told_its_pooling(tiny_encoder: Path, tmp_path: Path) -> None:
    plain = str(plain_bert(tiny_encoder, tmp_path / "plain"))
    with pytest.raises(ConfigError, match="does not say how its token vectors are pooled"):
        folder_facts.check(settings(f"model.name={plain}"))
    folder_facts.check(settings(f"model.name={plain}", "encoder.pooling=max"))
