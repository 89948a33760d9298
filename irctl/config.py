"""How the layers of settings are put together and checked against the schema (irctl.settings).

Precedence, low to high: default < method < collection < profile (hardware only) < recipe or --config < option < --set.
Each resolved value carries its origin. A key is `section.name`; a plug-in file's are `pq.m`, `loss.ws2.temperature`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irctl import origins, plugins, tables
from irctl.errors import ConfigError, DataError
from irctl.origins import Kind, Origin
from irctl.settings import (
    LARGEST,
    PROMPTS,
    SECTIONS,
    Batch,
    Compress,
    Data,
    Encoder,
    Eval,
    HardNeg,
    Hardware,
    Loss,
    Model,
    Prompts,
    RunSettings,
    Search,
    Train,
    Transform,
)

REGULARIZERS = "regularizer."
NO_SETTINGS = ("meta", "tiny", "arms")
"""Tables of a recipe beside its settings."""


@dataclass(frozen=True)
class Config:
    """A resolved configuration. Sections are attributes (`config.train.lr`); `origins` has each value's origin."""

    run: RunSettings
    hardware: Hardware
    data: Data
    model: Model
    encoder: Encoder
    batch: Batch
    train: Train
    loss: Loss
    eval: Eval
    search: Search
    hardneg: HardNeg
    compress: Compress
    transform: Transform
    plugins: Mapping[str, Mapping[str, Any]]  # "pq" -> {"m": 16}, "loss.ws2" -> {...}: only what was set
    origins: Mapping[str, Origin]  # of each key that is not a default

    def origin(self, key: str) -> Origin:
        """Where the value of a key came from."""
        return self.origins.get(key, origins.DEFAULT)

    def plugin(self, section: str) -> dict[str, Any]:
        """What was set for one plug-in file (`pq`, `loss.ws2`), to be passed to its Config class."""
        return dict(self.plugins.get(section, {}))

    def regularizers(self) -> list[str]:
        """The names in train.regularizer, without their weights."""
        terms = self.train.regularizer.split(",") if self.train.regularizer else []
        return [term.partition(":")[0].strip() for term in terms]

    def prompts(self) -> dict[str, dict[str, str]]:
        """{data set: {side: prompt}} of those that were set for one data set."""
        named = {s.removeprefix(PROMPTS): v for s, v in self.plugins.items() if s.startswith(PROMPTS)}
        return {d: {side: v for side, v in given.items() if v is not None} for d, given in named.items()}

    def flat(self) -> dict[str, Any]:
        """Every key with its value, sections first, sorted within each."""
        values = {
            f"{section}.{f.name.rstrip('_')}": getattr(getattr(self, section), f.name)
            for section, cls in SECTIONS.items()
            for f in dataclasses.fields(cls)
        }
        for section, settings in sorted(self.plugins.items()):
            values |= {f"{section}.{name}": value for name, value in sorted(settings.items())}
        return values

    def to_json(self) -> dict[str, Any]:
        """{key: {value, origin}}: what config.json holds and --config reads back."""
        return {k: {"value": v, "origin": str(self.origin(k))} for k, v in self.flat().items()}

    def shown(self) -> dict[str, Any]:
        """As to_json, with the defaults of the training method, the losses and the quantizers that are named."""
        parts = {part.partition(":")[0].strip() for part in self.loss.name.split(",")}
        named = [self.train.method, *(f"loss.{p}" for p in sorted(parts))]
        named += [f"{REGULARIZERS}{name}" for name in sorted(self.regularizers())]
        named += [m.strip() for m in self.compress.method.split(",")]
        values = self.to_json()
        for section in named:
            if (cls := _class_of(section)) is not None:
                made = cls(**self.plugin(section))
                own = {f"{section}.{f.name}": getattr(made, f.name) for f in dataclasses.fields(cls)}
                values |= {k: {"value": v, "origin": str(origins.DEFAULT)} for k, v in own.items() if k not in values}
        first = list(SECTIONS)

        def place(key: str) -> tuple[int, str]:
            section = key.rpartition(".")[0]
            return (first.index(section), "") if section in SECTIONS else (len(first), key)

        return {k: values[k] for k in sorted(values, key=place)}

    def sha256(self) -> str:
        """Hash of the values alone; origins do not count."""
        return hashlib.sha256(json.dumps(self.flat(), sort_keys=True).encode()).hexdigest()

    def replace(self, values: Mapping[str, Any], origin: Origin) -> Config:
        """The same configuration with some keys changed, checked like any other layer."""
        mine = {k: (v, self.origins[k]) for k, v in self.flat().items() if k in self.origins}
        return _build(mine | {k: (v, origin) for k, v in values.items()})


