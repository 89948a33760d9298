"""A model folder is opened whole or refused: weights, tokenizer, and the layers after the transformer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from model_folders import TEXTS, plain_bert, settings
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from irctl.errors import DataError
from irctl.models.encoder import load_encoder

Change = Callable[[Path], Any]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def edited(name: str, **values: Any) -> Change:
    """A change to a JSON file of a folder; a value of None takes the key away."""

    def change(folder: Path) -> None:
        about = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps({k: v for k, v in about.items() if v is not None}))

    return change


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    def rewrite(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        save_file(change(state), folder / "model.safetensors", {"format": "pt"})

    return rewrite


def only_special_words(folder: Path) -> None:
    path = folder / "tokenizer.json"
    about = json.loads(path.read_text())
    special = {word["content"] for word in about["added_tokens"]}
    about["model"]["vocab"] = {word: i for word, i in about["model"]["vocab"].items() if word in special}
    path.write_text(json.dumps(about))


BROKEN: dict[str, tuple[Change, str]] = {
    "a layer more than weights": (edited("config.json", num_hidden_layers=3), r"16 of 55 weights are not .*layer\.2"),
    "a layer less than weights": (
        edited("config.json", num_hidden_layers=1),
        r"16 weights .* no place .*layer\.1",
    ),
    "no layer": (edited("config.json", num_hidden_layers=-1), "32 weights .* no place"),
    "a weight gone": (
        weights(lambda s: {k: v for k, v in s.items() if "layer.1.output.dense.bias" not in k}),
        "1 of 39",
    ),
    "a weight more": (weights(lambda s: {**s, "extra.weight": torch.ones(2)}), r"no place .* extra\.weight"),
    "foreign names": (
        weights(lambda s: {f"a.b.c.d.{k}.x": v for k, v in s.items()}),
        "weights are not in its",
    ),
    "no tokenizer": (
        without("tokenizer.json", "vocab.txt"),
        r"no tokenizer there: expected tokenizer\.json or vocab\.txt",
    ),
    "nothing of a tokenizer": (
        without("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"),
        r"no tokenizer_config\.json there",
    ),
    "no length": (without("tokenizer_config.json"), r"no tokenizer_config\.json there, which says how long"),
    "no words": (only_special_words, "vocabulary is empty"),
    "no tokens at all": (lambda f: edited("tokenizer.json", model={"type": "WordPiece", "vocab": {}})(f), "token"),
    "more words than vectors": (
        lambda f: (
            edited("config.json", vocab_size=100)(f),
            weights(lambda s: {k: v[:100].clone() if "word_emb" in k else v for k, v in s.items()})(f),
        ),
        "has 8100 words, the model vectors for 100",
    ),
    "pooling without a configuration": (without("1_Pooling/config.json"), "cannot be opened as a model"),
    "no heads": (edited("config.json", num_attention_heads=0), "cannot be opened as a model"),
    "modules of no list": (lambda f: (f / "modules.json").write_text("{}"), "expected a list of modules"),
    "a setting that is no setting": (edited("1_Pooling/config.json", foo=3), "cannot be opened as a model"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_folder_that_is_not_whole_is_refused_naming_what_is_wrong(
    name: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    change, said = BROKEN[name]
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    change(folder)
    with pytest.raises(DataError, match=said) as e:
        load_encoder(settings(), str(folder))
    assert e.value.exit_code == 3 and str(folder) in e.value.message and "\n" not in str(e.value)


@pytest.mark.parametrize(
    "spared",
    [
        without("special_tokens_map.json"),
        without("1_Normalize/config.json"),
        weights(lambda s: {k: v for k, v in s.items() if "pooler" not in k}),
        weights(lambda s: {f"bert.{k}": v for k, v in s.items()}),
    ],
)
def test_what_no_vector_hangs_on_may_be_absent(spared: Change, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    spared(folder)
    one, two = (load_encoder(settings(), str(folder)) for _ in range(2))
    np.testing.assert_array_equal(one.encode(TEXTS), load_encoder(settings(), str(tiny_encoder)).encode(TEXTS))
    assert one.fingerprint() == two.fingerprint(), "a pooler that is not there is not another one at each load"


@pytest.mark.parametrize(
    "name",
    [
        "BertForMaskedLM",
        "RobertaForMaskedLM",
        "LlamaForCausalLM",
        "DistilBertForMaskedLM",
        "T5ForConditionalGeneration",
    ],
)
def test_heads_of_other_tasks_are_left_out_but_their_encoder_must_be_whole(
    name: str, short_tokenizer: Path, tmp_path: Path
) -> None:
    tokenizer, kind = AutoTokenizer.from_pretrained(short_tokenizer), getattr(transformers, name)
    own = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2} if "T5" in name else SMALL
    folder = tmp_path / "model"
    kind(kind.config_class(vocab_size=len(tokenizer), pad_token_id=0, **own)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    one, two = (load_encoder(settings("encoder.pooling=mean"), str(folder)) for _ in range(2))
    np.testing.assert_array_equal(one.encode(TEXTS), two.encode(TEXTS))
    assert one.fingerprint() == two.fingerprint()
    layers = "num_layers" if "T5" in name else "n_layers" if "Distil" in name else "num_hidden_layers"
    for number, said in ((3, "not in its safetensors"), (1, "have no place")):
        edited("config.json", **{layers: number})(folder)
        with pytest.raises(DataError, match=said):
            load_encoder(settings("encoder.pooling=mean"), str(folder))


@pytest.fixture
def with_dense(tiny_encoder: Path, tmp_path: Path) -> Path:
    torch.manual_seed(2)
    parts = list(SentenceTransformer(str(tiny_encoder), device="cpu"))[:2]
    SentenceTransformer(modules=[*parts, Dense(32, 8), Normalize()], device="cpu").save(str(tmp_path / "dense"))
    return tmp_path / "dense"


@pytest.mark.parametrize("function", ["torch.nn.modules.activation.Identity", "torch.tanh", "model.Squared", "tanh", 3])
def test_an_activation_that_would_be_replaced_is_refused(function: Any, with_dense: Path) -> None:
    assert load_encoder(settings(), str(with_dense)).dim == 8
    edited("2_Dense/config.json", activation_function=function)(with_dense)
    with pytest.raises(DataError, match=r"2_Dense/config\.json: activation_function"):
        load_encoder(settings(), str(with_dense))


def test_another_activation_of_torch_is_taken_and_an_unknown_setting_is_not_left_out(with_dense: Path) -> None:
    before_ND = load_encoder(settings(), str(with_dense)).encode(TEXTS)
    edited("2_Dense/config.json", activation_function="torch.nn.ReLU")(with_dense)
    assert np.abs(load_encoder(settings(), str(with_dense)).encode(TEXTS) - before_ND).max() > 1e-3
    edited("2_Dense/config.json", scale=3)(with_dense)
    with pytest.raises(DataError, match="a dense layer has no scale"):
        load_encoder(settings(), str(with_dense))


def test_pickles_are_refused_wherever_they_lie_and_the_line_says_how_to_convert(
    with_dense: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    def pickled(folder: Path) -> None:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")

    pickled(with_dense / "2_Dense")
    before_ND = load_encoder(settings(), str(with_dense)).encode(TEXTS)  # safetensors are beside it
    without("2_Dense/model.safetensors")(with_dense)
    with pytest.raises(DataError, match=r"2_Dense/pytorch_model\.bin: is a pickle") as e:
        load_encoder(settings(), str(with_dense))
    convert(e.value.hint, tmp_path / "converted")
    np.testing.assert_array_equal(load_encoder(settings(), str(tmp_path / "converted")).encode(TEXTS), before_ND)

    plain = plain_bert(tiny_encoder, tmp_path / "plain")
    pickled(plain)
    without("model.safetensors")(plain)
    with pytest.raises(DataError, match=r"pytorch_model\.bin: is a pickle") as e:
        load_encoder(settings("encoder.pooling=mean"), str(plain))
    convert(e.value.hint, tmp_path / "converted plain")
    load_encoder(settings("encoder.pooling=mean"), str(tmp_path / "converted plain"))
    without("2_Dense/pytorch_model.bin")(with_dense)
    with pytest.raises(DataError, match=r"2_Dense: has no model\.safetensors"):
        load_encoder(settings(), str(with_dense))


def convert(hint: str, to: Path) -> None:
    """Run the command of a hint, here."""
    exec(hint.split('python -c "')[1].split('", then')[0].replace("NEW", str(to)))


def test_a_model_below_its_folder_is_found_there(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "model")
    (folder / "0_Transformer").mkdir()
    for file in [p for p in folder.iterdir() if p.is_file() and p.name not in ("modules.json", "irctl.json")]:
        if not file.name.startswith("config_sentence"):
            file.rename(folder / "0_Transformer" / file.name)
    entries = json.loads((folder / "modules.json").read_text())
    entries[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(entries))
    np.testing.assert_array_equal(
        load_encoder(settings(), str(folder)).encode(TEXTS),
        load_encoder(settings(), str(tiny_encoder)).encode(TEXTS),
    )
    without("0_Transformer/tokenizer.json", "0_Transformer/vocab.txt")(folder)
    with pytest.raises(DataError, match="no tokenizer there"):
        load_encoder(settings(), str(folder))


def test_a_static_embedding_is_whole_too(short_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(short_tokenizer / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path / "m"))
    load_encoder(settings(), str(tmp_path / "m"))
    weights(lambda s: {**s, "extra": torch.ones(2)})(tmp_path / "m")
    with pytest.raises(DataError, match="no weight extra"):
        load_encoder(settings(), str(tmp_path / "m"))
    weights(lambda s: {"embedding.weight": s["embedding.weight"][:100].clone()})(tmp_path / "m")
    with pytest.raises(DataError, match="8100 words, the model vectors for 100"):
        load_encoder(settings(), str(tmp_path / "m"))


def test_a_model_that_does_not_take_text_is_refused(short_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(short_tokenizer)
    config = transformers.DPRConfig(vocab_size=len(tokenizer), **SMALL)
    transformers.DPRQuestionEncoder(config).save_pretrained(tmp_path / "dpr")
    tokenizer.save_pretrained(tmp_path / "dpr")
    with pytest.raises(DataError, match="does not take text"):
        load_encoder(settings("encoder.pooling=cls"), str(tmp_path / "dpr"))


def test_the_model_an_adapter_belongs_to_must_be_whole_too(tiny_encoder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base, folder = shutil.copytree(tiny_encoder, tmp_path / "base"), tmp_path / "adapter"
    first: Any = SentenceTransformer(str(base), device="cpu")[0]
    peft.get_peft_model(first.model, peft.LoraConfig(r=2, target_modules=["query"])).save_pretrained(str(folder))
    whole_ND = load_encoder(settings(), str(folder)).encode(TEXTS)
    np.testing.assert_allclose(whole_ND, load_encoder(settings(), str(base)).encode(TEXTS), atol=1e-6)
    edited("config.json", num_hidden_layers=3)(base)
    with pytest.raises(DataError, match=r"adapter on .*base: 16 of 55 weights are not in its safetensors"):
        load_encoder(settings(), str(folder))
    edited("config.json", num_hidden_layers=2)(base)
    without("tokenizer.json", "vocab.txt")(base)
    with pytest.raises(DataError, match="no tokenizer there"):
        load_encoder(settings(), str(folder))
