"""From the raw mapping to typed parts: `extends`, unknown keys, dangling and circular names."""

import difflib
import graphlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from pipeline.config.comparisons import Comparison
from pipeline.config.datasets import SOURCES
from pipeline.config.filters import Filter
from pipeline.config.foundations import FOUNDATIONS
from pipeline.config.generators import GENERATORS
from pipeline.config.parts import OWN, Part
from pipeline.config.pools import Pool
from pipeline.config.prompts import PROMPTS
from pipeline.config.qualities import Quality
from pipeline.config.recipes import Recipe
from pipeline.config.schemes import SCHEMES
from pipeline.config.scores import SCORES
from pipeline.config.searches import Search
from pipeline.errors import InputError

Parts = dict[str, dict[str, Part]]
Schema = Mapping[str, type[Part] | tuple[str, Mapping[str, type[Part]]]]

SCHEMA: Schema = {
    "datasets": ("source", SOURCES),
    "foundations": ("kind", FOUNDATIONS),
    "prompts": ("kind", PROMPTS),
    "generators": ("kind", GENERATORS),
    "pools": Pool,
    "scores": ("kind", SCORES),
    "filters": Filter,
    "classifiers": ("scheme", SCHEMES),
    "searches": Search,
    "qualities": Quality,
    "recipes": Recipe,
    "comparisons": Comparison,
}
"""Section -> the type of its entries, or the key that chooses the type and its values."""

TOLD = {
    "union_tag_not_found": "'kind' is missing; it chooses the type",
    "string_pattern_mismatch": "it must have lower-case letters, digits and _ only",
}
"""pydantic's type of an error -> our message, if its own is about Python."""

_TAKEN = {
    "tables": "the papers' tables",
    "times": "those of times",
    "foundations": "the foundations",
    "answers": "answers of endpoints",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,99}")


def read(raw: Mapping[str, Any], schema: Schema = SCHEMA) -> tuple[Parts, dict[str, dict[str, list[str]]]]:
    """Typed parts of every section, and each entry's chain of `extends`: itself first, its root last.

    Raises InputError with one sentence that names section, entry, key and what is allowed.
    """
    expect(set(raw) <= set(schema), "", "section", sorted(map(str, set(raw) - set(schema))), list(schema))
    parts: Parts = {section: {} for section in schema}
    chains: dict[str, dict[str, list[str]]] = {section: {} for section in schema}
    for section in schema:
        entries = raw.get(section) or {}
        must_map(entries, section)
        for name in entries:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in OWN:
                raise InputError(
                    f"{section}: '{name}' is not a valid name; use up to 100 lower-case letters, digits and _, not digits "
                    f"alone, and not {' or '.join(OWN)}"
                )
            if section == "datasets" and name in _TAKEN:
                raise InputError(
                    f"datasets: a data set cannot be called '{name}', because results/{name} has {_TAKEN[name]}"
                )
            chain = _extends(entries, section, name)
            merged: dict[str, Any] = {}
            for ancestor in reversed(chain):
                own = {key: value for key, value in (entries[ancestor] or {}).items() if key != "extends"}
                merged = overlaid(merged, own)
            parts[section][name] = build(schema, section, name, merged)
            if section == "datasets" and name in SOURCES and parts[section][name].source != name:
                raise InputError(
                    f"datasets: a data set of {parts[section][name].source} cannot be called '{name}', because results/{name} has"
                    f" what all data sets of the source {name} share"
                )
            chains[section][name] = chain
    check_references(parts)
    return parts, chains


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of an entry on top of those it extends. Mappings merge, except `vary` and what comparisons vary; a key also replaces
    its values in `where`.
    """
    replaced = {"vary", "rows", "columns"} & over.keys()
    replaced |= {"classifiers"} if "classifier" in over else {"classifier"} if "classifiers" in over else set()
    return deep_merge(without({key: base[key] for key in base if key not in replaced}, over), over)


def without(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an entry, without those in its `where` that `given` sets for all data sets."""
    where = values.get("where")
    if not isinstance(where, Mapping):
        return dict(values)
    return {**values, "where": {name: _but(keys, given) for name, keys in where.items()}}


def build(schema: Schema, section: str, name: str, values: Mapping[str, Any]) -> Part:
    """Build a typed part. Raises InputError that names the key."""
    where = f"{section}.{name}"
    kind = schema[section]
    if isinstance(kind, tuple):
        key, kinds = kind
        chosen = values.get(key, default_type(key, kinds))
        if chosen is None:
            raise InputError(f"{where}: '{key}' is missing; it must be one of {', '.join(kinds)}")
        expect(chosen in list(kinds), where, key, [chosen], list(kinds))
        kind = kinds[chosen]
    return typed(kind, where, values)


def default_type(key: str, types: Mapping[str, type[Part]]) -> str | None:
    """The value of `key`, which chooses the type of an entry, if the entry does not give it; None if it must."""
    return next((name for name, one in types.items() if not one.model_fields[key].is_required()), None)


