"""`irctl encode --codes`: text to vectors to the nearest document-side codes, a batch at a time; no vectors are stored.

It is a compression whose input is encoded as it is read, by a quantizer that is there: that of a bundle, or the one
that was trained with the model and lies in its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import files
from irctl.errors import DataError, counted
from irctl.index.bundle import QUANTIZER, Bundle, open_bundle
from irctl.models import pair
from irctl.models.locate import LocatedModel, resolve_run_name
from irctl.origins import derived
from irctl.pipelines import outputs
from irctl.pipelines.compress import results
from irctl.pipelines.compress.append import append
from irctl.pipelines.compress.text_stream import TextStream, of_texts
from irctl.pipelines.compress.work import Work
from irctl.pipelines.lineage.run_settings import settings
from irctl.pipelines.references import bundles, fitting, kept_transforms, transforms
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.data.collections.collection import Collection
    from irctl.ledger.recording import RunHandle
    from irctl.models.encoder import TextEncoder

READ_BY = {"max_len": "encoder.passage_max_len", "prompt": "encoder.passage_prompt", "title_join": "data.title_join"}
"""What a bundle knows of how its documents were read, and the settings that say it."""
IN_MODEL = "pq"
"""Folder of a model in which the quantizer lies that was trained with it."""


def settle_model(config: Config, index: str | None, reporter: Reporter) -> Config:
    """The configuration with the encoder of the documents: the one asked for, the index's, else the newest that fits.

    Texts are read as those of the index were, where nobody asks otherwise.

    Raises DataError where a bundle does not say which it is, or no model was trained with codes.
    """
    if index is None:
        if "model.name" in config.origins:
            return config
        return config.replace({"model.name": fitting.fitting_model(config, reporter, "repconc").id}, derived("lineage"))
    bundle = open_bundle(bundles.folder_of(index), bundles.load_quantizer)
    about = bundle.manifest.get("about", {})
    own = str(about.get("model") or "")
    if "model.name" not in config.origins and not own:
        raise DataError(f"{bundle.folder}: does not say which model encoded its documents", hint="Name it with --model")
    how = about.get("encoder") or {}
    read = {name: how.get(key) for key, name in READ_BY.items()} | dict(about.get("reading") or {})
    known = {k: v for k, v in read.items() if v is not None}
    known |= {"encoder.override": True} if known else {}
    known |= {"model.name": own}
    return config.replace({k: v for k, v in known.items() if k not in config.origins}, derived("the index"))


def find_quantizer(index: str | None, located: LocatedModel) -> Path:
    """The folder whose quantizer codes the documents: a bundle, or the model's own. DataError where there is none."""
    if index is not None:
        return bundles.folder_of(index)
    if (located.folder / IN_MODEL / QUANTIZER).is_file():
        return located.folder / IN_MODEL
    raise DataError(
        f"{located.name}: no quantizer was trained with it (no {IN_MODEL}/ in {located.folder})",
        hint="Name codes with --index BUNDLE, or train with irctl train --method repconc",
    )


def encode_codes(
    encoder: TextEncoder,
    collection: Collection,
    config: Config,
    run: RunHandle,
    reporter: Reporter,
    *,
    index: str | None,
    out: str | None,
    runner: str = "local",
) -> dict[str, Any]:
    """Write the bundle; the payload of --json. The same command continues one that was killed, to the same bytes."""
    init = find_quantizer(index, encoder.located)
    if index is not None:
        check_documents(open_bundle(init, bundles.load_quantizer), encoder, config.model.name)
    quantizer = bundles.quantizer_of(str(init))
    method = type(quantizer).__module__.rpartition(".")[2]
    asked = {
        "compress.method": method,
        "compress.metric": quantizer.metric,
        "compress.stream": True,
        "compress.probe": 0,
    }
    config = config.replace(asked, derived(f"the codes of {init}"))
    folder = Path(out) if out else run.out
    outputs.check(folder)
    if out:
        files.check_folder(folder, goes_on=True)
    trained = {} if index is not None else _describe_training(encoder.located)
    own = kept_transforms.of_folder(init)
    kept_transforms.refuse_others(str(init), own, config)
    given = of_texts(encoder, collection, config, **trained)
    given = transforms.with_transform(given, own) if own else given
    workers = config.hardware.devices
    work = Work(config, run, reporter, given, {method: folder}, init=str(init), workers=workers, here=workers)
    work.plan_and_train(may_train=True)
    payload = results.finish(work, work.encode(None, verify=False, runner=runner))
    run.note(dataset_fingerprint=collection.fingerprint, method=trained.get("trained", {}).get("method", method))
    _tell_speed(given.raw, work, run, collection.name)
    return payload


