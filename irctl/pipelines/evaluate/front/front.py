"""`irctl eval --transforms front`: many transforms of one index, by each similarity, in one process and one run.

The moments of the corpus are summed once and every transform is fitted on them; ranking and scoring are those of
`irctl search` and `irctl eval`. Rankings are not kept: they are made again in less time than they take to read.
Queries that gave any of the transforms its mean are left out of all rows, so that rows are compared query by query.
Dimension key: Q queries, N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irctl import stopping
from irctl.data.collections import check
from irctl.errors import DataError
from irctl.index.scoring import METRIC, SIMILARITY
from irctl.ledger import taken
from irctl.metrics.ranking.evaluate import canonicalize, evaluate, run_sha256
from irctl.metrics.ranking.parsing import parse
from irctl.models import fingerprints
from irctl.models.embed import embed_queries
from irctl.models.locate import resolve_run_name
from irctl.models.transforms import affine
from irctl.models.transforms.affine import Statistics
from irctl.models.transforms.files import FittedTransform, hash_texts, hash_vectors
from irctl.models.transforms.stream import TransformedStream
from irctl.pipelines.evaluate import files
from irctl.pipelines.evaluate.front import asked
from irctl.pipelines.evaluate.front.opened import (
    FrontSource,
    find_index,
    open_encoder,
    open_rows,
    read_training_queries,
)
from irctl.pipelines.evaluate.isotropy import QUERIES, MeasuredDocuments
from irctl.pipelines.evaluate.measurements import Measurements
from irctl.pipelines.evaluate.populations import measure_asked, open_documents
from irctl.pipelines.evaluate.rankings import leave_out, result_rows
from irctl.pipelines.evaluate.targets import RankingSource, Target, find_targets
from irctl.pipelines.references import transforms
from irctl.pipelines.references.trained_models import hash_of_training
from irctl.pipelines.search import opened_index
from irctl.pipelines.search.document_ids import Documents
from irctl.pipelines.search.opened_index import Searched, settle_data
from irctl.pipelines.search.query_vectors import take
from irctl.pipelines.search.rank import Ranking, rank
from irctl.settings import Transform as Settings
from irctl.types import Reporter, Run, Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection, Queries
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.evaluate.request import EvalRequest

WIDTH = 384
"""For a dry run over vectors that are not there yet: of the default model."""
DEPTH = 100
"""Documents a query where neither -k nor a measure asks for more."""


@dataclass(frozen=True)
class Form:
    """One row of the front. is_own: compared as the encoder says, whatever that is called."""

    settings: Settings
    fitted: FittedTransform | None
    similarity: str
    is_own: bool

    @property
    def transform(self) -> str:
        return self.fitted.label if self.fitted is not None else asked.NONE

    @property
    def name(self) -> str:
        return f"{self.transform}, {self.similarity}"


class FrontJob:
    """What all rows share."""

    def __init__(
        self, opened: FrontSource, config: Config, run: RunHandle, reporter: Reporter, *, every_measure: bool = False
    ) -> None:
        """every_measure: of isotropy those that need rows too, and of queries as well."""
        self.opened, self.config, self.run, self.reporter = opened, config, run, reporter
        self.every_measure = every_measure
        self.raw = opened.searched
        assert self.raw.stream is not None
        self._statistics = transforms.measure_once(self.raw.stream, reporter)
        self._isotropy: dict[tuple[str, str], dict[str, Any]] = {}
        self._documents: dict[str, MeasuredDocuments] = {}

    @cached_property
    def statistics(self) -> Statistics:
        return self._statistics()

    def parts(self, wanted: Sequence[Settings], similarities: Sequence[str], target: Target) -> list[Form]:
        """Every transform by every similarity, fitted on the corpus of the target or taken from the cache."""
        own = SIMILARITY[self.raw.metric]
        queries = None
        if asked.needs_own_mean(wanted):
            assert target.collection is not None
            queries = read_training_queries(self.opened, target.collection, self.config)
        found = []
        for settings in wanted:
            for similarity in similarities:
                is_own = similarity == own or ({similarity, own} == {"dot", "cosine"} and self.statistics.are_unit)
                fitted = None
                if settings.name != asked.NONE:
                    assert self.raw.stream is not None
                    fitted = transforms.fit(
                        self.raw.stream,
                        settings,
                        METRIC[similarity],
                        queries if settings.query_mean == "own" else None,
                        Silent(),
                        statistics=lambda: self.statistics,
                    )
                found.append(Form(settings, fitted, similarity, is_own))
        means = dict.fromkeys(p.fitted.query_mean_of for p in found if p.fitted is not None)
        if means:
            self.reporter.say(f"fitted on {self.raw.rows} rows; mean of the queries: {', '.join(means)}")
        return list({p.name: p for p in found}.values())  # own means without training queries are the corpus' mean

    def isotropy(self, part: Form, collection: Collection) -> dict[str, Any]:
        """How evenly the documents use their dimensions, seen through transforms fitted on the other half of them."""
        key = collection.fingerprint
        if key not in self._documents:
            opened, seed = self.opened, self.config.run.seed
            self._documents[key] = open_documents(
                self.raw, collection, opened.encoder, opened.model, seed, self.reporter
            )
        of = (key, part.name)
        if of not in self._isotropy:
            metric = METRIC[part.similarity]
            documents = self._documents[key]
            self._isotropy[of] = documents.measure(part.settings, metric, of_moments=not self.every_measure)
        return self._isotropy[of]

    def searched(self, part: Form) -> Searched:
        """The rows as this part compares them."""
        metric = METRIC[part.similarity]
        if part.fitted is None:
            return replace(self.raw, metric=metric)
        stream: Any = TransformedStream(self.raw.stream, part.fitted)  # type: ignore[arg-type]
        return replace(self.raw, metric=metric, stream=stream, dim=stream.dim, transform=part.fitted)


def measure(config: Config, run: RunHandle, reporter: Reporter, request: EvalRequest) -> Measurements:
    """A row for every transform, similarity, data set, split and measure. Raises ConfigError, DataError."""
    index = find_index(request, config)
    if taken.is_open(request.index) and not request.model:
        taken.record(run, *(("--index", index) if index else ("--model", config.model.name)))
    raw = open_rows(index, config, run, reporter, request.model)
    wanted = asked.transforms(request.transforms or asked.NONE, config, raw.raw_dim)
    similarities = asked.similarities(request.similarities, SIMILARITY[raw.metric])
    config = settle_data(config, raw)
    targets, left_out = find_targets(config, RankingSource(), request)
    targets = [replace(t, dataset=run.scrub(t.dataset), split=run.scrub(t.split)) for t in targets]
    opened = open_encoder(raw, targets, config, request.model, own=asked.needs_own_mean(wanted))
    job = FrontJob(opened, config, run, reporter, every_measure=request.isotropy)
    measured = Measurements(left_out=left_out)
    for target in targets:
        measured.add(_measure_target(target, wanted, similarities, job))
    measured.lines.extend(target.said for target in targets if target.said)
    _note(job)
    return measured


def _measure_target(
    target: Target, wanted: Sequence[Settings], similarities: Sequence[str], job: FrontJob
) -> Measurements:
    """All rows of one data set and split, over the same queries."""
    assert target.collection is not None
    check.refuse_unfit_ids(target.collection, target.split)
    parts = job.parts(wanted, similarities, target)
    asked_queries = target.collection.queries(target.split)
    vectors_QD = embed_queries(job.opened.encoder, asked_queries.ids, asked_queries.texts, job.config.encoder)
    gave_Q = _who_gave(parts, asked_queries.texts, vectors_QD)
    if gave_Q.any():
        gave = take(asked_queries, gave_Q).ids
        target = leave_out(target, gave, "a transform", job.reporter, also=", or name --transforms front:corpus")
        asked_queries, vectors_QD = take(asked_queries, ~gave_Q), vectors_QD[~gave_Q]
    depth = _depth(target, job.config)
    measured, names = Measurements(), dict[int, str]()
    documents = Documents(job.raw, target.collection, job.reporter)
    with job.reporter.bar(f"{target.dataset} {target.split}", len(parts)) as advance:
        for part in parts:
            stopping.check("nothing of a front is kept before all of it is there")
            searched = job.searched(part)
            k = depth + (target.self_match == "drop")
            found = rank(searched, searched.of_queries(vectors_QD), k, job.config, job.run.paths.folder, job.reporter)
            _add(measured, part, target, _to_run(asked_queries.ids, found, documents, names), found, depth, job)
            if job.every_measure:
                measured.searches[-1]["isotropy"].append(_measure_queries(target, asked_queries, searched, job))
            advance(1)
    return measured


def _measure_queries(target: Target, asked_queries: Queries, searched: Searched, job: FrontJob) -> dict[str, Any]:
    """Isotropy of the queries of one row, or {population, refused} where too few are left to measure."""
    try:
        return measure_asked(target, asked_queries, searched, job.opened.encoder, job.opened.model, job.reporter)
    except DataError as e:
        return {"population": QUERIES, "refused": str(e)}


def _who_gave(parts: Sequence[Form], texts: Sequence[str], vectors_QD: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which queries gave any of the transforms its query mean, by text or vector."""
    fitted = {p.fitted.query_mean_of: p.fitted for p in parts if p.fitted is not None and len(p.fitted.query_hashes)}
    gave_Q = np.zeros(len(texts), bool)
    for one in fitted.values():
        gave_Q |= one.gave_mean(hash_texts(texts)) | one.gave_mean(hash_vectors(vectors_QD))
    return gave_Q


