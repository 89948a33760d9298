"""How an encoder reads text: pooling, normalisation, lengths, prompts; read from its folder, or given and saved.

A setting that contradicts what the folder says is refused unless encoder.override=true: scores of a model that is fed
otherwise than it was trained are wrong without a sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from irctl import tables
from irctl.data.collections import cards
from irctl.data.files import hub
from irctl.errors import ConfigError, DataError
from irctl.models.locate import LocatedModel
from irctl.models.similarity import settle_similarity

if TYPE_CHECKING:
    from irctl.config import Config

FILE = "irctl.json"
FORMAT = "irctl-encoder"
VERSION = 1
POOLINGS: dict[str, Any] = {
    "mean": "mean",
    "cls": "cls",
    "last_token": "lasttoken",
    "max": "max",
    "cls+mean": ("cls", "mean"),
}
# Plain transformers folders whose papers say how they pool; neither normalises.
KNOWN_POOLING = {"facebook/contriever": "mean", "facebook/contriever-msmarco": "mean"}
PASSAGE_PROMPTS = ("document", "passage", "corpus")
FALLBACK_MAX_LEN = 512
SAVED = {  # irctl.json, as far as it is read back
    **{f"{key}?": int for key in ("query_max_len", "passage_max_len", "pad_multiple")},
    **{f"{key}?": str for key in ("query_prompt", "passage_prompt", "title_join")},
    "prompts?": {"*": {"*": str}},
    "transform?": {"label": str},
}
UNBOUNDED = 1 << 20  # tokenizers without a limit state 10^30


class FolderFacts(NamedTuple):
    """What a model says itself. limit: tokens that its positions allow; own_len: its own maximum."""

    pooling: str | None
    normalizes: bool
    limit: int
    own_len: int
    prompts: Mapping[str, str]


@dataclass(frozen=True)
class ReadingSettings:
    """What stands in irctl.json, besides provenance. Lengths are tokens, special ones and the prompt counted.

    prompts: {data set: {query or passage: prompt}}, in place of query_prompt and passage_prompt for that data set.
    """

    pooling: str
    normalize: bool
    query_max_len: int
    passage_max_len: int
    query_prompt: str
    passage_prompt: str
    title_join: str
    similarity: str
    pad_multiple: int
    prompts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def prompt(self, side: str, names: Sequence[str] = ()) -> str:
        """The prompt of a side: that of the first of these data set names which has one, else the general one."""
        own = next((self.prompts[n][side] for n in names if side in self.prompts.get(n, {})), None)
        return own if own is not None else self.query_prompt if side == "query" else self.passage_prompt


def list_names(source: str) -> tuple[str, ...]:
    """What prompts may call a data set: the source itself, its card's name, the last part of it, and its parent's.

    A configuration file is known without its ending too.
    """
    key = cards.key_of(source)
    if key is not None:
        card = cards.built_in()[key]
        names = [source, key, card.name, key.rpartition("/")[2], card.same_as, card.same_as.rpartition("/")[2]]
    elif hub.is_hub(source):
        names = [source, hub.parse_source(source).repo.rpartition("/")[2]]
    else:
        last = Path(source.rpartition(":")[2])
        names = [source, last.name, last.stem if last.suffix in (".json", ".toml") else ""]
    return tuple(dict.fromkeys(n for n in names if n))


def read_file(located: LocatedModel) -> dict[str, Any]:
    """irctl.json of a model folder; empty if there is none."""
    path = located.folder / FILE
    if not path.is_file():
        return {}
    about = tables.json_object(path)
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise DataError(
            f"{path}: expected {FORMAT} version {VERSION}, found {about.get('format')} {about.get('version')}"
        )
    tables.check(about, SAVED, str(path))
    return about


def resolve(module: Any, about: Mapping[str, Any], config: Config, located: LocatedModel) -> ReadingSettings:
    """The settings in force. `module` is the loaded SentenceTransformer, whose modules say what irctl.json does not.

    Raises ConfigError where a given value contradicts the folder, or exceeds what the model can read.
    """
    _refuse_without_transformer(module, config, located)
    says = FolderFacts(find_pooling(module), normalizes(module), *_find_limits(module), dict(module.prompts or {}))
    value, prompts = settle(says, about, config, located)
    return ReadingSettings(
        pooling=value["encoder.pooling"] or "",
        normalize=bool(value["encoder.normalize"]),
        query_max_len=value["encoder.query_max_len"] or says.own_len,
        passage_max_len=value["encoder.passage_max_len"] or says.own_len,
        query_prompt=value["encoder.query_prompt"] or "",
        passage_prompt=value["encoder.passage_prompt"] or "",
        title_join=value["data.title_join"],
        similarity=settle_similarity(module.similarity_fn_name, located, config.encoder.normalize, says.normalizes),
        pad_multiple=int(about.get("pad_multiple", 0)),
        prompts=prompts,
    )


def settle(
    facts: FolderFacts, about: Mapping[str, Any], config: Config, located: LocatedModel
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """(values by key, None where nobody says it; prompts of single data sets).

    Raises ConfigError where a given value contradicts the folder, or exceeds what the model can read.
    """
    limit, own_len, prompts = facts.limit, facts.own_len, dict(facts.prompts)
    # not the default prompt: encode_query and encode_document of sentence-transformers do not prepend it either
    query_prompt = prompts.get("query")
    passage_prompt = next((prompts[k] for k in PASSAGE_PROMPTS if prompts.get(k)), None)
    says: dict[str, Any] = {
        "encoder.pooling": facts.pooling,
        "encoder.normalize": facts.normalizes,
        "encoder.query_max_len": about.get("query_max_len"),
        "encoder.passage_max_len": about.get("passage_max_len"),
        # an empty prompt of a foreign folder says nothing; one that irctl saved says "none"
        "encoder.query_prompt": about.get("query_prompt", query_prompt or None),
        "encoder.passage_prompt": about.get("passage_prompt", passage_prompt or None),
        "data.title_join": about.get("title_join"),
    }
    given: dict[str, Any] = {
        "encoder.pooling": config.encoder.pooling or None,
        "encoder.normalize": {"": None, "true": True, "false": False}[config.encoder.normalize],
        "encoder.query_max_len": config.encoder.query_max_len or None,
        "encoder.passage_max_len": config.encoder.passage_max_len or None,
        "encoder.query_prompt": config.encoder.query_prompt,
        "encoder.passage_prompt": config.encoder.passage_prompt,
        "data.title_join": config.data.title_join,  # its default counts too: the corpus is read with it
    }
    saved, asked = about.get("prompts", {}), config.prompts()
    of_data = {d: {**saved.get(d, {}), **asked.get(d, {})} for d in (*saved, *asked)}
    for dataset, side in ((d, s) for d in asked for s in asked[d]):
        says[f"prompts.{dataset}.{side}"] = saved.get(dataset, {}).get(side)
        given[f"prompts.{dataset}.{side}"] = asked[dataset][side]
    for key in ("encoder.query_max_len", "encoder.passage_max_len"):
        if given[key] and given[key] > limit:
            raise ConfigError(f"{key}={given[key]}: {located.name} reads at most {limit} tokens")
        if given[key] and says[key] is None and given[key] > own_len:
            says[key] = own_len  # the folder's maximum; less is a choice, more contradicts it
    if not config.encoder.override:
        _refuse_contradictions(says, given, located)
    return {k: given[k] if given[k] is not None else says[k] for k in says}, of_data


def list_notices(module: Any, about: Mapping[str, Any], how: ReadingSettings) -> list[str]:
    """What to say of a folder's default prompt, for it is read by neither side; `module` as it was loaded."""
    prompts = dict(module.prompts or {})
    default = prompts.get(module.default_prompt_name or "", "")
    keys = {"query": ("query",), "passage": PASSAGE_PROMPTS}
    sides = [side for side, names in keys.items() if not any(prompts.get(name) for name in names)]
    sides = [side for side in sides if f"{side}_prompt" not in about and how.prompt(side) != default]
    if not default or not sides:
        return []
    return [
        f"the model's default prompt {default!r} is not prepended to a {' or a '.join(sides)}, as in encode_query and "
        f"encode_document of sentence-transformers; --set encoder.{sides[0]}_prompt=... does so"
    ]


