"""LoRA from training to the saved folder: adapters train, a plain model is saved, prompts and lengths go with it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from word_collection import WORDS, word_collection

from irctl import config as settings
from irctl.errors import ConfigError, DataError, EnvironmentUnfit
from irctl.ledger import query
from irctl.ledger.recording import start_run
from irctl.models.encoder import load_encoder
from irctl.models.trainable import adapters
from irctl.origins import derived
from irctl.pipelines.train import train as pipeline
from irctl.training.run_files import checkpoints
from irctl.types import Silent

pytest.importorskip("peft", reason="pip install 'irctl[lora]'")
pytestmark = pytest.mark.usefixtures("in_process")

TEXTS = [*WORDS, "heat of a wing in flow"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BEIR folder named toy: document i repeats word i, query i is word i; 8 train, 4 are dev."""
    return word_collection(tmp_path_factory.mktemp("lora") / "toy", train=range(8), dev=range(8, 12))


def configuration(model: Path | str, toy: str, **more: Any) -> settings.Config:
    given = {
        "model.name": str(model),
        "data.source": toy,
        "data.group_size": 3,
        "batch.global": 4,
        "train.max_steps": 3,
        "train.lr": 1e-2,
        "eval.during": "off",
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    return settings.resolve({k: (v, derived("test")) for k, v in given.items()})


def trained(config: settings.Config) -> tuple[dict[str, Any], Path]:
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        payload = pipeline.train(config, run, Silent())
    return payload, query.find_run(run.id).paths.model


def vectors(folder: Path | str, side: str = "passage", *sets: str) -> np.ndarray:
    return load_encoder(settings.resolve(settings.from_sets(sets)), str(folder)).encode(TEXTS, side)


def test_adapters_train_and_the_saved_folder_is_a_plain_model_with_their_vectors(tiny_encoder: Path, toy: str) -> None:
    from sentence_transformers import SentenceTransformer

    payload, folder = trained(configuration(tiny_encoder, toy, model__lora_r=4))
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ours_ND = vectors(folder)
    np.testing.assert_allclose(theirs.encode(TEXTS), ours_ND, atol=1e-5)
    assert np.abs(ours_ND - vectors(tiny_encoder)).max() > 1e-3
    assert not [p.name for p in folder.rglob("*") if "adapter" in p.name]
    before = SentenceTransformer(str(tiny_encoder), device="cpu", local_files_only=True).state_dict()
    after = theirs.state_dict()
    assert set(after) == set(before)
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert changed and all(name.endswith("weight") and ".encoder.layer." in name for name in changed), changed
    assert not any("LayerNorm" in name or "embeddings" in name for name in changed)
    opened = load_encoder(settings.resolve(), str(folder))
    assert opened.fingerprint("passage") == payload["model_fingerprint"], "the key of its vectors, saved or in memory"


def test_the_same_settings_train_the_same_adapters(tiny_encoder: Path, toy: str) -> None:
    config = configuration(tiny_encoder, toy, model__lora_r=2, train__max_steps=2)
    assert trained(config)[0]["model_fingerprint"] == trained(config)[0]["model_fingerprint"]


def test_a_saved_model_takes_new_adapters_and_trains_on(tiny_encoder: Path, toy: str) -> None:
    _, first = trained(configuration(tiny_encoder, toy, model__lora_r=2))
    _, second = trained(configuration(first, toy, model__lora_r=2))
    assert np.abs(vectors(first) - vectors(second)).max() > 1e-3


def test_an_interrupted_training_of_adapters_continues_to_the_same_model(tiny_encoder: Path, toy: str) -> None:
    config = configuration(tiny_encoder, toy, model__lora_r=2, train__max_steps=4, train__save="2")
    whole = trained(config)[0]["model_fingerprint"]
    with start_run(command="train", argv=["irctl", "train"], config=config) as run:
        pipeline.train(config, run, Silent())
    kept = query.find_run(run.id).paths
    last = checkpoints.newest(kept.checkpoints)
    assert last is not None
    shutil.rmtree(last.folder)
    shutil.rmtree(kept.model)
    before = checkpoints.newest(kept.checkpoints)
    assert before is not None and before.step == 2 < last.step
    again = start_run(command="train", argv=["irctl", "train"], config=config, resume=kept.folder)
    with again:
        assert pipeline.train(config, again, Silent(), resume=True)["model_fingerprint"] == whole


def test_prompts_and_lengths_of_the_training_are_those_of_the_model(tiny_encoder: Path, toy: str) -> None:
    given = {"encoder__query_prompt": "query: ", "prompts__toy__passage": "passage: ", "encoder__query_max_len": 12}
    _, folder = trained(configuration(tiny_encoder, toy, **given))
    about = json.loads((folder / "irctl.json").read_text())
    assert about["prompts"] == {"toy": {"passage": "passage: "}}
    assert (about["query_prompt"], about["passage_prompt"], about["query_max_len"]) == ("query: ", "", 12)
    with_own = vectors(folder, "passage", f"data.source={toy}")
    assert np.abs(with_own - vectors(folder, "passage")).max() > 1e-4, "one data set's prompt is not the others'"
    with pytest.raises(ConfigError, match=r"prompts\.toy\.passage=.*contradicts the model"):
        vectors(folder, "passage", "prompts.toy.passage=other: ")


def test_without_peft_the_extra_is_named(tiny_encoder: Path, toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(EnvironmentUnfit, match=r"needs peft.*irctl\[lora\]"):
        load_encoder(configuration(tiny_encoder, toy, model__lora_r=2))


def adapted(base: Path, folder: Path, **more: Any) -> tuple[Path, Any]:
    """A PEFT adapter of random weights on a sentence-transformers folder, as peft saves it, and the vectors of both."""
    from peft import LoraConfig, get_peft_model
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(base), device="cpu")
    first: Any = theirs[0]
    lora = LoraConfig(r=2, init_lora_weights=False, target_modules=["query", "value"], **more)
    first.model = get_peft_model(first.model, lora)
    first.model.save_pretrained(str(folder))
    assert (folder / "adapter_model.safetensors").is_file() and not (folder / "modules.json").exists()
    return folder, theirs.encode(TEXTS)


def test_a_folder_with_an_adapter_opens_merged_and_trains_and_saves_as_a_plain_model(
    tiny_encoder: Path, toy: str, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder, expected = adapted(tiny_encoder, tmp_path / "adapted")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer.json"):
        shutil.copy(tiny_encoder / name, folder / name)  # as sentence-transformers saves it, with its modules
    shutil.copytree(tiny_encoder / "1_Pooling", folder / "1_Pooling")
    encoder = load_encoder(configuration(folder, toy))
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert not np.allclose(load_encoder(configuration(tiny_encoder, toy)).encode(TEXTS), expected, atol=1e-3)
    encoder.save(tmp_path / "saved", {})
    assert not list((tmp_path / "saved").rglob("adapter*"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(again, expected, atol=1e-5)
    assert all(p.requires_grad for p in encoder.module.parameters())
    _, model = trained(configuration(folder, toy))
    assert not np.allclose(load_encoder(configuration(model, toy)).encode(TEXTS), expected, atol=1e-4)


def test_an_adapter_opens_whatever_peft_transformers_asks_for(
    tiny_encoder: Path, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers 5.24 wanted peft 0.22 before there was one."""
    from transformers.integrations import peft as theirs

    folder, expected = adapted(tiny_encoder, tmp_path / "adapted")
    monkeypatch.setattr(theirs, "MIN_PEFT_VERSION", "99.0")
    np.testing.assert_allclose(vectors(folder), expected, atol=1e-5)


def test_an_adapter_that_does_not_fit_is_refused(tiny_encoder: Path, toy: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = adapted(tiny_encoder, tmp_path / "adapted")
    weights = load_file(folder / "adapter_model.safetensors")
    lost = next(iter(weights))
    save_file({k: v for k, v in weights.items() if k != lost}, folder / "adapter_model.safetensors")
    with pytest.raises(DataError, match=r"1 weights of the adapter have no place in .* or are missing, such as"):
        vectors(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(DataError, match=r"has adapter_config.json but no adapter_model.safetensors"):
        vectors(folder)
    given = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**given, "peft_type": "NONE_SUCH"}))
    (folder / "adapter_model.bin").rename(folder / "adapter_model.safetensors")
    with pytest.raises(DataError, match=r"adapter_config.json: no adapter that the installed peft knows"):
        vectors(folder)


def test_a_peft_that_is_too_old_is_an_unfit_environment(
    tiny_encoder: Path, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = adapted(tiny_encoder, tmp_path / "adapted")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.17.9")
    for config in (configuration(folder, toy), configuration(tiny_encoder, toy, model__lora_r=2)):
        with pytest.raises(EnvironmentUnfit, match=r"needs peft 0\.18 or newer, found 0\.17\.9"):
            load_encoder(config)
    assert f'"peft>={adapters.OLDEST_PEFT},' in (Path(__file__).parents[2] / "pyproject.toml").read_text()


def test_a_guide_reads_as_its_own_folder_says(tiny_encoder: Path, toy: str) -> None:
    from irctl.models.encoder import load_guide

    other = str(shutil.copytree(tiny_encoder, tiny_encoder.parent / "guide", dirs_exist_ok=True))
    given = {"encoder__query_prompt": "find: ", "encoder__passage_max_len": 4, "prompts__toy__query": "toy: "}
    config = configuration(tiny_encoder, toy, loss__guide=other, **given)
    plain = load_encoder(configuration(tiny_encoder, toy))
    np.testing.assert_allclose(load_guide(config).encode(TEXTS, "query"), plain.encode(TEXTS, "query"), atol=1e-6)
    assert not np.allclose(load_encoder(config).encode(TEXTS, "query"), plain.encode(TEXTS, "query"), atol=1e-3)
    same = configuration(tiny_encoder, toy, loss__guide=str(tiny_encoder), **given)
    np.testing.assert_allclose(
        load_guide(same).encode(TEXTS, "query"), load_encoder(same).encode(TEXTS, "query"), atol=1e-6
    )
