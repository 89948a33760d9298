"""JPQ: centroids, and what is done to queries, trained against an index whose codes stay as they are.

With judgements (infonce, ranknet, lambdamrr) the candidates of a step are what the codes retrieve then, and the
labelled positives not among them. `--loss distill` follows the products of the float vectors behind the codes, and
reads no judgement: queries are texts without labels, or documents moved by noise. Such a training needs vectors alone,
and no encoder runs in it unless the encoder is what is trained (jpq.query=encoder).
Source: Zhan et al. 2021, JPQ, arXiv 2108.00644; Xiao et al. 2022, Distill-VQ, arXiv 2204.00185 (label-free).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from irctl.config import Config as Settings
from irctl.errors import ConfigError
from irctl.training.index.distilling import Distilling
from irctl.training.index.distilling_encoder import DistillingEncoder
from irctl.training.index.judged_codes import JudgedCodes
from irctl.training.index.opening import NamedIndex
from irctl.training.method import Context
from irctl.training.objective import terms

DEFAULTS: dict[str, Any] = {"loss.name": "infonce", "loss.inbatch": "own", "train.regularizer_rows": "queries"}
DATA = "index_queries"
READS_INDEX = True
MAKES_CODES = True
ROWS = ("queries",)
"""What it moves (irctl/training/objective/regularizer_terms.py): documents stay as they are indexed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    query: str = "adapter"  # trained beside the centroids: nothing (frozen), a linear map (adapter), or the encoder
    queries: str = ""  # texts, pseudo (documents moved by noise), mixed (half each); empty: mixed where texts are
    texts: str = ""  # a file of queries without judgements (.jsonl, .tsv, or vectors .npy); empty: those of data.split
    noise: float = 0.7  # of pseudo-queries, in lengths of their document's vector
    centroid_lr: float = 0.0  # of centroids; 0: .12 of the root mean square of their entries (.02 with judgements; with
    # the encoder 20 x train.lr)
    adapter_lr: float = 0.0  # of the map; 0: .2 of centroid_lr (.05 with judgements), for vectors of length 1
    k: int = 200  # documents retrieved for a query; without judgements the teacher's best, in large corpora
    all_documents: int = 20000  # up to so many documents, all are candidates
    reassign: str = "never"  # end: without judgements, documents are coded anew by the trained centroids at the end
    mask_positives: bool = True  # with judgements: infonce leaves the other labelled positives out; false: as upstream

    def __post_init__(self) -> None:
        for name, legal in (
            ("query", ("frozen", "adapter", "encoder")),
            ("queries", ("", "texts", "pseudo", "mixed")),
            ("reassign", ("never", "end")),
        ):
            if getattr(self, name) not in legal:
                known = ", ".join(filter(None, legal))
                raise ConfigError(f"jpq.{name}: expected {known}, found {getattr(self, name)!r}")
        if not self.noise > 0 or self.k < 1 or min(self.centroid_lr, self.adapter_lr, self.all_documents) < 0:
            raise ConfigError(
                "jpq: expected noise above 0, k of 1 or more, and 0 or more of centroid_lr, adapter_lr, all_documents; "
                f"found {self.noise:g}, {self.k}, {self.centroid_lr:g}, {self.adapter_lr:g}, {self.all_documents}"
            )


class Method:
    """Which training it is: one on judgements, or one that follows the float scores."""

    @staticmethod
    def build(config: Settings, context: Context) -> Distilling | JudgedCodes:
        if terms.reads_judgements(config):
            return JudgedCodes(Config(**config.plugin("jpq")), config, context)
        own = Config(**config.plugin("jpq"))
        kind = DistillingEncoder if own.query == "encoder" else Distilling
        return kind(NamedIndex.read(context.paths), own, config, context)


__all__ = ["DATA", "DEFAULTS", "MAKES_CODES", "READS_INDEX", "ROWS", "Config", "Method"]