def append_texts(
    encoder: TextEncoder, collection: Collection, config: Config, run: RunHandle, reporter: Reporter, index: str
) -> dict[str, Any]:
    """Add the documents of a collection to a bundle, by its document encoder and its document-side centroids."""
    bundle = open_bundle(bundles.folder_of(index), bundles.load_quantizer)
    check_documents(bundle, encoder, config.model.name)
    known, now = bundle.manifest.get("about", {}).get("encoder") or {}, encoder.key("passage")
    if differs := next((key for key in READ_BY if key in known and known[key] != now[key]), None):
        raise DataError(
            f"{bundle.folder}: its documents were read with {READ_BY[differs]}={known[differs]!r}, asked for is "
            f"{now[differs]!r}: the codes of one text would differ",
            hint=f"Leave out {READ_BY[differs]}",
        )
    config = config.replace({"compress.stream": True}, derived("--codes"))
    return append(config, run, reporter, index, of_texts(encoder, collection, config))


def describe(config: Config, *, index: str | None, append: str | None) -> dict[str, Any]:
    """What --dry-run prints: where documents, encoder and codes are. No torch."""
    from irctl.data.collections.open import open_for
    from irctl.models import locate
    from irctl.types import Silent

    if append is not None:
        if fitting.is_of_vectors(append):
            return {"codes": {"vectors": append, "added to": str(bundles.folder_of(str(index)))}}
        config = config.replace({"data.source": append}, derived("--append"))
    config, collection = settle_model(config, index, Silent()), open_for(config)
    located = locate.find_local(config.model.name, config.model.revision)
    facts = {
        "collection": f"{collection.name}, {counted(len(collection.corpus), 'document')}",
        "encoder": config.model.name,
    }
    if index is not None:
        init = bundles.folder_of(index)
    elif located is not None:
        init = find_quantizer(None, located)
    else:
        return {"codes": {**facts, "quantizer": "that of the model, once it is here"}}
    quantizer = bundles.quantizer_of(str(init))
    mib = quantizer.code_size * len(collection.corpus) / 2**20
    facts |= {"quantizer": str(init), "bytes a row": str(quantizer.code_size), "codes on disk": f"{mib:,.2f} MiB"}
    return {"codes": facts | ({"added to": str(init)} if append is not None else {})}


def check_documents(bundle: Bundle, encoder: Any, name: str) -> None:
    """DataError where another encoder made the documents of a bundle: its centroids are not for these vectors."""
    known = bundle.manifest.get("about", {}).get("encoder") or {}
    if differs := pair.differs(known, encoder.key("passage")):
        model = bundle.manifest.get("about", {}).get("model") or "the model that encoded them"
        raise DataError(
            f"{bundle.folder}: its documents were encoded by another model than {name} (its {differs} differ)",
            hint=f"Leave out --model, or use --model {model}",
        )


def _describe_training(located: LocatedModel) -> dict[str, Any]:
    """{trained: how} where the model is a run's: what tables call its codes by."""
    from irctl.ledger import query

    if located.origin != "run":
        return {}
    run = query.find_run(resolve_run_name(located.name))
    had = settings(run)
    method, loss = (str(had.get(key, "")) for key in ("train.method", "loss.name"))
    return {"trained": {"method": method, "run": run.id, "loss": loss, "query": "shared"}}


def _tell_speed(stream: Any, work: Work, run: RunHandle, dataset: str) -> None:
    """Tokens a second of the CPU's reader, where this process encoded."""
    if isinstance(stream, TextStream) and stream.tokens and work.spent.reader_s:
        run.metric("tokens_per_cpu_s", stream.tokens / work.spent.reader_s, dataset=dataset)
