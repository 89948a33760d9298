"""What a user asks of `irctl eval`. What an option cannot do is refused, never left aside."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import ConfigError

if TYPE_CHECKING:
    from irctl.config import Config

FORMATS = ("trec", "msmarco")
EXPORTS = ("repconc", "mteb")
EXACT = "exact"


@dataclass(frozen=True, kw_only=True)
class EvalRequest:
    """Options of `irctl eval` that are no settings. Nothing given: the newest of the ledger, else the default model.

    recall_against: measure an index, which run_files may name too, by exact search in place of judgements.
    queries: its query vectors, a .npy file. transforms, similarities: lists, by which the vectors of an index are
    measured (front/asked.py). trust_rank: a TREC file is ordered by its rank column. isotropy: that of the vectors is
    measured too.
    """

    run_files: tuple[str, ...] = ()
    qrels: str | None = None
    model: str | None = None
    index: str | None = None
    split: str | None = None
    baseline: str | None = None
    per_query: bool = False
    keep_going: bool = False
    overwrite: bool = False
    format: str = "trec"
    recall_against: str | None = None
    queries: str | None = None
    export: str | None = None
    oracle: bool = False
    trust_rank: bool = False
    isotropy: bool = False
    transforms: str = ""
    similarities: str = ""

    @property
    def is_front(self) -> bool:
        """Whether several transforms or similarities of one index are measured."""
        return bool(self.transforms or self.similarities)

    @property
    def is_open(self) -> bool:
        """Whether nothing says what to evaluate."""
        return not self.run_files and self.model is None and self.index is None and self.qrels is None

    @property
    def ranking_format(self) -> str:
        """How a run file is read: trec, msmarco, or rank for a TREC file in the order of its rank column."""
        return "rank" if self.trust_rank else self.format

    @property
    def export_kind(self) -> str:
        """Whose files --export writes; empty where it is not given."""
        return (self.export or "").partition(":")[0]

    @property
    def export_folder(self) -> Path | None:
        """FOLDER of --export KIND:FOLDER; None: in the run folder."""
        folder = (self.export or "").partition(":")[2]
        return Path(folder) if folder else None

    def check(self, config: Config) -> None:
        """Raise ConfigError for options that contradict each other, and for words that are none of the legal ones."""
        from irctl.metrics.ranking.parsing import parse

        if self.run_files and (self.index or (self.model and not self.recall_against)):
            raise ConfigError(
                f"{self.run_files[0]}: a run file is given, and --model or --index", hint="Give one or the other"
            )
        if config.eval.measures and self.recall_against is None:
            parse(config.eval.measures)
        if self.trust_rank and (self.format != "trec" or not self.run_files or self.recall_against):
            raise ConfigError("--trust-rank: is for TREC run files", hint="irctl eval my.trec --trust-rank")
        if self.format not in FORMATS:
            raise ConfigError(f"--format {self.format}: expected {' or '.join(FORMATS)}")
        if self.export is not None and self.export_kind not in EXPORTS:
            raise ConfigError(f"--export {self.export}: expected {' or '.join(EXPORTS)}, or {EXPORTS[0]}:FOLDER")
        if self.is_front:
            self._check_front(config.origins)
        if self.recall_against is None:
            self._check_rankings()
        else:
            self._check_recall(config.origins)

    def _check_front(self, set_keys: Collection[str]) -> None:
        """ConfigError for options that name one ranking, where many are measured."""
        given = {
            "--recall-against": self.recall_against,
            "--qrels": self.qrels,
            "--export": self.export,
            "--oracle": self.oracle,
            "--baseline": self.baseline,
            "--rerank": "search.rerank" in set_keys,
            "search.similarity": "search.similarity" in set_keys,
            **dict.fromkeys(self.run_files[:1], True),
        }
        if unfit := [name for name, is_given in given.items() if is_given]:
            option = "--transforms" if self.transforms else "--similarities"
            raise ConfigError(
                f"{unfit[0]}: does not go with {option}, which measures vectors in several forms", hint="Drop one"
            )

    def _check_rankings(self) -> None:
        from irctl.pipelines.references import bundles

        if codes := [f for f in self.run_files if bundles.method_named(f)[1] and not Path(f).exists()]:
            raise ConfigError(
                f"{codes[0]}: names codes, not a run file", hint=f"irctl eval --index {shlex.quote(codes[0])}"
            )
        if self.queries:
            raise ConfigError("--queries: query vectors have no judgements", hint="Add --recall-against exact")
        if self.isotropy and (self.run_files or self.qrels):
            raise ConfigError(
                f"--isotropy: is of vectors, and {self.run_files[0] if self.run_files else '--qrels'} is a ranking",
                hint="irctl eval --model NAME --isotropy",
            )

    def _check_recall(self, set_keys: Collection[str]) -> None:
        if self.recall_against != EXACT:
            raise ConfigError(f"--recall-against {self.recall_against}: expected {EXACT}")
        if len(self.run_files) > 1:
            raise ConfigError(f"--recall-against {EXACT}: expected one bundle, found {len(self.run_files)}")
        if self.run_files and Path(self.run_files[0]).is_file():
            raise ConfigError(f"--recall-against {EXACT}: expected a bundle, found the file {self.run_files[0]}")
        judged = {
            "--qrels": self.qrels,
            "--format": self.format != "trec",
            "--export": self.export,
            "--oracle": self.oracle,
            "--isotropy": self.isotropy,
            "--measures": "eval.measures" in set_keys,
            "--on-conflict": "eval.on_conflict" in set_keys,
        }
        if unfit := [name for name, given in judged.items() if given]:
            raise ConfigError(f"{unfit[0]}: goes with judgements, not with --recall-against {EXACT}", hint="Drop one")
        named = {
            "--model": self.model,
            "--data": "data.source" in set_keys,
            "--split": "data.split" in set_keys,
        }
        if self.queries and (unfit := [name for name, given in named.items() if given]):
            raise ConfigError(f"{unfit[0]}: names a collection's queries, and --queries gives others", hint="Drop one")
