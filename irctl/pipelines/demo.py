"""The demo's plan: which irctl commands run, in which order, each built from the results of those before it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
HEADLINE = "nDCG@10"

# 1,400 vectors cannot fill 256 centroids (faiss asks for 39 points each), so the product quantizers use 4-bit codes.
OPQ = ("opq", ("opq.m=48", "opq.bits=4"))
"""Trained further, too."""
CODES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pq", ("pq.m=48", "pq.bits=4")),
    OPQ,
    ("opq", (*OPQ[1], "transform.name=soft_whiten")),
    ("rabitq", ("rabitq.bits=1",)),
    ("rabitq", ("rabitq.bits=4",)),
    ("sq", ("sq.bits=8",)),
)
# Groups of 4 take half the memory of the default 8, so a step of 16 queries is one chunk. infonce gets a positive with
# three negatives, judged or mined; ws2 three judged passages, of different grades where there are, and a mined one.
SMALL = ("--set", "data.group_size=4", "--set", "batch.micro=16")
TRAIN = ("--batch", "16", *SMALL, "--set", "eval.during=off", "--max-steps")  # 7 of the 8 steps of an epoch
QUICK = ("4", "--set", "train.warmup_ratio=0")


@dataclass(frozen=True)
class DemoStep:
    """One command. about: what a reader learns from it."""

    about: str
    argv: tuple[str, ...]


Plan = Generator[DemoStep, Mapping[str, Any], dict[str, Any]]


def plan(*, quick: bool = False) -> Plan:
    """Yield each step, take its --json payload, and return {evals: run ids, best, reports}."""
    evals: list[str] = []

    def evaluated(about: str, *argv: str) -> Generator[DemoStep, Mapping[str, Any], float]:
        payload = yield DemoStep(about, ("eval", *argv, "--split", "test"))
        evals.append(str(payload["run"]))
        return headline(payload)

    searched = yield DemoStep("lexical baseline: BM25", ("search", "--retriever", "bm25", "--split", "test"))
    yield from evaluated("measure it on held-out test queries", str(searched["run_file"]))

    yield DemoStep("encode the corpus with the untouched encoder", ("encode", "--model", MODEL))
    payload = yield DemoStep("untouched encoder on dev", ("eval", "--model", MODEL, "--split", "dev"))
    dev = {MODEL: headline(payload)}
    baseline_at = len(evals)
    yield from evaluated("untouched encoder on test", "--model", MODEL)

    yield DemoStep("hard negatives by BM25", ("hardneg", "--retriever", "bm25", "--num", "4"))
    mined = yield DemoStep(
        "hard negatives by the encoder, those too close to the best positive left out",
        ("hardneg", "--model", MODEL, "--num", "4", "--set", "hardneg.rel_margin=0.05"),
    )
    for loss in (("--loss", "infonce"), ("--method", "sycl", "--loss", "ws2")):
        argv = ("train", *loss, "--negatives", str(mined["negatives_file"]), *TRAIN, *(QUICK if quick else ("7",)))
        trained = yield DemoStep(f"fine-tune with {loss[-1]}", argv)
        model = str(trained["run"])
        yield DemoStep("encode the corpus with it", ("encode", "--model", model))
        payload = yield DemoStep("it on dev", ("eval", "--model", model, "--split", "dev"))
        dev[model] = headline(payload)
        yield from evaluated("it on test", "--model", model)

    best = max(dev, key=lambda m: dev[m])
    encoded = yield DemoStep("vectors of the encoder that is best on dev", ("encode", "--model", best))
    for method, settings in CODES:
        sets = tuple(word for s in settings for word in ("--set", s))
        argv = ("compress", "--method", method, "--data", str(encoded["run"]), *sets)
        bundle = yield DemoStep(f"compress with {method} {' '.join(settings)}", argv)
        yield from evaluated("search its codes", "--model", best, "--index", str(bundle["run"]))
        if (method, settings) == OPQ:
            from_it = ("--model", best, "--index", str(bundle["run"]))
            argv = ("train", "--recipe", "jpq-distill", *from_it, *(("--tiny",) if quick else ()))
            learned = yield DemoStep("train these codes' centroids and a map of queries, without judgements", argv)
            yield from evaluated("search the same bytes by them", "--model", best, "--index", str(learned["run"]))
    return {"evals": evals, "baseline": evals[baseline_at], "best": best, "dev": dev}


def headline(payload: Mapping[str, Any]) -> float:
    """nDCG@10 of an eval payload."""
    return next(float(r["value"]) for r in payload["results"] if r["measure"] == HEADLINE)


class Placeholder(dict[str, Any]):
    """Results that --dry-run has not got: names in angle brackets."""

    def __missing__(self, key: str) -> Any:
        if key == "folders":
            return Placeholder()
        return [{"measure": HEADLINE, "value": 0.0}] if key == "results" else f"<{key}>"