def _refuse_without_transformer(module: Any, config: Config, located: LocatedModel) -> None:
    """ConfigError for settings of a transformer where the model is none, such as a static embedding."""
    asked: dict[str, Any] = {"encoder.pooling": config.encoder.pooling} if find_pooling(module) is None else {}
    if module.transformers_model is None:
        asked |= {"encoder.query_max_len": config.encoder.query_max_len}
        asked |= {"encoder.passage_max_len": config.encoder.passage_max_len, "model.lora_r": config.model.lora_r}
        asked |= {"model.attention": config.model.attention.replace("auto", "")}
    for key, value in asked.items():
        if value:
            raise ConfigError(f"{key}={value}: {located.name} has nothing it applies to", hint="Leave it out")


def _refuse_contradictions(says: Mapping[str, Any], given: Mapping[str, Any], located: LocatedModel) -> None:
    for key, wanted in given.items():
        if wanted is not None and says[key] is not None and wanted != says[key]:
            raise ConfigError(
                f"{key}={_show(wanted)} contradicts the model in {located.folder}, which says {_show(says[key])}",
                hint=f"Use --set {key}={_show(says[key])}, or --set encoder.override=true, which is recorded",
            )


def _show(value: Any) -> str:
    if isinstance(value, str):
        return repr(value) if not value or " " in value else value
    return str(value).lower()


