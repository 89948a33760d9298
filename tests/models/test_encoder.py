"""The encoder: vectors equal sentence-transformers and transformers by hand; a saved folder says everything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import TEXTS, plain_bert, pooled_by_hand, settings, tiny_llama
from sentence_transformers import SentenceTransformer

from irctl.errors import ConfigError, EnvironmentUnfit, RunFailed
from irctl.models.embed import TextList, collect_key_parts
from irctl.models.encoder import load_encoder
from irctl.models.reading import POOLINGS


def opened(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_vectors_equal_sentence_transformers_in_the_order_given(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    vectors_ND = encoder.encode(TEXTS)
    assert vectors_ND.dtype == np.float32 and vectors_ND.shape == (len(TEXTS), encoder.dim) == (6, 32)
    np.testing.assert_allclose(vectors_ND, opened(tiny_encoder).encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors_ND[0], vectors_ND[-1], atol=1e-6)
    assert encoder.encode([]).shape == (0, 32)


def test_batching_changes_only_the_last_bits_and_the_same_call_nothing(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    vectors_ND = encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS), vectors_ND)
    small = load_encoder(settings("encoder.batch_tokens=64"), str(tiny_encoder))
    seen: list[tuple[int, int]] = []
    np.testing.assert_allclose(small.encode(TEXTS, advance=lambda n, t: seen.append((n, t))), vectors_ND, atol=1e-6)
    assert sum(n for n, _ in seen) == len(TEXTS) and len(seen) > 1


def test_default_model_reads_256_tokens_though_its_tokenizer_file_says_128(minilm: Path) -> None:
    encoder = load_encoder(settings())
    assert encoder.located.folder == minilm
    assert (encoder.query_max_len, encoder.passage_max_len, encoder.dim) == (256, 256, 384)
    assert encoder.features(["a wing"])["input_ids"].shape == (1, 4)
    texts = ["word " * 200 + "wing", "word " * 200 + "shock", "word " * 300 + "wing", "word " * 300 + "shock"]
    far_ND = encoder.encode(texts)
    assert np.abs(far_ND[0] - far_ND[1]).max() > 1e-3, "the 201st word is read"
    np.testing.assert_array_equal(far_ND[2], far_ND[3])
    by_hand = pooled_by_hand(minilm, texts[:1], "mean", 256)
    np.testing.assert_allclose(far_ND[0], by_hand[0] / np.linalg.norm(by_hand[0]), atol=1e-5)


def test_what_is_saved_opens_with_sentence_transformers_and_needs_no_settings(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    given = ("encoder.query_prompt=query: ", "encoder.passage_prompt=passage: ", "encoder.query_max_len=8")
    encoder = load_encoder(settings(*given), str(tiny_encoder))
    encoder.encode(TEXTS)
    encoder.save(tmp_path / "model", {"loss": "infonce", "temperature": 0.05})
    assert not [p for p in (tmp_path / "model").rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]
    again = load_encoder(settings(), str(tmp_path / "model"))
    assert again.settings == encoder.settings and again.about["temperature"] == 0.05
    theirs = opened(tmp_path / "model")
    for side, vectors_ND in (("query", theirs.encode_query(TEXTS)), ("passage", theirs.encode_document(TEXTS))):
        np.testing.assert_allclose(encoder.encode(TEXTS, side), vectors_ND, atol=1e-5)
        np.testing.assert_array_equal(again.encode(TEXTS, side), encoder.encode(TEXTS, side))
        assert again.fingerprint(side) == encoder.fingerprint(side)
    assert json.loads((tmp_path / "model" / "irctl.json").read_text())["base_model"] == str(tiny_encoder)
    again.save(tmp_path / "model", {})  # over itself: never half of two models
    np.testing.assert_array_equal(
        load_encoder(settings(), str(tmp_path / "model")).encode(TEXTS), encoder.encode(TEXTS)
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("encoder.pooling=cls", "says mean"),
        ("encoder.normalize=false", "says true"),
        ("encoder.query_max_len=12", "says 8"),
        ("encoder.passage_prompt=text: ", "says 'passage: '"),
        ("encoder.query_prompt=query: ", "says ''"),
        ("data.title_join=sentence", "says space"),
    ],
)
def test_a_setting_that_contradicts_the_folder_is_exit_2_unless_overridden(
    given: str, says: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    saved = load_encoder(settings("encoder.passage_prompt=passage: ", "encoder.query_max_len=8"), str(tiny_encoder))
    saved.save(tmp_path / "model")
    with pytest.raises(ConfigError, match=says) as e:
        load_encoder(settings(given), str(tmp_path / "model"))
    assert e.value.exit_code == 2 and "encoder.override=true" in e.value.hint
    changed = load_encoder(settings(given, "encoder.override=true"), str(tmp_path / "model"))
    changed.save(tmp_path / "changed")
    side = "query" if "query" in given else "passage"
    theirs = opened(tmp_path / "changed")
    encode = theirs.encode_query if side == "query" else theirs.encode_document
    np.testing.assert_allclose(changed.encode(TEXTS, side), encode(TEXTS), atol=1e-5)
    if "title_join" not in given:
        assert np.abs(changed.encode(TEXTS, side) - saved.encode(TEXTS, side)).max() > 1e-3


def test_equal_settings_are_no_contradiction_and_fewer_tokens_are_a_choice(tiny_encoder: Path) -> None:
    equal = settings("encoder.pooling=mean", "encoder.normalize=true", "encoder.passage_max_len=32")
    assert load_encoder(equal, str(tiny_encoder)).passage_max_len == 32
    with pytest.raises(ConfigError, match="says 64"):
        load_encoder(settings("encoder.passage_max_len=100"), str(tiny_encoder))
    more = settings("encoder.passage_max_len=513", "encoder.override=true")
    with pytest.raises(ConfigError, match="at most 512 tokens"):
        load_encoder(more, str(tiny_encoder))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_plain_transformers_folder_pools_as_told_by_hand(pooling: str, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = plain_bert(tiny_encoder, tmp_path / "plain")
    with pytest.raises(ConfigError, match="does not say how its token vectors are pooled"):
        load_encoder(settings(), str(folder))
    encoder = load_encoder(settings(f"encoder.pooling={pooling}", "encoder.passage_max_len=40"), str(folder))
    vectors_ND = encoder.encode(TEXTS)
    np.testing.assert_allclose(vectors_ND, pooled_by_hand(folder, TEXTS, pooling, 40), atol=1e-5)
    assert encoder.similarity == "dot"
    encoder.save(tmp_path / "saved")
    np.testing.assert_allclose(opened(tmp_path / "saved").encode(TEXTS), vectors_ND, atol=1e-5)
    again = load_encoder(settings(), str(tmp_path / "saved"))
    assert again.similarity == "dot" and again.settings.pooling == pooling


def test_last_token_of_a_causal_model_is_eos_within_the_length(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "llama")
    encoder = load_encoder(settings("encoder.pooling=last_token", "encoder.passage_max_len=8"), str(folder))
    ids = encoder.features(["lift of a wing", "heat " * 20])["input_ids"].tolist()
    assert ids[0] == [2, 4, 5, 6, 1, 1, 1, 1], "padded right, with EOS where there is no padding token"
    assert ids[1] == [7] * 7 + [1]
    vectors_ND = encoder.encode(TEXTS)
    encoder.save(tmp_path / "saved")
    np.testing.assert_allclose(opened(tmp_path / "saved").encode(TEXTS), vectors_ND, atol=1e-5)
    alone_ND = np.stack([encoder.encode([t])[0] for t in TEXTS])
    np.testing.assert_allclose(alone_ND, vectors_ND, atol=1e-5)


def test_text_without_any_token_still_has_a_finite_vector(tmp_path: Path) -> None:
    encoder = load_encoder(settings("encoder.pooling=mean"), str(tiny_llama(tmp_path / "llama")))
    assert np.isfinite(encoder.encode(["", "lift", ""])).all()
    np.testing.assert_array_equal(encoder.encode([""]), encoder.encode(["</s>"]))


def test_model_without_a_transformer_encodes_as_sentence_transformers_does(
    tmp_path: Path, short_tokenizer: Path
) -> None:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(short_tokenizer / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path / "m"))
    encoder = load_encoder(settings(), str(tmp_path / "m"))
    np.testing.assert_allclose(encoder.encode(TEXTS), opened(tmp_path / "m").encode(TEXTS), atol=1e-5)
    assert encoder.similarity == "cosine" and len(encoder.fingerprint("passage")) == 64


def test_features_are_padded_to_a_multiple_and_forward_has_gradients(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    features = encoder.features(TEXTS[:1], "query", pad_multiple=16)
    assert features["input_ids"].shape == (1, 16) and all(isinstance(v, torch.Tensor) for v in features.values())
    names = set(features)
    encoder.module.eval()
    vectors_ND = encoder.forward(features)
    assert set(features) == names, "the caller forwards the same features twice"
    np.testing.assert_allclose(vectors_ND.detach().numpy(), encoder.encode(TEXTS[:1], "query"), atol=1e-5)
    vectors_ND.sum().backward()
    assert next(encoder.module.parameters()).grad is not None


def test_texts_are_padded_to_full_tiles_in_training_on_cuda_alone(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    encoder.module.train()
    longest = encoder.features(TEXTS[3:4])["input_ids"].shape[1]
    monkeypatch.setattr(type(encoder), "device", property(lambda self: torch.device("cuda")))
    assert encoder.features(TEXTS[3:4])["input_ids"].shape[1] == 16 > longest
    encoder.module.eval()
    assert encoder.features(TEXTS[3:4])["input_ids"].shape[1] == longest


def test_encoding_within_training_leaves_modes_and_training_alone(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    encoder.module.train()
    encoder.module[1].eval()
    encoder.encode(TEXTS)
    assert encoder.module.training and encoder.module[0].training and not encoder.module[1].training
    encoder.forward(encoder.features(TEXTS)).sum().backward()


def test_fingerprint_follows_weights_and_settings_not_paths_and_batches(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    own = encoder.fingerprint("passage")
    assert own != encoder.fingerprint("query")
    encoder.save(tmp_path / "elsewhere")
    assert load_encoder(settings("encoder.batch_tokens=64"), str(tmp_path / "elsewhere")).fingerprint("passage") == own
    for given in ("encoder.passage_max_len=32", "encoder.passage_prompt=x", "data.title_join=sep"):
        assert load_encoder(settings(given), str(tiny_encoder)).fingerprint("passage") != own
    with torch.no_grad():
        next(encoder.module.parameters())[0, 0] += 1e-3
    assert encoder.fingerprint("passage") != own, "weights as they are now, not as they were read"


def test_lora_trains_adapters_only_and_is_saved_merged(tiny_encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    encoder = load_encoder(settings(f"model.name={tiny_encoder}", "model.lora_r=4"))
    trained = [n for n, p in encoder.module.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in n for n in trained)
    plain_ND = load_encoder(settings(), str(tiny_encoder)).encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), plain_ND, atol=1e-5)
    with torch.no_grad():
        for name, parameter in encoder.module.named_parameters():
            if "lora_B" in name:
                parameter += 0.1
    changed_ND = encoder.encode(TEXTS)
    assert np.abs(changed_ND - plain_ND).max() > 1e-3
    encoder.save(tmp_path / "saved")
    np.testing.assert_allclose(opened(tmp_path / "saved").encode(TEXTS), changed_ND, atol=1e-5)
    assert not list((tmp_path / "saved").rglob("adapter*"))
    assert load_encoder(settings(), str(tmp_path / "saved")).fingerprint("passage") == encoder.fingerprint("passage")
    assert any("lora_" in n for n, _ in encoder.module.named_parameters()), "training can go on"


def test_frozen_base_trains_nothing(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(f"model.name={tiny_encoder}", "model.freeze_base=true"))
    assert not any(p.requires_grad for p in encoder.module.parameters())


def test_values_that_are_not_finite_are_refused_with_their_text(tiny_encoder: Path) -> None:
    encoder = load_encoder(settings(), str(tiny_encoder))
    with torch.no_grad():
        next(encoder.module.parameters())[:] = float("nan")
    with pytest.raises(RunFailed, match="text 0 has a vector that is not finite"):
        encoder.encode(["wing"])


def test_precision_asked_for_is_run_and_keys_the_vectors_not_the_model(tiny_encoder: Path) -> None:
    exact = load_encoder(settings(), str(tiny_encoder))
    half = load_encoder(settings("hardware.precision=bf16"), str(tiny_encoder))
    assert (exact.dtype, half.dtype) == ("float32", "bfloat16")
    assert load_encoder(settings("hardware.precision=tf32"), str(tiny_encoder)).dtype == "float32"
    difference = np.abs(half.encode(TEXTS) - exact.encode(TEXTS)).max()
    assert 1e-6 < difference < 0.05
    assert half.fingerprint("passage") == exact.fingerprint("passage")
    corpus = TextList(["a"], ["text"])
    parts = [collect_key_parts(encoder, corpus, "float32", "passage") for encoder in (half, exact)]
    assert parts[0] != parts[1]


def test_absent_gpu_is_exit_4(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentUnfit, match="CUDA") as e:
        load_encoder(settings("hardware.device_kind=cuda"), str(tiny_encoder))
    assert e.value.exit_code == 4


@pytest.mark.gpu
def test_half_precision_on_a_gpu_is_near_float32(minilm: Path) -> None:
    exact = load_encoder(settings(), str(minilm)).encode(TEXTS)
    for precision, near in (("fp32", 1e-4), ("fp16", 0.01), ("bf16", 0.03)):
        encoder = load_encoder(settings("hardware.device_kind=cuda", f"hardware.precision={precision}"), str(minilm))
        assert np.abs(encoder.encode(TEXTS) - exact).max() < near
