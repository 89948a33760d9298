"""`irctl encode --method acerag`: the passages of a collection, compressed once, for every question that finds them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irctl import plugins, stopping
from irctl.data.collections.dataset_name import dataset_name
from irctl.data.collections.open import open_for
from irctl.errors import ConfigError
from irctl.models.compressive import row_selection
from irctl.pipelines.answer import contexts, opening
from irctl.pipelines.answer.passages import KeptPassages
from irctl.pipelines.answer.questions import RAG
from irctl.training.texts.settings import METHOD, refuse_unread

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.types import Reporter

READ = ("lm", "ratio", "selection", "grid", "chunk_tokens", "lm_tokens", "instructions")
"""Settings of acerag that are read here; whatever made the encoder is in its folder."""
AT_ONCE = 512
"""Passages that are looked up, compressed and written together."""


def check(method: str, model: str | None, unfit: Sequence[str]) -> None:
    """ConfigError for another method, no model, and options of vectors."""
    if method != METHOD:
        raise ConfigError(f"--method {method}: expected {METHOD}", hint="Without --method, texts become vectors")
    if not model:
        raise ConfigError("--method acerag: names no model", hint="--model RUN, or a folder of a compressive encoder")
    if unfit:
        raise ConfigError(f"{unfit[0]}: is of vectors, and --method {METHOD} keeps rows", hint="Drop one")


def keep(config: Config, run: RunHandle, reporter: Reporter, model: str) -> dict[str, Any]:
    """Payload: folder, passages, encoded (those that were not there), rows, bytes, seconds. A signal ends it after the
    passages in hand; the same command continues there.
    """
    own, given, selection = _settings(config)
    collection = open_for(config)
    answerer = opening.open_answerer(config, own, model, reporter, reads=False)
    selection = answerer.selection(selection)
    budgets = contexts.make_budgets(own, given, answerer, selection, RAG, own.lm_tokens)
    kept = KeptPassages(answerer, budgets)
    run.note(dataset=dataset_name(config.run.dataset, collection.name), model=config.model.name)
    run.artifact("in", "collection", collection.folder, sha256=collection.fingerprint, n_rows=len(collection.corpus))
    run.artifact("in", "model", answerer.folder, sha256=answerer.fingerprint, dim=answerer.encoder.dim)
    started, rows, passages = time.monotonic(), 0, len(collection.corpus)
    for start in range(0, passages, AT_ONCE):
        stopping.check("the passages that are done are kept")
        texts = collection.corpus.texts(slice(start, min(start + AT_ONCE, passages)))
        rows += sum(len(r) for r in kept.rows(texts, own.ratio))
    folder, seconds = kept.folder(own.ratio), time.monotonic() - started
    size = 4 * rows * answerer.encoder.dim
    reporter.say(
        f"{passages} passages at {own.ratio}x are {rows} rows of {answerer.encoder.dim} numbers "
        f"({size / 2**20:.1f} MiB); {kept.encoded} were compressed now, the others were there"
    )
    return {
        "folder": str(folder),
        "passages": passages,
        "encoded": kept.encoded,
        "rows": rows,
        "dim": answerer.encoder.dim,
        "bytes": size,
        "ratio": own.ratio,
        "selection": selection,
        "seconds": round(seconds, 2),
    }


def describe(config: Config, model: str) -> dict[str, Any]:
    """What --dry-run prints; reads no weights."""
    own, _, _ = _settings(config)
    folder, _ = opening.find_encoder(model)
    return {"compress": {"encoder": str(folder), "passages": len(open_for(config).corpus), "ratio": own.ratio}}


def _settings(config: Config) -> tuple[Any, frozenset[str], str]:
    """(settings of acerag, those that were given, the selection asked for). Scores of adaptive rows need a question."""
    cls: Any = plugins.config_class("methods", METHOD)
    own = cls(**config.plugin(METHOD))
    given = frozenset(k.partition(".")[2] for k in config.origins if k.startswith(f"{METHOD}."))
    if "ratios" in given:
        raise ConfigError(f"acerag.ratios={own.ratios}: passages are compressed at one ratio", hint="Use acerag.ratio")
    refuse_unread(config, READ, f"irctl encode --method {METHOD}")
    if "selection" in given:
        row_selection.check(own.selection, own.grid, own.ratio)
    return own, given, own.selection if "selection" in given else ""
