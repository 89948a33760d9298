"""The card of a bundle: which codes of what, by which encoder, how they are searched, and what they keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irctl.index.bundle import Bundle
from irctl.index.learned_bundle import ENCODER
from irctl.index.scoring import SIMILARITY
from irctl.ledger.query import RunRecord
from irctl.models.fingerprints import fingerprint_of
from irctl.pipelines.cards import page
from irctl.pipelines.cards import results as known
from irctl.pipelines.cards.results import Result

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard

UNCOMPRESSED = "the same vectors uncompressed"
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M",
         100_000_000: "10M<n<100M", 1_000_000_000: "100M<n<1B"}  # fmt: skip
"""Rows below which the hub's word for a size holds."""


def make(bundle: Bundle, run: RunRecord | None, results: Sequence[Result] = (), *, repo: str = "") -> DatasetCard:
    """The card. run: that wrote the bundle, where it is known. repo: OWNER/NAME where it will be."""
    from huggingface_hub import DatasetCard, DatasetCardData

    about = bundle.manifest.get("about", {})
    of = str(about.get("collection") or (bundle.manifest.get("source") or {}).get("name") or "vectors")
    name = (repo or f"{of.rpartition('/')[2]}-{bundle.method}-{bundle.code_size}").rpartition("/")[2]
    data = DatasetCardData(
        task_categories=["text-retrieval"],
        tags=["irctl", "vector-index", bundle.method],
        size_categories=[next((word for rows, word in SIZES.items() if bundle.rows < rows), "n>1T")],
        pretty_name=name,
    )
    said = f"Codes of {bundle.rows:,} vectors of {of}: {bundle.method}, {bundle.code_size} bytes a vector."
    table = page.table(known.rows(results, UNCOMPRESSED)) if results else ""
    body = page.sections(
        ("Use", _use(bundle, repo or "FOLDER")),
        ("What is in it", page.table(_facts(bundle))),
        ("Made from", page.table(page.list_inputs(run)) if run else ""),
        ("Settings that are not defaults", page.table(page.list_settings(run)) if run else ""),
        ("Command", page.command(run) if run else ""),
        ("Results", f"{table}\n\n{known.notes(results)}" if table else known.notes(results)),
        ("Made by", page.made_by(run) if run else ""),
    )
    return DatasetCard(f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{said}\n\n{body}")


def _facts(bundle: Bundle) -> list[dict[str, object]]:
    about, manifest = bundle.manifest.get("about", {}), bundle.manifest
    encoder: dict[str, Any] = about.get("encoder") or {}
    trained: dict[str, Any] = about.get("trained") or {}
    transform: dict[str, Any] = manifest.get("transform") or {}
    facts = {
        "codes": bundle.method,
        "rows": f"{bundle.rows:,}",
        "bytes a vector": f"{bundle.code_size} of {4 * bundle.dim} in float32 ({bundle.dim} dimensions)",
        "compared by": SIMILARITY[bundle.metric],
        "collection": about.get("collection"),
        "documents, sha256": f"`{about['corpus']}`" if about.get("corpus") else "",
        "encoder of the documents": about.get("model"),
        "its weights, sha256": f"`{encoder['weights']}`" if encoder.get("weights") else "",
        "its settings, sha256": f"`{fingerprint_of(encoder)}`" if encoder else "",
        "transform": transform.get("label"),
        "query side": f"trained by {trained.get('method')}, loss {trained.get('loss')}" if trained else "",
        "quantizer, sha256": f"`{manifest['quantizer']['sha256']}`",
        "bundle, sha256 of its manifest": f"`{bundle.fingerprint}`",
    }
    return [{"": name, "value": value} for name, value in facts.items() if value]


def _use(bundle: Bundle, repo: str) -> str:
    model = bundle.manifest.get("about", {}).get("model") or "its encoder"
    asked = "the encoder in it" if ENCODER in bundle.manifest else str(model)
    fetch = f"hf download {repo} --repo-type dataset --local-dir bundle\n" if "/" in repo else ""
    place = "bundle" if fetch else repo
    return (
        f"Queries are encoded by {asked}; irctl refuses another.\n\n"
        + page.code(f"{fetch}irctl search --index {place} --data COLLECTION\nirctl export {place} --to faiss")
        + "\n\nmanifest.json names every file with its size and sha256; `irctl compress --verify` reads them all."
    )
