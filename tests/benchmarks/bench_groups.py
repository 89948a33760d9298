"""Graded training data, mapped and by dictionaries: `python tests/benchmarks/bench_groups.py`.

Generates passages of four grades a query, then measures, each in a process of its own: private memory (smaps_rollup)
after the groups, seconds to the first group on a second start, and groups a second. The rivals are here too: a
plain loader (JSON lines into dictionaries, the usual way) and, for the rate, the same one with membership tests in a
Python list of query ids, which SyCL's library makes twice a sample and source. All of them give the query's text
and four drawn passages with title, text and grade. Prints JSON: a report, never an assertion.

Dimension key: K passages a group.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GRADES = (3, 2, 1, 0)
WORDS = "the flow of heat along a thin wing at high speed meets shock and boundary layer in gas".split()


def generate(folder: Path, passages: int, queries: int) -> None:
    """corpus.jsonl, queries.jsonl, qrels.tsv and mqrel.json. Passages beyond the judged ones are judged by nobody."""
    rng = random.Random(0)
    text = " ".join(rng.choices(WORDS, k=30))
    with (folder / "corpus.jsonl").open("w") as corpus:
        for d in range(passages):
            corpus.write(f'{{"_id": "doc-{d:08d}", "title": "", "text": "{d} {text}"}}\n')
    with (folder / "queries.jsonl").open("w") as asked, (folder / "qrels.tsv").open("w") as qrels:
        for q in range(queries):
            asked.write(f'{{"_id": "query-{q:08d}", "text": "question {q} {text[:40]}"}}\n')
            for place, grade in enumerate(GRADES):
                qrels.write(f"query-{q:08d}\tdoc-{(q * len(GRADES) + place) % passages:08d}\t{grade}\n")
    source = {"qrel_path": "qrels.tsv", "query_path": "queries.jsonl", "corpus_path": "corpus.jsonl"}
    (folder / "mqrel.json").write_text(json.dumps({"mqrel": [source]}))


def private_mib() -> float:
    """Memory that every further process would need again.

    Anonymous pages, that is. The kernel's "private" adds pages of files that one process alone has mapped, for as long
    as no other one does.
    """
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def mapped(folder: Path, samples: int) -> dict[str, Any]:
    from irctl.data.collections.mqrel import open_mqrel
    from irctl.data.groups.group_source import GroupSettings

    before, started = private_mib(), time.perf_counter()
    opened = open_mqrel(folder / "mqrel.json")
    source = opened.groups(GroupSettings(group_size=4, selection="random"))
    first = source.group(0, 0)
    ready = time.perf_counter() - started
    order = random.Random(1).sample(range(len(source)), min(samples, len(source)))
    began = time.perf_counter()
    for index in order:
        source.group(index, 0)
    rate = len(order) / (time.perf_counter() - began)
    began = time.perf_counter()
    for index in order:
        source.rows(index, 0)
    rows_rate = len(order) / (time.perf_counter() - began)
    return _about(before, ready, rate, len(first.passages)) | {"rows_a_second": round(rows_rate)}


def _about(before: float, ready: float, rate: float, size: int) -> dict[str, Any]:
    after = private_mib()
    return {
        "private_mib": round(after, 1),
        "private_mib_of_the_data": round(after - before, 1),
        "first_group_s": round(ready, 2),
        "groups_a_second": round(rate),
        "group_size": size,
    }


def plain(folder: Path, samples: int, *, membership: bool = False) -> dict[str, Any]:
    before, started = private_mib(), time.perf_counter()
    corpus = {r["_id"]: r for r in map(json.loads, (folder / "corpus.jsonl").open())}
    queries = {r["_id"]: r["text"] for r in map(json.loads, (folder / "queries.jsonl").open())}
    qrels: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.tsv").open():
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = float(grade)
    ids = list(qrels)
    rng = random.Random(1)

    def group(query: str) -> tuple[str, list[tuple[str, float]]]:
        if membership and (query not in ids or query not in ids):  # twice a source and sample
            raise KeyError(query)
        chosen = rng.sample(sorted(qrels[query].items()), 4)
        texts = [(f"{corpus[d].get('title', '')} {corpus[d]['text']}".strip(), grade) for d, grade in chosen]
        return queries[query], texts

    first = group(ids[0])
    ready = time.perf_counter() - started
    order = random.Random(1).sample(ids, min(samples, len(ids)))
    began = time.perf_counter()
    for query in order:
        group(query)
    return _about(before, ready, len(order) / (time.perf_counter() - began), len(first[1]))


def child(kind: str, folder: Path, samples: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--child", kind, "--folder", str(folder), "--samples", str(samples)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--child", choices=("mapped", "plain", "list"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kinds = {"mapped": mapped, "plain": plain, "list": lambda f, n: plain(f, n, membership=True)}
        print(json.dumps(kinds[given.child](given.folder, given.samples)))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["IRCTL_CACHE"] = str(folder / "cache")
        generate(folder, given.passages, given.queries)
        first = child("mapped", folder, 1)
        ours, naive = child("mapped", folder, given.samples), child("plain", folder, given.samples)
        by_list = child("list", folder, max(given.samples // 4, 20))
    report = {
        "schema": "irctl/bench-groups/1",
        "passages": given.passages,
        "queries": given.queries,
        "irctl_first_start": {"first_group_s": first["first_group_s"]},
        "irctl": ours,
        "plain": naive,
        "list_membership": by_list,
        "ratios": {
            "private_memory_of_the_data": naive["private_mib_of_the_data"] / ours["private_mib_of_the_data"],
            "private_memory": naive["private_mib"] / ours["private_mib"],
            "second_start": naive["first_group_s"] / ours["first_group_s"],
            "rate_against_list_membership": ours["groups_a_second"] / by_list["groups_a_second"],
            "rate_against_plain": ours["groups_a_second"] / naive["groups_a_second"],
        },
    }
    print(json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
