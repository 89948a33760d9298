"""The tables of a paper, with systems and values as the demo has them: what must fit the columns of a page."""

from __future__ import annotations

from functools import cache

from report_records import record

from irctl.pipelines.report.report import Wanted, build_tables
from irctl.reports.notes.footnotes import GROUPS
from irctl.reports.records import Record
from irctl.reports.table import Table

BASE = "all-MiniLM-L6-v2"
CODES = {
    "sq bits=8": (384, 0.487), "rabitq bits=4": (212, 0.479), "rabitq bits=1": (56, 0.471),
    "pq bits=4 m=48": (24, 0.415), "opq bits=4 m=48": (24, 0.468), "jpq distill bits=4 m=48": (24, 0.467),
}  # fmt: skip
MEASURES = ("nDCG@10", "RR@10", "R@100")
COSTS = {"params": 22_713_216.0, "hours": 0.043, "cpu_hours": 0.026, "gpu_hours": 1.5, "price": 3.25, "train_s": 17.55}
COSTS |= {"index_bytes": 548_290.0, "latency_ms": 1.05, "latency_p95_ms": 2.31, "queries_per_s": 952.4}
SIZES = {"rows": 8_841_823.0, "bytes_per_row": 24.09, "bytes_with_ids": 31.64, "m": 48.0, "slice_bits": 4.0}
ERRORS = {"mse": 0.25238, "imbalance": 1.123, "row_error": 0.012, "ratio": 63.8}
RECALLS = dict.fromkeys(("probe_recall@10", "probe_recall@100", "recall_codes@10", "recall_exact@10"), 0.749)
RATES = {f"{part}_rows_per_cpu_s": 1_216_400.0 for part in ("reader", "encoder", "writer")}
TABLES = ("main", "beir", "compression", "losses", "isotropy", "acerag", "cost")


def _of_system(system: str, value: float, facts: dict[str, float], **more: object) -> list[Record]:
    """Three measures of one system."""
    plain = {"base": "vectors", "facts": facts, **more}
    return [record(system, value + i * 0.15, m, **plain) for i, m in enumerate(MEASURES)]


def demo() -> list[Record]:
    """An encoder, a trained one, and codes of it."""
    trained = {"seed": 0, "loss": "ws2", "method": "sycl", "negatives_per_query": 255}
    shown = [*_of_system(BASE, 0.477, {}, bytes_per_vector=1536), *_of_system("BM25", 0.466, {}, base="")]
    shown += _of_system("sycl ws2", 0.4873, COSTS, bytes_per_vector=1536, **trained)
    for code, (size, value) in CODES.items():
        more = {"bytes_per_vector": size, "compression": code.split()[0], **trained}
        shown += _of_system(f"sycl ws2 + {code}", value, COSTS | SIZES | ERRORS | RECALLS | RATES, **more)
    return shown


def beir() -> list[Record]:
    return [
        record(system, 0.3 + 0.01 * i + j * 0.07, dataset=name)
        for i, name in enumerate(sorted(GROUPS["beir-15"]))
        for j, system in enumerate((BASE, "sycl ws2", "sycl ws2 + opq bits=4 m=48", "BM25"))
    ]


def isotropy() -> list[Record]:
    facts = {"iso_n": 269.0, "iso_d": 384.0, "1-cos": 0.996, "erank/d": 0.196, "params": 22_713_216.0}
    forms = ("", "centre", "renorm", "whiten", "soft_whiten a=0.25", "soft_whiten a=0.5", "remove_top remove=10")
    return [
        record(
            f"sycl ws2, {form}".rstrip(", "), 0.48 - 0.01 * i, run_id=f"run{i}", part=form or "none", transform=form,
            variant=form, model="sentence-transformers/all-MiniLM-L6-v2", base="vectors",
            facts=facts | {"iso": 0.1 + 0.03 * i},
        )
        for i, form in enumerate(forms)
    ]  # fmt: skip


def answers() -> list[Record]:
    shown = []
    for kind, ratio, tokens in (("whole context", 0, 512), ("no context", 0, 0), ("compressed", 4, 128),
                                ("truncated", 4, 128), ("pruned", 4, 127), ("compressed", 16, 32)):  # fmt: skip
        label = f"{kind} {ratio}x" if ratio else kind
        known = {"tokens": float(tokens), "flops": 1.234, "law": 0.321, "encoded": 1024.0}
        known |= {f"{end} {m}": v for m in ("EM", "F1") for end, v in (("closed", 0.1), ("open", 0.9), ("kept", 0.4))}
        shown += [
            record(
                label, 0.3 + tokens / 1000, m, dataset="popqa", run_id="run", part=label, variant=label,
                traits={"context": kind}, method="answers", facts=known | ({"ratio": float(ratio)} if ratio else {}),
            )
            for m in ("EM", "F1")
        ]  # fmt: skip
    return shown


def per_query(r: Record) -> dict[str, float]:
    """Values by query whose differences a test finds."""
    return {str(i): r.value + (i % 5) * 0.004 * (len(r.system) % 3) for i in range(12)}


@cache
def make(name: str) -> Table:
    """One of TABLES, with tests where it has a baseline."""
    records = {"beir": beir, "isotropy": isotropy, "acerag": answers}.get(name, demo)()
    wanted = Wanted(table=name, baseline=_baseline(name), datasets="beir-15" if name == "beir" else "")
    (table,) = build_tables(records, wanted, per_query)
    return table


def _baseline(name: str) -> str:
    return BASE if name in ("main", "beir", "losses") else ""


def read_cells(text: str) -> list[list[str]]:
    """The cells of every row of the tabulars, as LaTeX has them, names first."""
    rows = [line.split(r" \\")[0] for line in text.splitlines() if " & " in line]
    return [row.split(" & ") for row in rows if not row.startswith("System & ")]
