"""nDCG, RR, R, AP, P, Success, Judged and R_cap in plain NumPy: the implementation that irctl's is compared with."""

from __future__ import annotations

import numpy as np


def ranking(documents: dict[str, float]) -> list[str]:
    """Score (as float32) descending, docid descending, by two stable sorts instead of one key."""
    by_id = sorted(documents, reverse=True)
    return sorted(by_id, key=lambda d: np.float32(documents[d]), reverse=True)


def value(name: str, documents: dict[str, float], grades: dict[str, int]) -> float:
    family, _, cut = name.partition("@")
    rel = 2 if "(rel=2)" in family else 1
    family = family.replace("(rel=2)", "")
    ranked = ranking(documents)
    k = int(cut) if cut else len(ranked)
    gains_K = np.array([max(grades.get(d, 0), 0) for d in ranked[:k]], dtype=float)
    hits_K = np.array([grades.get(d, 0) >= rel for d in ranked[:k]], dtype=float)
    relevant = sum(g >= rel for g in grades.values())
    if family == "Judged":
        return float(np.mean([d in grades for d in ranked[:k]])) if ranked else 0.0
    if family == "nDCG":
        ideal = np.sort([float(max(g, 0)) for g in grades.values()])[::-1][: int(cut) if cut else None]
        best = (ideal / np.log2(np.arange(2, len(ideal) + 2))).sum()
        return float((gains_K / np.log2(np.arange(2, len(gains_K) + 2))).sum() / best) if best else 0.0
    if family == "RR":
        return float(1 / (1 + np.argmax(hits_K))) if hits_K.any() else 0.0
    if family == "P":
        return float(hits_K.sum() / k)
    if family == "Success":
        return float(hits_K.any())
    if not relevant:
        return 0.0
    if family == "R":
        return float(hits_K.sum() / relevant)
    if family == "R_cap":
        return float(hits_K.sum() / min(k, relevant))
    if family == "Rprec":
        return float(np.array([grades.get(d, 0) >= rel for d in ranked[:relevant]]).sum() / relevant)
    if family == "AP":
        precision_K = np.cumsum(hits_K) / np.arange(1, len(hits_K) + 1)
        return float((precision_K * hits_K).sum() / relevant)
    raise AssertionError(name)


def mean(name: str, run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]) -> float:
    return float(np.mean([value(name, run.get(q, {}), grades) for q, grades in qrels.items()]))
