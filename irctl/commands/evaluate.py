"""`irctl eval`: measures of a run file, a model or an index, with per-query values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from irctl.commands.frame.execute import execute
from irctl.commands.frame.options import Options, with_options
from irctl.commands.frame.record import Job
from irctl.pipelines.evaluate.request import EvalRequest

if TYPE_CHECKING:
    from irctl.config import Config

NAMES = {
    "data.source": "--data",
    "data.split": "--split",
    "model.name": "--model",
    "eval.measures": "--measures",
    "search.k": "-k",
    "search.rerank": "--rerank",
    "eval.on_conflict": "--on-conflict",
}


@with_options
def evaluate(
    options: Options,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="run files (TREC, ranx), patterns such as 'out/{dataset}.trec'; a bundle for --recall-against"
        ),
    ] = None,
    qrels: Annotated[str | None, typer.Option(help="judgements for the run file: TREC, BEIR, ranx")] = None,
    model: Annotated[
        str | None, typer.Option(help="encoder to search with: folder, hub id or run; latest:GROUP: every arm")
    ] = None,
    index: Annotated[str | None, typer.Option(help="bundle or vectors to search: folder, run, RUN:METHOD")] = None,
    data: Annotated[
        str | None, typer.Option(help="collection, folder, FILE.json:NAME, or group such as beir-14")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="judgements of this split; dev,test: two results; dev+test or all: one over all queries"),
    ] = None,
    measures: Annotated[str | None, typer.Option(help="preset or list, such as 'nDCG@10 RR@10'")] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", help="documents a query")] = None,
    rerank: Annotated[int | None, typer.Option(help="re-score so many of the best by exact vectors")] = None,
    on_conflict: Annotated[
        str | None, typer.Option(help="a pair judged twice with other grades: error, max (highest) or last")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="run to compare with: adds paired tests")] = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="print every query's values")] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="skip missing collections; exit 5")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="evaluate again what is finished")] = False,
    format: Annotated[str, typer.Option(help="run file format: msmarco, or trec for all others")] = "trec",
    trust_rank: Annotated[
        bool, typer.Option("--trust-rank", help="order a TREC run file by its rank column, not its scores")
    ] = False,
    recall_against: Annotated[
        str | None, typer.Option(help="exact: measure codes by exact search over their vectors, not by judgements")
    ] = None,
    queries: Annotated[
        str | None, typer.Option(help="held-out query vectors for --recall-against: a .npy file")
    ] = None,
    transforms: Annotated[
        str,
        typer.Option(
            help="measure an index in several forms: front, or a list such as none,soft_whiten:.25,whiten:256"
        ),
    ] = "",
    similarities: Annotated[str, typer.Option(help="by each of these: a list of dot, cosine, euclid")] = "",
    export: Annotated[
        str | None, typer.Option(help="repconc: SPLIT/metric.json; mteb: its files; or KIND:FOLDER")
    ] = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="compare with published values")] = False,
    isotropy: Annotated[
        bool, typer.Option("--isotropy", help="how evenly documents and queries use their dimensions, held out")
    ] = False,
) -> None:
    """Evaluate. Every judged query counts; ties are broken as trec_eval does; per-query values are kept with the run.

    With nothing given: the newest search, else the newest model, on its collection. --recall-against exact gives the
    share of the exact 10 and 100 nearest (or of -k) that codes find, and with --rerank what exact vectors restore.
    --transforms measures vectors through each transform of the list, fitted on the corpus: one run, one row each; a
    last word such as front:corpus says what queries are centred by (own, corpus or none).
    --model latest:GROUP, of a recipe with arms, evaluates each of them, --devices one on each.

    \b
    Examples:
      irctl eval
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev
      irctl eval --measures "nDCG@10 AP@100 R@50" --per-query
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev --export mteb
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev,test --export repconc
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev --set transform.name=soft_whiten
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev+test --isotropy
      irctl eval --index latest --transforms front --similarities cosine,euclid --split dev+test
      irctl eval --index latest --recall-against exact --rerank 200
      irctl eval --dry-run
    """

    request = EvalRequest(
        run_files=tuple(runs or ()),
        qrels=qrels,
        model=model,
        index=index,
        split=split,
        baseline=baseline,
        per_query=per_query,
        keep_going=keep_going,
        overwrite=overwrite,
        format=format,
        recall_against=recall_against,
        queries=queries,
        export=export,
        oracle=oracle,
        trust_rank=trust_rank,
        isotropy=isotropy,
        transforms=transforms,
        similarities=similarities,
    )

    def work(job: Job) -> dict[str, object]:
        from irctl.pipelines.evaluate import evaluate as pipeline

        return pipeline.evaluate(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        from irctl.pipelines.evaluate import evaluate as pipeline

        return pipeline.describe(config, request)

    named = {
        "model.name": model,
        "data.source": data,
        "data.split": split,
        "eval.measures": measures,
        "search.k": k,
        "search.rerank": rerank,
        "eval.on_conflict": on_conflict,
    }
    from irctl.commands.frame.group import evaluate_arms
    from irctl.commands.frame.guard import guarded
    from irctl.pipelines.arms.members import find_group

    with guarded(options.json_, options.debug):
        group = find_group(model) if model else None
    if group is not None:
        return evaluate_arms(options, group, named=named, names=NAMES)
    execute("eval", options, named=named, names=NAMES, work=work, describe=describe)
