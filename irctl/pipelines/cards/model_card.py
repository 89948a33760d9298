"""The card of a trained model: what it was made of and how, and what is known of how well it does.

A card is not part of the model: keys of models are hashes of weights, tokenizer and settings, so that it can be written
again after an evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import tables
from irctl.errors import DataError, counted
from irctl.ledger import query
from irctl.ledger.query import RunRecord
from irctl.models import fingerprints, pair
from irctl.models.compressive import folder as compressors
from irctl.models.locate import find_local
from irctl.models.reading import FILE as SETTINGS
from irctl.models.similarity import SIMILARITIES
from irctl.pipelines.cards import elsewhere, page
from irctl.pipelines.cards import results as known
from irctl.pipelines.cards.results import Result
from irctl.training.run_files import epoch_folders, journal
from irctl.training.run_files.dev_measure import dev_measure

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

BEGUN_WITH = "the model that it began with"
TRAIN = "train"
TRAINED = "SELECT run_id FROM artifacts WHERE role = 'out' AND kind = 'model' AND sha256 = ? AND run_id < ?"
"""Earlier runs alone: two trainings may leave the same weights, those that both began with."""


def folder_of(run: RunRecord) -> Path:
    """The folder of the model that a run trained. DataError where it has none."""
    for folder in (run.paths.model / compressors.NAME, run.paths.model):
        if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
            return folder
    raise DataError(f"run {run.id} ({run.columns.get('command')}) has no model", hint="irctl runs ls --command train")


def base_of(run: RunRecord) -> known.Base:
    """The model that a training began with."""
    name = _value(run, "acerag.lm" if run.columns.get("method") == "acerag" else "model.name")
    for read in query.artifacts(run, role="in", kind="model"):
        for made in query.rows(TRAINED, (read["sha256"], run.id)):
            return known.Base(str(made["run_id"]), run=str(made["run_id"]))
    return known.Base(name, files=_own(run).get(fingerprints.BEGAN_WITH) or {})


def _own(run: RunRecord) -> dict[str, Any]:
    """What the folder of an encoder says of its training; empty for a compressor."""
    path = folder_of(run) / SETTINGS
    return tables.json_object(path) if path.is_file() and path.parent.name != compressors.NAME else {}


def write(run: RunRecord, results: Sequence[Result] = ()) -> None:
    """Put the card into the folder of the run's model and of those of its epochs."""
    epochs = [p for p in run.paths.checkpoints.glob(f"{epoch_folders.PREFIX}*") if p.is_dir()]
    others = [run.paths.checkpoints / name for name in (epoch_folders.BEST_MODEL, epoch_folders.FINAL_MODEL)]
    for folder in [folder_of(run), *epochs, *(p for p in others if p.is_dir())]:
        which = "" if folder.is_relative_to(run.paths.model) else folder.name
        page.put(folder, str(make(run, results if not which else (), which=which)))


def make(run: RunRecord, results: Sequence[Result] = (), *, repo: str = "", which: str = "") -> ModelCard:
    """The card. repo: OWNER/NAME where it will be. which: the folder beside the checkpoints that it is of."""
    from huggingface_hub import ModelCard, ModelCardData

    folder, base, cwd = folder_of(run), base_of(run).name, str(run.columns.get("cwd") or "")
    is_compressor, own = folder.name == compressors.NAME, _own(run)
    root = page.name_on_hub(str(own.get("base_model") or base), cwd)
    name = repo.rpartition("/")[2] or page.title(f"{_value(run, 'run.name') or run.columns['method']}-{run.id}")
    tags = ["irctl", *([] if is_compressor else ["sentence-transformers", "sentence-similarity"]), *_methods(run)]
    data = ModelCardData(
        base_model=root or None,
        license=_licence_of_base(run, base),
        library_name="transformers" if is_compressor else "sentence-transformers",
        pipeline_tag=None if is_compressor else "sentence-similarity",
        tags=list(dict.fromkeys(tags)),
        datasets=page.data_on_hub(run) or None,
        model_name=name if results else None,
        eval_results=known.as_metadata(results),
    )
    body = page.sections(
        ("Use", _use_of_compressor(folder) if is_compressor else show_use(repo or "FOLDER", own)),
        ("Training", "\n\n".join([page.table(_facts(run, own, which)), page.table(page.list_inputs(run))])),
        ("Settings that are not defaults", page.table(page.list_settings(run))),
        ("Command", page.command(run)),
        ("Results", _results(run, results)),
        ("Made by", page.made_by(run)),
    )
    said = _says(run, elsewhere.name_model(base, cwd), is_compressor)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{said}\n\n{body}")