Layer = Mapping[str, tuple[Any, Origin]]
"""key -> (value, origin). Later layers win."""


def resolve(*layers: Layer) -> Config:
    """Put layers together, low to high. Raises ConfigError naming key, value, the nearest legal one and the origin."""
    merged: dict[str, tuple[Any, Origin]] = {}
    for layer in layers:
        merged |= layer
    method, origin = merged.get("train.method", (Train().method, origins.DEFAULT))
    method = _check("train.method", method, schema("train.method", origin), origin)
    _check_name("train.method", "methods", method, origin)
    own = plugins.literal("methods", method, "DEFAULTS") or {}
    return _build({k: (v, Origin(Kind.METHOD, method)) for k, v in own.items()} | merged)


def _build(merged: Layer) -> Config:
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    plugged: dict[str, dict[str, Any]] = {}
    origin_of: dict[str, Origin] = {}
    for name, (value, origin) in merged.items():
        spec = schema(name, origin)
        checked = _check(name, value, spec, origin)
        section, _, leaf = name.rpartition(".")
        target = sections.get(section)
        if target is None:
            plugged.setdefault(section, {})[leaf] = checked
        else:
            target[spec.name] = checked
        origin_of[name] = origin
    for section, settings in plugged.items():
        _check_plugin(section, settings, origin_of)
    built = {name: cls(**sections[name]) for name, cls in SECTIONS.items()}
    config = Config(**built, plugins=plugged, origins=origin_of)
    for part in config.loss.name.split(","):
        _check_name("loss.name", "losses", part.partition(":")[0].strip(), config.origin("loss.name"))
    for part in config.compress.method.split(","):
        _check_name("compress.method", "quantizers", part.strip(), config.origin("compress.method"))
    for part in config.regularizers():
        _check_name("train.regularizer", "regularizers", part, config.origin("train.regularizer"))
    return config


def _check_name(key_name: str, package: str, name: str, origin: Origin) -> None:
    if not name:
        raise ConfigError(
            f"{key_name} (from {origin}): a name is empty", hint=f"Known: {', '.join(plugins.names(package))}"
        )
    try:
        plugins.check(package, name)
    except ConfigError as e:
        raise ConfigError(f"{e.message} ({key_name}, from {origin})", hint=e.hint) from None


def plugin_of(section: str) -> tuple[str, str] | None:
    """('quantizers', 'pq') for the section `pq`, ('losses', 'ws2') for `loss.ws2`; None if there is no such file."""
    if section.startswith("loss."):
        candidates = [("losses", section[5:])]
    elif section.startswith(REGULARIZERS):
        candidates = [("regularizers", section.removeprefix(REGULARIZERS))]
    else:
        candidates = [("quantizers", section), ("methods", section)]
    return next(((p, n) for p, n in candidates if n in plugins.names(p)), None)


def _class_of(section: str) -> type[Any] | None:
    """The dataclass behind a section; None if there is none."""
    if section in SECTIONS:
        return SECTIONS[section]
    if section.startswith(PROMPTS) and section != PROMPTS:
        return Prompts
    plugin = plugin_of(section)
    return plugins.config_class(*plugin) if plugin else None


def _is_section(name: str) -> bool:
    """Whether keys may stand below a name, so that a table of that name may be empty."""
    return _class_of(name) is not None or f"{name}." in (PROMPTS, REGULARIZERS) or name in NO_SETTINGS


def hints(cls: type[Any]) -> dict[str, Any]:
    """The types of a section's fields."""
    return typing.get_type_hints(cls, localns={"str": str, "int": int, "float": float, "bool": bool})


