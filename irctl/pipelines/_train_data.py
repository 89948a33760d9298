"""The data of a training run, before its processes start: negatives mined once, artifacts recorded, plans shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import ConfigError, DataError
from irctl.training import mixture
from irctl.training.group_data import collection_of, dev_split, groups_of, train_split
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collection import Collection
    from irctl.ledger.recording import RunHandle

SIZED_GROUPS = 2000
"""Queries whose groups are built for the histogram of --dry-run."""


def prepare(config: Config, run: RunHandle, reporter: Reporter) -> tuple[Config, dict[str, Any]]:
    """(the configuration with its negatives' file, what launch.json tells the workers besides)."""
    from irctl.index.shards import sha256_file
    from irctl.pipelines.hardneg import default_negatives

    collection = collection_of(config)
    own_negatives = _own_negatives(config, collection)
    if own_negatives:
        run.note(dataset=config.run.dataset or collection.name)
    else:
        run.note(dataset=config.run.dataset or collection.name, dataset_fingerprint=collection.fingerprint)
        run.artifact(
            "in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus)
        )
        if not config.data.negatives:
            path = default_negatives(config, collection, reporter)
            config = config.replace({"data.negatives": str(path)}, "mined")
        elif config.data.negatives != "none":
            config = config.replace(
                {"data.negatives": str(_given(config.data.negatives))}, config.origins["data.negatives"]
            )
        if config.data.negatives != "none":
            path = Path(config.data.negatives)
            run.artifact("in", "negatives", path, sha256=sha256_file(path))
    source = groups_of(config, collection)  # every fault of the data is found before a model is loaded
    mixture.parts(config, source.largest_grade)
    extra: dict[str, Any] = {}
    split = dev_split(config, collection)
    if config.eval.during == "candidates" and split and config.data.negatives != "none":
        mined = default_negatives(config.replace({"data.split": split}, "development"), collection, reporter)
        extra["dev_negatives"] = str(mined)
    if config.eval.during != "off" and split is None:
        reporter.warn(f"{collection.name} has no dev split apart from '{train_split(config)}': the last model is kept")
    if split and split == collection.card.headline_split:
        reporter.warn(f"the best checkpoint is chosen on {split}, which is also what {collection.name} reports")
        run.note(selected_on_eval=1)
    return config, extra


def describe(config: Config) -> tuple[dict[str, Any], int]:
    """(what --dry-run prints of the data, number of training queries; 0 while the data is not here)."""
    collection = collection_of(config)
    shown: dict[str, Any] = {"collection": collection.name}
    own_negatives = _own_negatives(config, collection)
    if own_negatives:
        shown |= getattr(collection, "describe", dict)()
        if shown.get("not on this machine"):
            return shown, 0
    else:
        shown["split"] = train_split(config)
        shown["negatives"] = config.data.negatives or f"{config.hardneg.num} a query by BM25, mined once at the start"
    without = config if config.data.negatives else config.replace({"data.negatives": "none"}, "dry run")
    source = groups_of(without if not own_negatives else config, collection)
    shown["queries"] = len(source)
    shown["largest grade"] = source.largest_grade
    shown["positive from grade"] = mixture.positive_threshold(config, source.largest_grade)
    sizes = Counter(len(source.rows(i, 0).labels_K) for i in range(min(len(source), SIZED_GROUPS)))
    shown["group sizes"] = ", ".join(f"{size} x {count}" for size, count in sorted(sizes.items(), reverse=True))
    return shown, len(source)


def _own_negatives(config: Config, collection: Collection) -> bool:
    """True for a configuration of several sources, which names its own negatives."""
    if not hasattr(collection, "groups"):
        return False
    if config.data.negatives not in ("", "none"):
        raise ConfigError(
            f"data.negatives={config.data.negatives} (from {config.origins['data.negatives']}): {collection.name} "
            "lists its negatives itself",
            hint="Add the file to it as a source with score_transform 0",
        )
    return True


def _given(name: str) -> Path:
    """The negatives that a file name or a run names."""
    if Path(name).is_file():
        return Path(name)
    from irctl.ledger.query import artifacts, find_run

    try:
        record = find_run(name)
    except DataError as e:
        raise DataError(f"data.negatives={name}: neither a file nor a run ({e.message})", hint=e.hint) from None
    found = artifacts(record.id, role="out", kind="negatives")
    if not found:
        raise DataError(f"data.negatives={name}: run {record.id} made no negatives", hint="Name a run of irctl hardneg")
    return Path(found[-1]["path"])
