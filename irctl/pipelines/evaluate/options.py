"""Which options of `irctl eval` go together. What an option cannot do is refused, never left aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import ConfigError
from irctl.metrics.ranking.parsing import parse
from irctl.pipelines.references import bundles

if TYPE_CHECKING:
    from irctl.config import Config

FORMATS = ("trec", "msmarco")
EXPORTS = ("repconc", "mteb")
EXACT = "exact"


def check(
    config: Config,
    *,
    run_files: Sequence[str],
    qrels: str | None,
    model: str | None,
    index: str | None,
    queries: str | None,
    format: str,
    recall_against: str | None,
    export: str | None,
    oracle: bool,
    trust_rank: bool = False,
) -> None:
    """Raise ConfigError for options that contradict each other, and for words that are none of the legal ones."""
    if run_files and (index or (model and not recall_against)):
        raise ConfigError(f"{run_files[0]}: a run file is given, and --model or --index", hint="Give one or the other")
    if config.eval.measures and recall_against is None:
        parse(config.eval.measures)
    if trust_rank and (format != "trec" or not run_files or recall_against):
        raise ConfigError("--trust-rank: is for TREC run files", hint="irctl eval my.trec --trust-rank")
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: expected {' or '.join(FORMATS)}")
    if export is not None and export not in EXPORTS and not export.startswith("mteb:"):
        raise ConfigError(f"--export {export}: expected {' or '.join(EXPORTS)}, or mteb:FOLDER")
    if recall_against is None:
        if codes := [f for f in run_files if bundles.method_named(f)[1] and not Path(f).exists()]:
            raise ConfigError(f"{codes[0]}: names codes, not a run file", hint=f"irctl eval --index {codes[0]}")
        if queries:
            raise ConfigError("--queries: query vectors have no judgements", hint="Add --recall-against exact")
        return
    if recall_against != EXACT:
        raise ConfigError(f"--recall-against {recall_against}: expected {EXACT}")
    if len(run_files) > 1:
        raise ConfigError(f"--recall-against {EXACT}: expected one bundle, found {len(run_files)}")
    if run_files and Path(run_files[0]).is_file():
        raise ConfigError(f"--recall-against {EXACT}: expected a bundle, found the file {run_files[0]}")
    judged = {
        "--qrels": qrels,
        "--format": format != "trec",
        "--export": export,
        "--oracle": oracle,
        "--measures": "eval.measures" in config.origins,
    }
    if unfit := [name for name, given in judged.items() if given]:
        raise ConfigError(f"{unfit[0]}: goes with judgements, not with --recall-against {EXACT}", hint="Drop one")
    named = {"--model": model, "--data": "data.source" in config.origins, "--split": "data.split" in config.origins}
    if queries and (unfit := [name for name, given in named.items() if given]):
        raise ConfigError(f"{unfit[0]}: names a collection's queries, and --queries gives others", hint="Drop one")
