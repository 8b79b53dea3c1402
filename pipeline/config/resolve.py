"""From the raw mapping to typed parts: `extends`, unknown keys, dangling and circular names."""

import difflib
import graphlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.config.datasets import SOURCES
from pipeline.config.filters import Filter
from pipeline.config.generators import Cbdm
from pipeline.config.parts import REAL, Part
from pipeline.config.pools import Samples
from pipeline.config.qualities import Quality
from pipeline.config.recipes import Recipe
from pipeline.config.schemes import SCHEMES
from pipeline.config.scores import Scores
from pipeline.errors import InputError

Parts = dict[str, dict[str, Part]]
Schema = Mapping[str, type[Part] | tuple[str, Mapping[str, type[Part]]]]

SCHEMA: Schema = {
    "datasets": ("source", SOURCES),
    "generators": ("kind", {"cbdm": Cbdm}),
    "samples": Samples,
    "scores": Scores,
    "filters": Filter,
    "classifiers": ("scheme", SCHEMES),
    "qualities": Quality,
    "recipes": Recipe,
}
"""Section -> the type of its entries, or the key that chooses the type and its values."""

TOLD = {
    "tuple_type": "it must be a list, and in a recipe's vary, where a list holds alternatives, a list within a list",
    "union_tag_not_found": "'kind' is missing, which says what is meant",
}
"""What pydantic finds -> the words for it, where its own are of Python."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


def read(raw: Mapping[str, Any], schema: Schema = SCHEMA) -> tuple[Parts, dict[str, dict[str, str]]]:
    """Typed parts of every section, and the root of each entry's `extends` chain.

    Raises InputError with one sentence that names section, entry, key and what is allowed.
    """
    _expect(set(raw) <= set(schema), "", "section", sorted(map(str, set(raw) - set(schema))), list(schema))
    parts: Parts = {section: {} for section in schema}
    roots: dict[str, dict[str, str]] = {section: {} for section in schema}
    for section in schema:
        entries = raw.get(section) or {}
        _must_map(entries, section)
        for name in entries:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name == REAL:
                raise InputError(
                    f"{section}: '{name}' is not a valid name; use lower-case letters, digits and _, not digits alone, "
                    f"and not '{REAL}'"
                )
            chain = _extends(entries, section, name)
            merged: dict[str, Any] = {}
            for ancestor in reversed(chain):
                own = {key: value for key, value in (entries[ancestor] or {}).items() if key != "extends"}
                merged = deep_merge({k: v for k, v in merged.items() if not (k == "vary" and k in own)}, own)
            parts[section][name] = build(schema, section, name, merged)
            roots[section][name] = chain[-1]
    check_references(parts)
    return parts, roots


def build(schema: Schema, section: str, name: str, values: Mapping[str, Any]) -> Part:
    """The typed part, or InputError naming its key."""
    where = f"{section}.{name}"
    kind = schema[section]
    if isinstance(kind, tuple):
        key, kinds = kind
        default = next((name for name, kind in kinds.items() if not kind.model_fields[key].is_required()), None)
        chosen = values.get(key, default)
        if chosen is None:
            raise InputError(f"{where}: '{key}' is missing; it must be one of {', '.join(kinds)}")
        _expect(chosen in list(kinds), where, key, [chosen], list(kinds))
        kind = kinds[chosen]
    return typed(kind, where, values)


def typed(kind: type[Part], where: str, values: Mapping[str, Any]) -> Part:
    """An instance of `kind`, or InputError naming the key, below `where`."""
    try:
        return kind(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        # an unknown key first: it is often why another one is missing
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        *outer, key = [str(part) for part in first["loc"]] or [""]
        if first["type"] == "extra_forbidden":
            _expect(
                False,
                ".".join(filter(None, [where, *outer])),
                "key",
                [key],
                sorted(_model_at(kind, outer).model_fields),
            )
        message = TOLD.get(first["type"], first["msg"].removeprefix("Value error, "))
        given = "" if first["type"] in ("missing", "value_error") else f" (it is {first['input']!r})"
        raise InputError(f"{'.'.join(filter(None, [where, *outer, key]))}: {message}{given}") from None


def check_references(parts: Parts) -> None:
    """Raise InputError for a name that no part bears, for a circle of names, and for parts that do not fit."""
    graph: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for section, entries in parts.items():
        for name, part in entries.items():
            check_names(parts, section, name, part)
            graph[section, name] = {(target, wanted) for _, target, wanted in part.referenced()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(f"{section}.{name}" for section, name in reversed(error.args[1]))
        raise InputError(f"the config's names form a circle, which must not be: {circle}") from None
    for section, name in order:
        try:
            parts[section][name].check(parts)
        except ValueError as error:
            raise InputError(f"{section}.{name}: {error}") from None


def check_names(parts: Parts, section: str, name: str, part: Part) -> None:
    """Raise InputError where the part names one that is not there."""
    for field, target, wanted in part.referenced():
        _expect(wanted in parts[target], f"{section}.{name}", field, [wanted],
                [REAL] * (field == "data") + sorted(known for known in parts[target] if "~" not in known))  # fmt: skip


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings merge, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both_map = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = deep_merge(merged[key], value) if both_map else value
    return merged


def _model_at(kind: Any, path: list[str]) -> type[Part]:
    """The type of what lies at a path of fields, of places in lists, and of kinds that choose among types."""
    for field in path:
        if isinstance(kind, type) and issubclass(kind, Part):
            kind = kind.model_fields[field].annotation
        elif not field.isdecimal():
            kind = next(
                found for found in _models_in(kind) if get_args(found.model_fields["kind"].annotation) == (field,)
            )
    return kind


def _models_in(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _extends(entries: Mapping[str, Any], section: str, name: str) -> list[str]:
    chain = [name]
    while True:
        _must_map(entries[chain[-1]] or {}, f"{section}.{chain[-1]}")
        parent = (entries[chain[-1]] or {}).get("extends")
        if parent is None:
            return chain
        _expect(parent in list(entries), f"{section}.{chain[-1]}", "extends", [parent], sorted(map(str, entries)))
        if parent in chain:
            raise InputError(f"{section}.{name}: extends runs in a circle: {' -> '.join([*chain, parent])}")
        chain.append(parent)


def _must_map(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping of keys to values, and is {value!r}")


def _expect(fine: bool, where: str, what: str, wrong: list, allowed: list[str]) -> None:
    """Raise InputError: unknown `what`, what was probably meant, and what is allowed."""
    if fine:
        return
    near = difflib.get_close_matches(str(wrong[0]), allowed, n=1)
    meant = f" (did you mean '{near[0]}'?)" if near else ""
    place = f"{where}: " if where else ""
    listed = ", ".join(allowed) or "nothing, for no entry is defined"
    raise InputError(f"{place}unknown {what} '{wrong[0]}'{meant}; allowed: {listed}")
