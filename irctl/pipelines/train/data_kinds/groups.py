"""Groups, queries with judged and mined passages: negatives are mined once, judgements checked, artifacts recorded."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.mqrel import MqrelSource
from irctl.data.collections.training_source import JudgedSplit, TrainingSource, open_training_source, train_split
from irctl.data.groups import report
from irctl.data.groups.batch_views import ViewsOf, batch_views
from irctl.data.groups.group_source import refuse_mined
from irctl.data.groups.merged_sources import Labels
from irctl.data.groups.shares import Shares, measure_shares
from irctl.errors import ConfigError
from irctl.models.reading import list_names
from irctl.origins import MINED, derived
from irctl.pipelines.hardneg.for_training import default_file, default_negatives, refuse_rescore
from irctl.pipelines.hardneg.rules import read_rules
from irctl.pipelines.references.negatives import given_negatives
from irctl.pipelines.train import group_checks, isotropic_settings
from irctl.pipelines.train.preparation import Described, Prepared
from irctl.training.batch_plan import GroupSizes
from irctl.training.groups import first_batch, frozen_settings, label_checks
from irctl.training.groups.sources import check_dev_corpus, dev_split, groups_of
from irctl.training.objective import terms
from irctl.training.run_files.journal import TrainingJournal
from irctl.types import Reporter

MISSING = "not on this machine"

if TYPE_CHECKING:
    from collections.abc import Mapping

    from irctl.config import Config
    from irctl.data.groups.group_source import GroupSource
    from irctl.ledger.recording import RunHandle


def settle(config: Config) -> Config:
    """The configuration with what its method prefers where nobody chose."""
    return isotropic_settings.settle(config)


def check(config: Config) -> None:
    """Refuse rules of mining that contradict each other, and what a frozen base has no use for."""
    read_rules(config.hardneg)
    isotropic_settings.check(config)
    frozen_settings.check(config, bool(config.model.output_dim))


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> Prepared:
    """Mine or find the negatives; every fault of the data is found here, before a model is loaded."""
    source = open_source(config)
    config = record(_settle_dev(config, source), source, run, reporter)
    groups = groups_of(config, source)
    sizes = tell(config, source, groups, run, reporter, _dev_notices(config, source))
    for_workers = {}
    if isinstance(source, JudgedSplit) and (split := dev_split(source)):
        if config.eval.during == "candidates" and config.data.negatives != "none":
            of_split = config.replace({"data.split": split}, derived("development"))
            for_workers["dev_negatives"] = str(default_negatives(of_split, source.collection, reporter))
        if split == source.collection.card.headline_split:
            run.note(selected_on_eval=1)
    return Prepared(config, sizes, for_workers)


def record(config: Config, source: TrainingSource, run: RunHandle, reporter: Reporter) -> Config:
    """Note what is trained on; the configuration with the file of its negatives."""
    if isinstance(source, JudgedSplit):
        return _record_split(config, source, run, reporter)
    run.note(dataset=dataset_name(config.run.dataset, source.name))
    return config


def tell(
    config: Config,
    source: TrainingSource,
    groups: GroupSource,
    run: RunHandle,
    reporter: Reporter,
    more: list[str],
    views_of: ViewsOf = batch_views,
) -> GroupSizes:
    """Check the groups, say and record what they are; their sizes. more: notices that go with them."""
    made_of = measure_shares(groups)
    for notice in [*_notices(config, source), *_check(config, groups, groups.labels, made_of), *more]:
        reporter.warn(notice)
    reporter.say(f"a group: {made_of.line()}")
    counted = first_batch.count_negatives(config, groups, views_of)
    for name, line in first_batch.describe(config, counted).items():
        reporter.say(f"{name}: {line}")
    TrainingJournal(run.paths).event(
        "negatives", first_batch={name: asdict(counts) for name, counts in counted.items()}
    )
    return GroupSizes(len(groups), made_of.passages)


def _record_split(config: Config, source: JudgedSplit, run: RunHandle, reporter: Reporter) -> Config:
    """Note what is trained on; the configuration with the file of its negatives, mined here where none is named."""
    from irctl.hashing import sha256_file

    collection = source.collection
    run.note(dataset=dataset_name(config.run.dataset, collection.name), dataset_fingerprint=collection.fingerprint)
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    if not config.data.negatives:
        _judged(config, source)
        path = default_negatives(config, collection, reporter)
        config = config.replace({"data.negatives": str(path)}, MINED)
    else:
        config = _with_given_negatives(config)
    if config.data.negatives != "none":
        path = Path(config.data.negatives)
        run.artifact("in", "negatives", path, sha256=sha256_file(path))
    return config


def _with_given_negatives(config: Config) -> Config:
    """data.negatives as a file: it may name the run that mined them."""
    if config.data.negatives == "none":
        return config
    given = {"data.negatives": str(given_negatives(config.data.negatives))}
    return config.replace(given, config.origins["data.negatives"])


def open_source(config: Config, *, holds_out: bool = False) -> TrainingSource:
    """The training's data, once settings and data make a training. holds_out: it has queries to choose by anyway."""
    source = open_training_source(config)
    _check_patience(config, source, holds_out)
    if isinstance(source, MqrelSource):
        _check_sources(config, source)
    _check_every(config, mines=isinstance(source, JudgedSplit) and config.data.negatives != "none")
    if isinstance(source, JudgedSplit) and (holds_out or dev_split(source)):
        check_dev_corpus(config, source.collection)
    return source


