"""AceRAG: the first layers of a language model, trained to say a long context to that model in fewer rows.

Stage pt: a text is cut into windows; each is predicted from the rows that are kept of the windows before it. Stage ft:
the answer to a prompt is predicted from the rows that are kept of its context. The ratio is drawn anew for each window
or row, so one encoder serves every ratio. The language model stays as it is and is in no checkpoint.
Source: AceRAG (VectorSpaceLab), successor of FlexRAG, arXiv 2409.15699.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config as Settings
    from irctl.training.method import Context
    from irctl.training.texts.compressive_method import CompressiveMethod

DEFAULTS: dict[str, Any] = {
    "train.lr": "1e-5",
    "train.epochs": "1",
    "train.warmup_ratio": "0.1",
    "train.gradient_checkpointing": "true",
    "batch.global": "8",
}
DATA = "texts"
FORMERLY: dict[str, str] = {
    "language_model_name_or_path": "acerag.lm",
    "encoder_name_or_path": "acerag.lm, or --init for an encoder that was trained",
    "encoder_num_hidden_layers": "acerag.layers",
    "encoder_max_length": "acerag.chunk_tokens",
    "lm_max_length": "acerag.lm_tokens (stage ft and evaluation)",
    "window_mode": "acerag.stage (pt has windows, ft has none)",
    "window": "acerag.window",
    "comp_candidates": "acerag.ratios",
    "pretraining_down_scaling_method": "acerag.selection",
    "down_scaling_method": "acerag.selection",
    "stage": "acerag.stage",
    "data_files": "acerag.data_files",
    "data_splits": "acerag.data_splits",
    "train_num_per_data": "acerag.rows_per_file",
    "min_length": "acerag.min_tokens",
    "max_length": "acerag.max_tokens",
    "attn_implementation": "model.attention",
    "dtype": "hardware.precision, which the profile sets",
    "bf16": "hardware.precision, which the profile sets",
    "device_map": "nothing: where models lie is the launcher's (--profile, --devices)",
    "use_safetensors": "nothing: weights are always safetensors",
    "learning_rate": "train.lr",
    "warmup_ratio": "train.warmup_ratio",
    "num_train_epochs": "train.epochs",
    "per_device_train_batch_size": "batch.global, over all devices (batch.micro: at once on one)",
    "output_dir": "nothing: a run has its own folder (run.name labels it)",
    "save_strategy": "train.save",
    "save_steps": "train.save",
    "logging_steps": "train.log_steps",
    "dataloader_num_workers": "hardware.workers, which the profile sets",
    "report_to": "train.report_to",
    "deepspeed": "hardware.zero_stage, which the profile sets",
    "gradient_checkpointing": "train.gradient_checkpointing",
    "seed": "--seed",
}
"""Flags of AceRAG's training script, and what is set in their place."""


@dataclass(frozen=True, kw_only=True)
class Config:
    lm: str = ""  # folder or hub id; small ones made here: recall-llama, recall-llama-4, recall-qwen3, entities-llama
    layers: int = 8  # of the language model that the encoder begins with
    stage: str = "pt"  # pt: pre-training on texts; ft: fine-tuning on prompts with a context
    ratios: str = "1,2,4,8"  # tokens of context a row stands for; one is drawn for each window or row
    selection: str = "stride"  # which rows are kept: stride, random, terminal (ft), mean (of runs), adaptive (eval)
    grid: str = "content"  # content: rows of the context alone; released: the grid of the published encoders
    shuffle_rows: bool = False  # with grid=released, stage pt: random rows in any order, as published
    chunk_tokens: int = 4096  # of what the encoder reads at once, its instruction counted
    window: int = 1024  # tokens of a window of stage pt
    lm_tokens: int = 4096  # of what the language model reads at the most, in stage ft
    data_files: str = ""  # JSON files: a,b or hf://OWNER/NAME/FILE; recall: made from a seed
    data_splits: str = ""  # shares of rows_per_file, one a file
    rows_per_file: int = 0  # rows of each file, cut or repeated to it; 0: what it has
    min_tokens: int = 0  # rows must have more; 0: no limit (stage pt: a window)
    max_tokens: int = 0  # rows must have fewer; 0: no limit
    instructions: str = ""  # a JSON file of the words in front of chunks and questions; empty: irctl's own
    chat_template: bool = True  # prompts by the tokenizer's template; false: plain text
    reconstruction: float = 0.0  # stage pt: share of windows that are predicted from rows of their own
    by_context: bool = False  # stage ft: rows of one context are one, encoded once; a batch counts contexts
    targets: str = "labels"  # stage ft: labels, or teacher: what the language model answers with the whole context
    new_tokens: int = 0  # of an answer at the most (eval); 0: as many as its task has
    tuned_lm: str = ""  # one tuned on the task without compression, folder or hub id (eval): a row of the table
    scoring: str = "sentence"  # what selection=adaptive scores (eval): sentence, or token (each by its own state)
    scorer: str = ""  # encoder that scores with selection=adaptive (eval); empty: the default one
    ratio: int = 8  # of the passages that irctl encode compresses
    held_out: float = 0.01  # share of rows that the loss is measured on, at most 500

    def __post_init__(self) -> None:
        for name, legal in (
            ("stage", ("pt", "ft")),
            ("targets", ("labels", "teacher")),
            ("grid", ("content", "released")),
            ("scoring", ("sentence", "token")),
        ):
            if getattr(self, name) not in legal:
                raise ConfigError(f"acerag.{name}: expected {' or '.join(legal)}, found {getattr(self, name)!r}")
        if min(self.layers, self.chunk_tokens, self.window, self.lm_tokens) < 1:
            raise ConfigError("acerag: layers, chunk_tokens, window and lm_tokens are 1 or more")
        if min(self.rows_per_file, self.min_tokens, self.max_tokens, self.new_tokens) < 0:
            raise ConfigError("acerag: rows_per_file, min_tokens, max_tokens and new_tokens are 0 or more")
        if self.ratio < 1:
            raise ConfigError(f"acerag.ratio: expected 1 or more, found {self.ratio}")
        if not (0 <= self.reconstruction <= 1 and 0 <= self.held_out < 1):
            raise ConfigError(
                f"acerag: reconstruction is a share, held_out one below 1, found {self.reconstruction:g} and "
                f"{self.held_out:g}"
            )


class Method:
    """Which stage it is decides how a row becomes sequences; the rest is the same."""

    @staticmethod
    def build(config: Settings, context: Context) -> CompressiveMethod:
        from irctl.training.texts.opening import open_training

        training: CompressiveMethod = open_training(config, context)
        return training
