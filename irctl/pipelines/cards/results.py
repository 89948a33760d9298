"""What the ledger knows of how well a model or a bundle does, beside what it was made from, with paired tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.ledger import query
from irctl.ledger.query import RunRecord
from irctl.models import fingerprints
from irctl.reports.records import FACETS, Record, find_mixed, find_uncompressed, index_wholes, keep_newest
from irctl.reports.significance import Comparison, compare, correct, describe_p

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

PerQuery = Callable[[Record], Mapping[str, float] | None]
TASK = "information-retrieval"
NEGATIVES = "negatives_per_query"


@dataclass(frozen=True)
class Result:
    """One mean; before: that of what it was made from, and test: the paired one of the two, where there are both.

    unlike: in what the two were measured otherwise; then there is no test.
    """

    record: Record
    before: Record | None = None
    unlike: tuple[str, ...] = ()
    test: Comparison | None = None


@dataclass(frozen=True)
class Base:
    """What a training began with: its name, and the training that made it, else its files of weights by name."""

    name: str
    run: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def of_model(run: RunRecord, base: Base, records: Sequence[Record], per_query: PerQuery) -> list[Result]:
    """Of the model of a training, with its vectors as they are, beside the model that it began with."""
    trainings = {train.id for train in query.list_runs(command="train")}
    plain = [r for r in records if r.base and not (r.compression or r.transform)]
    made_by = {r.run_id: next((i for i in r.lineage if i in trainings), "") for r in plain}  # the newest training
    mine = [r for r in keep_newest(plain) if made_by[r.run_id] == run.id]
    start = [r for r in plain if made_by[r.run_id] == base.run and (base.run or _is_of(base, r))]
    start.sort(key=lambda r: (r.created_at, r.run_id), reverse=True)

    def find(record: Record) -> Record | None:
        fitting = [r for r in start if r.cell == record.cell and r.qrels_sha256 == record.qrels_sha256]
        apart = [differences(record, r, of_texts=True) for r in fitting]
        order = sorted(range(len(fitting)), key=lambda i: (len(apart[i]), apart[i], i))  # not by which was run last
        return fitting[order[0]] if order else None

    return _test(mine, find, per_query, of_texts=True)


def of_folder(key: str, records: Sequence[Record]) -> list[Result]:
    """Of a model whose training is not in the ledger, with its vectors as they are. key: of the model there."""
    sql = "SELECT id FROM runs WHERE command = 'eval' AND model_fingerprint = ?"
    mine = {str(row["id"]) for row in query.rows(sql, (key,))}
    plain = [r for r in records if r.run_id in mine and not (r.compression or r.transform)]
    return [Result(record) for record in keep_newest(plain)]


def _is_of(base: Base, record: Record) -> bool:
    """By the weights that were read; by its name where an evaluation did not keep them."""
    files = record.reading.get(fingerprints.FILES)
    return files == base.files if files and base.files else record.model == base.name


def differences(record: Record, other: Record, *, of_texts: bool) -> tuple[str, ...]:
    """In what two evaluations of one cell were measured otherwise: by what they were compared, how texts were read.

    of_texts: that neither says how it read them is a difference too.
    """
    shown = [
        f"{FACETS[facet]} {', here '.join(value[:12] for value in values)}"
        for facet, values in find_mixed([other, record]).items()
        if facet != NEGATIVES  # of the training
    ]
    if record.reading and other.reading:
        return (*shown, *fingerprints.list_differences(record.reading, other.reading))
    lost = [r.run_id for r in (record, other) if not r.reading]
    said = f"run {lost[0]} did not record how texts were read: evaluate again"
    return (*shown, said) if of_texts or len(lost) == 1 else tuple(shown)


def of_bundle(fingerprint: str, records: Sequence[Record], per_query: PerQuery) -> list[Result]:
    """Of searches in a bundle, beside the same vectors uncompressed."""
    return _of_searched("bundle", fingerprint, [r for r in keep_newest(records) if r.compression], records, per_query)


def of_transformed(fingerprint: str, label: str, records: Sequence[Record], per_query: PerQuery) -> list[Result]:
    """Of searches in encoded vectors behind a transform, beside the same vectors as encoded."""
    mine = [r for r in keep_newest(records) if r.transform == label and not r.compression]
    return _of_searched("embeddings", fingerprint, mine, records, per_query)


def _of_searched(
    kind: str, fingerprint: str, among: Sequence[Record], records: Sequence[Record], per_query: PerQuery
) -> list[Result]:
    """Those that read this artifact, or whose search did, beside the same vectors uncompressed and as encoded."""
    sql = "SELECT run_id FROM artifacts WHERE role = 'in' AND kind = ? AND sha256 = ?"
    readers = {str(row["run_id"]) for row in query.rows(sql, (kind, fingerprint))}
    newest = keep_newest(records)
    mine = [r for r in among if {r.run_id, *r.lineage[:1]} & readers]
    wholes = index_wholes(newest)
    return _test(mine, lambda record: find_uncompressed(record, wholes), per_query)


def _test(
    mine: Iterable[Record], find: Callable[[Record], Record | None], per_query: PerQuery, *, of_texts: bool = False
) -> list[Result]:
    found = [(record, find(record)) for record in mine]
    results = [Result(r, o, differences(r, o, of_texts=of_texts) if o else ()) for r, o in found]
    family, tested = [], []
    for place, result in enumerate(results):
        if result.before is None or result.unlike:
            continue
        try:
            values, baseline = per_query(result.record), per_query(result.before)
        except DataError as e:
            results[place] = replace(result, unlike=(str(e),))
            continue
        if values and baseline and values.keys() == baseline.keys():
            family.append(compare(values, baseline))
            tested.append(place)
    for place, comparison in zip(tested, correct(family), strict=True):
        results[place] = replace(results[place], test=comparison)
    return results


def rows(results: Sequence[Result], before: str) -> list[dict[str, object]]:
    """Results as a table. before: what the other values are of."""
    shown: list[dict[str, object]] = []
    for result in results:
        r, t = result.record, result.test
        row: dict[str, object] = {
            "data set": r.dataset,
            "split": f"{r.split} (a checkpoint was chosen on it)" if r.selected_on_eval else r.split,
            "queries": r.n_queries,
            "measure": r.measure,
            "value": f"{r.value:.4f}",
            before: f"{result.before.value:.4f}" if result.before else "not evaluated",
            "difference, 95 % interval": f"{t.delta:+.4f} ({t.ci_low:+.4f} to {t.ci_high:+.4f})" if t else "",
            "p": describe_p(t.p_raw, t.p_adj, t.family, t.correction)
            if t
            else f"not tested{': ' if result.unlike else ''}{'; '.join(result.unlike)}",
            "run": f"`{r.run_id}`",
        }
        shown.append(row)
    return shown


def notes(results: Sequence[Result]) -> str:
    """How the numbers of the table came about."""
    if not results:
        return "Not evaluated when this was written: `irctl eval`, then `irctl export RUN --to card`."
    return "Paired t-tests over queries, p corrected by Holm over the tests of this table; intervals by bootstrap."


def as_metadata(results: Sequence[Result]) -> list[EvalResult] | None:
    """The same for the card's metadata."""
    from huggingface_hub import EvalResult

    made: list[Any] = [
        EvalResult(
            task_type=TASK,
            task_name="Information Retrieval",
            dataset_type=result.record.dataset.replace("/", "-"),
            dataset_name=result.record.dataset,
            dataset_split=result.record.split,
            dataset_args={"queries": result.record.n_queries, "qrels_sha256": result.record.qrels_sha256},
            metric_type=result.record.measure,
            metric_name=result.record.measure,
            metric_value=round(result.record.value, 6),
        )
        for result in results
    ]
    return made or None