def _says(run: RunRecord, base: str, is_compressor: bool) -> str:
    what = "A compressor of contexts for a language model" if is_compressor else "A text encoder for retrieval"
    begun = f", {'for' if is_compressor else 'from'} {base}" if base else ""
    on = f" on {run.columns['dataset']}" if run.columns.get("dataset") else ""
    return f"{what}, trained by `irctl train` (method {run.columns['method']}){begun}{on}."


def _results(run: RunRecord, results: Sequence[Result]) -> str:
    return "\n\n".join(filter(None, [page.table(known.rows(results, BEGUN_WITH)), known.notes(results)]))


def _facts(run: RunRecord, own: Mapping[str, Any], which: str) -> list[dict[str, object]]:
    """What the training was, by its settings and its own last words."""
    done = _last_event(run, "done")
    folder = run.paths.checkpoints / which if which else folder_of(run)
    loss = own.get("loss") or (_value(run, "loss.name") if own else "")
    temperatures: Mapping[str, float] = own.get("temperatures") or {}
    facts = {
        "method": run.columns["method"],
        "trained on": _trained_on(run, done),
        "loss": " + ".join(filter(None, [loss, _value(run, "train.regularizer")])),
        "temperatures": ", ".join(f"{name} {value:g}" for name, value in temperatures.items()),
        "queries a step": run.columns.get("global_batch") or "",
        "negatives a query": _negatives(run),
        "seed": run.columns.get("seed"),
        "steps": done.get("steps", ""),
        "resumed": ", ".join(f"at step {step}" for step in _resumed_at(run)),
        "step of this model": which or done.get("model_step", ""),
        **_dev(run, done),
        "trained parameters": f"{done['params']:,}" if done.get("params") else "",
        "vectors": f"{done.get('dim')} dimensions, compared by {_similarity(folder, own)}" if own else "",
        **{f"`{name}`, sha256": f"`{sha256}`" for name, sha256 in page.list_weights(folder).items()},
        "key in the ledger": "" if which else f"`{run.columns.get('model_fingerprint')}`",
    }
    return [{"": name, "value": value} for name, value in facts.items() if value not in ("", None)]


def _last_event(run: RunRecord, name: str) -> dict[str, Any]:
    """Of that name in the journal; empty where there is none."""
    return next((e for e in reversed(journal.events(run.paths.metrics)) if e["event"] == name), {})


def _trained_on(run: RunRecord, done: Mapping[str, Any]) -> str:
    """The queries there were, and how many were drawn where the steps are fewer than one pass over them."""
    queries = {m["name"]: int(m["value"]) for m in query.measures(run.id)}.get("training_queries")
    data = str(run.columns.get("dataset") or "")
    if not data:
        return ""
    steps = int(done.get("steps") or 0)
    drawn = steps * int(run.columns.get("global_batch") or 0)
    part = f", {drawn:,} of them in {counted(steps, 'step')}" if queries and 0 < drawn < queries else ""
    number = f", {counted(queries, 'query')}{part}" if queries else ""
    return f"{data}, split {_value(run, 'data.split') or TRAIN}{number}"


def _negatives(run: RunRecord) -> object:
    """Of the first loss batch as they count; what groups and batch list is more, by copies and known positives."""
    terms: dict[str, dict[str, float]] = _last_event(run, "negatives").get("first_batch", {})
    if not terms:
        return run.columns.get("negatives_per_query") or ""
    by_guide = ", before the guide drops any" if _value(run, "loss.guide") else ""
    said = {f"{t['counted']:.1f} of {t['listed']:.1f} listed": name for name, t in terms.items()}
    told = "; ".join(f"{name}: {text}" for text, name in said.items()) if len(said) > 1 else next(iter(said))
    return f"{told}, first loss batch{by_guide}"


