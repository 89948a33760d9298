"""Results of `irctl eval` as files of mteb: results/MODEL/REVISION/TASK.json and model_meta.json, without mteb."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from irctl.index.shards import write_json

FAMILIES = {"nDCG": "ndcg", "AP": "map", "R": "recall", "P": "precision", "RR": "mrr", "Success": "hit_rate"}
MAIN = "ndcg_at_10"
TASKS = {
    "arguana": "ArguAna",
    "climate-fever": "ClimateFEVER",
    "dbpedia-entity": "DBPedia",
    "fever": "FEVER",
    "fiqa": "FiQA2018",
    "hotpotqa": "HotpotQA",
    "nfcorpus": "NFCorpus",
    "nq": "NQ",
    "quora": "QuoraRetrieval",
    "scidocs": "SCIDOCS",
    "scifact": "SciFact",
    "trec-covid": "TRECCOVID",
    "webis-touche2020": "Touche2020",
    "beir/msmarco": "MSMARCO",
    "cqadupstack": "CQADupstackRetrieval",
}
"""Names of mteb for collections of the same content; others keep their own."""


def write(
    folder: Path, results: Sequence[Mapping[str, Any]], searches: Sequence[Mapping[str, Any]], seconds: float
) -> list[Path]:
    """One file a data set with all its splits, below the model's name and revision; the files written.

    The revision is the model's fingerprint. Where codes or a run file stand behind the ranking it is a hash of both.
    """
    about = searches[0] if searches else {}
    name = f"irctl/{about.get('compression') or about.get('method') or 'run'}"
    revision = str(about.get("model_fingerprint") or "")
    if not revision or about.get("compression"):
        behind = " ".join([revision, *(str(r["run_sha256"]) for r in results)])
        revision = hashlib.sha256(behind.encode()).hexdigest()
    revision = revision[:40]
    home = folder / "results" / name.replace("/", "__") / revision
    home.mkdir(parents=True, exist_ok=True)
    written = []
    for dataset in dict.fromkeys(r["dataset"] for r in results):
        mine = [r for r in results if r["dataset"] == dataset]
        task = task_name(dataset)
        splits = dict.fromkeys(r["split"] for r in mine)
        written.append(home / f"{task}.json")
        write_json(
            written[-1],
            {
                "dataset_revision": str(mine[0]["qrels_sha256"]),
                "task_name": task,
                "mteb_version": _version(),
                "scores": {s: [_scores([r for r in mine if r["split"] == s])] for s in splits},
                "evaluation_time": seconds,
                "kg_co2_emissions": None,
            },
        )
    write_json(home / "model_meta.json", {"name": name, "revision": revision, "adapted_from": about.get("model")})
    return written


def task_name(dataset: str) -> str:
    """mteb's name of a data set; each forum of CQADupStack is a task of its own."""
    whole, _, part = dataset.partition("/")
    if whole == "cqadupstack" and part:
        return f"CQADupstack{part.capitalize()}Retrieval"
    return TASKS.get(dataset, dataset.replace("/", "-"))


def _scores(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measures of one split by mteb's names; those it has no name for are left out."""
    scores: dict[str, Any] = {}
    for r in results:
        family, _, cut = str(r["measure"]).partition("@")
        if family in FAMILIES and cut:
            scores[f"{FAMILIES[family]}_at_{cut}"] = r["value"]
    return {**scores, "main_score": scores.get(MAIN), "hf_subset": "default", "languages": ["eng-Latn"]}


def _version() -> str | None:
    try:
        return metadata.version("mteb")
    except metadata.PackageNotFoundError:
        return None
