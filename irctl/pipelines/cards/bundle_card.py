"""The card of a bundle: which codes of what, by which encoder, how they are searched, and what they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irctl.index import shards
from irctl.index.bundle import QUANTIZER, Bundle
from irctl.index.learned_bundle import ENCODER
from irctl.index.scoring import SIMILARITY
from irctl.ledger import query
from irctl.ledger.query import RunRecord
from irctl.models.fingerprints import fingerprint_of
from irctl.models.locate import find_local
from irctl.models.transforms import files as transform_files
from irctl.pipelines.cards import elsewhere, page
from irctl.pipelines.cards import results as known
from irctl.pipelines.cards.results import Result
from irctl.pipelines.lineage.run_settings import short_name

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard

UNCOMPRESSED = "the same vectors uncompressed"
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M",
         100_000_000: "10M<n<100M", 1_000_000_000: "100M<n<1B"}  # fmt: skip
"""Rows below which the hub's word for a size holds."""


def make(
    bundle: Bundle, run: RunRecord | None, results: Sequence[Result] = (), *, repo: str = "", manifest: str = ""
) -> DatasetCard:
    """The card. run: that wrote the bundle, where it is known. repo: OWNER/NAME where it will be.

    manifest: sha256 of the manifest there; default: that of this one.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    about = bundle.manifest.get("about", {})
    source = (bundle.manifest.get("source") or {}).get("name")
    of = page.without_folders(str(about.get("collection") or source or "vectors"))
    name = (repo or f"{of.rpartition('/')[2]}-{bundle.method}-{bundle.code_size}").rpartition("/")[2]
    data = DatasetCardData(
        task_categories=["text-retrieval"],
        tags=["irctl", "vector-index", bundle.method],
        size_categories=[next((word for rows, word in SIZES.items() if bundle.rows < rows), "n>1T")],
        pretty_name=name,
    )
    encoder = _find_encoder(str(about.get("model") or ""))
    said = f"Codes of {bundle.rows:,} vectors of {of}: {bundle.method}, {bundle.code_size} bytes a vector."
    table = page.table(known.rows(results, UNCOMPRESSED)) if results else ""
    body = page.sections(
        ("Use", _use(bundle, encoder, repo or "FOLDER")),
        ("What is in it", page.table(_facts(bundle, encoder, run, manifest or bundle.fingerprint))),
        ("Made from", page.table(page.list_inputs(run)) if run else ""),
        ("Settings that are not defaults", page.table(page.list_settings(run)) if run else ""),
        ("Command", page.command(run) if run else ""),
        ("Results", f"{table}\n\n{known.notes(results)}" if table else known.notes(results)),
        ("Made by", page.made_by(run) if run else ""),
    )
    return DatasetCard(f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{said}\n\n{body}")


@dataclass(frozen=True)
class NamedEncoder:
    """The encoder of the documents as a reader elsewhere can find it. name: on the hub, else in words."""

    name: str
    on_hub: bool
    weights: Mapping[str, str]


def _find_encoder(model: str) -> NamedEncoder:
    located = find_local(model) if model else None
    if located is None or located.origin not in ("run", "package", "hub"):  # a folder may be another by now
        name = page.name_on_hub(model, ".") if located is None else f"a local folder ({short_name(model)})"
        return NamedEncoder(name or page.without_folders(model), bool(name) and located is None, {})
    is_there = located.origin != "run" or bool(elsewhere.find_upload(model))
    return NamedEncoder(elsewhere.name_model(model, "."), is_there, page.list_weights(located.folder))


def _key_of_encoder(bundle: Bundle, run: RunRecord | None) -> str:
    """The key of the documents' encoder, as the card of that model and the run that encoded them have it."""
    about = bundle.manifest.get("about", {})
    trained = query.select("id = ?", (str(about.get("model") or ""),))
    line = [*trained, *(r for r in query.ancestors(run.id) if r.columns.get("command") == "encode")] if run else trained
    known = (str(r.columns.get("model_fingerprint") or "") for r in line)
    encoder = {k: v for k, v in (about.get("encoder") or {}).items() if k != "dtype"}
    return next(filter(None, known), fingerprint_of(encoder) if encoder else "")


def _facts(bundle: Bundle, encoder: NamedEncoder, run: RunRecord | None, sha256: str) -> list[dict[str, object]]:
    """What it is, by its manifest. sha256: of the manifest that goes with the card."""
    about, manifest = bundle.manifest.get("about", {}), bundle.manifest
    trained: dict[str, Any] = about.get("trained") or {}
    transform: dict[str, Any] = manifest.get("transform") or {}
    key, quantizer = _key_of_encoder(bundle, run), manifest["quantizer"]
    facts = {
        "codes": bundle.method,
        "rows": f"{bundle.rows:,}",
        "bytes a vector": f"{bundle.code_size} of {4 * bundle.dim} in float32 ({bundle.dim} dimensions)",
        "compared by": SIMILARITY[bundle.metric],
        "collection": about.get("collection"),
        "documents, key in the ledger": f"`{about['corpus']}`" if about.get("corpus") else "",
        "encoder of the documents": encoder.name,
        **{f"its `{name}`, sha256": f"`{sha256}`" for name, sha256 in encoder.weights.items()},
        "its key in the ledger": f"`{key}`" if key else "",
        "transform": transform.get("label"),
        "query side": f"trained by {trained.get('method')}, loss {trained.get('loss')}" if trained else "",
        f"`{quantizer['folder']}/{QUANTIZER}`, sha256": f"`{quantizer['sha256']}`",
        f"`{shards.MANIFEST}`, sha256": f"`{sha256}`",
        "key in the ledger": f"`{bundle.fingerprint}`" if sha256 != bundle.fingerprint else "",
    }
    return [{"": name, "value": value} for name, value in facts.items() if value]


def _use(bundle: Bundle, encoder: NamedEncoder, repo: str) -> str:
    fetch = f"hf download {repo} --repo-type dataset --local-dir bundle\n" if "/" in repo else ""
    place, named, said = (
        "bundle" if fetch else repo,
        "",
        f"Queries are encoded by {encoder.name}; irctl refuses another.",
    )
    if ENCODER in bundle.manifest:
        said = "Queries are encoded by the encoder in it; irctl refuses another."
    elif not encoder.name:
        named = " --model ENCODER"
        said = "Nothing says which encoder made its vectors: name it in place of ENCODER, or give vectors by --queries."
    elif not encoder.on_hub:
        named = " --model ENCODER"
        said = (
            f"Queries are encoded by {encoder.name} (its weights below): name its folder in place of ENCODER; irctl "
            "refuses another."
        )
    search = f"irctl search --index {place}{named} --data COLLECTION\nirctl export {place} --to faiss"
    return (
        f"{said}\n\n"
        + page.code(f"{fetch}{search}\nirctl compress --verify --out {place}")
        + f"\n\nSizes and sha256 of the codes are in {shards.MANIFEST}, the sha256 of {_hashed_by(bundle)}; the last "
        "command reads them all."
    )


def _hashed_by(bundle: Bundle) -> str:
    """Whose hashes are not in the manifest, and where they are."""
    quantizer, transform = bundle.manifest["quantizer"]["folder"], bundle.manifest.get("transform")
    said = f"the quantizer's arrays in {quantizer}/{QUANTIZER}"
    return f"{said}, those of the transform in {transform['folder']}/{transform_files.FILE}" if transform else said
