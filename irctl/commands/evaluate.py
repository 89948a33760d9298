"""`irctl eval`: measures of a run file, a model or an index, with per-query values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
        str | None,
        typer.Option(
            help="encoder to search with: folder, hub id or run; latest:GROUP: every arm; default: the newest"
        ),
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
    task: Annotated[
        str, typer.Option(help="what a language model answers by compressed contexts: rag-qa, sum, icl, reasoning")
    ] = "",
    run: Annotated[
        str | None, typer.Option(help="with --task: run file or search of a collection, whose top 5 are the context")
    ] = None,
    answers: Annotated[str | None, typer.Option(help="with --run: FILE.json of {query id: [answers]}")] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="with --task: contexts of other questions, and rows of zeros, too")
    ] = False,
    cached: Annotated[
        bool, typer.Option("--cached", help="with --task: passages compressed one by one too, from the cache")
    ] = False,
) -> None:
    """Evaluate. Every judged query counts; ties are broken as trec_eval does; per-query values are kept with the run.

    With nothing given: the newest search, else the newest model, on its collection. --recall-against exact gives the
    share of the exact 10 and 100 nearest (or of -k) that codes find, and with --rerank what exact vectors restore.
    --transforms measures vectors through each transform of the list, fitted on the corpus: one run, one row each; a
    last word such as front:corpus says what queries are centred by (own, corpus or none).
    --task measures the answers of a language model whose contexts a compressive encoder (--model) compresses, at each
    of acerag.ratios, beside other contexts of as many tokens: --task rag-qa --model RUN --data recall-test. Other
    --data: a file of questions, or a collection with --run and --answers.
    --model latest:GROUP, of a recipe with arms, evaluates each of them, --devices one on each.

    \b
    Examples:
      irctl eval
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev
      irctl eval --measures "nDCG@10 AP@100 R@50" --per-query
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev \\
        --export mteb
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 \\
        --split dev,test --export repconc
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 --split dev \\
        --set transform.name=soft_whiten
      irctl eval --model sentence-transformers/all-MiniLM-L6-v2 \\
        --split dev+test --isotropy
      irctl eval --index latest --transforms front \\
        --similarities cosine,euclid --split dev+test
      irctl eval --index latest --recall-against exact --rerank 200
      irctl eval --dry-run
    """

    if task or run or answers or controls or cached:
        of_rankings = {
            "RUNS": runs, "--qrels": qrels, "--index": index, "--measures": measures, "-k": k, "--rerank": rerank,
            "--on-conflict": on_conflict, "--keep-going": keep_going, "--trust-rank": trust_rank, "--queries": queries,
            "--recall-against": recall_against, "--transforms": transforms, "--similarities": similarities,
            "--export": export, "--oracle": oracle, "--isotropy": isotropy, "--overwrite": overwrite,
        }  # fmt: skip
        return _answer(
            options,
            unfit=[name for name, given in of_rankings.items() if given],
            named={"data.source": data, "model.name": model, "data.split": split},
            task=task,
            model=model,
            split=split,
            run=run,
            answers=answers,
            controls=controls,
            cached=cached,
            baseline=baseline,
            per_query=per_query,
        )
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
    execute("eval", options, named=named, names=NAMES, work=work, describe=describe, check=request.check)


def _answer(options: Options, *, unfit: list[str], named: dict[str, str | None], **asked: Any) -> None:
    """`irctl eval --task`: answers over contexts in place of rankings."""
    from irctl.commands.frame.guard import guarded
    from irctl.errors import ConfigError

    with guarded(options.json_, options.debug):
        if not asked["task"]:
            given = next(f"--{name}" for name in ("run", "answers", "controls", "cached") if asked[name])
            raise ConfigError(f"{given}: is of --task", hint="Add --task rag-qa, sum, icl or reasoning")
        if unfit:
            raise ConfigError(f"{unfit[0]}: is of rankings, and --task measures answers", hint="Drop one")
    from irctl.pipelines.answer.request import AnswerRequest

    request = AnswerRequest(**asked)

    def work(job: Job) -> dict[str, object]:
        from irctl.pipelines.answer import answer

        return answer.evaluate(job.config, job.run, job.reporter, request)

    def describe(config: Config) -> dict[str, object]:
        from irctl.pipelines.answer import answer

        return answer.describe(config, request)

    execute("eval", options, named=named, names=NAMES, work=work, describe=describe, check=request.check)