def _depth(target: Target, config: Config) -> int:
    """Documents a query that the measures look at; search.k where it was set or a measure looks at all."""
    cutoffs = [m.cutoff for m in parse(target.measures)]
    if "search.k" in config.origins or any(c is None for c in cutoffs):
        return config.search.k
    return max([DEPTH, *(c for c in cutoffs if c is not None)])


def _to_run(ids: Sequence[str], found: Ranking, documents: Documents, names: dict[int, str]) -> Run:
    """The ranking by ids. names: those of rows that were looked up before; the rows of a front are mostly the same."""
    unknown = [row for row in np.unique(found.rows_Qk).tolist() if row >= 0 and row not in names]
    names.update(zip(unknown, documents.of(np.array(unknown, np.int64)), strict=True))
    lists = zip(ids, found.rows_Qk.tolist(), found.scores_Qk.tolist(), strict=True)
    return {q: {names[r]: s for r, s in zip(rows, scores, strict=True) if r >= 0} for q, rows, scores in lists}


def _add(
    measured: Measurements, part: Form, target: Target, ranked: Run, found: Ranking, depth: int, job: FrontJob
) -> None:
    """Means, values of queries and the search of one row."""
    scored = evaluate(
        ranked, target.qrels, target.measures, self_match=target.self_match, k=depth, top_grade=target.top_grade
    )
    sha256 = run_sha256(canonicalize(ranked, depth, self_match=target.self_match))
    about = {"part": part.name, "transform": part.transform, "similarity": part.similarity}
    search = {
        "dataset": target.dataset,
        "split": target.split,
        "method": "dense",
        "model": job.opened.model,
        "model_fingerprint": job.opened.encoder.fingerprint("passage"),
        "k": depth,
        "dim": job.searched(part).dim,
        "rows": job.raw.rows,
        "boundary_ties": found.boundary_ties,
        "is_own": part.is_own,
        "run_sha256": sha256,
        "reading": fingerprints.describe_reading(
            job.opened.encoder, job.raw.about.get("encoder") or {}, job.config.origins
        ),
        **about,
    }
    assert target.collection is not None
    search["isotropy"] = [job.isotropy(part, target.collection)]
    measured.results.extend({**row, **about} for row in result_rows(target, scored, sha256, search))
    rows = files.make_query_rows(target.dataset, target.split, scored)
    measured.per_query.extend({**row, "part": part.name} for row in rows)
    measured.searches.append(search)


