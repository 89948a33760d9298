"""The cut encoder is what its language model computes, in any batch, and is read back to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_lm import LAYERS, make_lm
from safetensors.torch import save_file

from irctl.errors import ConfigError, DataError
from irctl.models.compressive import folder as folders
from irctl.models.compressive.chunks import split_context
from irctl.models.compressive.encoder import CompressiveEncoder
from irctl.models.compressive.language_model import open_language_model
from irctl.models.locate import LocatedModel


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def located(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocatedModel:
    return make_lm(tmp_path_factory.mktemp(request.param), request.param)


def test_at_the_start_its_rows_are_the_normed_hidden_states_of_the_last_kept_layer(located: LocatedModel) -> None:
    lm = open_language_model(located)
    encoder = CompressiveEncoder.cut(located, 2)
    ids_BS = torch.randint(0, 61, (3, 9))
    mask_BS = torch.ones_like(ids_BS)
    with torch.no_grad():
        hidden = lm(input_ids=ids_BS, attention_mask=mask_BS, output_hidden_states=True).hidden_states[2]
        wanted = lm.model.norm(hidden)
        assert torch.equal(encoder(ids_BS, mask_BS), wanted)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in encoder.parameters())
    assert not any(p.requires_grad for p in lm.parameters())
    own = {p.data_ptr() for p in encoder.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in lm.parameters())  # a copy, not shared


def test_its_folder_is_read_back_to_the_bit_by_itself_and_by_transformers(
    located: LocatedModel, tmp_path: Path
) -> None:
    from transformers import AutoModel

    encoder = CompressiveEncoder.cut(located, 2)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(torch.randn_like(p) * 0.01)
    encoder.save(tmp_path / "saved")
    again = CompressiveEncoder.load(tmp_path / "saved")
    assert again.layers == 2
    theirs = AutoModel.from_pretrained(str(tmp_path / "saved"))
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]) and torch.equal(value, theirs.state_dict()[name])


def test_more_layers_than_are_stored_are_refused(located: LocatedModel) -> None:
    for layers in (0, LAYERS + 1):
        with pytest.raises(ConfigError, match=f"acerag.layers={layers}: expected 1 to {LAYERS}"):
            CompressiveEncoder.cut(located, layers)


def test_chunks_of_a_batch_are_those_encoded_alone(located: LocatedModel) -> None:
    encoder = CompressiveEncoder.cut(located, 2).eval()
    chunks = split_context(list(range(3, 40)), chunk_tokens=12, instruction_ids=(50, 51), bos=0)
    assert [len(c.ids) for c in chunks] == [12, 12, 12, 12, 4]
    assert chunks[0].ids[:4] == (0, 50, 51, 3) and chunks[-1].ids == (0, 50, 51, 39)
    with torch.no_grad():
        rows_BSH = encoder.encode(chunks)
        for chunk, rows_SH in zip(chunks, rows_BSH, strict=True):
            alone = encoder.encode([chunk])[0]
            assert torch.allclose(rows_SH[: len(chunk.ids)], alone, atol=1e-5)


def test_a_prefix_that_leaves_no_room_is_refused_and_no_context_has_no_chunks() -> None:
    assert split_context([], chunk_tokens=4, bos=0) == []
    with pytest.raises(ConfigError, match="the instruction and BOS alone are 4 tokens"):
        split_context([1], chunk_tokens=4, instruction_ids=(5, 6, 7), bos=0)


def test_an_absent_weight_and_a_dropout_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import LlamaConfig

    located = make_lm(tmp_path / "lm", "llama")
    file = located.folder / "model.safetensors"
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if "layers.1.mlp.up" not in k}, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 weights are not in its safetensors, such as .*layers\.1\.mlp\.up"):
        open_language_model(located)
    with pytest.raises(DataError, match="are not in its safetensors"):
        CompressiveEncoder.cut(located, 2)
    save_file(weights, file, metadata={"format": "pt"})
    config = LlamaConfig.from_pretrained(located.folder)
    config.attention_dropout = 0.1
    config.save_pretrained(located.folder)
    with pytest.raises(DataError, match=r"its attention has a dropout of 0\.1"):
        open_language_model(located)


class Words:
    """Stands for a tokenizer."""

    def save_pretrained(self, folder: str) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


ABOUT = folders.About(
    lm={"name": "lm", "revision": "", "weights": "a" * 64, "tokenizer": "b" * 64},
    layers=2,
    ratios=(1, 4),
    selection="random",
    grid="content",
    chunk_tokens=64,
    stages=({"stage": "pt", "run": "r1"},),
)


def test_the_newest_whole_checkpoint_of_either_name_is_found(tmp_path: Path) -> None:
    encoder = CompressiveEncoder.cut(make_lm(tmp_path / "lm", "llama"), 1)
    for step, name in ((9, "context_compressor"), (10, "compressive_encoder"), (100, "compressive_encoder")):
        folders.save(tmp_path / "run" / "checkpoints" / f"checkpoint-{step}" / name, encoder, Words(), ABOUT)
    found, passed = folders.find(tmp_path / "run")
    assert found.parent.name == "checkpoint-100" and not passed
    assert folders.read(found) == ABOUT and folders.find(found)[0] == found
    weights = found / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])  # half written
    found, passed = folders.find(tmp_path / "run")
    assert found.parent.name == "checkpoint-10" and "bytes, expected" in passed[0]
    (found / "config.json").unlink()
    found, passed = folders.find(tmp_path / "run")
    assert found.name == "context_compressor" and len(passed) == 2


def test_folders_without_an_encoder_and_pickles_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no compressive encoder there"):
        folders.find(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"pytorch_model.bin is a pickle, and irctl reads none"):
        folders.find(tmp_path)
    assert folders.read(tmp_path).grid == "released" and folders.read(tmp_path).assumed


def test_an_encoder_of_another_language_model_is_refused(tmp_path: Path) -> None:
    folders.check_language_model(tmp_path, ABOUT, ABOUT.lm)
    with pytest.raises(DataError, match="was trained for lm"):
        folders.check_language_model(tmp_path, ABOUT, {**ABOUT.lm, "tokenizer": "c" * 64})


def test_the_settings_of_a_run_are_not_taken_for_an_encoder_that_is_passed_over(tmp_path: Path) -> None:
    encoder = tmp_path / "checkpoints" / "checkpoint-3" / folders.NAME
    encoder.mkdir(parents=True)
    (encoder / "config.json").write_text("{}")
    save_file({"w": torch.zeros(2)}, encoder / "model.safetensors")
    for name in ("run.json", "config.json"):
        (tmp_path / name).write_text("{}")
    assert folders.find(tmp_path) == (encoder, [])
