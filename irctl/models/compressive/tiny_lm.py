"""A language model of a few layers that learns a made task in seconds, and its tokenizer: made where no hub is.

It has the shape of Llama or of Qwen3, so that what works with it works with them. A random model would be a poor test:
its logits are too small for anything to be learned through it.

Dimension key: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.contexts import entities, recall
from irctl.data.contexts.recall import BOS, EOS, UNKNOWN
from irctl.errors import ConfigError, RunFailed
from irctl.models.modules import silence
from irctl.types import Reporter, Silent

if TYPE_CHECKING:
    from torch import Tensor

SHAPES = ("llama", "qwen3")
HIDDEN, HEADS, LAYERS = 64, 4, 2
MOST_STEPS, WARM_UP, BATCH, LR = 800, 20, 64, 3e-3
LEARNED, IN_A_ROW = 0.02, 10
"""Loss over answers, in so many steps one after another, at which the model has learned its task."""


@dataclass(frozen=True, kw_only=True)
class SmallTask:
    """words: all that the model knows. texts: (count, *parts) -> so many texts of one length in tokens, without BOS,
    in which an answer is the word before EOS. parts: pattern of a word; none: blanks part them.
    """

    name: str
    words: Callable[[], list[str]]
    texts: Callable[..., Iterator[str]]
    template: str
    parts: str = ""


RECALL = SmallTask(name="recall", words=recall.words, texts=recall.texts, template=recall.TEMPLATE)
ENTITIES = SmallTask(
    name=entities.NAME, words=entities.words, texts=entities.texts, template=recall.TEMPLATE, parts=entities.PARTS
)
TASKS = {task.name: task for task in (RECALL, ENTITIES)}


def make(
    folder: Path,
    shape: str,
    *,
    task: SmallTask = RECALL,
    seed: int = 0,
    layers: int = LAYERS,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train it and save it as a folder that transformers opens; {shape, steps, loss}.

    Raises ConfigError for another shape, RunFailed where it did not learn.
    """
    import torch
    from torch.nn.utils import clip_grad_norm_

    tokenizer = make_tokenizer(task)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = _make_model(shape, layers, len(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)
    losses: list[float] = []
    reporter = reporter or Silent()
    reporter.say(f"making the small language model of {task.name}, once; kept in the cache")
    # how many steps it takes is known when it has learned: no total
    with reporter.bar("making a language model", None, unit="step") as advance:
        while len(losses) < MOST_STEPS and not (len(losses) >= IN_A_ROW and max(losses[-IN_A_ROW:]) < LEARNED):
            for group in optimizer.param_groups:
                group["lr"] = LR * min(1.0, (len(losses) + 1) / WARM_UP)
            input_ids_BT, labels_BT = _batch(task, tokenizer, seed, len(losses))
            loss = model(input_ids=input_ids_BT, labels=labels_BT).loss
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            advance(note=f"loss {losses[-1]:.4f}, until below {LEARNED}")
    torch.set_rng_state(state)
    if len(losses) == MOST_STEPS:
        raise RunFailed(
            f"the small language model did not learn its task {task.name}: loss {losses[-1]:.3f}, {MOST_STEPS} steps"
        )
    with silence():
        model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return {"shape": shape, "layers": layers, "seed": seed, "steps": len(losses), "loss": round(losses[-1], 4)}


def make_tokenizer(task: SmallTask = RECALL) -> Any:
    """Every word of the task is a token."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(task.words())}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if task.parts:
        parted = pre_tokenizers.Split(Regex(task.parts), "isolated")
        core.pre_tokenizer = pre_tokenizers.Sequence([core.pre_tokenizer, parted])
    opens: Any = PreTrainedTokenizerFast
    made = opens(
        tokenizer_object=core, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )
    made.chat_template = task.template
    return made


def _make_model(shape: str, layers: int, words: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    if shape not in SHAPES:
        raise ConfigError(f"no small language model named '{shape}': expected {' or '.join(SHAPES)}")
    common: dict[str, Any] = {
        "vocab_size": words,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    if shape == "llama":
        return LlamaForCausalLM(LlamaConfig(**common))
    return Qwen3ForCausalLM(Qwen3Config(**common, head_dim=HIDDEN // HEADS))


def _batch(task: SmallTask, tokenizer: Any, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """(token ids, labels) [B, T]: contexts and their answered questions; the answers and their ends are scored."""
    import torch

    texts = [f"{BOS} {text}" for text in task.texts(BATCH, seed, "language model", step)]
    input_ids_BT = torch.tensor(tokenizer(texts, add_special_tokens=False)["input_ids"])
    is_end_BT = input_ids_BT == tokenizer.eos_token_id
    is_scored_BT = is_end_BT | is_end_BT.roll(-1, 1)  # the word before an end is an answer
    return input_ids_BT, input_ids_BT.masked_fill(~is_scored_BT, -100)
