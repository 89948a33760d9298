"""An irctl encoder, exact or compressed, as a model of mteb; and a collection of irctl as a task of mteb.

    import mteb
    from irctl.pipelines.mteb_adapter import MtebModel
    mteb.evaluate(MtebModel("runs/ID"), mteb.get_tasks(["SciFact"]), cache=None)

Prompts, lengths, pooling and the joining of titles are the encoder's own. Pass cache=None: mteb keeps results by name
and would serve those of an earlier model. Needs the extra [mteb].
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files, paths
from irctl.data.collections.self_match import decide_self_match
from irctl.data.texts.corpus import join_title
from irctl.errors import ConfigError, DataError, EnvironmentUnfit
from irctl.index.learned_bundle import ENCODER
from irctl.origins import derived
from irctl.pipelines.references import transforms
from irctl.types import Reporter, Run, Silent

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.pipelines.search.opened_index import Searched

NAME = "irctl"
READ = 10_000  # rows of mteb's corpus read at once


class MtebModel:
    """What mteb asks of a model that searches by itself: index, search, mteb_model_meta.

    model: folder, run or hub id; default: model.name. method: a quantizer with its settings in `config`; empty: exact.
    index: in place of both a bundle, by folder, run or RUN:METHOD: mteb's corpus is encoded by the encoder of its rows
    and coded by its quantizer, queries are encoded by its own query encoder if it has one.
    A transform of `config` is fitted on each corpus; queries are centred by the corpus' mean, or transform.queries.
    """

    def __init__(
        self,
        model: str = "",
        *,
        method: str = "",
        index: str = "",
        config: Config | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """Raises EnvironmentUnfit without mteb, ConfigError for an index and a model, and what load_encoder raises."""
        from irctl import config as settings
        from irctl.models.encoder import load_encoder

        mteb()
        self._init = ""
        if index:
            if model or method:
                raise ConfigError("MtebModel: an index names its model and method itself", hint="Leave out the others")
            self._init, model, method = self._read_index(index)
        given = {"model.name": model or None, "compress.method": method or None}
        base = config or settings.resolve()
        self.config = base.replace({k: v for k, v in given.items() if v is not None}, derived("MtebModel"))
        self.method = method
        self.reporter = reporter or Silent()
        self.encoder = load_encoder(self.config).freeze()
        own = Path(self._init) / ENCODER
        self.query_encoder = load_encoder(self.config, str(own)).freeze() if index and own.is_dir() else self.encoder
        self._indexed: tuple[Sequence[str], Searched] | None = None

    @staticmethod
    def _read_index(index: str) -> tuple[str, str, str]:
        """(folder, model, method) of a bundle. Raises DataError where its rows come from no model that is known."""
        from irctl.index.bundle import open_bundle
        from irctl.pipelines.references import bundles

        folder = bundles.folder_of(index)
        bundle = open_bundle(folder, bundles.load_quantizer)
        model = str(bundle.manifest.get("about", {}).get("model") or "")
        if not model:
            raise DataError(f"{folder}: does not say which model made its vectors, so mteb's texts cannot be encoded")
        return str(folder.absolute()), model, bundle.method

    @property
    def mteb_model_meta(self) -> Any:
        """irctl/METHOD, with the hash of everything that decides a ranking as its revision."""
        from mteb.models import ModelMeta

        return ModelMeta.create_empty({"name": f"{NAME}/{self.method or 'dense'}", "revision": self.revision})

    @property
    def revision(self) -> str:
        """Hash of the model and of every setting that changes a ranking."""
        from irctl.models.fingerprints import fingerprint_of

        parts = [self.encoder.fingerprint("passage"), self.query_encoder.fingerprint("query")]
        asked = {"similarity": self.config.search.similarity, "rerank": self.config.search.rerank}
        asked |= transforms.describe(self.config)
        return fingerprint_of({"encoder": parts, "codes": self._codes(), "dtype": self.encoder.dtype, **asked})[:40]

    def _codes(self) -> dict[str, Any]:
        if not self.method:
            return {}
        if self._init:
            from irctl.pipelines.references.bundles import quantizer_sha256

            return {"method": self.method, "quantizer": quantizer_sha256(self._init)}
        return {"method": self.method, **self.config.plugin(self.method), "seed": self.config.run.seed}

    def index(self, corpus: Any, *, task_metadata: Any, **more: Any) -> None:
        """Encode mteb's corpus (id, title, text), or take it from the cache; compress it where a method is given."""
        from irctl.index.scoring import METRIC
        from irctl.models.embed import embed_corpus
        from irctl.pipelines.references.vectors import of_folder
        from irctl.pipelines.search import opened_index

        self._read_as(task_metadata)
        rows = CorpusTexts(corpus, self.encoder.title_join)
        embedding = embed_corpus(self.encoder, rows, self.config.encoder, self.reporter)
        given = of_folder(embedding.folder, task_metadata.name)
        metric = METRIC[opened_index.choose_similarity(given, self.config.search)]
        given = transforms.apply(given, self.config, metric, self.reporter, find_queries=lambda: None)
        searched = opened_index.of_vectors(given, self.config.search)
        if self.method:
            searched = self._compressed(embedding.folder, embedding.key, searched.metric)
        self._indexed = rows.ids, searched

    def search(
        self, queries: Any, *, task_metadata: Any, top_k: int, top_ranked: Any = None, **more: Any
    ) -> dict[str, dict[str, float]]:
        """{query id: {document id: canonical score}}; every query is there. Raises ConfigError for re-ranking tasks.

        A document with the query's id does not count among the top_k: whether it is removed is the task's decision.
        """
        from irctl.metrics.ranking.evaluate import canonicalize, to_canonical_scores
        from irctl.models.embed import embed_queries
        from irctl.pipelines.search.rank import rank

        if top_ranked is not None:
            raise ConfigError(
                f"{task_metadata.name}: re-ranks given documents; irctl's models retrieve", hint="Leave it out"
            )
        assert self._indexed is not None, "mteb calls index first"
        ids, searched = self._indexed
        self._read_as(task_metadata)
        names, texts = list(queries["id"]), list(queries["text"])
        if odd := next((q for q, text in zip(names, texts, strict=True) if not isinstance(text, str)), None):
            raise DataError(f"{task_metadata.name}: query {odd}: expected a text, found a conversation")
        raw_QD = embed_queries(self.query_encoder, names, [t.strip() for t in texts], self.config.encoder)
        queries_QD = searched.of_queries(raw_QD)
        ranking = rank(searched, queries_QD, top_k + 1, self.config, paths.cache() / "search", self.reporter)
        run: Run = {}
        for name, scores_k, rows_k in zip(names, ranking.scores_Qk, ranking.rows_Qk, strict=True):
            pairs = [(ids[int(r)], float(s)) for r, s in zip(rows_k, scores_k, strict=True) if r >= 0]
            others = [pair for pair in pairs if pair[0] != name][:top_k]
            run[name] = dict(others + [pair for pair in pairs if pair[0] == name])
        return {name: {} for name in names} | to_canonical_scores(canonicalize(run))

    def _read_as(self, task_metadata: Any) -> None:
        """Let the encoder take the prompts of the task's data set, by the task's name or the repository's."""
        path = str(task_metadata.dataset.get("path", ""))
        names = [task_metadata.name, path, path.rpartition("/")[2]]
        for encoder in (self.encoder, self.query_encoder):
            encoder.names = tuple(dict.fromkeys([*names, *(n.lower() for n in names)]))

    def _compressed(self, vectors: Path, key: str, metric: str) -> Searched:
        """Codes of the vectors, kept in the cache under what decides them."""
        from irctl.index.bundle import is_bundle
        from irctl.ledger.recording import start_run
        from irctl.models.fingerprints import fingerprint_of
        from irctl.pipelines.compress.compress import compress
        from irctl.pipelines.compress.request import CompressRequest
        from irctl.pipelines.search import opened_index

        given = {"compress.source": str(vectors), "compress.metric": metric, "compress.stream": True}
        config = self.config.replace(given, derived("MtebModel"))
        size = config.compress.train_size
        content = {"vectors": key, "codes": self._codes(), "metric": metric, "train_size": size}
        content |= transforms.describe(self.config)
        folder = paths.cache() / "codes" / fingerprint_of(content)[:16]
        if not is_bundle(folder):
            run = start_run(command="compress", argv=["irctl", "compress", "--out", str(folder)], config=config)
            with run, files.owning(folder):
                compress(config, run, self.reporter, CompressRequest(out=str(folder), init=self._init or None))
        return opened_index.open_index(str(folder), self.config)


