"""What an evaluation scores: each data set and split with its judgements and its run file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.data.files.hub import NotFetched
from irctl.errors import ConfigError, DataError
from irctl.origins import derived
from irctl.pipelines.evaluate import repconc_files
from irctl.pipelines.references import bundles
from irctl.pipelines.references.run_files import run_behind, run_file_of, search_that_wrote
from irctl.pipelines.search import opened_index
from irctl.reports.columns import is_forum
from irctl.types import Qrels

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.query import RunRecord
    from irctl.pipelines.evaluate.request import EvalRequest

ORIGIN = derived("the evaluated run")
SHOWN_NAMES = 20
"""Names of missing data sets in one line."""


@dataclass(frozen=True)
class Target:
    """One data set and split. run_file is None where a search has to make it; made_by is the run that made the file."""

    dataset: str
    split: str
    qrels: Qrels = field(repr=False)
    qrels_sha256: str
    self_match: str
    measures: str  # preset or list, those of the export among them
    config: Config = field(repr=False)
    collection: Collection | None = field(repr=False, default=None)
    top_grade: int | None = None  # of the scale, by the card
    n_conflicts: int = 0  # pairs judged twice with other grades, of which eval.on_conflict kept one
    n_left_out: int = 0  # judged queries that gave a transform its query mean
    run_file: Path | None = None
    made_by: RunRecord | None = None
    said: str = ""  # what the user is told of it
    own_measures: str = ""  # those that were asked for; empty: all of `measures`
    level: int = 1  # the grade from which a document counts in what is exported

    @property
    def slug(self) -> str:
        return f"{self.dataset}.{self.split}".replace("/", "-")


@dataclass(frozen=True)
class RankingSource:
    """Where rankings come from: files (pattern or run), or a model and an index to search with."""

    files: tuple[str, ...] = ()
    model: str | None = None
    index: str | None = None

    def words(self) -> list[str]:
        """How a command line names it."""
        named = {"--model": self.model, "--index": self.index}
        return [*self.files, *(w for option, value in named.items() if value for w in (option, value))]


def find_newest_source() -> RankingSource:
    """The newest finished search, else the newest trained model or index, else the default model."""
    from irctl.ledger import query

    index, others = bundles.newest_run(), [query.newest(command=c) for c in ("search", "train")]
    newest = [r for r in (index, *others) if r is not None]  # of a training with codes they are what it made
    if not newest:
        return RankingSource()
    last = max(newest, key=lambda r: str(r.columns.get("created_at", "")))
    if index is not None and last.id == index.id:
        return RankingSource(index=last.id)
    return RankingSource(files=(last.id,)) if last.columns["command"] == "search" else RankingSource(model=last.id)


def find_targets(config: Config, source: RankingSource, request: EvalRequest) -> tuple[list[Target], dict[str, str]]:
    """(targets, data set -> why it is left out). Every missing collection is named before any work is done.

    Raises DataError if some are missing without keep_going, or none is left. The closed members of a group, such as
    bioasq of beir-18, are left out in any case.
    """
    from irctl.data.collections.open import NotPublic
    from irctl.metrics.ranking.parsing import parse

    made_by = run_behind(source.files[0]) if len(source.files) == 1 else None
    if made_by is not None:
        config = _take_settings(config, made_by)
    if source.index:
        config = opened_index.settle_data(config, opened_index.open_index(source.index, config))
    if request.qrels is not None:
        return [_find_by_qrels(config, source, request, request.qrels, made_by)], {}
    present: list[Target] = []
    missing: dict[str, DataError] = {}
    given = {s.strip() for s in config.data.source.split(",")}
    for name in expand_source(config.data.source, config.data.root):
        try:
            present += _find_in_collection(name, config, source, request, made_by)
        except DataError as e:
            own_name = dataset_name("", name)
            missing[name if own_name in missing else own_name] = e
    unusable = {name: e for name, e in missing.items() if not isinstance(e, NotFetched)}  # a dry run fetches nothing
    if present:  # what nobody can fetch is left out of a group, and named
        unusable = {name: e for name, e in unusable.items() if name in given or not isinstance(e, NotPublic)}
    if unusable and (not request.keep_going or not present):
        if len(missing) == 1 and not present:
            raise next(iter(missing.values()))
        raise _missing(unusable, len(present), config.data.source)
    for wanted in dict.fromkeys(t.measures for t in present):  # of a user's card too: before anything is encoded
        parse(wanted)
    return present, {name: str(e) for name, e in missing.items()}


def expand_source(source: str, root: str) -> list[str]:
    """The data sets of data.source, groups taken apart; of `all`, those that are here."""
    from irctl.data.collections.cards import expand
    from irctl.data.collections.open import is_present

    sources = [s.strip() for s in source.split(",")]
    return expand(sources, lambda name: is_present(name, root=root))


def _missing(missing: Mapping[str, DataError], found: int, source: str) -> DataError:
    """One line for all data sets that cannot be used: each once, below what is wrong with it."""
    from irctl.data.collections.cards import groups

    reasons: dict[str, dict[str, None]] = {}
    for name, e in missing.items():
        whole = "cqadupstack" if is_forum(name) else name.removeprefix("beir/")
        reasons.setdefault(e.reason, {})[whole] = None
    shown = []
    for why, names in reasons.items():
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        shown.append(f"{', '.join(list(names)[:SHOWN_NAMES])}{more} ({why})")
    count = sum(map(len, reasons.values()))
    fetch = f"irctl data fetch {source if source in groups() else 'NAME'}"
    return DataError(
        f"{count} of {count + found} data sets cannot be used: {'; '.join(shown)}",
        hint=f"{fetch}, or --keep-going does the rest" if found else fetch,
    )


def _find_in_collection(
    name: str, config: Config, source: RankingSource, request: EvalRequest, made_by: RunRecord | None
) -> list[Target]:
    from irctl.data.collections.open import open_for
    from irctl.data.collections.self_match import decide_self_match
    from irctl.data.judgements.qrels import qrels_sha256

    collection = open_for(config, name)
    card = collection.card
    targets = []
    for part in (request.split or config.data.split or card.headline_split).split(","):
        part = collection.split_named(part.strip())
        qrels = collection.qrels(part)
        dataset = dataset_name(config.run.dataset, collection.name)
        file = _find_file(source.files, dataset, part)
        maker = made_by or (search_that_wrote(file) if file is not None and file.is_file() else None)
        own_config = _take_settings(config, maker) if maker is not None else config
        own = config.eval.measures or _choose_measures(collection, part, request.format)
        level = repconc_files.relevance_level(collection, part)
        rule, said = decide_self_match(collection, part, config.eval.self_match)
        targets.append(
            Target(
                dataset=dataset,
                split=part,
                qrels=qrels,
                qrels_sha256=qrels_sha256(qrels),
                self_match=rule,
                **_measured(own, request, level),
                config=own_config.replace({"data.source": name, "data.split": part}, ORIGIN),
                collection=collection,
                top_grade=collection.top_grade(part),
                n_conflicts=collection.conflicts(part),
                run_file=file,
                made_by=maker,
                said=said,
            )
        )
    return targets


def _find_by_qrels(
    config: Config, source: RankingSource, request: EvalRequest, qrels: str, made_by: RunRecord | None
) -> Target:
    """A target of a judgements file. In a BEIR folder, FOLDER/qrels/SPLIT.tsv names data set and split."""
    from irctl.data.judgements.qrels import qrels_sha256, read_conflicting

    path = Path(qrels)
    found, n_conflicts = read_conflicting(path, config.eval.on_conflict)
    stem = path.name.split(".")[0]
    in_beir = path.resolve().parent.name == "qrels"
    dataset = dataset_name(config.run.dataset, path.resolve().parents[1].name if in_beir else stem)
    part = request.split or (stem if in_beir else "test")
    if not source.files:
        raise ConfigError("--qrels: goes with a run file", hint="irctl eval my.trec --qrels qrels/dev.tsv")
    return Target(
        dataset=dataset,
        split=part,
        qrels=found,
        qrels_sha256=qrels_sha256(found),
        self_match=config.eval.self_match or "keep",
        **_measured(config.eval.measures or "default", request, 1),
        config=config,
        n_conflicts=n_conflicts,
        run_file=_find_file(source.files, dataset, part),
        made_by=made_by,
    )


def _measured(own: str, request: EvalRequest, level: int) -> dict[str, Any]:
    """Fields of a target: what is measured, and which of it was asked for. level: of the export."""
    if request.export_kind != "repconc":
        return {"measures": own}
    return {"measures": f"{own} {repconc_files.measures(level)}", "own_measures": own, "level": level}


def _choose_measures(collection: Collection, split: str, format: str) -> str:
    """Measures of a split or pool by the card. ConfigError where the splits of a pool are measured differently."""
    from irctl.metrics.ranking.parsing import parse

    presets = {name: _choose_preset(collection.card, name, format) for name in collection.pooled(split)}
    if len({frozenset(m.name for m in parse(p)) for p in presets.values()}) > 1:
        differing = ", ".join(f"{name}: {p}" for name, p in presets.items())
        raise ConfigError(
            f"{collection.name} {split}: its splits have different measures ({differing})", hint="--measures"
        )
    return next(iter(presets.values()))


def _choose_preset(card: Any, split: str, format: str) -> str:
    """Measures of the split by its card. The headline measure is among them, but for a split with measures of its own:
    RR@10 of MS MARCO takes grade 1, the TREC tracks beside it grade 2."""
    own = str(card.measures.get(split, ""))
    if own and split != card.headline_split:
        return own
    preset = own or ("msmarco" if format == "msmarco" else "default")
    return f"{preset} {card.headline_measure}".strip()


def _find_file(files: Sequence[str], dataset: str, split: str) -> Path | None:
    """The run file of a data set and split: a pattern filled in, or the file of a search run."""
    if not files:
        return None
    if len(files) > 1:
        fits = [f for f in files if dataset in Path(f).name and (len(files) == 1 or split in Path(f).name)]
        fits = fits or [f for f in files if dataset in Path(f).name]
        if len(fits) != 1:
            raise ConfigError(
                f"{len(files)} run files, {len(fits)} of them named after {dataset} {split}",
                hint="Give one file, or a pattern such as 'out/{dataset}.{split}.trec'",
            )
        return Path(fits[0])
    path = Path(files[0].replace("{dataset}", dataset).replace("{split}", split))
    if path.is_file():
        return path
    if path.suffix or (len(path.parts) > 1 and not path.is_dir()):
        raise DataError(f"{path}: no such run file", hint="irctl search writes one")
    return run_file_of(files[0], dataset, split)


def _take_settings(config: Config, made_by: RunRecord) -> Config:
    """Data settings of the run that made the file, where the user did not give others."""
    import json

    stored: Mapping[str, Any] = json.loads(made_by.columns.get("config_json") or "{}")
    keys = ("data.source", "data.split", "data.root", "data.title_join", "search.k", "run.dataset")
    taken = {k: stored[k]["value"] for k in keys if k in stored and k not in config.origins}
    return config.replace(taken, derived(f"run {made_by.id}")) if taken else config
