"""The plan of `irctl demo --rag`: from a question by the passage found to an answer, at every ratio of compression."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from irctl.pipelines.demo import DemoStep, Plan

LM, CHUNK, MOST = "entities-llama", 64, 128
RATIOS = "1,2,4,8"
STEPS, QUICK = "100", "10"
BATCH = "256"
MEANING = (
    "Each row is one way to give the language model a passage: as it is, as rows of the compressive encoder, or as "
    "equally many of its words; kept is the share of what the whole passage adds to no context that is left.",
    "Wrong passages bound what retrieved ones can give: where search misses, an answer is right by luck, one time in "
    "eight, as with contexts of other questions.",
)


def plan(*, quick: bool = False) -> Plan:
    """Yield each step, take its --json payload, and return {search, eval, retrieved, gold}."""
    fetched = yield DemoStep("make the collection: 300 made-up entities, a passage each", ("data", "fetch", "entities"))
    folder = str(fetched["folders"]["entities"])
    yield DemoStep("encode the passages with the default encoder", ("encode", "--data", folder))
    searched = yield DemoStep("find the passage of each question", ("search", "--data", folder, "-k", "1"))
    run_file = str(searched["run_file"])
    measured = yield DemoStep(
        "how often it is the right one", ("eval", run_file, "--data", folder, "--measures", "R@1")
    )
    words = ("--set", f"acerag.instructions={folder}/words.json", "--set", f"acerag.lm_tokens={MOST}")
    trained = yield from _train(folder, words, QUICK if quick else STEPS)
    answers: dict[str, Mapping[str, Any]] = {}
    for name, run in (("retrieved", run_file), ("gold", f"{folder}/gold.trec")):
        asked = ("--task", "rag-qa", "--model", trained, "--data", folder, "--run", run)
        argv = ("eval", *asked, "--answers", f"{folder}/answers.json", "--controls", *words)
        more = ("--set", f"acerag.ratios={RATIOS}", "--set", "acerag.new_tokens=4")
        answers[name] = yield DemoStep(f"answer the questions by the {name} passages", (*argv, *more))
    return {"r_at_1": measured["results"][0]["value"], "trained": trained, **answers}


def _train(folder: str, words: Sequence[str], steps: str) -> Generator[DemoStep, Mapping[str, Any], str]:
    sets = {
        "batch.micro": BATCH, "train.lr": "3e-3", "train.gradient_checkpointing": "false", "acerag.stage": "ft",
        "acerag.lm": LM, "acerag.layers": "1", "acerag.chunk_tokens": str(CHUNK), "acerag.ratios": RATIOS,
        "acerag.data_files": f"{folder}/rag-qa.json",
    }  # fmt: skip
    argv = ["train", "--method", "acerag", "--batch", BATCH, "--max-steps", steps, *words]
    for key, value in sets.items():
        argv += ["--set", f"{key}={value}"]
    about = f"make the language model {LM}, and train an encoder that compresses passages of other entities for it"
    payload = yield DemoStep(about, tuple(argv))
    return str(payload["run"])


def table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a way to give contexts: tokens, exact matches and context kept, by retrieved and by gold passages."""
    rows: dict[str, dict[str, Any]] = {}
    for name in ("retrieved", "gold"):
        facts = {s["part"]: s["facts"] for s in summary[name]["searches"]}
        for result in summary[name]["results"]:
            if result["measure"] != "EM":
                continue
            part = result["part"]
            row = rows.setdefault(part, {"context": part, "tokens": round(facts[part]["tokens"], 1)})
            kept = facts[part].get("kept EM")
            row |= {name: result["value"], f"{name} kept": "--" if kept is None else f"{100 * kept:.0f} %"}
    return list(rows.values())