def find_pooling(module: Any) -> str | None:
    """The folder's pooling by irctl's name (else by sentence-transformers' own), None where it has no such module."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = next((m for m in module if isinstance(m, Pooling)), None)
    if pooling is None:
        return None
    return name_pooling(pooling.pooling_mode)


def name_pooling(mode: str | tuple[str, ...]) -> str:
    """irctl's name of a pooling mode of sentence-transformers, else its own."""
    return next(
        (name for name, known in POOLINGS.items() if known == mode), mode if isinstance(mode, str) else "+".join(mode)
    )


class PoolingUnknown(ConfigError):
    """A model folder that does not say how it pools, which the settings may."""


def choose_plain_pooling(located: LocatedModel, asked: str) -> str:
    """How a plain transformers folder pools. Raises PoolingUnknown where nobody says so.

    asked: encoder.pooling, or empty.
    """
    pooling = asked or KNOWN_POOLING.get(located.name, "")
    if not pooling:
        raise PoolingUnknown(
            f"{located.name}: a plain transformers model does not say how its token vectors are pooled",
            hint=f"Add --set encoder.pooling=..., one of {', '.join(POOLINGS)}; and encoder.normalize=true if it does",
        )
    return pooling


def normalizes(module: Any) -> bool:
    """Whether the modules' last word is to scale vectors to length 1: a head after it makes other ones."""
    from sentence_transformers.sentence_transformer.modules import Dropout, Normalize, Router

    last = next((m for m in reversed(list(module)) if not isinstance(m, Dropout)), None)
    if isinstance(last, Router):
        routes: Any = last.sub_modules
        return all(normalizes(route) for route in routes.values())
    return isinstance(last, Normalize)


def _find_limits(module: Any) -> tuple[int, int]:
    """(tokens that the model's positions allow, the folder's own maximum)."""
    from torch import nn

    own = module.max_seq_length
    limit = UNBOUNDED
    for name, part in module.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding):
            # RoBERTa and its kin count positions from the padding index on
            limit = part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
            break
    else:
        limit = int(getattr(module.config, "max_position_embeddings", 0) or limit) if module.config else limit
    return limit, limit_own_maximum(own, limit)


def limit_own_maximum(own: int | None, limit: int) -> int:
    """Tokens that a folder reads at most by its own word; tokenizers that state none get a usual number."""
    return int(min(own if own is not None and own < UNBOUNDED else FALLBACK_MAX_LEN, limit))
