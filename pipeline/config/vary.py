"""Derived parts of `vary:`: changed parts and those that depend on them get new names, the rest is shared."""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.config.parts import OWN, Part
from pipeline.config.recipes import Recipe
from pipeline.config.resolve import Parts, Schema, build, check_names, with_keys, without
from pipeline.errors import InputError

SINGULAR = {
    "dataset": "datasets",
    "foundation": "foundations",
    "prompts": "prompts",
    "generator": "generators",
    "pool": "pools",
    "score": "scores",
    "filter": "filters",
    "classifier": "classifiers",
    "quality": "qualities",
    "search": "searches",
}


def combinations(recipe: str, vary: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Every combination of the varied values, each with the labels, by key, that make the suffix of the recipe's name.

    A list has alternatives; any other value is set in every combination and has no label.
    """
    alternatives = {key: value if isinstance(value, list) else [value] for key, value in vary.items()}
    for key, values in alternatives.items():
        head, *rest = key.split(".")
        if "where" in (rest[:1] if head in SINGULAR else rest[1:2]):
            raise InputError(f"recipes.{recipe}: vary: '{key}' cannot be varied; vary the key without its where")
        if not values:
            raise InputError(f"recipes.{recipe}: vary: '{key}' is an empty list; give at least one value")
    found = []
    for values in itertools.product(*alternatives.values()):
        chosen = dict(zip(alternatives, values, strict=True))
        labels = {key: f"~{key}={slug(value)}" for key, value in chosen.items() if len(alternatives[key]) > 1}
        found.append((chosen, labels))
    return found


def refuse_repeated(recipe: str, vary: Mapping[str, Any]) -> None:
    """Raise InputError for a value that a list has twice, perhaps written otherwise."""
    for key, values in vary.items():
        for one, other in itertools.combinations(values if isinstance(values, list) else (), 2):
            if _plain(one) == _plain(other):
                raise InputError(
                    f"recipes.{recipe}: vary: '{key}' has the value {one} twice, once as {other}; give it once"
                )


Labels = dict[str, tuple[str, str]]  # address -> (section it changes, "key=value")


def derive(parts: Parts, schema: Schema, recipe: str, start: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Derive a recipe: `start` with the names of derived parts, which are added to `parts` under `changes`.

    `recipe` is the recipe's name. On every path upstream, an address changes the first part that it fits, and none beyond:
    scoring by another classifier does not change that classifier's own scores. Raises InputError for an address that fits
    no part.
    """
    used: set[str] = set()

    def visit(section: str, name: str, active: tuple[str, ...], path: tuple) -> tuple[str, Labels]:
        """The new name of a part under the `active` addresses, and the differences in and upstream of it."""
        if (section, name, active) in path:
            circle = " -> ".join(f"{place[0]}.{place[1]}" for place in [*path, (section, name)])
            raise InputError(f"the config has a circular reference: {circle}")
        base = parts[section][name]
        here = [address for address in active if _fits(address, section, name)]
        used.update(here)
        beyond = tuple(address for address in active if address not in here)
        part, own = _changed(
            parts, schema, recipe, section, name, base, {address: changes[address] for address in here}
        )
        check_names(parts, section, f"{name} (varied by recipes.{recipe})" if here else name, part)
        part, inherited = follow(part, beyond, (*path, (section, name, active)))
        differs = {address: (inherited | own)[address] for address in changes if address in inherited | own}
        if not differs:
            return name, differs
        texts = [text if address in own else f"{_short(owner)}.{text}" for address, (owner, text) in differs.items()]
        new = short_enough("~".join([name, *texts]))
        if parts[section].setdefault(new, part) != part:
            raise InputError(f"recipes.{recipe}: two different parts would both be called {section}.{new}")
        return new, differs

    def follow(part: Part, active: tuple[str, ...], path: tuple, direct: Collection[str] = ()) -> tuple[Part, Labels]:
        """`part` with derived names, and the differences upstream; sections in `direct` are searched only here."""
        inherited: Labels = {}
        renamed: dict[str, Any] = {}
        for field, (section, *_) in part.references.items():
            passed = tuple(
                a for a in active if (target := SINGULAR.get(a.split(".")[0])) not in direct or target == section
            )
            value = getattr(part, field)
            names = [value] if isinstance(value, str) else value or ()
            found = [
                (name, {}) if field == "data" and name in OWN else visit(section, name, passed, path) for name in names
            ]
            for _, labels in found:
                inherited |= labels
            if found:
                renamed[field] = found[0][0] if isinstance(value, str) else tuple(name for name, _ in found)
        return part.model_copy(update=renamed), inherited

    derived, _ = follow(start, tuple(changes), (), direct={section for _, section, _ in start.referenced()})
    for address in changes:
        if address not in used:
            raise InputError(_unused(parts, recipe, start, address))
    return derived


def slug(value: Any) -> str:
    """A value as a part of a file name: readable, and of at most 48 characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    for sign, word in (("<=", "le"), (">=", "ge"), ("<", "lt"), (">", "gt")):
        text = re.sub(rf"\s*{sign}\s*", f"_{word}_", text)
    text = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("_")
    return text if 0 < len(text) <= 48 else hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:12]


def short_enough(name: str) -> str:
    """The name of a derived part, which is that of a folder: the end of one over 200 letters is replaced by a digest."""
    return name if len(name) <= 200 else f"{name[:187]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _plain(value: Any) -> Any:
    """A value for comparison: YAML reads 0.1 as a number, but 1e-1 as text."""
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return json.dumps(value, sort_keys=True, default=str)


def singular(address: str) -> str:
    """`section.key` of an address, also of one written as `sections.name.key`."""
    head, *rest = address.split(".")
    return address if head in SINGULAR else ".".join([_short(head), *rest[1:]])


def upstream(parts: Parts, start: tuple[str, str]) -> list[tuple[str, str]]:
    """`start` and all parts that it names, directly or indirectly."""
    found = [start]
    for section, name in found:  # the list grows in this loop
        named = ((target, wanted) for _, target, wanted in parts[section][name].referenced())
        found += dict.fromkeys(place for place in named if place not in found)
    return found


def _fits(address: str, section: str, name: str) -> bool:
    head, *rest = address.split(".")
    if head in SINGULAR:
        return SINGULAR[head] == section and len(rest) > 0
    return [head, *rest[:1]] == [section, name] and len(rest) > 1


def _changed(
    parts: Parts, schema: Schema, recipe: str, section: str, name: str, base: Part, changes: Mapping[str, Any]
) -> tuple[Part, Labels]:
    """The part with the changes made, and a label for each that makes a difference."""
    if not changes:
        return base, {}
    paths = {address: singular(address).split(".")[1:] for address in changes}
    search = getattr(base, "search", None)
    for path in paths.values() if search else ():
        for key in parts["searches"][search].over if search in parts["searches"] else ():
            drawn = key.split(".")
            if path[: len(drawn)] == drawn or drawn[: len(path)] == path:
                raise InputError(
                    f"recipes.{recipe}: vary has {section}.{name}.{'.'.join(path)}, but the search {search} draws {key}; remove one"
                )
    values = with_keys(base, [_nest(paths[address], value) for address, value in changes.items()])
    part = build(schema, section, f"{name} (varied by recipes.{recipe})", values)
    where = {"where": getattr(base, "where", {})}
    own = {}
    for address, value in changes.items():
        differs = _value(part, paths[address]) != _value(base, paths[address], None)
        # otherwise it is the same part, with the same artifacts
        if differs or without(where, _nest(paths[address], value)) != where:
            own[address] = (section, f"{'.'.join(paths[address])}={slug(value)}")
    return part, own


def _unused(parts: Parts, recipe: str, start: Recipe, address: str) -> str:
    """The error for an address that changes nothing."""
    head, *rest = address.split(".")
    where = f"recipes.{recipe}: vary: '{address}'"
    if head in SINGULAR and rest:
        one = f"the classifier {start.classifier}" if start.classifier else "the recipe"
        return f"{where}: nothing upstream of {one} is in {SINGULAR[head]}"
    if head in SINGULAR.values() and len(rest) >= 2:
        found = [place for _, *place in start.referenced()]
        names = sorted({name for place in found for section, name in upstream(parts, tuple(place)) if section == head})
        return f"{where}: {head}.{rest[0]} is not upstream of the recipe; there are {', '.join(names) or 'none'}"
    return f"{where}: write section.key ({', '.join(SINGULAR)}) or sections.name.key"


def _value(part: Part, path: list[str], *default: Any) -> Any:
    """The value at a path of keys; `default` if a part of another kind lacks them."""
    for key in path:
        of_mapping = isinstance(part, Mapping)  # as the distributions of a search
        part = part.get(key, *default) if of_mapping else getattr(part, key, *default)
    return part


def _nest(path: list[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _short(section: str) -> str:
    return next(short for short, long in SINGULAR.items() if long == section)
