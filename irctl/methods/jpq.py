"""JPQ: centroids, and what is done to queries, trained against an index whose codes stay as they are.

`--loss distill` follows the products of the float vectors behind the codes, and reads no judgement: queries are texts
without labels, or documents moved by noise. Such a training needs vectors alone, and no encoder runs in it.
Source: Zhan et al. 2021, JPQ, arXiv 2108.00644; Xiao et al. 2022, Distill-VQ, arXiv 2204.00185 (label-free).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from irctl.config import Config as Settings
from irctl.errors import ConfigError
from irctl.training.index.distilling import Distilling
from irctl.training.index.opening import Named
from irctl.training.method import Context

DEFAULTS: dict[str, Any] = {"loss.name": "infonce", "loss.inbatch": "own"}
DATA = "index_queries"
READS_INDEX = True


@dataclass(frozen=True, kw_only=True)
class Config:
    query: str = "adapter"  # trained beside the centroids: nothing (frozen), or a linear map of queries (adapter)
    queries: str = (
        ""  # texts, pseudo (documents moved by noise), mixed (half and half); empty: mixed if there are texts
    )
    texts: str = ""  # a file of queries without judgements (.jsonl, .tsv, or vectors .npy); empty: those of data.split
    noise: float = 0.7  # of pseudo-queries, in lengths of their document's vector
    centroid_lr: float = 0.0  # of centroids; 0: .12 of the root mean square of their entries
    adapter_lr: float = 0.0  # of the map; 0: .05 of centroid_lr, for vectors of length 1
    k: int = 200  # the teacher's best documents of a query that are candidates of the whole batch, in large corpora
    all_documents: int = 20000  # up to so many documents, all are candidates

    def __post_init__(self) -> None:
        for name, legal in (("query", ("frozen", "adapter")), ("queries", ("", "texts", "pseudo", "mixed"))):
            if getattr(self, name) not in legal:
                known = ", ".join(filter(None, legal))
                raise ConfigError(f"jpq.{name}: expected {known}, found {getattr(self, name)!r}")
        if not self.noise > 0 or self.k < 1 or min(self.centroid_lr, self.adapter_lr, self.all_documents) < 0:
            raise ConfigError(
                "jpq: expected noise above 0, k of 1 or more, and 0 or more of centroid_lr, adapter_lr, all_documents; "
                f"found {self.noise:g}, {self.k}, {self.centroid_lr:g}, {self.adapter_lr:g}, {self.all_documents}"
            )


class Method:
    """Which training it is: one that follows the float scores."""

    @staticmethod
    def build(config: Settings, context: Context) -> Distilling:
        return Distilling(Named.read(context.paths), Config(**config.plugin("jpq")), config, context)


__all__ = ["DATA", "DEFAULTS", "READS_INDEX", "Config", "Method"]