def _settle_dev(config: Config, source: TrainingSource) -> Config:
    """The configuration with what dev is measured over where nobody chose, now that the corpus is known."""
    if not isinstance(source, JudgedSplit):
        return config
    return isotropic_settings.measure_on_corpus(config, len(source.collection.corpus))


def _dev_notices(config: Config, source: TrainingSource) -> list[str]:
    """What to say of the split by which the best checkpoint is chosen."""
    split = dev_split(source)
    if split is None or not isinstance(source, JudgedSplit):
        none_but = f"{source.name} has no dev split apart from '{train_split(config)}': the last model is kept"
        return [none_but] if config.eval.during != "off" else []
    said, collection = [], source.collection
    adds_none = config.eval.during == "candidates" and config.data.negatives == "none"
    if adds_none and _one_grade(collection.qrels(split)):
        said.append(
            f"{collection.name}/{split}: every query's candidates are of one grade (data.negatives=none adds none): "
            "the dev measure is the same for every model and chooses nothing. Use eval.during=corpus"
        )
    if split == collection.card.headline_split:
        said.append(f"the best checkpoint is chosen on {split}, which is also what {collection.name} reports")
    return said


def _one_grade(qrels: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether no query has candidates that could be ranked wrongly."""
    return all(len(set(grades.values())) < 2 for grades in qrels.values())


def describe(config: Config) -> Described:
    """What a training would find, without mining or training."""
    source = open_source(config)
    config = _settle_dev(config, source)
    return describe_source(config, source, _dev_notices(config, source))


def describe_source(
    config: Config, source: TrainingSource, of_dev: list[str], views_of: ViewsOf = batch_views
) -> Described:
    """As `describe`, of data that is open. of_dev: what to say of how the best checkpoint is chosen."""
    notices = _notices(config, source)
    facts: dict[str, Any] = {"collection": source.name}
    if isinstance(source, MqrelSource) and source.missing():
        facts |= source.describe()
        return _described(facts, facts["notices"], None)
    to_mine = 0
    if isinstance(source, JudgedSplit):
        config, to_mine, negatives = _planned_negatives(config, source)
        facts |= {"split": source.split, "negatives": negatives}
    groups = groups_of(config, source)
    seen = groups.labels._replace(lowest=min(groups.labels.lowest, 0.0)) if to_mine else groups.labels
    made_of = measure_shares(groups, to_mine=to_mine)
    notices += [*_check(config, groups, seen, made_of), *of_dev]
    facts |= report.describe(groups) | {"a group": made_of.line()}
    facts["positive from grade"] = groups.threshold or _threshold(config, groups.largest_grade)
    if to_mine:
        del facts["group sizes"]
    sizes = GroupSizes(len(groups), made_of.passages, made_of.expected)
    rows = first_batch.count_rows(config, groups) if config.train.regularizer else {}
    described = _described(facts, notices, sizes, {} if to_mine else first_batch.lines(config, groups, views_of))
    return replace(described, rows=rows)


def _planned_negatives(config: Config, source: JudgedSplit) -> tuple[Config, int, str]:
    """(the configuration with the negatives that are here, how many a query are still to be mined, what to say)."""
    if config.data.negatives:
        return _with_given_negatives(config), 0, config.data.negatives
    _judged(config, source)
    file = default_file(config, source.collection)
    num = read_rules(config.hardneg).num
    to_mine = 0 if file.is_file() else num
    when = " at the start: not among the sources below" if to_mine else ", before now"
    config = config.replace({"data.negatives": "none" if to_mine else str(file)}, MINED)
    return config, to_mine, f"{num} a query by BM25, mined once{when}"


def _described(
    facts: dict[str, Any], notices: list[str], sizes: GroupSizes | None, of_losses: dict[str, str] | None = None
) -> Described:
    """Lists that are printed a line each, apart from the facts."""
    lists = {"sources": facts.get("sources"), "notices": notices, MISSING: facts.get(MISSING)}
    plain = {k: v for k, v in facts.items() if k not in lists}
    return Described(plain, {k: v for k, v in lists.items() if v}, sizes, of_losses or {})


def _threshold(config: Config, largest_grade: float) -> Any:
    used = terms.thresholds_used(config, largest_grade)
    return ", ".join(f"{theta:g} ({name})" for name, theta in used.items()) if isinstance(used, dict) else used


def _check(config: Config, source: GroupSource, found: Labels, made_of: Shares) -> list[str]:
    """Refuse what these labels make no sense of, and settings without effect; return what else to say of them."""
    parts = terms.parts(config, found.largest)
    label_checks.check(config, parts, found)
    group_checks.check(config)
    for key, is_set in (
        ("data.pin_positive", config.data.pin_positive),
        ("data.pin_negatives", config.data.pin_negatives),
    ):
        if is_set and not source.is_binary:
            raise ConfigError(
                f"{key} (from {config.origins[key]}): groups of all grades have no one positive to put first",
                hint="Drop it, or set data.binary=true (in an mqrel file: pos_mqrel and neg_mqrel)",
            )
    if config.data.short in ("fill", "error") and not source.is_binary:
        raise ConfigError(
            f"data.short={config.data.short} (from {config.origins['data.short']}): is for groups of one positive; "
            "these hold all grades",
            hint="Use pad or cycle, or set data.binary=true",
        )
    return label_checks.notices(config, parts, found) + group_checks.notices(config, source, made_of)


def _judged(config: Config, source: JudgedSplit) -> None:
    """Open the judgements alone. Raises ConfigError where negatives cannot be mined to go with them."""
    refuse_rescore(config)
    groups = groups_of(config.replace({"data.negatives": "none"}, derived("judgements")), source)
    if not groups.is_binary:
        refuse_mined(groups.labels, f"{source.name}/{source.split}")


def _notices(config: Config, source: TrainingSource) -> list[str]:
    """What a configuration of several sources holds that has no effect, and prompts of other data sets."""
    found = list(source.config.notices) if isinstance(source, MqrelSource) else []
    known = list_names(config.data.source)
    others = [name for name in config.prompts() if name not in known]
    return found + [
        f"prompts.{name}: not used in this training, whose data is called {' or '.join(known)}; saved with the model"
        for name in others
    ]


def _check_patience(config: Config, source: TrainingSource, holds_out: bool) -> None:
    """Refuse to wait for a score that nobody measures."""
    patience = f"eval.patience={config.eval.patience}"
    if not config.eval.patience:
        return
    if config.eval.during == "off":
        raise ConfigError(f"{patience}: eval.during=off measures nothing to stop by", hint="Set eval.during=candidates")
    if dev_split(source) is None and not (holds_out and isinstance(source, JudgedSplit)):
        raise ConfigError(
            f"{patience}: {source.name} has no dev split apart from '{train_split(config)}' to stop by",
            hint="Drop it, or train on a collection with a dev split",
        )


def _check_sources(config: Config, source: MqrelSource) -> None:
    """Refuse settings that a configuration of several sources takes the place of: it names negatives and judgements."""
    if config.data.negatives not in ("", "none"):
        raise ConfigError(
            f"data.negatives={config.data.negatives} (from {config.origins['data.negatives']}): {source.name} "
            "lists its negatives itself",
            hint="Add the file to it as a source with score_transform 0",
        )
    if config.data.split:
        raise ConfigError(
            f"data.split={config.data.split} (from {config.origins['data.split']}): {source.name} has no splits: "
            "its sources name their files of judgements",
            hint="Drop it",
        )
    group_checks.check_sides(config, source.name, source.config)


def _check_every(config: Config, *, mines: bool) -> None:
    """Refuse to mine again where nothing was mined, or where it would be done by other rules."""
    if not config.hardneg.every:
        return
    if not mines:
        raise ConfigError(
            f"hardneg.every={config.hardneg.every} (from {config.origins['hardneg.every']}): this training has no "
            "mined negatives",
            hint="Drop it, or leave out --negatives none",
        )
    if not config.train.save_state:
        raise ConfigError(
            f"hardneg.every={config.hardneg.every}: training goes on from a checkpoint after it, and "
            "train.save_state=false keeps none",
            hint="Drop one of them",
        )
    refuse_rescore(config)
