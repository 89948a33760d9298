"""Records for tests of reports: four systems, two data sets, values a person can follow."""

from __future__ import annotations

from irctl.reports.records import Record


def record(system: str, value: float, measure: str = "nDCG@10", dataset: str = "cranfield", **more: object) -> Record:
    run = str(more.pop("run_id", f"run-{system}-{dataset}-{more.get('seed', 0)}"))
    plain = {
        "split": "test",
        "created_at": "2025-01-01T00:00:00",
        "qrels_sha256": f"sha-of-{dataset}",
        "k": 1000,
        "similarity": "dot",
        "self_match": "keep",
        "n_queries": 45,
    }
    return Record(system=system, value=value, measure=measure, dataset=dataset, run_id=run, **{**plain, **more})


def systems() -> list[Record]:
    """An uncompressed system, two compressed ones of it, and BM25, with three measures each."""
    sizes = {"MiniLM": (1536, ""), "MiniLM pq": (48, "pq"), "MiniLM sq": (384, "sq"), "bm25": (None, "")}
    values = {"MiniLM": (0.40, 0.60, 0.70), "MiniLM pq": (0.30, 0.54, 0.65), "MiniLM sq": (0.3996, 0.60, 0.70)}
    values["bm25"] = (0.38, 0.58, 0.60)
    return [
        record(
            system,
            value,
            measure,
            bytes_per_vector=sizes[system][0],
            compression=sizes[system][1],
            base="" if system == "bm25" else "vectors-of-minilm",
            similarity="" if system == "bm25" else "dot",
            method=system.split()[0],
        )
        for system in values
        for measure, value in zip(("nDCG@10", "RR@10", "R@100"), values[system], strict=True)
    ]
