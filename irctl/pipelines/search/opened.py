"""What the searches of one command share: encoder, index and collection, opened once and handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irctl.origins import derived
from irctl.pipelines.references import transforms
from irctl.pipelines.references.document_encoder import document_encoder
from irctl.pipelines.search import opened_index
from irctl.pipelines.search.opened_index import Searched
from irctl.pipelines.search.query_vectors import open_collection, open_encoder
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle


class Opened:
    """Nothing is opened before a search needs it: one that is resumed may need nothing.

    model: encoder of the queries; default: the index's own, else the configuration's. index: bundle or vectors, by
    folder or run; default: the collection, encoded. Settings of model and index are those of the first search.
    """

    def __init__(self, model: str | None = None, index: str | None = None, reporter: Reporter | None = None) -> None:
        self.model, self._reference, self._reporter = model, index, reporter
        self._index: Searched | None = None
        self._encoder: tuple[Any, str] | None = None
        self._collection: tuple[Any, Collection] | None = None
        self._encoded: tuple[Collection, Searched] | None = None

    def index(self, config: Config, default: str = "") -> Searched | None:
        """The index named, or the default one; None where neither is."""
        if self._index is None and (reference := self._reference or default):
            self._index = opened_index.open_index(reference, config, self._reporter)
        return self._index

    def collection(self, config: Config) -> Collection:
        """The collection asked for, else the one the index was made from."""
        data = config.data
        key = (data.source, data.root, data.title_join, data.fix_encoding, config.eval.on_conflict)
        if self._collection is None or self._collection[0] != key:
            self._collection = key, open_collection(config, self.index(config))
        return self._collection[1]

    def encoder(self, config: Config) -> tuple[Any, str]:
        """(encoder, its name), with the prompts of the data set that the settings name."""
        if self._encoder is None:
            self._encoder = open_encoder(config, self.model, self.index(config), self._reporter)
            return self._encoder
        encoder, name = self._encoder
        return encoder.for_data(opened_index.settle_data(config, self.index(config)).data.source), name

    def encoded(self, collection: Collection, config: Config, run: RunHandle, reporter: Reporter) -> Searched:
        """The collection's vectors: from the cache, or encoded now on every device."""
        from irctl.pipelines.encode import encode_rows

        if self._encoded is None or self._encoded[0] is not collection:
            encoder, name = self.encoder(config)
            of_documents, name = document_encoder(encoder, name, config)
            named = config.replace({"model.name": name}, derived("the search"))
            embedding, _ = encode_rows(of_documents, collection.corpus, named, run, reporter)
            given = transforms.of_encoded(embedding.folder, encoder, collection, config, reporter)
            self._encoded = (collection, opened_index.of_vectors(given, config.search))
        return self._encoded[1]
