"""The compressive encoder: the first k layers of a language model, trained to say a context in fewer rows.

It is a trainable copy of the model's token embeddings, first k decoder layers and final norm; nothing is added, and
nothing is shared with the frozen model that reads its rows. Attention is causal. Weights are kept in float32: steps of
a learning rate of 1e-5 are lost in bfloat16. As it starts it gives norm(hidden states of layer k) of its model.

Dimension key: B chunks, S tokens of the longest chunk, R rows of a chunk, H hidden width.
Source: AceRAG, successor of FlexRAG, arXiv 2409.15699.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from irctl.models.compressive.chunks import EncodedChunk
from irctl.models.compressive.language_model import check_whole
from irctl.models.compressive.sizes import check_layers
from irctl.models.locate import LocatedModel
from irctl.models.modules import silence


class CompressiveEncoder(nn.Module):
    """model: the cut decoder, whose last hidden state is a chunk's rows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.layers: int = model.config.num_hidden_layers
        self.dim: int = model.config.hidden_size

    @classmethod
    def cut(cls, located: LocatedModel, layers: int, *, attention: str = "sdpa") -> CompressiveEncoder:
        """The first layers of a language model's folder, in float32.

        Raises ConfigError for more layers than are stored, DataError where weights of these are not there.
        """
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(str(located.folder), local_files_only=True)
        check_layers(layers, config.num_hidden_layers, located.name)
        return cls(_open(located, _of_layers(config, layers), attention))

    @classmethod
    def load(cls, folder: Path, *, attention: str = "sdpa") -> CompressiveEncoder:
        """An encoder as `save` wrote it. Raises DataError where weights are not there."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
        return cls(_open(LocatedModel(folder, str(folder), "", "folder"), config, attention))

    def save(self, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write config.json and safetensors, which AutoModel opens. weights: in place of those that it has now."""
        with silence():
            self.model.save_pretrained(str(folder), state_dict=dict(weights) if weights else None)

    def forward(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Rows of every token [B, S, H]. Padding after the text is masked; its rows mean nothing."""
        position_ids_BS = (mask_BS.cumsum(1) - 1).clamp(min=0)
        found = self.model(
            input_ids=input_ids_BS, attention_mask=mask_BS, position_ids=position_ids_BS, use_cache=False
        )
        rows_BSH: Tensor = found.last_hidden_state
        return rows_BSH

    def encode(self, chunks: Sequence[EncodedChunk]) -> Tensor:
        """Rows of every token of the chunks, in one padded batch [B, S, H], on this model's device."""
        longest = max(len(c.ids) for c in chunks)
        input_ids_BS = torch.zeros(len(chunks), longest, dtype=torch.int64)
        mask_BS = torch.zeros_like(input_ids_BS)
        for b, chunk in enumerate(chunks):
            input_ids_BS[b, : len(chunk.ids)] = torch.tensor(chunk.ids)
            mask_BS[b, : len(chunk.ids)] = 1
        device = next(self.parameters()).device
        rows_BSH: Tensor = self(input_ids_BS.to(device), mask_BS.to(device))
        return rows_BSH


def _of_layers(config: Any, layers: int) -> Any:
    """A configuration of the first layers. Qwen's lists the kind of each layer, and none is saved with more of them."""
    cut = copy.deepcopy(config)
    cut.num_hidden_layers = layers
    if getattr(cut, "layer_types", None):
        cut.layer_types = cut.layer_types[:layers]
    return cut


def _open(located: LocatedModel, config: Any, attention: str) -> Any:
    """The decoder of a folder by this configuration; what the folder has beside it, such as a head, is left out."""
    from transformers import AutoModel

    with silence():
        model, info = AutoModel.from_pretrained(
            str(located.folder),
            config=config,
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    check_whole(located, info["missing_keys"])
    return model
