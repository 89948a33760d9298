"""Which columns a table has: presets, and what `--columns avg,scifact,bytes` means."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from irctl.errors import ConfigError
from irctl.reports import isotropy
from irctl.reports.records import Record, Wholes, compute_kept, index_wholes

CODE_PIVOT = "isotropy-compression"
"""The table, and the figure, whose columns are what vectors went through (code_pivot.py)."""
ISOTROPY = "isotropy"
"""The table, and the figure, of transforms and what was trained, with their isotropy (isotropy_table.py)."""
ANSWERS = "acerag"
"""The table of answers by compressed contexts (answers_table.py)."""
DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100")
TIMED = 3
"""Significant digits of a rate that was timed once."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """kind: measure, fact, average, or text (words, no number). better: high, low, or empty where no value is best."""

    key: str
    header: str
    kind: str
    better: str = ""
    scale: float = 1.0
    decimals: int = 1
    digits: int = 0  # significant ones, where the size of a number does not say how well it is known
    dataset: str = ""
    split: str = ""
    measure: str = ""
    over: tuple[tuple[str, str], ...] = ()
    """Of an average: its data sets with their splits, an empty one for a set that was not evaluated; none: as shown."""

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.dataset, self.split, self.measure

    def format(self, value: float | None) -> str:
        """The rounded text of a value; `--` for none."""
        if value is None:
            return "--"
        scaled = value * self.scale
        if self.digits and scaled and math.isfinite(scaled):
            rounded = f"{scaled:.{self.digits - 1}e}"  # before its places are counted: 99.96 has three digits before it
            places = self.digits - 1 - int(rounded.partition("e")[2])
            return f"{round(scaled, places):,.{max(0, places)}f}"
        if self.decimals == 0 and abs(scaled - round(scaled)) > 1e-9:
            return f"{scaled:,.1f}"
        return f"{scaled:,.{self.decimals}f}"


Reader = Callable[[Record, Wholes], float | None]


def _fact(name: str) -> Reader:
    return lambda r, _: r.facts.get(name)


def fact_column(
    key: str, header: str, better: str = "", *, decimals: int = 0, digits: int = 0, scale: float = 1.0
) -> Column:
    """A column of a number that belongs to the system, not to a data set."""
    return Column(key=key, header=header, kind="fact", better=better, decimals=decimals, digits=digits, scale=scale)


def _share(key: str, header: str) -> tuple[Column, Reader]:
    """Recall of neighbours, in the hundredths that measures are printed in."""
    return fact_column(key, header, "high", decimals=1, scale=100.0), _fact(key)


def _rate(part: str, header: str) -> tuple[Column, Reader]:
    key = f"{part}_rows_per_cpu_s"
    return fact_column(key, header, digits=TIMED, scale=1e-3), _fact(key)  # none is best: they were not timed alike


SHARES = {"kept": "{measure} recovery %", "gap": "Gap closed %"}
"""Columns that compare a measure with that of other vectors, and their headers."""
ALIASES = {"recovery": "kept", "IsoScore": "iso", "queries:IsoScore": "queries:iso"}
"""Other names of columns, for --columns."""


def _of_measure(key: str, measure: str) -> Column:
    header, better = SHARES[key].format(measure=measure), "high" if key == "gap" else ""
    return Column(key=key, header=header, kind="fact", better=better, scale=100.0, measure=measure)


def _count_bits(r: Record, _: Wholes) -> float | None:
    """Bits of a code: slices x bits a slice where it has such, else those of its bytes."""
    if {"m", "slice_bits"} <= r.facts.keys():
        return r.facts["m"] * r.facts["slice_bits"]
    return None if r.bytes_per_vector is None else 8 * r.bytes_per_vector


FACTS: dict[str, tuple[Column, Reader]] = {
    "bytes": (fact_column("bytes", "Bytes a vector", "low"), lambda r, _: r.bytes_per_vector),
    "kept": (_of_measure("kept", "nDCG@10"), compute_kept),
    "gap": (_of_measure("gap", "nDCG@10"), _fact("gap")),
    "overlap@10": _share("overlap@10", "Overlap@10"),
    "bits": (fact_column("bits", "Bits"), _count_bits),
    "bytes_with_ids": (
        fact_column("bytes_with_ids", "Bytes with ids", "low", decimals=1),
        _fact("bytes_with_ids"),
    ),
    "imbalance": (fact_column("imbalance", "Imbalance", "low", decimals=3), _fact("imbalance")),
    "row_error": (fact_column("row_error", "Row error", "low", decimals=3), _fact("row_error")),
    "rows": (fact_column("rows", "Rows"), _fact("rows")),
    "bytes_per_row": (
        fact_column("bytes_per_row", "Bytes a row", "low", decimals=1),
        lambda r, _: r.facts.get("bytes_per_row", r.bytes_per_vector),
    ),
    "probe_recall@10": _share("probe_recall@10", "Probe R@10"),
    "probe_recall@100": _share("probe_recall@100", "Probe R@100"),
    "recall_codes@10": _share("recall_codes@10", "Codes R@10"),
    "recall_exact@10": _share("recall_exact@10", "Exact R@10"),
    "recall_exact@100": _share("recall_exact@100", "Exact R@100"),
    "reader_rows_per_cpu_s": _rate("reader", "K read/CPU-s"),
    "encoder_rows_per_cpu_s": _rate("encoder", "K encoded/CPU-s"),
    "writer_rows_per_cpu_s": _rate("writer", "K written/CPU-s"),
    "train_s": (fact_column("train_s", "Train CPU-s", "low", decimals=2), _fact("train_s")),
    "ratio": (fact_column("ratio", "Ratio", "high", decimals=1), _fact("ratio")),
    "mse": (fact_column("mse", "Held-out MSE", "low", decimals=5), _fact("mse")),
    "seeds": (fact_column("seeds", "Seeds"), lambda r, _: None),  # counted over the row
    "negatives": (fact_column("negatives", "Negatives a query"), lambda r, _: r.negatives_per_query),
    "params": (fact_column("params", "Trained parameters"), _fact("params")),
    "gpu_hours": (fact_column("gpu_hours", "GPU hours", "low", decimals=2), _fact("gpu_hours")),
    "cpu_hours": (fact_column("cpu_hours", "CPU hours", "low", decimals=3), _fact("cpu_hours")),
    "hours": (fact_column("hours", "Training hours", "low", decimals=3), _fact("hours")),
    "price": (fact_column("price", "Price", "low", decimals=2), _fact("price")),
    "latency_ms": (fact_column("latency_ms", "Query ms", "low", decimals=2), _fact("latency_ms")),
    "latency_p95_ms": (fact_column("latency_p95_ms", "Query ms p95", "low", decimals=2), _fact("latency_p95_ms")),
    "queries_per_s": (fact_column("queries_per_s", "Queries/s", digits=TIMED), _fact("queries_per_s")),  # as above
    "index_bytes": (fact_column("index_bytes", "Index bytes", "low"), _fact("index_bytes")),
    **{key: (fact_column(key, header, decimals=3), _fact(key)) for key, header in isotropy.HEADERS.items()},
}

PRESETS: dict[str, tuple[str, ...]] = {
    "main": (*DEFAULT_MEASURES, "bytes", "kept"),
    "compression": (
        *("rows", "bytes_per_row", "bytes_with_ids", "bits"),
        *("nDCG@10", "kept", "gap", "overlap@10"),
        *("mse", "imbalance", "row_error"),
        *("probe_recall@10", "probe_recall@100", "recall_codes@10", "recall_exact@10", "recall_exact@100"),
        *("queries_per_s", "latency_ms", "train_s", "ratio"),
        *("reader_rows_per_cpu_s", "encoder_rows_per_cpu_s", "writer_rows_per_cpu_s"),
    ),
    "losses": (*DEFAULT_MEASURES, "negatives", "seeds"),
    "cost": (
        *("nDCG@10", "params", "hours", "cpu_hours", "gpu_hours", "price", "train_s"),
        *("bytes", "index_bytes", "latency_ms", "latency_p95_ms", "queries_per_s"),
    ),
    "beir": ("avg", "DATASETS"),
    CODE_PIVOT: (),
    ISOTROPY: (),
    ANSWERS: (),
}
ACROSS = ("beir",)
"""Presets with one column a data set; the others make one table a data set."""
BEIR = "beir/"
"""What a name may leave out where only BEIR's set of that name was evaluated: msmarco."""
NARROW = ("compression", "cost")
"""Presets with one measure, because their other columns are many."""


