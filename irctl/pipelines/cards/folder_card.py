"""The card of a model folder whose training is not in this ledger: what the folder says, and evaluations of it here.

A card that came with the folder stays, for it says more; evaluations of this ledger go into a section of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import DataError
from irctl.models import fingerprints, reading
from irctl.pipelines.cards import elsewhere, model_card, page
from irctl.pipelines.cards import results as known
from irctl.pipelines.cards.results import Result

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

SINCE = "Evaluated since"
"""Title of the section with evaluations of another ledger than the training's."""
BEFORE = "## Made by"
SAID = {
    "loss": "loss",
    "method": "method",
    "positive_threshold": "relevant from grade",
    "dtype": "arithmetic",
    "pooling": "pooling",
    "query_max_len": "tokens of a query, at most",
    "passage_max_len": "tokens of a passage, at most",
    "query_prompt": "prompt of queries",
    "passage_prompt": "prompt of passages",
}
"""Keys of irctl.json, and what a card calls them."""


def read_own(folder: Path) -> dict[str, Any]:
    """What irctl.json says. DataError where there is none: then nothing says how the model was made."""
    path = folder / reading.FILE
    if path.is_file():
        return tables.json_object(path)
    raise DataError(
        f"{folder}: expected a bundle, or the model folder of a training, found neither {reading.FILE} nor a bundle",
        hint="Name the run of its training (irctl runs ls --command train), or copy the whole folder that it left",
    )


def make(folder: Path, key: str, results: Sequence[Result] = (), *, repo: str = "") -> ModelCard:
    """The card. key: of the model in the ledger. repo: OWNER/NAME where it will be."""
    from huggingface_hub import ModelCard

    found = "\n\n".join([page.table(known.rows(results, model_card.BEGUN_WITH)), known.notes(results)])
    if written := page.read(folder):
        card = ModelCard(re.sub(rf"## {SINCE}\n\n.*?(?={BEFORE})", "", written, flags=re.S))
        card.text = card.text.replace(BEFORE, f"## {SINCE}\n\n{found}\n\n{BEFORE}") if results else card.text
        card.text = card.text.replace('"FOLDER"', f'"{repo}"') if repo else card.text
        return card
    return _of_json(folder, read_own(folder), key, found if results else known.notes(results), repo)


def _of_json(folder: Path, own: Mapping[str, Any], key: str, results: str, repo: str) -> ModelCard:
    from huggingface_hub import ModelCard, ModelCardData

    base, run = str(own.get("base_model") or ""), str(own.get("run") or "")
    name = repo.rpartition("/")[2] or folder.name
    losses = [f"loss:{part.rpartition('*')[2]}" for part in str(own.get("loss") or "").split(",") if part]
    data = ModelCardData(
        base_model=page.name_on_hub(base, ".") or None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["irctl", "sentence-transformers", "sentence-similarity", *losses],
    )
    by = f"run `{run}`, which" if run else "a run that"
    body = page.sections(
        ("Use", model_card.show_use(repo or "FOLDER", own)),
        ("What its folder says", page.table(_facts(folder, own, key))),
        ("Results", results),
        ("Made by", f"irctl, {by} is not in the ledger that wrote this card: it has the data, settings and command."),
    )
    begun = f", from {elsewhere.name_model(base, '.')}" if base else ""
    said = f"A text encoder for retrieval, trained by `irctl train`{begun}."
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{said}\n\n{body}")


def _facts(folder: Path, own: Mapping[str, Any], key: str) -> list[dict[str, object]]:
    began: Mapping[str, str] = own.get(fingerprints.BEGAN_WITH) or {}
    facts = {
        **{name: own[k] for k, name in SAID.items() if own.get(k) not in ("", None)},
        "temperatures": ", ".join(f"{name} {value:g}" for name, value in (own.get("temperatures") or {}).items()),
        "compared by": own.get("similarity"),
        **{f"began with `{name}`, sha256": f"`{sha256}`" for name, sha256 in began.items()},
        **{f"`{name}`, sha256": f"`{sha256}`" for name, sha256 in page.list_weights(folder).items()},
        "key in the ledger": f"`{key}`",
    }
    return [{"": name, "value": value} for name, value in facts.items() if value]
