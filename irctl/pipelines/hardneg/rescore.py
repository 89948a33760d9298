"""Candidates scored again by a cross-encoder, so that margins are measured on its scores.

What it costs is kept query by query while the mining lasts, by the content of model and texts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from irctl.errors import ConfigError, DataError
from irctl.files import writing
from irctl.pipelines.hardneg.rankers import Ranked, Ranker

if TYPE_CHECKING:
    from irctl.pipelines.hardneg.judged_split import MiningSplit


RESCORE_BATCH = 32
FILE = "rescored.jsonl"


def rescore(base: Ranker, split: MiningSplit, name: str, folder: Path, *, trust_remote_code: bool) -> Ranker:
    """The candidates of another ranker, scored and ordered by the cross-encoder `name`.

    folder: of the run, where a stop leaves the scores so far, and the same command finds them.
    Raises DataError if it is not here and the hub cannot be asked, ConfigError if it gives no single score.
    """
    from sentence_transformers import CrossEncoder

    from irctl.models.fingerprints import fingerprint_state

    try:
        model = CrossEncoder(name, trust_remote_code=trust_remote_code)
    except OSError as e:
        raise DataError(f"hardneg.rescore: no cross-encoder '{name}': {str(e).splitlines()[0]}") from e
    if (labels := int(model.config.num_labels)) != 1:
        raise ConfigError(
            f"hardneg.rescore={name}: gives {labels} scores a pair; expected 1, the relevance",
            hint="Use a cross-encoder of one label, trained to rank",
        )

    corpus, kept = split.collection.corpus, KeptScores(folder / FILE, fingerprint_state(model.model.state_dict()))

    def score(row: int, documents: list[str]) -> list[float]:
        query, texts = split.queries.texts[row], corpus.texts([corpus.row(d) for d in documents])
        found = kept.find(query, texts)
        if found is None:
            pairs = [(query, t) for t in texts]
            found = [float(s) for s in model.predict(pairs, batch_size=RESCORE_BATCH, show_progress_bar=False)]
            kept.add(query, texts, found)
        return found

    def ranked(row: int, k: int) -> Ranked:
        documents = [d for d, _ in base.ranked(row, k)]
        scored = zip(documents, score(row, documents), strict=True) if documents else iter(())
        return sorted(scored, key=lambda x: (x[1], x[0]), reverse=True)

    return Ranker(ranked, score, {**base.provenance, "rescored_by": name}, kept=f"what is rescored, in {kept.path},")


class KeptScores:
    """Scores of a query's texts in a file of lines, each appended once it is known; a torn line is left out."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self._model = path, model
        self._known: dict[str, list[float]] = {}
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = [float(s) for s in entry["scores"]]
            except (ValueError, KeyError, TypeError):
                continue

    def _key(self, query: str, texts: list[str]) -> str:
        return hashlib.sha256(json.dumps([self._model, query, texts]).encode()).hexdigest()

    def find(self, query: str, texts: list[str]) -> list[float] | None:
        """The scores of these texts by this model, if they are kept."""
        return self._known.get(self._key(query, texts))

    def add(self, query: str, texts: list[str], scores: list[float]) -> None:
        """Keep them: they outlive a killed process from here on."""
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps({"key": self._key(query, texts), "scores": scores}) + "\n")