def averaged(column: Column, columns: Sequence[Column]) -> list[tuple[str, str, str]]:
    """The cells that an average is over: those it names, else those that the table shows."""
    places = column.over or [(c.dataset, c.split) for c in columns if c.kind == "measure"]
    return [(*place, column.measure) for place in dict.fromkeys(places)]


def headline(records: Sequence[Record], measures: Sequence[str] = ()) -> str:
    """The measure of a table with one column a data set."""
    present = list(dict.fromkeys(r.measure for r in records if r.measure))
    return next((m for m in (*measures, *DEFAULT_MEASURES) if m in present), present[0] if present else "nDCG@10")


def is_across(preset: str, columns: Sequence[str], records: Sequence[Record]) -> bool:
    """Whether the table's columns are data sets."""
    datasets = {r.dataset.lower() for r in records}
    return (preset in ACROSS and not columns) or any(
        c == "avg" or not datasets.isdisjoint((c.lower(), BEIR + c.lower())) for c in columns
    )


def choose(
    records: Sequence[Record],
    preset: str = "main",
    *,
    measures: Sequence[str] = (),
    columns: Sequence[str] = (),
    datasets: Sequence[str] = (),
    elsewhere: Sequence[str] = (),
) -> list[Column]:
    """Columns of a table over these records. Raises ConfigError for a name that is no column of them.

    datasets: those that an average must have, evaluated or not. Without them the average of a table by data set is over
    all that are there, shown or not; of any other table, over those that it shows. elsewhere: measures of the other
    tables of the same report, which may be named for this one too.

    A preset's own measures, and facts that no record has, are left out silently; what the user names never is.
    """
    if preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(PRESETS)}"
        raise ConfigError(f"no table named '{preset}'", hint=hint)
    present = list(dict.fromkeys(r.measure for r in records if r.measure))
    cells = list(dict.fromkeys((r.dataset, r.split) for r in records))
    first = headline(records, measures)
    wholes = index_wholes(records)
    wanted = list(columns)
    if not wanted:
        own = [c for c in PRESETS[preset] if c not in DEFAULT_MEASURES]
        at = next((i for i, c in enumerate(PRESETS[preset]) if c in DEFAULT_MEASURES), 0)
        usual = [m for m in DEFAULT_MEASURES if m in present] or present[:3]
        shown = list(measures) or (usual[:1] if preset in NARROW else usual)
        wanted = own if preset in ACROSS else [*own[:at], *shown, *own[at:]]
    chosen: list[Column] = []
    for name in (ALIASES.get(name, name) for name in wanted):
        if name == "DATASETS":
            chosen += [_measure_column(*cell, first, cells, single=False) for cell in cells if not is_forum(cell[0])]
        elif name == "avg":
            over = _over(cells, datasets) if datasets or preset in ACROSS else ()
            mean = Column(key="avg", header="Avg", kind="average", better="high", scale=100.0, measure=first)
            chosen.append(replace(mean, over=over))
        elif name not in present and (name in FACTS or any(name in r.facts for r in records)):
            column, read = FACTS.get(name, (fact_column(name, name, decimals=4), _fact(name)))
            if name in SHARES:
                column = _of_measure(name, first)
            if columns or name == "seeds" or any(read(r, wholes) is not None for r in records):
                chosen.append(column)
        elif hits := _places(name, cells):
            chosen += [_measure_column(*cell, first, cells, single=False) for cell in hits]
        elif name in present or name in elsewhere:
            chosen += [_measure_column(*cell, name, cells, single=len(cells) == 1) for cell in cells]
        else:
            known = ["avg", *FACTS, *dict.fromkeys(c[0] for c in cells), *present]
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"Measured: {', '.join(present)}"
            raise ConfigError(f"no column '{name}': no evaluation has it", hint=hint)
    return chosen