def schema(name: str, origin: Origin = origins.SET) -> dataclasses.Field[Any]:
    """The field behind a key. Raises ConfigError with the nearest legal key."""
    section, _, leaf = name.rpartition(".")
    cls = _class_of(section)
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(cls)} if cls else {}
    if leaf in fields:
        return fields[leaf]
    if name.startswith(REGULARIZERS) and section != REGULARIZERS.rstrip(".") and cls is None:
        _check_name(name, "regularizers", section.removeprefix(REGULARIZERS), origin)
    legal = list(known_keys())
    near = plugins.near_keys(name, legal)
    shown = [k for k in legal if cls and k.rpartition(".")[0] == section]
    sections = list(dict.fromkeys(k.partition(".")[0] for k in legal))
    formerly = (plugins.literal("methods", method, "FORMERLY") or {} for method in plugins.names("methods"))
    here = next((flags[leaf] for flags in formerly if leaf in flags), "")
    hint = f"It is {here}" if here else plugins.ask_keys(near) if near else ""
    if not hint and not shown:
        hint = plugins.near(name.partition(".")[0], sections).replace("'?", ".'?")
        shown = [f"{s}." for s in sections]
    hint = hint or f"Known: {', '.join(shown)}"
    raise ConfigError(f"no setting named '{name}' (from {origin})", hint=hint)


def default(name: str) -> Any:
    """What a key is where nothing sets it; its method may say otherwise."""
    return schema(name).default


def known_keys() -> Iterator[str]:
    """Every legal key: sections first, then the settings of each plug-in file."""
    for name, cls in SECTIONS.items():
        yield from (f"{name}.{f.name.rstrip('_')}" for f in dataclasses.fields(cls))
    yield from (f"{PROMPTS}DATASET.{f.name}" for f in dataclasses.fields(Prompts))
    for package, prefix in (("quantizers", ""), ("methods", ""), ("losses", "loss."), ("regularizers", REGULARIZERS)):
        for name in plugins.names(package):
            if (own := plugins.config_class(package, name)) is not None:
                yield from (f"{prefix}{name}.{f.name}" for f in dataclasses.fields(own))


def _check(name: str, value: Any, spec: dataclasses.Field[Any], origin: Origin) -> Any:
    """The value in its field's type and range, or ConfigError."""
    cls = _class_of(name.rpartition(".")[0])
    assert cls is not None
    wanted = hints(cls)[spec.name]
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for kind in sorted(options, key=lambda k: k is str):  # a number before a word
        converted, fits = tables.convert(value, kind)
        if fits:
            break
    else:
        kinds = " or ".join("none" if k is types.NoneType else k.__name__ for k in options)
        finite = " (finite)" if float in options else ""
        raise ConfigError(f"{name}: expected {kinds}{finite}, found {tables.shown(value)} (from {origin})")
    meta = spec.metadata
    if isinstance(converted, str) and "\0" in converted:
        raise ConfigError(
            f"{name}: expected a text without null characters, found {tables.shown(value)} (from {origin})"
        )
    # a number with words beside it is checked by its range
    if (choices := meta.get("choices")) and isinstance(converted, str) and converted not in choices:
        legal = ("a finite number or " if float in options else "one of ") + ", ".join(c or "(empty)" for c in choices)
        raise ConfigError(
            f"{name}: expected {legal}, found {tables.shown(value)} (from {origin})",
            hint=plugins.near(str(value), [c for c in choices if c]),
        )
    low, high = meta.get("low"), meta.get("high")
    if isinstance(converted, int):
        low, high = -LARGEST if low is None else low, LARGEST if high is None else high
    number = isinstance(converted, (int, float)) and not isinstance(converted, bool)
    if number and ((low is not None and converted < low) or (high is not None and converted > high)):
        bounds = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
        raise ConfigError(
            f"{name}: expected {bounds}, found {tables.shown(value)} (from {origin})",
            hint=f"The nearest legal value is {low if low is not None and converted < low else high}",
        )
    return converted


