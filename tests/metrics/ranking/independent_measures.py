"""Every measure in plain NumPy: the implementation that irctl's is compared with."""

from __future__ import annotations

import numpy as np


def ranking(documents: dict[str, float]) -> list[str]:
    """Score (as float32) descending, docid descending, by two stable sorts instead of one key."""
    by_id = sorted(documents, reverse=True)
    return sorted(by_id, key=lambda d: np.float32(documents[d]), reverse=True)


def value(name: str, documents: dict[str, float], grades: dict[str, int], top_grade: int = 3) -> float:
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
    if family == "RBP(p=0.8)":
        return float(0.2 * (hits_K * 0.8 ** np.arange(len(hits_K))).sum())
    if family == "ERR":
        stops_K = (2.0**gains_K - 1) / 2**top_grade
        reached_K = np.concatenate([[1.0], np.cumprod(1 - stops_K)[:-1]]) if len(stops_K) else stops_K
        return float((reached_K * stops_K / np.arange(1, len(stops_K) + 1)).sum())
    if not relevant:
        return 0.0
    if family in ("Bpref", "infAP"):
        # judged above rank i: relevant, irrelevant, and in the pool unjudged (a negative grade)
        above = np.array(
            [[grades.get(d, -9) >= rel, 0 <= grades.get(d, -9) < rel, -9 < grades.get(d, -9) < 0] for d in ranked]
        )
        before = np.concatenate([np.zeros((1, 3)), np.cumsum(above.reshape(-1, 3), axis=0)])
        irrelevant = sum(0 <= g < rel for g in grades.values())
        places = np.flatnonzero(hits_K)
        if family == "Bpref":
            most = min(irrelevant, relevant)
            return float(sum(1 - (min(before[i, 1], relevant) / most if most else 0) for i in places) / relevant)
        e = 1e-5
        precise = [
            1 / (i + 1) + (before[i].sum() / (i + 1)) * (before[i, 0] + e) / (before[i, :2].sum() + 2 * e)
            for i in places
        ]
        return float(sum(precise) / relevant)
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
    top_grade = max(g for grades in qrels.values() for g in grades.values())
    return float(np.mean([value(name, run.get(q, {}), grades, top_grade) for q, grades in qrels.items()]))