def list_filled(records: Sequence[Record]) -> list[str]:
    """Columns that some record has a value for: measures first, then facts."""
    wholes = index_wholes(records)
    read = [name for name, (_, reader) in FACTS.items() if any(reader(r, wholes) is not None for r in records)]
    return list(dict.fromkeys((*(r.measure for r in records if r.measure), *read)))


def _places(name: str, cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The splits of the data set of a name, or of BEIR's."""
    own = [cell for cell in cells if cell[0].lower() == name.lower()]
    return own or [cell for cell in cells if cell[0].lower() == BEIR + name.lower()]


def _over(cells: Sequence[tuple[str, str]], datasets: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What an average is over: these data sets in every split that was measured, else all; forums count as one."""
    there = [cell for cell in cells if not is_forum(cell[0])]
    if not datasets:
        return tuple(there)
    lacking = [(d, "") for d in datasets if d not in {name for name, _ in there}]
    return (*(cell for cell in there if cell[0] in datasets), *lacking)


def is_forum(dataset: str) -> bool:
    """CQADupStack's 12 parts count once, through their mean."""
    return dataset.startswith("cqadupstack/")


def _measure_column(
    dataset: str, split: str, measure: str, cells: Sequence[tuple[str, str]], *, single: bool
) -> Column:
    splits = [s for d, s in cells if d == dataset]
    name = dataset if len(splits) == 1 else f"{dataset} {split}"
    return Column(
        key=measure if single else f"{name} {measure}",
        header=measure if single else name,
        kind="measure",
        better="high",
        scale=100.0,
        dataset=dataset,
        split=split,
        measure=measure,
    )