def _note(job: FrontJob) -> None:
    """What the ledger knows of the run: the encoder, the rows and where they lie."""
    encoder, raw, run = job.opened.encoder, job.raw, job.run
    fingerprint = encoder.fingerprint("passage")
    run.note(model_fingerprint=fingerprint, dataset_fingerprint=str(raw.about.get("corpus") or raw.fingerprint))
    folder = encoder.located.folder
    run.artifact("in", "model", folder, sha256=hash_of_training(folder) or fingerprint, dim=encoder.dim)
    if raw.folder is not None:
        run.artifact("in", "embeddings", raw.folder, sha256=raw.fingerprint, n_rows=raw.rows, dim=raw.raw_dim)


def describe(config: Config, request: EvalRequest) -> dict[str, Any]:
    """What --dry-run prints: the rows, the transforms by name, and what they are measured on."""
    index = find_index(request, config)
    raw = opened_index.open_index(index, config, fits=False) if index else None
    wanted = asked.transforms(request.transforms or asked.NONE, config, raw.raw_dim if raw else WIDTH)
    by = asked.similarities(request.similarities, SIMILARITY[raw.metric] if raw else "cosine")
    targets, _ = find_targets(settle_data(config, raw), RankingSource(), replace(request, keep_going=True))
    labels = [affine.label(affine.describe(one)) for one in wanted]
    of = index or resolve_run_name(request.model or config.model.name)
    plan: dict[str, Any] = {"evaluate": {"of": of, "transforms": labels, "similarities": by}}
    return plan | {f"{t.dataset} {t.split}": {"queries": len(t.qrels), "measures": t.measures} for t in targets}
