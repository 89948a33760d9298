"""The schema: every setting with its default, its meaning and its legal values, one dataclass a section.

A key is `section.name`. Files of plug-in packages (a loss, a quantizer, a method) bring a section of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**31 - 1
"""The largest whole number of a setting that names none: what every library below takes."""
MOST_DEVICES = 4096


SNOWBALL = (
    "arabic armenian basque catalan czech danish dutch dutch_porter english esperanto estonian finnish french german "
    "greek hindi hungarian indonesian irish italian lithuanian nepali norwegian persian polish porter portuguese "
    "romanian russian serbian sesotho spanish swedish tamil turkish yiddish"
)
"""Languages that PyStemmer stems; a test compares them with its own list."""


def key(
    default: Any, help: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A setting: its default, what it means, and its legal values (inclusive range or a list of words)."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    name: str = key("", "a name for the run, shown in tables")
    seed: int = key(42, "seed of every random draw", low=0, high=2**32 - 1)
    dataset: str = key("", "the ledger's name for the data set; empty: the collection's own name")
    hash: str = key(
        "fast",
        "how files above 1 GB are known: by size, time and sampled blocks; by all of their bytes; by size and time",
        choices=("fast", "full", "none"),
    )


@dataclass(frozen=True, kw_only=True)
class Hardware:
    devices: int = key(1, "devices a run uses", low=1, high=MOST_DEVICES)
    device_kind: str = key("cpu", "where tensors live", choices=("cpu", "cuda"))
    memory_gib: float = key(0.0, "memory of one device; 0: the host's", low=0)
    capability: str = key("", "CUDA compute capability, such as 7.0")
    precision: str = key("fp32", "arithmetic of training and encoding", choices=("fp32", "tf32", "bf16", "fp16"))
    attention: str = key("sdpa", "attention kernel", choices=("sdpa", "eager", "flash_attention_2"))
    torch_wheel: str = key("cpu", "the torch build that has kernels for this device")
    micro_batch: int = key(16, "queries a device forwards at once, at the most, when batch.micro is 0", low=1)
    encode_tokens: int = key(2048, "tokens of one encoding batch, padding counted", low=64)
    workers: int = key(0, "data loader processes a device", low=0)
    zero_stage: int = key(0, "DeepSpeed ZeRO stage; 0: plain data parallel", low=0, high=3)
    interconnect: str = key("none", "what joins the devices", choices=("none", "pcie", "nvlink", "nvswitch", "efa"))
    omp_threads: int = key(0, "CPU threads a process; 0: let the libraries choose", low=0)


@dataclass(frozen=True, kw_only=True)
class Data:
    source: str = key("cranfield", "collection name, BEIR or MS MARCO folder, mqrel JSON, irds:NAME, or hf://...")
    split: str = key("", "queries and judgements to use; empty: train for train and hardneg, else the headline split")
    root: str = key("", "folder that stands for hf:// repositories: ROOT/OWNER/NAME/PATH")
    title_join: str = key("space", "what joins title and text", choices=("space", "sentence", "sep", "none"))
    fix_encoding: bool = key(False, "repair double-encoded characters of MS MARCO")
    negatives: str = key("", "mined negatives: a file of irctl hardneg, a run id, or none; empty: mined by BM25 once")
    group_size: int = key(8, "passages a query (K), its positives counted; 0: all, padded", low=0)
    selection: str = key(
        "most_relevant",
        "which passages of a graded query",
        choices=("file", "random", "most_relevant", "least_relevant", "spread"),
    )
    short: str = key(
        "pad",
        "fewer than K passages: pad; cycle: repeat them, but not the one positive; fill: random unjudged documents "
        "(groups of one positive); error: refuse before training",
        choices=("pad", "cycle", "fill", "error"),
    )
    binary: str = key(
        "",
        "one positive (>= loss.positive_threshold) a group, the rest negatives; empty: if all losses have a threshold",
        choices=("", "true", "false"),
    )
    pin_positive: bool = key(False, "always the first positive, not one an epoch in turn")
    pin_negatives: bool = key(False, "always the first negatives")
    on_conflict: str = key("last", "same query and document in two sources", choices=("last", "max", "error"))
    max_queries: int = key(0, "use the first N training queries; 0: all", low=0)


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str = key("sentence-transformers/all-MiniLM-L6-v2", "folder, hub id, or run id of the encoder")
    revision: str = key("", "hub revision; empty: the newest")
    attention: str = key(
        "auto", "attention kernel; auto: the profile's", choices=("auto", "sdpa", "eager", "flash_attention_2")
    )
    trust_remote_code: bool = key(False, "run Python code that comes with a hub model")
    output_dim: str = key(
        "", "a projection head is trained after the model: its width, base: as wide as the model; empty: no head"
    )
    head_init: str = key(
        "pca",
        "how a head begins: as the corpus' principal directions, by torch's random draw, or as transform.*, which is "
        "then kept, and a head that changes nothing",
        choices=("pca", "torch", "transform"),
    )
    dropout: float = key(0.0, "of a head, in training", low=0, high=0.99)
    normalize_base: str = key(
        "", "scale vectors to length 1 before a head; empty: as the model does", choices=("", "true", "false")
    )
    similarity: str = key(
        "",
        "what training compares vectors by, and what is saved compares them by; empty: the model's own",
        choices=("", "dot", "cosine", "euclid"),
    )
    freeze_base: bool = key(False, "train only what is added to the model")
    freeze_layers: int = key(0, "do not train the token embeddings and the first N blocks; 0: train all", low=0)
    lora_r: int = key(0, "rank of LoRA adapters; 0: none", low=0)
    lora_alpha: int = key(32, "LoRA scale", low=1)
    lora_dropout: float = key(0.05, "LoRA dropout", low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    pooling: str = key("", "empty: the folder's own", choices=("", "mean", "cls", "last_token", "max", "cls+mean"))
    normalize: str = key("", "L2-normalise vectors; empty: the folder's own", choices=("", "true", "false"))
    query_max_len: int = key(0, "tokens of a query; 0: the folder's own", low=0)
    passage_max_len: int = key(0, "tokens of a passage; 0: the folder's own", low=0)
    query_prompt: str | None = key(None, "text put before a query; unset: the folder's own")
    passage_prompt: str | None = key(None, "text put before a passage; unset: the folder's own")
    lower_case: bool = key(False, "lower-case texts before they become tokens, as ANCE does; saved with the model")
    override: bool = key(False, "let these settings contradict the folder (recorded)")
    batch_tokens: int = key(0, "tokens of one encoding batch, padding counted; 0: the profile's", low=0)
    store: str = key("float32", "how vectors are stored", choices=("float32", "float16"))
    shard_rows: int = key(10000, "rows of one embedding shard", low=1)


@dataclass(frozen=True, kw_only=True)
class Batch:
    global_: int = key(32, "queries a step, all devices and accumulation counted", low=1)
    loss: int = key(0, "queries that share negatives; 0: batch.global", low=0)
    micro: int = key(0, "queries a device forwards at once, at the most; 0: the profile's", low=0)


@dataclass(frozen=True, kw_only=True)
class Train:
    method: str = key("dense", "what a training step is")
    index: str = key("", "a bundle, or a run that made one, that the training reads; empty: the newest that fits")
    init: str = key("", "a folder, hub id or run whose weights training starts from; empty: model.name")
    lr: float = key(2e-5, "peak learning rate", low=0)
    base_lr: float = key(0.0, "peak learning rate of the model without its head; 0: train.lr", low=0)
    projection_lr: float = key(0.0, "peak learning rate of the head and of what a method adds; 0: train.lr", low=0)
    epochs: float = key(3.0, "passes over the training queries", low=0)
    max_steps: int = key(0, "stop after so many steps; 0: by epochs", low=0)
    warmup_ratio: float = key(0.05, "share of steps that warm up", low=0, high=1)
    warmup_steps: int = key(0, "steps that warm up, in place of train.warmup_ratio; 0: by that", low=0)
    warmup_from: float = key(0.0, "share of the peak learning rate at which the warm-up begins", low=0, high=1)
    warmup_shape: str = key("linear", "how the learning rate warms up", choices=("linear", "log"))
    schedule: str = key("linear", "decay after the warm-up", choices=("linear", "constant", "cosine"))
    weight_decay: float = key(0.0, "AdamW weight decay", low=0)
    clip: float = key(1.0, "gradient norm limit; 0: none", low=0)
    regularizer: str = key("", "what is added to the loss to spread vectors out: gor:.1,sigreg:.02; empty: nothing")
    regularizer_rows: str = key(
        "separate",
        "vectors of a batch that regularizers see: queries and positives apart, averaged; both joined; one of the two",
        choices=("separate", "joint", "queries", "passages"),
    )
    save: str = key("epoch", "checkpoint every: epoch, a number of steps, or a share of the steps below 1")
    save_minutes: float = key(0.0, "also a checkpoint every so many minutes; 0: no", low=0)
    epoch_models: bool = key(
        False, "keep the model and its training state after each epoch: checkpoints/checkpoint_epoch_N"
    )
    resume_from: str = key("", "a checkpoint of another run to go on from, in this new one: RUN:checkpoint_epoch_N")
    save_state: bool = key(True, "keep optimizer state, so that a killed run continues exactly")
    keep: int = key(2, "checkpoints kept besides the best", low=1)
    log_steps: int = key(1, "steps between two lines of metrics.jsonl", low=1)
    gradient_checkpointing: bool = key(False, "save memory by computing activations twice")
    lr_scaling: str = key("none", "when the global batch differs from the recipe's", choices=("none", "linear", "sqrt"))
    report_to: str = key("none", "where else steps and dev scores go: trackio, wandb, tensorboard, mlflow, or several")


@dataclass(frozen=True, kw_only=True)
class Loss:
    name: str = key("infonce", "a loss, or a weighted sum such as ws2:1,infonce:0.1")
    temperature: float | str = key(
        "auto", "scores are divided by it; auto: from the spread of the first batches' scores", choices=("auto",)
    )
    label_temperature: float = key(
        1.0,
        "grades are divided by it where their softmax is the target: ws2, ws2_paired, kl, listnet, w1_ordinal, distill",
    )
    learn_temperature: bool = key(False, "train the temperature too")
    positive_threshold: float = key(
        0.0, "grade from which a passage is a positive; 0: half the largest grade, rounded up", low=0
    )
    inbatch: str = key("masked", "candidates of a query", choices=("all", "own", "masked"))
    inbatch_label: float = key(0.0, "grade given to other queries' passages")
    guide: str = key("", "a model that drops in-batch passages it scores above the positive")
    guide_margin: float = key(0.0, "how far below the positive they must stay")


@dataclass(frozen=True, kw_only=True)
class Eval:
    measures: str = key("", "preset or list such as 'nDCG@10 RR@10'; empty: the collection's")
    during: str = key("candidates", "evaluation on dev while training", choices=("off", "candidates", "corpus"))
    patience: int = key(0, "stop after so many evaluations without a better dev nDCG@10; 0: never", low=0)
    self_match: str = key(
        "", "documents with the query's own id; empty: the collection's rule", choices=("", "keep", "drop")
    )
    on_conflict: str = key(
        "error",
        "a pair judged twice with other grades: refuse it, or count the highest or the last grade",
        choices=("error", "max", "last"),
    )
    save_run: bool = key(True, "keep the run file")


@dataclass(frozen=True, kw_only=True)
class Search:
    k: int = key(1000, "documents a query", low=1)
    block: int = key(0, "rows scored at once; 0: chosen from k and the bytes of a code, as --dry-run shows", low=0)
    fastscan: bool = key(
        False, "binary, 4-bit pq, opq, learned: find candidates by 8-bit tables; far faster, may miss some"
    )
    similarity: str = key("", "empty: the model's own", choices=("", "dot", "cosine", "euclid"))
    rerank: int = key(0, "re-score so many of the best by exact vectors; 0: no", low=0)
    watch_docs: str = key("", "a qrels file: score its documents too, among the k best or not; into *.watched.trec.gz")
    bm25_k1: float = key(1.5, "BM25 term saturation", low=0)
    bm25_b: float = key(0.75, "BM25 length normalisation", low=0, high=1)
    bm25_stemmer: str = key("english", "Snowball stemmer; none: no stemming", choices=("none", *SNOWBALL.split()))
    latency: int = key(0, "queries also searched one at a time, to measure the latency of one; 0: none", low=0)


@dataclass(frozen=True, kw_only=True)
class HardNeg:
    num: int = key(4, "negatives kept a query; 0: all in hardneg.range", low=0)
    depth: int = key(200, "documents searched a query, judged ones not counted", low=1)
    range: str = key("0:200", "ranks to draw from, FIRST:LAST, 0-based, LAST excluded")
    pick: str = key("top", "which of them", choices=("top", "random"))
    min_score: float | None = key(None, "lowest score kept")
    max_score: float | None = key(None, "highest score kept")
    abs_margin: float | None = key(None, "keep n if score(n) <= score(best positive) - margin")
    rel_margin: float | None = key(None, "keep n if score(n) <= s - |s| * margin, s the best positive's score")
    keep_annotated: str = key("none", "judged documents that may be negatives", choices=("none", "zero"))
    rescore: str = key("", "a cross-encoder whose scores replace the retriever's")
    format: str = key("jsonl", "output", choices=("jsonl", "tsv"))
    every: int = key(0, "epochs after which training mines again with the model as it is then (ANCE); 0: never", low=0)


@dataclass(frozen=True, kw_only=True)
class Compress:
    source: str = key("", "vectors; empty: the newest encoded corpus, else the built-in one, encoded first")
    method: str = key("pq", "a quantizer, or several: pq,sq")
    stream: bool = key(False, "batch shards; the corpus is never in memory")
    metric: str = key("ip", "similarity that codes must keep", choices=("ip", "l2", "cosine"))
    batch: int = key(10000, "rows of one batch", low=1)
    train_size: int = key(100000, "rows sampled for training, over the whole input", low=1)
    max_batches: int = key(0, "stop after so many batches; 0: all", low=0)
    workers: int = key(1, "writers that share the batches", low=1)
    merge: bool = key(False, "join batch files into one a part when finalizing")
    probe: int = key(1000, "rows held out to measure distortion and estimator error", low=0)
    memory_gib: float = key(0.0, "memory limit; 0: the host's or the job's", low=0)


@dataclass(frozen=True, kw_only=True)
class Transform:
    name: str = key(
        "none",
        "what is done to finished vectors before they are compared or compressed, fitted on the corpus",
        choices=("none", "centre", "soft_whiten", "whiten", "remove_top", "renorm"),
    )
    a: float = key(0.25, "soft_whiten: 0 only rotates, 1 whitens", low=0, high=1)
    remove: int = key(0, "remove_top: directions taken away; 0: one of a hundred", low=0)
    dim: int = key(0, "directions of most variance that are kept; 0: all", low=0)
    query_mean: str = key(
        "own",
        "what queries are centred by: the mean of training queries, the corpus' mean, nothing",
        choices=("own", "corpus", "none"),
    )
    queries: str = key("", "a .npy file of training query vectors for their mean; empty: the collection's split train")
    eps: float = key(1e-6, "added to the eigenvalues of (soft) whitening, whose mean is 1", low=0)


SECTIONS: dict[str, type[Any]] = {
    "run": RunSettings,
    "hardware": Hardware,
    "data": Data,
    "model": Model,
    "encoder": Encoder,
    "batch": Batch,
    "train": Train,
    "loss": Loss,
    "eval": Eval,
    "search": Search,
    "hardneg": HardNeg,
    "compress": Compress,
    "transform": Transform,
}


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts of one data set, in place of the encoder's own: prompts.DATASET.query and prompts.DATASET.passage."""

    query: str | None = key(None, "text put before a query of this data set; unset: encoder.query_prompt")
    passage: str | None = key(None, "text put before a passage of this data set; unset: encoder.passage_prompt")


SIDES = ("passage", "query")
"""What a text is to an encoder."""
PROMPTS = "prompts."
"""What a section of prompts begins with; the rest is the name of a data set."""
