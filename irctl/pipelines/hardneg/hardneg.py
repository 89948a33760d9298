"""Mining hard negatives: rank the corpus for the training queries, drop what is judged, keep what misleads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, stopping
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.training_source import train_split
from irctl.errors import ConfigError, DataError, counted
from irctl.hashing import sha256_file
from irctl.ledger import taken
from irctl.pipelines.hardneg import rescore
from irctl.pipelines.hardneg.judged_split import MiningSplit, open_split, refuse_evaluated
from irctl.pipelines.hardneg.mine import mine_to_file
from irctl.pipelines.hardneg.rankers import Ranker, rank_by_bm25, rank_by_run
from irctl.pipelines.hardneg.rules import read_rules
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


@dataclass(frozen=True, kw_only=True)
class MiningRequest:
    """Where candidates come from, and where negatives go. retriever: bm25, dense, index or run.

    index: bundle or vectors: folder, run or RUN:METHOD; None or latest: the newest codes that fit the corpus.
    forced: also for a split that is evaluated.
    """

    retriever: str = "bm25"
    index: str | None = None
    run_file: str | None = None
    out: str | None = None  # file; None: in the run folder
    forced: bool = False

    @property
    def is_by_lineage(self) -> bool:
        """Whether the index is to be found among those that fit."""
        return self.retriever == "index" and self.index in (None, "latest")


BY_BM25 = MiningRequest()


def hardneg(config: Config, run: RunHandle, reporter: Reporter, request: MiningRequest = BY_BM25) -> dict[str, Any]:
    """Mine negatives for one split into a grouped JSONL (or tsv) file with its provenance beside it."""
    from irctl.data.collections.open import open_for
    from irctl.pipelines.references import newest

    if not request.is_by_lineage:
        request = replace(request, index=newest.settle_index(request.index, run))
    config = _with_data_of(request, config)
    collection = open_for(config)
    read_rules(config.hardneg)  # before an index is built or a model loaded
    suffix = _choose_suffix(config, request.out)
    if not request.forced:
        refuse_evaluated(config, collection)
    split = open_split(config, collection)
    ranker = _open_ranker(split, config, run, reporter, request)
    kept = _keep_ranking(split, ranker, config, run, reporter)
    if config.hardneg.rescore:
        trusts = config.model.trust_remote_code
        ranker = rescore.rescore(ranker, split, config.hardneg.rescore, run.paths.folder, trust_remote_code=trusts)
    target = Path(request.out) if request.out else run.out / f"negatives.{suffix}"
    counts = mine_to_file(split, ranker, config.hardneg, config.run.seed, target, reporter)
    (run.paths.folder / rescore.FILE).unlink(missing_ok=True)
    run.note(
        dataset=dataset_name(config.run.dataset, collection.name),
        dataset_fingerprint=collection.fingerprint,
        method=ranker.provenance["retriever"],
        model=str(ranker.provenance.get("model", "")),
    )
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("out", "negatives", target, sha256=sha256_file(target), n_rows=counts.negatives)
    if counts.no_positive:
        reporter.warn(f"{counts.no_positive} of {len(split.queries)} queries have no positive to compare with: skipped")
    found = {"negatives_file": str(target), "split": split.name, "retriever": request.retriever, **asdict(counts)}
    return found | ({"run_file": str(kept)} if kept else {})


def _keep_ranking(
    split: MiningSplit, ranker: Ranker, config: Config, run: RunHandle, reporter: Reporter
) -> Path | None:
    """The ranking that negatives are taken from, judged documents and all, as a run file: to look at and to compare."""
    from irctl.data.collections.check import refuse_unfit_ids
    from irctl.data.judgements.runs import write_run

    if not (ranker.is_searched and config.eval.save_run):
        return None
    try:
        refuse_unfit_ids(split.collection, split.name)
    except DataError as e:
        reporter.warn(f"no run file is kept: {e.message}")
        return None
    target, depth = run.out / "run.trec.gz", config.hardneg.depth
    ranked = ((q, ranker.ranked(row, depth + len(split.left_out.of(row)))) for row, q in enumerate(split.queries.ids))
    with stopping.at_once("nothing of the mining is kept"):
        write_run(target, ranked, run.id)
    run.artifact("out", "run_file", target, n_rows=len(split.queries))
    return target


def _choose_suffix(config: Config, out: str | None) -> str:
    """The ending of the file. Raises ConfigError where --out has one and hardneg.format another."""
    from irctl.data.files.lines import suffix

    if out:
        files.check_file(Path(out))
    wanted, origin = config.hardneg.format, config.origins.get("hardneg.format")
    if out and origin and (suffix(Path(out)) == ".tsv") != (wanted == "tsv"):
        raise ConfigError(
            f"--out {out}: hardneg.format={wanted} (from {origin}) needs a file that ends in .{wanted}",
            hint="Rename it, or drop hardneg.format: the ending of --out decides",
        )
    return wanted


def _open_ranker(
    split: MiningSplit, config: Config, run: RunHandle, reporter: Reporter, request: MiningRequest
) -> Ranker:
    if request.retriever == "run":
        if not request.run_file:
            raise ConfigError("--retriever run: no run file given", hint="Add --run FILE")
        return rank_by_run(Path(request.run_file), split.queries)
    if request.retriever == "bm25":
        return rank_by_bm25(split, config)
    from irctl.pipelines.hardneg.dense_rankers import rank_by_encoder, rank_by_index

    if request.retriever == "index":
        index = _index_of(request, config, reporter)
        if request.is_by_lineage:
            taken.record(run, "--index", taken.name_of(Path(index)))
        return rank_by_index(index, split, config, run, reporter)
    return rank_by_encoder(split, config, run, reporter)


def _with_data_of(request: MiningRequest, config: Config) -> Config:
    """The settings with the collection of an index that is named, unless they name one."""
    if request.retriever != "index" or request.is_by_lineage:
        return config
    from irctl.pipelines.search import opened_index

    return opened_index.settle_data(config, opened_index.open_index(str(request.index), config))


def _index_of(request: MiningRequest, config: Config, reporter: Reporter) -> str:
    """The index that is named, or the newest bundle of this corpus. DataError, with what makes one, without any."""
    if not request.is_by_lineage:
        return str(request.index)
    from irctl.pipelines.references.fitting import fitting_bundle

    return str(fitting_bundle(config, reporter).folder)


def describe(config: Config, request: MiningRequest = BY_BM25) -> dict[str, Any]:
    """What --dry-run prints: which queries, which documents, where from."""
    from irctl.data.collections.open import open_for
    from irctl.types import Silent

    config = _with_data_of(request, config)
    collection, name = open_for(config), train_split(config)
    if not request.forced:
        refuse_evaluated(config, collection)
    rules = read_rules(config.hardneg)
    retriever = f"dense, {config.model.name}" if request.retriever == "dense" else request.retriever
    if request.retriever == "index":
        retriever = f"index, {_index_of(request, config, Silent())}"
    return {
        "mining": {
            "collection": f"{collection.name}, {counted(len(collection.corpus), 'document')}",
            "queries": f"{len(collection.queries(name))} of {name}",
            "retriever": retriever,
            "negatives a query": f"{rules.num}, {rules.pick}, from ranks {rules.first} to {rules.last - 1}",
        }
    }
