"""The card of an exported model: an encoder with the transform of its vectors in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irctl.ledger.query import RunRecord
from irctl.pipelines.cards import elsewhere, page
from irctl.pipelines.cards import results as known
from irctl.pipelines.cards.results import Result
from irctl.pipelines.lineage.run_settings import short_name

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

AS_ENCODED = "the same vectors as encoded"
USE = """from sentence_transformers import SentenceTransformer
model = SentenceTransformer("FOLDER")
queries = model.encode_query(["a question"])
documents = model.encode_document(["a passage"])
scores = model.similarity(queries, documents)"""
NOT_YET = "Not evaluated when this was written: `irctl eval --model FOLDER --data COLLECTION`."


def make(run: RunRecord, base: str, facts: Mapping[str, Any], results: Sequence[Result] = ()) -> ModelCard:
    """The card. run: the export. base: the encoder's name. facts: of the vectors that the transform was fitted on."""
    from huggingface_hub import ModelCard, ModelCardData

    cwd = str(run.columns.get("cwd") or "")
    short = short_name(base)
    name = f"{short}-{str(facts['transform']).partition(' ')[0]}-{run.id}"
    data = ModelCardData(
        base_model=page.name_on_hub(base, cwd) or None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["irctl", "sentence-transformers", "sentence-similarity"],
        model_name=name if results else None,
        eval_results=known.as_metadata(results),
    )
    shown = [{"": what, "value": value} for what, value in facts.items() if value not in ("", None)]
    table = page.table(known.rows(results, AS_ENCODED)) if results else ""
    body = page.sections(
        ("Use", page.code(USE, "python")),
        ("What is in it", page.table(shown)),
        ("Made from", page.table(page.list_inputs(run))),
        ("Settings that are not defaults", page.table(page.list_settings(run))),
        ("Command", page.command(run)),
        ("Results", f"{table}\n\n{known.notes(results)}" if table else NOT_YET),
        ("Made by", page.made_by(run)),
    )
    what = f"its vectors transformed by {facts['transform']}: two routes, for queries and documents."
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{elsewhere.name_model(base, cwd)}, {what}\n\n{body}")