def _dev(run: RunRecord, done: Mapping[str, Any]) -> dict[str, str]:
    """The score by which the step was chosen, called by its measure, what was ranked, and the split."""
    values = [f"{done[k]:.4f}" for k in ("dev_before", "dev_after") if done.get(k) is not None]
    if not values:
        return {}
    splits = {m["split"]: m["dataset"] for m in query.measures(run.id) if m["split"]}
    measure = dev_measure(_value(run, "train.method"), _value(run, "eval.during"))
    on = "".join(f", {dataset} {split}" for split, dataset in splits.items())
    return {f"{measure}{on}, before and after": " -> ".join(values)}


def _resumed_at(run: RunRecord) -> list[int]:
    """Steps at which the training was taken up again; not those at which it went on after mining negatives."""
    events = [e for e in journal.events(run.paths.metrics) if e["event"] in ("plan", "mine")]
    return [int(e["step"]) for before, e in pairwise(events) if e["event"] == "plan" and before["event"] != "mine"]


def _similarity(folder: Path, own: Mapping[str, Any]) -> str:
    """By the folder's own word, as sentence-transformers reads it."""
    path = folder / "config_sentence_transformers.json"
    said = tables.json_object(path).get("similarity_fn_name") if path.is_file() else None
    return SIMILARITIES.get(str(said), str(said)) if said else str(own["similarity"])


def show_use(repo: str, own: Mapping[str, Any]) -> str:
    """How an encoder is used. repo: its folder or OWNER/NAME. own: its irctl.json."""
    alone = own.get(pair.DOCUMENTS)
    lines = [
        "from sentence_transformers import SentenceTransformer",
        f'model = SentenceTransformer("{repo}")',
        'queries = model.encode_query(["a question"])',
    ]
    if not alone:
        lines += ['documents = model.encode_document(["a passage"])', "scores = model.similarity(queries, documents)"]
        return page.code("\n".join(lines), "python")
    theirs = elsewhere.name_model(str(alone.get("model") or "another encoder"), ".")
    said = f"An encoder of queries alone: documents are encoded by {theirs}"
    return f"{said}{', and its codes are in a bundle of irctl' if alone.get('codes') else ''}.\n\n" + page.code(
        "\n".join(lines), "python"
    )


def _use_of_compressor(folder: Path) -> str:
    about = compressors.read(folder)
    ratios = ", ".join(f"{r}x" for r in about.ratios)
    return (
        f"Rows in place of the tokens of a context ({ratios}), for {elsewhere.name_model(about.lm['name'], '.')} alone "
        f"(weights `{about.lm['weights']}`).\n\n"
    ) + page.code("irctl eval --model FOLDER --task TASK")


def _methods(run: RunRecord) -> Iterable[str]:
    loss = _value(run, "loss.name")
    return [str(run.columns["method"]), *(f"loss:{part.rpartition('*')[2]}" for part in loss.split(",") if part)]


def _licence_of_base(run: RunRecord, base: str) -> str | None:
    """What the card of the model that a training began with says, where it lies on this machine."""
    from huggingface_hub import ModelCard

    trained = query.select("id = ?", (base_of(run).run,))  # its card may be older than the licence of its base
    if trained:
        return _licence_of_base(trained[0], base_of(trained[0]).name)
    folders = [Path(read["path"]) for read in query.artifacts(run, role="in", kind="model")]
    if not folders and (located := find_local(base)) is not None:  # trained against codes, whose encoder it took
        folders = [located.folder]
    for path in (folder / page.FILE for folder in folders):
        if path.is_file():
            try:
                data = ModelCard.load(path, ignore_metadata_errors=True).data
            except ValueError:  # a page that is no card: it says nothing of a licence
                return None
            return str(data.license) if getattr(data, "license", None) else None
    return None


def _value(run: RunRecord, key: str) -> str:
    stored: dict[str, Any] = json.loads(run.columns.get("config_json") or "{}")
    return str(stored.get(key, {}).get("value") or "")