def _check_plugin(section: str, settings: Mapping[str, Any], origin_of: Mapping[str, Origin]) -> None:
    cls = _class_of(section)
    assert cls is not None
    try:
        cls(**settings)
    except ConfigError as e:
        where = ", ".join(sorted({str(origin_of[f"{section}.{k}"]) for k in settings}))
        raise ConfigError(f"{e.message} (from {where})", hint=e.hint) from None


def from_options(values: Mapping[str, Any], options: Mapping[str, str]) -> Layer:
    """Layer of named options: values by key, option names by key (`{'loss.name': '--loss'}`); None means not given."""
    return {k: (v, Origin(Kind.OPTION, options.get(k, k))) for k, v in values.items() if v is not None}


def from_sets(pairs: Iterable[str]) -> Layer:
    """Layer of `--set key=value` pairs."""
    layer: dict[str, tuple[Any, Origin]] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError(f"--set {pair}: expected key=value", hint=f"Write --set {pair}=VALUE")
        layer[name.strip()] = (value, origins.SET)  # as it is: a prompt may end in a space
    return layer


def read_toml(path: Path, label: str = "") -> dict[str, Any]:
    """The tables of a TOML file of settings. Raises ConfigError with its place if it is none, or has another shape."""
    table = tables.toml_table(path, label=label)
    tables.check(table, {"meta?": dict, "tiny?": dict, "arms?": [dict]}, label or str(path), error=ConfigError)
    return table


def from_file(path: Path, *, tiny: bool = False, whole: Origin | None = None) -> Layer:
    """Layer of a TOML recipe (its [tiny] overlay on top if asked) or of a run folder's config.json.

    whole: the origin of the file as such; its values add their line.

    Raises DataError if it is missing, ConfigError if it cannot be parsed.
    """
    if not path.is_file():
        found = "expected a configuration file, found a folder" if path.is_dir() else "no such configuration file"
        raise DataError(f"{path}: {found}", hint="irctl recipes ls lists the shipped ones")
    if path.suffix == ".json":
        return _from_json_file(path)
    whole = whole or Origin(Kind.FILE, str(path))
    table = read_toml(path, str(whole))
    lines = _key_lines(path.read_text())
    layer = {
        k: (v, dataclasses.replace(whole, line=lines.get(k, 1)))
        for k, v in flatten(table)
        if k.split(".")[0] not in NO_SETTINGS
    }
    if tiny:
        if "tiny" not in table:
            raise ConfigError(f"{whole}: has no [tiny] overlay", hint="Drop --tiny")
        overlay = dataclasses.replace(whole, tiny=True)
        layer |= {
            k: (v, dataclasses.replace(overlay, line=lines.get(f"tiny.{k}", 1))) for k, v in flatten(table["tiny"])
        }
    return layer


def _from_json_file(path: Path) -> Layer:
    try:
        stored = tables.json_object(path, error=ConfigError)
        tables.check(stored, {"*": {"origin": str}}, "settings", error=ConfigError)
        return from_json(stored)
    except (ConfigError, KeyError) as e:
        raise ConfigError(
            f"{path}: expected settings as a run's config.json has them: {{key: {{value, origin}}}} ({e})",
            hint="Name the config.json of a run folder, or a TOML file",
        ) from None


def from_json(stored: Mapping[str, Mapping[str, Any]]) -> Layer:
    """Layer of what `Config.to_json` wrote: values with the origins they had."""
    layer = {k: (v["value"], origins.parse(v["origin"])) for k, v in stored.items()}
    return {k: (v, origin) for k, (v, origin) in layer.items() if origin.kind is not Kind.DEFAULT}


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested tables; lists and scalars are values, as is an empty table that is no section."""
    for name, value in table.items():
        if isinstance(value, dict) and (value or _is_section(f"{prefix}{name}")):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _key_lines(text: str) -> dict[str, int]:
    """Dotted key -> line number, for messages. tomllib keeps none."""
    section, found = "", {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            section = bare.strip("[]").strip() + "."
        elif "=" in bare:
            found[section + bare.split("=")[0].strip().strip('"')] = number
    return found
