"""A byte-pair tokenizer trained in memory, with the chat template of ChatML, for tests."""

from __future__ import annotations

from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = ["the colour of the wing is red", "which flow is it? a slow flow of heat", "answer: the answer is blue\n"] * 20


def make_tokenizer(texts: list[str] | None = None, *, template: str = TEMPLATE) -> Any:
    """Merges run over spaces and lines, as in no real tokenizer: whatever can join at a boundary does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    core.train_from_iterator(
        texts or TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<pad>")
    made.chat_template = template
    return made