class CorpusTexts:
    """mteb's corpus as texts to encode. fingerprint: of ids and texts in order."""

    def __init__(self, corpus: Any, title_join: str) -> None:
        self._corpus, self._title_join = corpus, title_join
        self.ids: list[str] = list(corpus["id"])
        content = hashlib.sha256()
        for start in range(0, len(self), READ):
            rows = slice(start, start + READ)
            for id_, text in zip(self.ids[rows], self.texts(rows), strict=True):
                content.update(f"{len(id_)} {id_} {len(text)} {text}\n".encode())
        self.fingerprint = content.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, rows: slice) -> list[str]:
        columns = self._corpus[rows]
        titles = columns.get("title") or [""] * len(columns["text"])
        return [join_title(a or "", b or "", self._title_join) for a, b in zip(titles, columns["text"], strict=True)]


def task_of(collection: Collection, split: str) -> Any:
    """A split of a collection as a retrieval task of mteb, self-matches as its card or its texts say."""
    mteb()
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Local(AbsTaskRetrieval):
        ignore_identical_ids = decide_self_match(collection, split, "").drops
        metadata = TaskMetadata(
            name=f"{NAME}-{collection.name}".replace("/", "-"),
            description=f"{collection.name} {split}, as irctl reads it",
            dataset={"path": f"{NAME}/{collection.name.rpartition('/')[2]}", "revision": collection.fingerprint},
            type="Retrieval",
            category="t2t",
            eval_splits=[split],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *args: Any, **more: Any) -> None:
            corpus, asked, every = collection.corpus, collection.queries(split), slice(None)
            titles = corpus.titles(every) if corpus.store.has_titles else [""] * len(corpus)
            documents = {"id": list(corpus.ids), "title": titles, "text": corpus.store.column("text", every)}
            self.dataset = {
                "default": {
                    split: {
                        "corpus": Dataset.from_dict(documents),
                        "queries": Dataset.from_dict({"id": asked.ids, "text": asked.texts}),
                        "relevant_docs": {q: dict(judged) for q, judged in collection.qrels(split).items()},
                        "top_ranked": None,
                    }
                }
            }
            self.data_loaded = True

    return Local()


def mteb() -> Any:
    """The package. Raises EnvironmentUnfit where it is not installed."""
    try:
        import mteb as package
    except ImportError as e:
        raise EnvironmentUnfit(f"mteb: is not installed ({e})", hint="pip install 'irctl[mteb]'") from e
    return package