def typed(kind: type[Part], where: str, values: Mapping[str, Any]) -> Part:
    """Build an instance of `kind`. Raises InputError that names the key, below `where`."""
    try:
        return kind(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        # an unknown key first: it is often why another one is missing
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        if first["type"] == "extra_forbidden":
            outer, key = _named(first["loc"][:-1]), str(first["loc"][-1])
            allowed = sorted(_model_at(kind, outer).model_fields)
            expect(False, ".".join(filter(None, [where, *outer])), "key", [key], allowed)
        *outer, key = _named(first["loc"]) or [""]
        if first["type"] == "union_tag_invalid":
            allowed = re.findall("'(.*?)'", first["ctx"]["expected_tags"])
            expect(False, ".".join([where, *outer, key]), "kind", [first["ctx"]["tag"]], allowed)
        message = TOLD.get(first["type"], first["msg"].removeprefix("Value error, "))
        if first["type"] == "tuple_type":
            message = f"it must be a list, such as [{first['input']}]"
            if "(varied by " in where:
                message = "it must be a list; in a recipe's vary, a list has alternatives, so write a list of lists"
        given = "" if first["type"] in ("missing", "value_error") else f" (it is {first['input']!r})"
        raise InputError(f"{'.'.join(filter(None, [where, *outer, key]))}: {message}{given}") from None


def _named(place: Iterable[str | int]) -> list[str]:
    """The keys of a place that pydantic names, without its names of the members of a union."""
    return [str(part) for part in place if re.fullmatch(r"[\w.]+", str(part))]


def check_references(parts: Parts) -> None:
    """Raise InputError for an undefined name, for a circular reference, and for parts that do not fit."""
    graph: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for section, entries in parts.items():
        for name, part in entries.items():
            check_names(parts, section, name, part)
            graph[section, name] = {(target, wanted) for _, target, wanted in part.referenced()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(f"{section}.{name}" for section, name in reversed(error.args[1]))
        raise InputError(f"the config has a circular reference: {circle}") from None
    for section, name in order:
        try:
            parts[section][name].check(parts)
        except ValueError as error:
            raise InputError(f"{section}.{name}: {error}") from None


def check_names(parts: Parts, section: str, name: str, part: Part) -> None:
    """Raise InputError if the part names an undefined one."""
    for field, target, wanted in part.referenced():
        other = next((one for one in parts if wanted in parts[one] and wanted not in parts[target]), None)
        if other:
            raise InputError(
                f"{section}.{name}: {field} is '{wanted}', which is in {other}; name one of {target} instead"
            )
        expect(wanted in parts[target], f"{section}.{name}", field, [wanted],
                [*OWN] * (field == "data") + sorted(known for known in parts[target] if "~" not in known))  # fmt: skip


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings merge unless they have different kinds, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, str) and isinstance(old, Mapping) and "kind" in old:
            value = {"kind": value}
        old = {"kind": old} if isinstance(old, str) else old
        merge = isinstance(value, Mapping) and isinstance(old, Mapping)
        merge = merge and value.get("kind", old.get("kind")) == old.get("kind")
        merged[key] = deep_merge(old, value) if merge else value
    return merged


def with_keys(part: Part, layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys that a part was given, with others on top; a mapping that was not given starts from its defaults."""
    defaults, values = part.model_dump(), part.model_dump(exclude_unset=True)
    for keys in layers:
        inside = {key: defaults[key] for key, value in keys.items() if isinstance(value, Mapping) and key in defaults}
        values = deep_merge(inside | without(values, keys), keys)
    return values


def _but(keys: Any, given: Mapping[str, Any]) -> Any:
    """`keys` without those in `given`."""
    if not isinstance(keys, Mapping):
        return keys
    if "kind" in given and given["kind"] != keys.get("kind", given["kind"]):
        return {}
    both_map = {key for key in keys if isinstance(keys[key], Mapping) and isinstance(given.get(key), Mapping)}
    kept = {key: _but(keys[key], given[key]) if key in both_map else keys[key] for key in keys}
    return {key: value for key, value in kept.items() if key not in given or (key in both_map and value)}


def _model_at(kind: Any, path: list[str]) -> type[Part]:
    """The type at a path of fields, of places in lists, and of kinds that choose among types."""
    for field in path:
        if isinstance(kind, type) and issubclass(kind, Part):
            kind = kind.model_fields[field].annotation
            optional = [one for one in get_args(kind) if one is not NoneType]
            kind = optional[0] if len(optional) == 1 and NoneType in get_args(kind) else kind
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif not field.isdecimal():
            kind = next(
                found for found in models_in(kind) if get_args(found.model_fields["kind"].annotation) == (field,)
            )
    return kind


def models_in(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def _extends(entries: Mapping[str, Any], section: str, name: str) -> list[str]:
    chain = [name]
    while True:
        must_map(entries[chain[-1]] or {}, f"{section}.{chain[-1]}")
        parent = (entries[chain[-1]] or {}).get("extends")
        if parent is None:
            return chain
        expect(parent in list(entries), f"{section}.{chain[-1]}", "extends", [parent], sorted(map(str, entries)))
        if parent in chain:
            raise InputError(f"{section}.{name}: extends is circular: {' -> '.join([*chain, parent])}")
        chain.append(parent)


def must_map(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping of keys to values, but is {value!r}")


def expect(fine: bool, where: str, what: str, wrong: list, allowed: list[str]) -> None:
    """Raise InputError for an unknown `what`, with a likely correction and the allowed names, unless `fine`."""
    if fine:
        return
    near = difflib.get_close_matches(str(wrong[0]), allowed, n=1)
    meant = f" (did you mean '{near[0]}'?)" if near else ""
    place = f"{where}: " if where else ""
    listed = ", ".join(allowed) or "nothing, because no entry is defined"
    raise InputError(f"{place}unknown {what} '{wrong[0]}'{meant}; allowed: {listed}")
